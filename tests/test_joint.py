"""Texts written together are those that each would be by itself."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from fewfit.engine import joint, packed
from fewfit.engine.adapters import Wrapped
from fewfit.engine.forward import logits_at
from fewfit.engine.generate import greedy
from fewfit.engine.mixed import all_names, read_adapter
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


# ---- beginnings that stay, answers read at once, adapters ------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_texts_that_join_later_behind_beginnings_of_their_own(name: str) -> None:
    """Breaks seen to fail: a text that does not see its beginning; one that sees every beginning."""
    model = tiny(name).eval()
    other = tuple(7 + token for token in PROMPTS[0][:8])
    prompts = [*PROMPTS[:3], *((*other, *prompt[8:]) for prompt in PROMPTS[:3])]
    writing = joint.Writing(model)
    texts = {n: joint.Text(prompt, n, beginning=8 if n != 1 else 0) for n, prompt in enumerate(prompts)}
    for text in texts.values():  # one more in each step
        writing.add(text)
        for one, logits_NV in writing.step():
            one.new.append(int(logits_NV[0].argmax()))
    written_from = [len(text.new) for text in texts.values()]
    assert written_from == [6, 5, 4, 3, 2, 1] and len(writing.beginnings) == 2
    while writing.active:
        for text, logits_NV in writing.step():
            text.new.append(int(logits_NV[0].argmax()))
            if len(text.new) == NEW:
                writing.drop(text)
    for text in texts.values():
        right = greedy(model, [text.prompt], max_new_tokens=NEW, end_ids=frozenset())[0]
        assert tuple(text.new) == right or tie(model, text.prompt, tuple(text.new), right)


def test_beginnings_make_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Break seen to fail: the oldest one goes though a text stands behind it."""
    monkeypatch.setattr(joint, "KEPT", 20)
    model = tiny("llama").eval()
    writing = joint.Writing(model)
    prompts = [tuple(range(start, start + 12)) for start in (1, 20, 40, 60)]
    texts = [joint.Text(prompt, n, beginning=8) for n, prompt in enumerate(prompts)]
    for text in texts:
        writing.add(text)
        for one, logits_NV in writing.step():
            with torch.no_grad():
                right_V = logits_at(model, [(*one.prompt, *one.new)], [[len(one.prompt) + len(one.new) - 1]])[0]
            assert torch.allclose(logits_NV[0], right_V, atol=1e-4)
            one.new.append(7)
        if text.index in (1, 2):
            writing.drop(text)
    assert {key[0][0] for key in writing.beginnings} == {1, 60}


def test_no_forward_reads_more_than_it_is_meant_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of texts that come at once, each behind a beginning of its own, behind one that they share, or with answers.

    Breaks seen to fail: beginnings that are yet to be read not counted, or taken for kept; others' answers not counted.
    """
    monkeypatch.setattr(packed, "TOKENS", 40)
    model, read = tiny("llama").eval(), list[int]()
    whole = joint.Memory.read

    def counted(self: joint.Memory, parts: list[joint.Part]) -> torch.Tensor:
        read.append(sum(len(part.ids) for part in parts))
        return whole(self, parts)

    monkeypatch.setattr(joint.Memory, "read", counted)
    own = [joint.Text(tuple(range(start, start + 16)), beginning=14) for start in range(1, 9)]
    shared = [joint.Text((*range(30, 44), token, 5), beginning=14) for token in range(8)]
    judged = [joint.Text((3, token), tails=((4,) * 10, (5,) * 4)) for token in range(8)]
    writing, waiting = joint.Writing(model), [*own, *shared, *judged]
    while waiting or writing.active:
        while waiting and writing.has_room(waiting[0]):
            writing.add(waiting.pop(0))
        writing.step()
        writing.drop(*writing.active)
    assert max(read) <= 40 and sum(read) == 8 * 16 + 14 + 8 * 2 + 8 * 16
    assert len(read) == 4 + 1 + 4, "no fewer at once than there is room for"


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_read_beside_texts_that_are_written(name: str) -> None:
    """As `packed.logits` reads them. Break seen to fail: an answer that sees the answers beside it."""
    model = tiny(name).eval()
    tails = ((5, 6, 7), (9,), (4, 2))
    writing = joint.Writing(model)
    writing.add(joint.Text(PROMPTS[1], 0, beginning=8))
    writing.step()[0][0].new.append(1)
    writing.add(joint.Text(PROMPTS[2], 1, beginning=8, tails=tails))
    told = {text.index: logits_NV for text, logits_NV in writing.step()}
    (right_NV,) = packed.logits(model, None, [PROMPTS[2]], [tails])
    assert torch.allclose(told[1], right_NV, atol=1e-4)
    assert [text.index for text in writing.active] == [0]


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_each_text_meets_its_own_adapter(name: str, tmp_path: Path) -> None:
    """Two adapters and none, in one pass, against PEFT's own model with each of them alone.

    Breaks seen to fail: a beginning kept for whoever brings the same tokens, whatever the adapter; no scale.
    """
    model = tiny(name).eval()
    folders: list[Path | None] = [None]
    for k in (1, 2):
        lent = get_peft_model(copy.deepcopy(model), LoraConfig(r=2, lora_alpha=8, target_modules="all-linear"))
        torch.manual_seed(k)
        for key, parameter in lent.named_parameters():
            if "lora_" in key:
                parameter.data.normal_(std=0.1)
        lent.save_pretrained(str(tmp_path / str(k)))
        folders.append(tmp_path / str(k))
    adapters = [None if folder is None else read_adapter(folder, model) for folder in folders]
    wrapped = Wrapped(model, all_names([one for one in adapters if one is not None]))
    writing = joint.Writing(model, wrapped=wrapped)
    for k, adapter in enumerate(adapters):
        writing.add(joint.Text(PROMPTS[1], k, beginning=8, adapter=adapter))
    told = {text.index: logits_NV[0] for text, logits_NV in writing.step()}
    wrapped.close()
    for k, folder in enumerate(folders):
        one = model if folder is None else PeftModel.from_pretrained(copy.deepcopy(model), str(folder)).eval()
        with torch.no_grad():
            right_V = one(torch.tensor([PROMPTS[1]])).logits[0, -1]
        assert torch.allclose(told[k], right_V, atol=1e-4)
    assert float((told[1] - told[2]).abs().max()) > 0.01 < float((told[0] - told[1]).abs().max())
