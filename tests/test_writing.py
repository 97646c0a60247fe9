"""What is written for a prompt does not depend on the prompts beside it: they may be of examples that come later."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fewfit.writing import Asked, Decoding, EndpointWriter, LocalWriter, cut
from tests.models_made import tiny
from tests.tokenizers_made import byte_level

HOW = Decoding(max_new_tokens=12, stop=("\n\n",), lines=3)
BEFORE = "Each sentence is followed by others.\n\nSentence: river and stone\n- stone and river\n\nSentence:"
RESTS = [f" {'velvet ' * (k % 7)}river{k} is larger than stone{k}\n-" for k in range(23)]
ASKED = [Asked(BEFORE, rest) for rest in RESTS]
KEYS = [str(k) for k in range(len(RESTS))]


def writer(name: str, dtype: torch.dtype = torch.float32) -> LocalWriter:
    return LocalWriter(tiny(name, vocab_size=len(byte_level()), dtype=dtype), byte_level())


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_a_text_is_the_same_whatever_is_written_beside_it(name: str, temperature: float) -> None:
    """In bf16, where roundings show. Break seen to fail: noise by the place in the pass."""
    torch.set_num_threads(1)
    how = replace(HOW, temperature=temperature)
    of = writer(name, torch.bfloat16)
    together = [one.text for one in of.write(ASKED, KEYS, how)]
    assert len(set(together)) > 5
    for some in ([4], [22, 4], list(range(4, 20)), list(reversed(range(23)))):
        texts = of.write([ASKED[k] for k in some], [KEYS[k] for k in some], how)
        assert [one.text for one in texts] == [together[k] for k in some]


def test_sampling_is_by_the_seed_and_greedy_is_what_generate_gives() -> None:
    of = writer("llama")
    greedy = of.write(ASKED[:3], KEYS[:3], HOW)
    whole = LocalWriter(of.model, byte_level())
    alone = [whole.write([Asked("", one.before + one.rest)], ["x"], HOW)[0].text for one in ASKED[:3]]
    assert [one.text for one in greedy] == alone, "a kept beginning changes nothing"
    warm = [of.write(ASKED[:3], KEYS[:3], replace(HOW, temperature=1.0, seed=seed)) for seed in (1, 1, 2)]
    texts = [[one.text for one in some] for some in warm]
    assert texts[0] == texts[1] != texts[2]
    assert texts[0] != [one.text for one in greedy]
    assert sum(one.prompt_tokens for one in greedy) < sum(len(of.ids(one)) for one in ASKED[:3])


def test_text_ends_at_a_stop_or_at_the_last_line_wanted() -> None:
    assert cut(" one\n- two\n\nSentence: more", HOW) == (" one\n- two", True)
    assert cut(" one\ntwo\nthree\nfour", HOW) == (" one\ntwo\nthree", True)
    assert cut(" one\ntw", HOW) == (" one\ntw", False)


def test_an_endpoint_is_asked_in_order_and_its_cost_told(monkeypatch: pytest.MonkeyPatch) -> None:
    made = SimpleNamespace(Request=lambda prompt, max_tokens, stop=(), *more, **named: (prompt, max_tokens, stop, more))
    monkeypatch.setitem(__import__("sys").modules, "fewfit.models.remote", made)

    class Endpoint:
        def complete(self, requests: Any) -> Any:
            for n, (prompt, most, stop, _) in enumerate(requests):
                assert (prompt.endswith("-") and (most, stop) == (12, ("\n\n",))) or most == 4
                text = " yes, it does" if most == 4 else f" line {n}\n- cut of"
                yield SimpleNamespace(text=text, prompt_tokens=30, completion_tokens=5, finish="length")

    of = EndpointWriter(Endpoint())
    told = of.write(ASKED[:2], KEYS[:2], HOW)
    assert [(one.text, one.ended, one.new_tokens) for one in told] == [
        (" line 0\n- cut of", False, 5),
        (" line 1\n- cut of", False, 5),
    ]
    assert of.affirm(ASKED[:1]) == [(True, 30)]
