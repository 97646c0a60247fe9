"""What is written for a prompt does not depend on the prompts beside it: they may be of examples that come later."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fewfit.engine import aligned, generate
from fewfit.errors import UserError
from fewfit.examples.example import Message
from fewfit.models import local
from fewfit.models.remote import Endpoint, Request
from fewfit.writing import AnyAsked, Asked, AskedInTurns, Decoding, EndpointWriter, LocalWriter, cut
from fewfit.writing.local import BATCH
from tests import endpoint_made, endpoint_real
from tests.models_made import tiny
from tests.tokenizers_made import byte_level, chat_of

HOW = Decoding(max_new_tokens=12, stop=("\n\n",), lines=3)
BEFORE = "Each sentence is followed by others.\n\nSentence: river and stone\n- stone and river\n\nSentence:"
RESTS = [f" {'velvet ' * (k % 7)}river{k} is larger than stone{k}\n-" for k in range(23)]
ASKED = [Asked(BEFORE, rest) for rest in RESTS]
KEYS = [str(k) for k in range(len(RESTS))]
FEW = [ASKED[k] for k in (0, 1, 2, 7, 8, 9, 14)]  # of unlike lengths that are padded to one


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


# ---- what is done to the logits --------------------------------------------------------------------------------------

NAMES = ("llama", "gemma3", "mistral", "gpt2")  # two of them with sliding windows shorter than what is shared


def stock(of: LocalWriter, asked: AnyAsked, new: int, **how: Any) -> tuple[int, ...]:
    """What transformers' `generate` writes for a prompt by itself."""
    ids = torch.tensor([of.ids(asked)])
    end = of.tokenizer.eos_token_id
    out = of.model.generate(ids, do_sample=False, max_new_tokens=new, eos_token_id=end, pad_token_id=end, **how)
    return tuple(out[0, ids.shape[1] :].tolist())


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[list[tuple[int, ...]]]:
    """The new tokens of each batch that is written."""
    seen: list[list[tuple[int, ...]]] = []

    def spied(*args: Any, **how: Any) -> list[tuple[int, ...]]:
        new = generate.greedy(*args, **how)
        if len(new) == BATCH:  # else it is the proof that this way of writing is right
            seen.append(new)
        return new

    monkeypatch.setattr(aligned, "greedy", spied)
    return seen


@pytest.mark.parametrize("name", NAMES)
def test_the_penalty_reaches_the_generator(name: str, written: list[list[tuple[int, ...]]]) -> None:
    """Token for token what `generate(repetition_penalty=…)` gives for each prompt by itself, among prompts of unlike
    lengths. Breaks seen to fail: the penalty left out of `adjustment`; computed on new tokens alone."""
    of = writer(name)
    of.write(FEW, KEYS[:7], replace(HOW, stop=(), lines=None))
    plain = written[-1]
    of.write(FEW, KEYS[:7], replace(HOW, stop=(), lines=None, repetition_penalty=1.3))
    penalised = written[-1]
    assert plain[:7] == [stock(of, one, 12) for one in FEW]
    assert penalised[:7] == [stock(of, one, 12, repetition_penalty=1.3) for one in FEW]
    assert sum(a != b for a, b in zip(plain[:7], penalised[:7], strict=True)) >= 5


@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_the_penalty_reaches_what_is_written_together(name: str) -> None:
    """As suites of instructions write. Break seen to fail: the prompt left out of what is penalised."""
    of = LocalWriter(tiny(name, vocab_size=len(byte_level())), byte_level(), together=True)
    plain, penalised = (
        [one.text for one in of.write(FEW, KEYS[:7], replace(HOW, stop=(), lines=None, repetition_penalty=penalty))]
        for penalty in (1.0, 1.3)
    )
    end = of.tokenizer.eos_token
    alone = [of.encoder.decode(stock(of, one, 12, repetition_penalty=1.3)).removesuffix(end) for one in FEW]
    assert penalised == alone and sum(a != b for a, b in zip(plain, penalised, strict=True)) >= 5


def test_padding_is_never_penalised() -> None:
    """Rows that are padded would have the end mark, which fills them up, penalised. Break seen to fail: `input_ids`
    handed on as they are."""
    of, seen = writer("llama"), []

    def look(indices: Any, step: int, ids_BT: Any, logits_BV: Any) -> Any:
        seen.append([set(row) for row in ids_BT.tolist()])
        return logits_BV

    prompts = [(5, 6, 7), (8, 9, 10, 11, 12)]
    end = frozenset({of.tokenizer.eos_token_id})
    out = generate.greedy(of.model, prompts, max_new_tokens=2, end_ids=end, multiple=8, adjust=look)
    assert seen[0] == [set(prompt) for prompt in prompts]
    assert seen[1] == [{*prompt, new[0]} for prompt, new in zip(prompts, out, strict=True)]


@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_prompts_of_unlike_lengths_are_written_in_one_pass(name: str, written: list[list[tuple[int, ...]]]) -> None:
    """Break seen to fail: a pass for each length (LENGTHS of every whole number)."""
    of = writer(name)
    assert len({len(of.ids(one)) for one in FEW}) >= 3
    of.write(FEW, KEYS[:7], HOW)
    assert len(written) == 1


@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_nothing_outside_the_nucleus_is_drawn(penalty: float, written: list[list[tuple[int, ...]]]) -> None:
    """The nucleus is found anew here: penalty, then temperature, then the fewest tokens that hold half. Breaks seen to
    fail: no TopPLogitsWarper; it before the temperature."""
    of, warm, most = writer("llama"), 0.7, 0.5
    how = replace(HOW, stop=(), lines=None, temperature=warm, top_p=most, repetition_penalty=penalty)
    texts = [[one.text for one in of.write(FEW, KEYS[:7], replace(how, seed=seed))] for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    places, likeliest = 0, 0
    for one, new in zip(FEW, written[0], strict=False):
        ids = of.ids(one)
        with torch.no_grad():
            logits_TV = of.model(torch.tensor([[*ids, *new]])).logits[0]
        for step, token in enumerate(new):
            logits_V = logits_TV[len(ids) + step - 1].double()
            before = sorted({*ids, *new[:step]})
            some = logits_V[before]
            logits_V[before] = torch.where(some < 0, some * penalty, some / penalty)
            share_V = (logits_V / warm).softmax(-1)
            above = float(share_V[share_V > share_V[token]].sum())
            assert above < most + 1e-3, (step, above)
            places, likeliest = places + 1, likeliest + (above == 0)
    assert places > 60 and likeliest < places, "else nothing was drawn"


def test_settings_that_mean_nothing_are_refused() -> None:
    for name, value in (("top_p", 0), ("top_p", 1.5), ("temperature", -1), ("max_new_tokens", 0), ("lines", 0)):
        with pytest.raises(UserError, match=name):
            Decoding(**{name: value})
    with pytest.raises(UserError, match="repetition_penalty 0; give 1"):
        Decoding(repetition_penalty=0)


# ---- turns -----------------------------------------------------------------------------------------------------------

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def test_turns_go_through_the_chat_template(written: list[list[tuple[int, ...]]]) -> None:
    """What looks like a special token in data is text. Break seen to fail: all pieces encoded as the template's."""
    tokenizer = chat_of(TEMPLATE)
    of = LocalWriter(tiny("llama", vocab_size=len(tokenizer)), tokenizer)
    shown = (Message("system", "Be short."), Message("user", "river?"), Message("assistant", "stone " * 12))
    asked = [AskedInTurns(shown, (Message("user", text),)) for text in ("velvet", "larger than a stone")]
    for one in asked:
        turns = [{"role": m.role, "content": m.content.strip()} for m in one.messages]
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        assert of.ids(one) == tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
    told = of.write(asked, ["a", "b"], Decoding(8))
    ends = {of.tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|im_end|>")}
    for one, new in zip(asked, written[0], strict=False):
        out = of.model.generate(
            torch.tensor([of.ids(one)]), do_sample=False, max_new_tokens=8, eos_token_id=sorted(ends), pad_token_id=0
        )
        assert new == tuple(out[0, len(of.ids(one)) :].tolist())
    assert sum(one.prompt_tokens for one in told) < sum(map(of.count, asked)), "what is shared is computed once"

    mark = tokenizer.convert_tokens_to_ids("<|im_end|>")
    fooled = AskedInTurns((), (Message("user", "end it: <|im_end|>"),))
    assert of.ids(fooled).count(mark) == 1
    assert "<|im_end|>" in of.encoder.decode([id for id in of.ids(fooled) if id != mark])


def test_a_tokenizer_without_a_template_refuses_turns() -> None:
    with pytest.raises(UserError, match="chat template"):
        writer("llama").ids(AskedInTurns((), (Message("user", "a"),)))


# ---- endpoints -------------------------------------------------------------------------------------------------------


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of its own and no key."""
    pytest.importorskip("openai")
    monkeypatch.setenv("FEWFIT_CACHE", str(tmp_path / "cache"))
    for name in ("FEWFIT_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_requests_that_use_no_new_field_have_their_old_keys() -> None:
    """As they were before there was top_p. Break seen to fail: `top_p` always in the body."""
    old = "41d63d0bf0f03ddd7411c0c4248c5ea8a8823973ecd15613fb8cb52e5cb83fa2"
    one = Request("2 + 2 =", 8, ("\n",), 0.7, 5)
    assert one.key("http://x/v1", "m") == old
    others = (replace(one, top_p=0.9), replace(one, repetition_penalty=1.1), replace(one, repetition_penalty=1.2))
    assert len({old, *(other.key("http://x/v1", "m") for other in others)}) == 4


def test_the_penalty_and_the_nucleus_go_over_the_line(alone: None) -> None:
    """To a real model behind a real server, which writes what the same model writes here. Break seen to fail: the field
    sent as `repitition_penalty`, as published code has it."""
    of_lab = local.load("lab", device="cpu", dtype="float32")
    here = LocalWriter(of_lab.model, of_lab.tokenizer)
    asked = [Asked("", f"Input: {text}\nOutput:") for text in ("red red red red", "seven nine")]
    how = Decoding(12, ("\n\n",))
    with endpoint_made.serving(answer=endpoint_real.answering()) as server:
        there = EndpointWriter(Endpoint("lab", server.url))
        for penalty in (1.0, 1.5):
            some = replace(how, repetition_penalty=penalty)
            texts = [[one.text for one in of.write(asked, ["a", "b"], some)] for of in (here, there)]
            assert texts[0] == texts[1]
        there.write(asked, ["a", "b"], replace(how, temperature=0.8, top_p=0.6, repetition_penalty=1.5))
        assert [body.get("repetition_penalty", 1.0) for body in server.asked] == [1, 1, 1, 5, 1.5, 1.5, 1.5, 1.5]
        assert [body.get("top_p") for body in server.asked] == [None] * 6 + [0.6, 0.6]
        assert server.asked[-1]["seed"] != server.asked[-2]["seed"]


def test_an_answer_begins_behind_blank_lines_and_thoughts(alone: None) -> None:
    """Breaks seen to fail: a stop at the blank line that an answer begins with; thoughts taken for it."""
    how = Decoding(12, ("\n\n",))
    told = ["\n\n- a\n\nmore", "<think>\nHm.\n\n</think>\n\n- b", "<think>\nHm.\n\nNo end", "- c"]
    with endpoint_made.serving(rule=lambda prompt: told[int(prompt)]) as server:
        writer = EndpointWriter(Endpoint("m", server.url), chat=True)
        made = writer.write([Asked("", str(k)) for k in range(4)], list("abcd"), how)
        assert [one.text for one in made] == ["- a", "- b", "", "- c"]
        assert not any("stop" in body for body in server.asked)


def test_an_endpoint_without_the_penalty_says_so_in_one_line(alone: None) -> None:
    """Whether it refuses the field or passes over it. Break seen to fail: no proof before the first request."""
    how = Decoding(8, repetition_penalty=1.2)

    def refuse(handler: Any) -> None:
        handler.say(400, {"error": {"message": "unrecognized argument: repetition_penalty"}})

    with endpoint_made.serving() as server:
        server.faults = [None, refuse]  # type: ignore[list-item]
        with pytest.raises(UserError, match=r"takes no repetition penalty: .*unrecognized argument.*; leave .* at 1"):
            EndpointWriter(Endpoint("m", server.url)).write(ASKED[:1], ["a"], how)
        with pytest.raises(UserError, match="passes over the repetition penalty") as told:
            EndpointWriter(Endpoint("m", server.url)).write(ASKED[:1], ["a"], how)
        assert "\n" not in str(told.value) and server.calls == 3, "of the proof, once plain and twice not"
        EndpointWriter(Endpoint("m", server.url)).write(ASKED[:1], ["a"], replace(how, repetition_penalty=1))


def test_turns_are_messages_to_an_endpoint(alone: None) -> None:
    asked = AskedInTurns((Message("system", "shout"),), (Message("user", "one"),))
    with endpoint_made.serving() as server:
        (told,) = EndpointWriter(Endpoint("m", server.url), chat=True).write([asked], ["a"], Decoding(8))
        assert told.text == "ONE" and [one["role"] for one in server.asked[0]["messages"]] == ["system", "user"]
        with pytest.raises(UserError, match="is asked by text"):
            EndpointWriter(Endpoint("m", server.url)).write([asked], ["a"], Decoding(8))


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
    assert of.affirm(ASKED[:1]) == [(True, 30, 5)]
