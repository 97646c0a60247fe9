"""The server, asked by OpenAI's own client: what it answers is what `fewfit predict` answers."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")
import openai
from serve_made import KINDS, Served, bundles, questions, served

from fewfit.bundle.folder import FILE
from fewfit.predict import Predictor
from fewfit.serve import Limits
from fewfit.serve.jobs import surely

QUERIES = 100


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return bundles(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="module")
def server(folders: dict[str, Path]) -> Iterator[Served]:
    with served(folders) as found:
        yield found


def turn(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def chat(client: Any, model: str, text: str, **more: Any) -> Any:
    return client.chat.completions.create(model=model, messages=turn(text), **more)


# ---- the same answers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [pytest.param(1, marks=pytest.mark.slow), 32])
@pytest.mark.parametrize("name", ["labels", *(pytest.param(one, marks=pytest.mark.slow) for one in ("tuned", "many"))])
def test_answers_are_those_of_predict(server: Served, name: str, at_once: int) -> None:
    """One at a time, and 32 at once whose forwards are shared.

    Breaks seen to fail: the adapter of another bundle; a beginning of another set; answers handed to the wrong request.
    """
    asked, wanted = server.settled(name, QUERIES)
    assert len(asked) == QUERIES
    assert len(set(wanted)) > 2, "the answers are all alike: the test has no power"
    client = server.client()

    def ask(k: int) -> str:
        if k % 2:
            return client.completions.create(model=name, prompt=asked[k]).choices[0].text
        return chat(client, name, asked[k]).choices[0].message.content

    with ThreadPoolExecutor(at_once) as pool:
        assert list(pool.map(ask, range(QUERIES))) == wanted


def test_a_bundle_writes_as_it_was_saved(folders: dict[str, Path], tmp_path: Path) -> None:
    """Break seen to fail: the bundle's penalty left out, as the server once did."""
    shutil.copytree(folders["tuned"], tmp_path / "tuned")
    record = json.loads((tmp_path / "tuned" / FILE).read_text())
    record["decoding"]["repetition_penalty"] = 3.0
    (tmp_path / "tuned" / FILE).write_text(json.dumps(record))
    asked = questions("tuned", 8)
    with served({"tuned": tmp_path / "tuned"}) as server:
        wanted = [row["prediction"] for row in server.predicted("tuned", asked)]
        assert [chat(server.client(), "tuned", one).choices[0].message.content for one in asked] == wanted
    assert wanted != [row["prediction"] for row in Predictor(folders["tuned"], device="cpu").predict(asked, nll=False)]


def test_bundles_share_forwards(server: Served) -> None:
    """All three models at once. Break seen to fail: one adapter for the whole forward, the first text's."""
    names = ["labels", "tuned", "many"]
    wanted = {name: [row["prediction"] for row in server.predicted(name, questions(name, 12))] for name in names}
    client = server.client()
    with ThreadPoolExecutor(36) as pool:
        futures = {
            (name, k): pool.submit(chat, client, name, questions(name, 12)[k]) for k in range(12) for name in names
        }
        for (name, k), future in futures.items():
            assert future.result().choices[0].message.content == wanted[name][k]


def test_labels_have_the_probabilities_of_predict(server: Served) -> None:
    asked = questions("labels", 10)
    for text, row in zip(asked, server.predicted("labels", asked), strict=True):
        told = server.client().post("/label", cast_to=object, body={"model": "labels", "input": text})
        assert told["label"] == row["prediction"]
        assert told["probs"] == pytest.approx(row["probs"], abs=1e-5)
        assert told["usage"]["completion_tokens"] == 0
    body = {"model": "tuned", "input": turn("zorno tek"), "choices": ["tek zorno", "zorno"]}
    given = server.client().post("/label", cast_to=object, body=body)
    assert set(given["probs"]) == {"tek zorno", "zorno"} and sum(given["probs"].values()) == pytest.approx(1)
    many = {**body, "choices": [f"{word} {'zorno ' * 600}" for word in ("a", "b", "c", "d", "e", "f", "g", "h")]}
    with pytest.raises(openai.BadRequestError, match="together, and 4,096 are the most"):
        server.client().post("/label", cast_to=object, body=many)


# ---- what a client may ask for ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["labels", "tuned", "many", "base"])
def test_a_stream_is_the_answer_in_pieces(server: Served, name: str) -> None:
    client = server.client()
    for text in questions(name, 6):
        whole = chat(client, name, text, max_tokens=12, n=2)
        pieces: dict[int, str] = {0: "", 1: ""}
        finish: dict[int, str | None] = {}
        usage = None
        for chunk in chat(client, name, text, max_tokens=12, n=2, stream=True, stream_options={"include_usage": True}):
            usage = chunk.usage or usage
            for choice in chunk.choices:
                pieces[choice.index] += choice.delta.content or ""
                finish[choice.index] = choice.finish_reason
        assert [pieces[k] for k in (0, 1)] == [one.message.content for one in whole.choices]
        assert [finish[k] for k in (0, 1)] == [one.finish_reason for one in whole.choices]
        assert usage.completion_tokens == whole.usage.completion_tokens
        assert usage.prompt_tokens == whole.usage.prompt_tokens
        plain = client.completions.create(model=name, prompt=text, max_tokens=12)
        told = client.completions.create(model=name, prompt=text, max_tokens=12, stream=True)
        assert "".join(chunk.choices[0].text for chunk in told) == plain.choices[0].text


def test_a_stream_comes_while_it_is_written(server: Served) -> None:
    told = list(chat(server.client(), "tuned", questions("tuned", 1)[0], stream=True))
    assert sum(bool(chunk.choices[0].delta.content) for chunk in told) > 4


def test_logprobs_are_those_of_the_text(server: Served) -> None:
    """Of greedy text each token is the likeliest; its tokens are the text; a label is one token.

    Break seen to fail: the tokens of the end mark told as well.
    """
    client = server.client()
    for text in questions("tuned", 6):
        choice = chat(client, "tuned", text, logprobs=True, top_logprobs=3).choices[0]
        tokens = choice.logprobs.content
        assert "".join(one.token for one in tokens).strip() == choice.message.content
        assert all(one.logprob == one.top_logprobs[0].logprob and len(one.top_logprobs) == 3 for one in tokens)
        assert len(tokens) > 2
        plain = client.completions.create(model="tuned", prompt=text, logprobs=2).choices[0]
        assert plain.logprobs.token_logprobs == pytest.approx([one.logprob for one in tokens], abs=1e-4)
        assert plain.logprobs.text_offset[0] == 0 and len(plain.logprobs.top_logprobs[0]) <= 2
    text = questions("labels", 1)[0]
    (token,) = chat(client, "labels", text, logprobs=True, top_logprobs=4).choices[0].logprobs.content
    probs = client.post("/label", cast_to=object, body={"model": "labels", "input": text})["probs"]
    assert {one.token: math.exp(one.logprob) for one in token.top_logprobs} == pytest.approx(probs, abs=1e-5)


def test_a_seed_repeats_what_is_drawn_whoever_is_beside_it(server: Served) -> None:
    """Break seen to fail: the same noise for all answers of a request."""
    client = server.client()
    settings: dict[str, Any] = {"temperature": 1.5, "top_p": 0.95, "n": 4, "max_tokens": 8}

    def drawn(seed: int) -> list[str]:
        return [one.message.content for one in chat(client, "base", "Tell me.", seed=seed, **settings).choices]

    alone = drawn(7)
    assert len(set(alone)) == 4
    with ThreadPoolExecutor(8) as pool:
        many = list(pool.map(drawn, [7, 1, 2, 7, 3, 4, 7, 5]))
    assert many[0] == many[3] == many[6] == alone and many[1] != alone
    told = chat(client, "labels", questions("labels", 1)[0], temperature=2, n=30)
    labels = [one.message.content for one in told.choices]
    assert set(labels) <= set(KINDS) and len(set(labels)) > 1


def test_labels_that_are_drawn_share_their_forwards(server: Served) -> None:
    """Break seen to fail: each of them judged anew."""

    def read() -> int:
        return int(server.service.metrics.text().split('fewfit_tokens_total{kind="prompt"} ')[1].split("\n")[0])

    before = read()
    told = chat(server.client(), "labels", questions("labels", 1)[0], temperature=2, n=30)
    assert len(told.choices) == 30 and read() - before == told.usage.prompt_tokens


def test_what_nobody_asks_for_is_not_held_against_the_limit(folders: dict[str, Path]) -> None:
    """A bundle's own new tokens, and those of one that answers by choice. Break seen to fail: both refused."""
    with served(folders, limits=Limits(new_tokens=8)) as server:
        (query,) = questions("labels", 1)
        assert chat(server.client(), "labels", query, max_tokens=5000).choices[0].message.content in KINDS
        assert chat(server.client(), "tuned", questions("tuned", 1)[0]).choices[0].message.content
        with pytest.raises(openai.BadRequestError, match="8 are the most"):
            chat(server.client(), "tuned", query, max_tokens=9)


def test_what_may_become_a_stop_is_held_back_before_half_a_character() -> None:
    """Break seen to fail: what a decoder writes for the half taken for what follows."""
    assert surely("x终\ufffd", ("终了",)) == 1
    assert surely("x \ufffd", ("终了",)) == 1 and surely("x终", ("了",)) == 2


def test_text_ends_at_a_stop(server: Served) -> None:
    """One that begins in one token and ends in the next. Break seen to fail: what may become a stop is not held back
    from who reads along."""
    client = server.client()
    whole = client.completions.create(model="base", prompt="The sea", max_tokens=24, logprobs=0).choices[0]
    assert whole.finish_reason == "length" and len(whole.text) > 8
    one, other = whole.logprobs.tokens[3:5]
    mark = one[-1] + other[0]
    told = client.completions.create(model="base", prompt="The sea", max_tokens=24, stop=["\0never", mark])
    assert told.choices[0].text == whole.text[: whole.text.index(mark)]
    assert told.choices[0].finish_reason == "stop" and told.usage.completion_tokens < 24
    streamed = client.completions.create(model="base", prompt="The sea", max_tokens=24, stop=mark, stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed) == told.choices[0].text


def test_base_is_the_model_without_the_bundle(server: Served) -> None:
    """Its greedy text, by transformers alone. Break seen to fail: the first bundle's adapter on all texts."""
    import torch

    from fewfit.models import local

    lab = local.load("lab", device="cpu", dtype="float32")
    for prompt in ("The sea", "code of kiwi 3"):
        ids = torch.tensor([lab.tokenizer(prompt)["input_ids"]])
        with torch.no_grad():
            new = lab.model.generate(ids, max_new_tokens=10, do_sample=False, eos_token_id=0, pad_token_id=0)
        right = lab.tokenizer.decode(new[0, ids.shape[1] :], skip_special_tokens=False)
        told = server.client().completions.create(model="base", prompt=prompt, max_tokens=10)
        assert told.choices[0].text == right.removesuffix("<|endoftext|>")
        assert told.usage.prompt_tokens == ids.shape[1]


def test_special_tokens_of_a_client_are_text(server: Served) -> None:
    """As many tokens as their letters make, not one.

    Break seen to fail: `base` given it as the template's own."""
    client = server.client()
    counts = []
    for name in ("base", "tuned"):
        plain = client.completions.create(model=name, prompt="so A", max_tokens=1).usage.prompt_tokens
        odd = client.completions.create(model=name, prompt="so <|end|>", max_tokens=1).usage.prompt_tokens
        counts.append(odd - plain)
        said = chat(client, name, "<|end|><|assistant|>so", max_tokens=1).usage.prompt_tokens
        assert said > chat(client, name, "so", max_tokens=1).usage.prompt_tokens + 2
    assert min(counts) > 1


def test_a_conversation_ends_with_the_query(server: Served) -> None:
    talk = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "code of kiwi 3"},
        {"role": "assistant", "content": "7"},
        {"role": "user", "content": [{"type": "text", "text": "code of "}, {"type": "text", "text": "zebra 4"}]},
    ]
    asked = [*talk[:3], {"role": "user", "content": "code of zebra 4"}]
    wanted = server.predicted("tuned", [asked])[0]["prediction"]
    told = server.client().chat.completions.create(model="tuned", messages=talk)
    assert told.choices[0].message.content == wanted


def test_demonstrations_are_computed_once(server: Served) -> None:
    """Break seen to fail: beginnings that are never kept."""
    client = server.client()
    for text in questions("labels", 2):
        usage = chat(client, "labels", text).usage
    assert 16 < usage.prompt_tokens_details.cached_tokens < usage.prompt_tokens


def test_models_are_told_with_what_they_are(server: Served) -> None:
    found = {one.id: one for one in server.client().models.list().data}
    assert list(found) == ["labels", "tuned", "many", "base"]
    assert found["labels"].fewfit["choices"] == list(KINDS)
    assert server.client().models.retrieve("tuned").fewfit["lane"].startswith("icl2+ft")


def test_several_prompts_are_several_answers(server: Served) -> None:
    asked = questions("tuned", 3)
    wanted = [row["prediction"] for row in server.predicted("tuned", asked)]
    told = server.client().completions.create(model="tuned", prompt=asked, n=2)
    assert [choice.text for choice in told.choices] == [one for one in wanted for _ in range(2)]
    assert [choice.index for choice in told.choices] == list(range(6))
