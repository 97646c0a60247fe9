"""What leans on transformers' inside proves itself, and is left alone where it does not hold."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from models_made import tiny
from stack_rows import assert_alike, lane, opened, random_row, track_of

from fewfit.engine import keyvalue
from fewfit.engine.beginning import prefix
from fewfit.engine.head import says_all
from fewfit.engine.plain import PlainLearner
from fewfit.models import library

DTYPES = [torch.float32, torch.bfloat16]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma3", "gpt2"])
def test_short_cuts_prove_themselves_on_stock_models(name: str, dtype: torch.dtype) -> None:
    """Break seen to fail: a bound of a thousandth in bf16 too."""
    model = tiny(name, dtype=dtype)
    assert keyvalue.usable(model)
    assert prefix(model, range(3, 12)) is not None
    assert says_all(model)


def without(cache: Any) -> Any:
    for layer in cache.layers:
        layer.keys, layer.values = torch.zeros_like(layer.keys), torch.zeros_like(layer.values)
    return cache


@pytest.mark.parametrize("how", ["missing", "emptied"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_a_cache_that_does_not_reach_the_layers_is_noticed(
    name: str, dtype: torch.dtype, how: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As when transformers renamed the argument: text was wrong from its second token on. Choices are then scored over
    whole rows. Break seen to fail: a bound of a thousand times."""
    if how == "missing":
        monkeypatch.setattr(library, "cache_argument", lambda model, value: {})
    else:
        filled, copies = library.filled_cache, library.cache_of_copies
        monkeypatch.setattr(library, "filled_cache", lambda layers: without(filled(layers)))
        monkeypatch.setattr(library, "cache_of_copies", lambda layers, rows: without(copies(layers, rows)))
    monkeypatch.setattr(library, "once", lambda message: print(message))
    model = tiny(name, dtype=dtype)
    assert not keyvalue.usable(model)
    assert prefix(model, range(3, 12)) is None
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 2 and all("is not used here" in line for line in told)
    if dtype == torch.bfloat16:
        return
    one = lane()
    row = random_row(track_of(one), random.Random(2), choices="several")
    assert_alike(opened(model, [one]).score([row]), opened(tiny(name), [one], PlainLearner).score([row]), 1e-4)


def test_a_head_that_is_not_all_is_noticed() -> None:
    """Gemma 2 caps its logits. Break seen to fail: the proof taken for granted."""
    model = tiny("gemma2")
    model.config.final_logit_softcapping = 5.0
    assert not says_all(model)


def test_want_of_memory_says_nothing_of_a_model() -> None:
    model, tries = tiny("llama"), []

    def proof(model: Any) -> bool:
        tries.append(1)
        if len(tries) == 1:
            raise MemoryError
        return True

    with pytest.raises(MemoryError):
        library.proven(model, "a short cut", proof)
    assert library.proven(model, "a short cut", proof) and library.proven(model, "a short cut", proof)
    assert len(tries) == 2
