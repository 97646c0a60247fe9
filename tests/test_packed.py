"""Likelihoods of many answers in one row are those of rows of their own."""

from __future__ import annotations

import pytest
import torch

from fewfit.engine import likelihood, packed
from fewfit.engine.prefix import computed
from tests.models_made import tiny

NAMES = ["llama", "qwen3", "gemma2", "gemma3", "gpt2", "gpt-neox", "mistral"]
PROMPTS = [(3, 1, 4, 1, 5, 9, 2, 6, *some) for some in ((5,), (3, 5, 8), (9, 7, 9, 3), tuple(range(11, 31)))]
ANSWERS = [[(7, 1), (7, 2, 9, 4)], [(8, 2), (8, 3)], [(6,)], [(5, 5, 5), (5, 5, 6, 7), (2, 3, 4)]]


@pytest.mark.parametrize("kept", [0, 6, 8])
@pytest.mark.parametrize("name", NAMES)
def test_in_one_row_or_each_in_its_own(name: str, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of a few tokens among them, inside the kept beginning and behind it.

    Breaks seen to fail: answers that see each other; places counted on through the row; windows ignored.
    """
    model = tiny(name).eval()
    past = computed(model, PROMPTS[0][:kept]) if kept else None
    assert packed.usable(model)
    together = likelihood.logp(model, past, PROMPTS, ANSWERS)
    monkeypatch.setattr(packed, "usable", lambda model: False)
    apart = likelihood.logp(model, past, PROMPTS, ANSWERS)
    for some, others in zip(together, apart, strict=True):
        assert some == pytest.approx(others, abs=1e-4)


def test_rows_hold_so_many_tokens_or_one_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "TOKENS", 20)
    rows = list(packed.rows(None, PROMPTS, ANSWERS))
    assert [n for row in rows for n in row] == [0, 1, 2, 3]
    assert max(map(len, rows)) == 1, "each of these has over ten tokens"
    monkeypatch.setattr(packed, "TOKENS", 60)
    assert [len(row) for row in packed.rows(None, PROMPTS, ANSWERS)] == [3, 1]


def test_a_model_that_ignores_the_mask_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("llama").eval()
    right = packed.masks
    monkeypatch.setattr(packed, "masks", lambda *asked: torch.zeros_like(right(*asked)).triu(1))
    assert not packed.usable(model)
