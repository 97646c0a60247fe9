"""Texts written together are those that each would be by itself."""

from __future__ import annotations

import pytest
import torch

from fewfit.engine import joint, packed
from fewfit.engine.forward import logits_at
from fewfit.engine.generate import greedy
from fewfit.engine.prefix import computed
from tests.models_made import tiny

NAMES = ["llama", "qwen3", "gemma2", "gemma3", "gpt2", "gpt-neox", "mistral"]
PROMPTS = [
    (3, 1, 4, 1, 5, 9, 2, 6, *some) for some in ((5,), (3, 5, 8), (9, 7), tuple(range(11, 31)), (4, 4), (8, 8, 2))
]
NEW = 12


@pytest.mark.parametrize("kept", [0, 8])
@pytest.mark.parametrize("name", NAMES)
def test_together_as_alone(name: str, kept: int) -> None:
    """More prompts than are written at a time, ends at several places, windows shorter than the texts.

    Breaks seen to fail: texts that see each other; places of a text that hang on others; the wrong places dropped when
    room is made.
    """
    model = tiny(name).eval()
    alone = [greedy(model, [one], max_new_tokens=NEW, end_ids=frozenset())[0] for one in PROMPTS]
    ends = frozenset({alone[0][2], alone[1][5], alone[4][1]})
    wanted = [greedy(model, [one], max_new_tokens=NEW, end_ids=ends)[0] for one in PROMPTS]
    assert len({len(one) for one in wanted}) > 1 and packed.usable(model)
    past = computed(model, PROMPTS[0][:kept]) if kept else None
    told = joint.write(model, PROMPTS, max_new_tokens=NEW, end_ids=ends, past=past, texts=3)
    for prompt, found, right in zip(PROMPTS, told, wanted, strict=True):
        assert found == right or tie(model, prompt, found, right)


def tie(model: object, prompt: tuple[int, ...], one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether the first token that differs might as well have been the other's."""
    at = next(n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    with torch.no_grad():
        logits_V = logits_at(model, [prompt + one[:at]], [[len(prompt) + at - 1]])[0]
    return abs(float(logits_V[one[at]] - logits_V[other[at]])) < 1e-4


def test_logits_are_adjusted_by_the_text_they_belong_to() -> None:
    """`adjust` has the index, what was written so far, and its number."""
    model = tiny("llama").eval()
    seen: list[tuple[int, int, tuple[int, ...]]] = []

    def adjust(indices, step, ids_BT, logits_BV):
        seen.append((indices[0], step, tuple(ids_BT[0].tolist())))
        return logits_BV.index_fill(1, torch.tensor([7 + indices[0]]), 1e9)

    told = joint.write(model, PROMPTS[:3], max_new_tokens=3, end_ids=frozenset(), texts=2, adjust=adjust)
    assert told == [(7, 7, 7), (8, 8, 8), (9, 9, 9)]
    assert set(seen) == {
        (n, step, PROMPTS[n] + (7 + n,) * step) for n in range(3) for step in range(3)
    }  # fmt: skip
