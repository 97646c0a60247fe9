"""Endpoints, asked over a real HTTP server: what passes is survived, nothing is paid twice, no key is left behind."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from fewfit.errors import EnvironmentProblem, FewfitError, UserError
from fewfit.examples.example import Message
from fewfit.models.remote import Endpoint, Request, trouble
from fewfit.models.remote.access import NO_KEY, api_key
from fewfit.models.remote.budget import Budget
from fewfit.models.remote.cache import Answers
from fewfit.models.remote.exchange import BrokenAnswer, read, read_echoed
from tests import endpoint_made as made

pytest.importorskip("openai")
KEY = "sk-verysecret-0123456789"


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of its own, no key, and no long waits."""
    monkeypatch.setenv("FEWFIT_CACHE", str(tmp_path / "cache"))
    for name in ("FEWFIT_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(trouble, "FIRST_WAIT", 0.02)


def requests(n: int, **how) -> list[Request]:
    return [Request(f"Input: word{k}\nOutput:", max_tokens=8, stop=("\n\n",), **how) for k in range(n)]


def texts(endpoint: Endpoint, asked: list[Request]) -> list[str]:
    return [one.text for one in endpoint.complete(asked)]


WORDS = [f" WORD{k}" for k in range(100)]


# ---- answers ---------------------------------------------------------------------------------------------------------


def test_text_and_messages_are_answered_in_order() -> None:
    """Break seen to fail: answers yielded as they come (`as_completed`)."""
    with made.serving() as server:
        endpoint = Endpoint("m", server.url)
        server.seconds = 0.02
        assert texts(endpoint, requests(9)) == WORDS[:9]
        chat = Request((Message("system", "shout"), Message("user", "one")), max_tokens=8)
        (answer,) = endpoint.complete([chat])
        assert (answer.text, answer.finish, answer.from_cache) == ("ONE", "stop", False)
        assert answer.prompt_tokens == 2 and answer.completion_tokens == 1 and answer.seconds > 0
        assert server.asked[-1]["messages"] == [
            {"role": "system", "content": "shout"}, {"role": "user", "content": "one"}
        ]  # fmt: skip
        assert min(server.asked[:9], key=lambda body: body["prompt"]) == {
            "model": "m", "prompt": "Input: word0\nOutput:", "max_tokens": 8, "temperature": 0.0, "stop": ["\n\n"]
        }  # fmt: skip


def test_no_more_than_allowed_are_asked_at_once() -> None:
    """Also where two threads ask. Break seen to fail: the semaphore taken out."""
    with made.serving(seconds=0.03) as server:
        endpoint = Endpoint("m", server.url, concurrency=3)
        threads = [threading.Thread(target=texts, args=(endpoint, requests(12, seed=number))) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.most_at_once == 3
        assert server.calls == 24


# ---- what goes wrong -------------------------------------------------------------------------------------------------

PASSING = {
    "too many": made.status(429),
    "its own error": made.status(500),
    "a gateway": made.status(502),
    "broken JSON": made.broken_json,
    "not the interface": made.not_the_interface,
    "tokens without end": lambda handler: handler.say(
        200, b'{"choices": [{"text": ""}], "usage": {"prompt_tokens": 1e400}}'
    ),
    "cut": made.cut,
    "silence": made.silence(0.5),
}


@pytest.mark.parametrize("name", PASSING)
def test_what_passes_is_survived(name: str) -> None:
    """Break seen to fail, each: its line taken out of `trouble`, or of `read` the overflow."""
    with made.serving() as server:
        server.faults = [PASSING[name]] * 2
        endpoint = Endpoint("m", server.url, concurrency=2, timeout=0.3)
        assert texts(endpoint, requests(4)) == WORDS[:4]
        assert server.calls == 6


@pytest.mark.parametrize("name", PASSING)
def test_what_does_not_pass_is_told_in_one_line(name: str) -> None:
    with made.serving() as server:
        server.faults = [PASSING[name]] * 100
        endpoint = Endpoint("m", server.url, timeout=0.3, retries=2, concurrency=1)
        with pytest.raises(EnvironmentProblem) as caught:
            texts(endpoint, requests(1))
        assert server.calls == 3
        line = caught.value.line()
        assert line.startswith(f"{server.url}: no answer in 3 tries, the last time: ") and "\n" not in line
        assert caught.value.exit_code == 3


def test_nobody_there_is_told_in_one_line() -> None:
    with made.serving() as server:
        url = server.url
    with pytest.raises(EnvironmentProblem, match=r"the connection failed .*refused"):
        texts(Endpoint("m", url, retries=1), requests(1))


def test_a_slow_answer_is_waited_for() -> None:
    with made.serving(seconds=0.4) as server:
        assert texts(Endpoint("m", server.url, timeout=2), requests(2)) == WORDS[:2]


def test_it_is_not_tried_again_before_the_endpoint_asks() -> None:
    """Break seen to fail: Retry-After not read (the waits drawn here are of 0.02 s)."""
    with made.serving() as server:
        server.faults = [made.status(429, Retry_After="1")]
        began = time.monotonic()
        assert texts(Endpoint("m", server.url), requests(1)) == WORDS[:1]
        assert 1.0 <= time.monotonic() - began < 3.0
        server.faults = [made.status(503, Retry_After="3600")]
        with pytest.raises(EnvironmentProblem, match="asks to wait 3600 seconds"):
            texts(Endpoint("m", server.url, cache=False), requests(1))


def test_a_date_may_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trouble.time, "time", lambda: 1_700_000_000.0)
    assert trouble.retry_after({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}) == 30.0
    assert trouble.retry_after({"retry-after": "soon"}) is None
    assert trouble.retry_after({}) is None


def test_what_will_not_change_is_told_at_once() -> None:
    """Break seen to fail: 400 taken for passing."""
    with made.serving(paths=("/chat/completions",)) as server:
        endpoint = Endpoint("m", server.url)
        with pytest.raises(UserError, match="has no /completions for the model m"):
            texts(endpoint, requests(1))
        server.faults = [made.status(400)]
        with pytest.raises(UserError, match=r"refuses the request \(HTTP 400\): status 400"):
            texts(endpoint, requests(1))
        assert server.calls == 2


# ---- paid for once ---------------------------------------------------------------------------------------------------


def test_nothing_is_asked_twice() -> None:
    """Break seen to fail: the temperature left out of the key."""
    with made.serving() as server:
        assert texts(Endpoint("m", server.url), [*requests(5), *requests(5)]) == WORDS[:5] * 2
        assert server.calls == 5
        again = list(Endpoint("m", server.url + "/").complete(requests(5)))
        assert [one.text for one in again] == WORDS[:5] and all(one.from_cache for one in again)
        assert server.calls == 5
        for other in (requests(5, temperature=0.5), requests(5, seed=1)):
            texts(Endpoint("m", server.url), other)
        texts(Endpoint("another", server.url), requests(5))
        assert server.calls == 20
        texts(Endpoint("m", server.url, cache=False), requests(5))
        assert server.calls == 25


ASK = """
import sys
from fewfit.models.remote import Endpoint, Request
asked = [Request(f"Input: word{k}\\nOutput:", max_tokens=8, stop=("\\n\\n",)) for k in range(40)]
for one in Endpoint("m", sys.argv[1], concurrency=2).complete(asked):
    print(one.text, flush=True)
"""


@pytest.mark.slow
def test_a_killed_process_has_paid_for_nothing_in_vain() -> None:
    """Break seen to fail: answers written when `complete` ends."""
    with made.serving(seconds=0.05) as server:
        process = subprocess.Popen([sys.executable, "-c", ASK, server.url], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        seen = [process.stdout.readline() for _ in range(10)]
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert [one.rstrip("\n") for one in seen] == WORDS[:10]
        time.sleep(0.2)
        before = server.calls
        assert before < 40
        assert texts(Endpoint("m", server.url), requests(40)) == WORDS[:40]
        assert server.calls <= 40 + 2  # those on their way when it was killed


@pytest.mark.slow
def test_several_processes_share_the_answers() -> None:
    with made.serving(seconds=0.01) as server:
        processes = [
            subprocess.Popen([sys.executable, "-c", ASK, server.url], stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        for process in processes:
            out, _ = process.communicate(timeout=60)
            assert process.returncode == 0 and out.splitlines() == WORDS[:40]
        texts(Endpoint("m", server.url), requests(40))
        assert server.calls <= 80


def test_the_budget_stops_before_the_next_call() -> None:
    """Break seen to fail: calls counted when they are answered."""
    with made.serving() as server:
        server.faults = [made.status(500)]
        endpoint = Endpoint("m", server.url, max_calls=5)
        got = []
        with pytest.raises(EnvironmentProblem, match="the budget of 5 calls is spent") as caught:
            for one in endpoint.complete(requests(10)):
                got.append(one.text)
        assert caught.value.exit_code == 3 and server.calls == 5 and got == WORDS[: len(got)]
        assert texts(Endpoint("m", server.url, max_calls=6), requests(10)) == WORDS[:10]
        assert server.calls == 11  # one was the failure


def test_a_budget_of_tokens_stops_too() -> None:
    with made.serving() as server:
        endpoint = Endpoint("m", server.url, max_tokens=30, concurrency=1)
        with pytest.raises(EnvironmentProblem, match="the budget of 30 tokens is spent"):
            texts(endpoint, requests(10))
        assert 30 <= endpoint.budget.tokens < 30 + 10 and server.calls < 10


def test_the_cache_is_shown_and_cleared(tmp_path: Path) -> None:
    with made.serving() as server:
        texts(Endpoint("m", server.url), requests(3))
        texts(Endpoint("n", server.url), requests(2))
        answers = Answers()
        assert [(one.model, one.answers) for one in answers.kept()] == [("m", 3), ("n", 2)]
        assert answers.path == tmp_path / "cache" / "answers.sqlite" and answers.size() > 0
        assert os.stat(answers.path).st_mode & 0o777 == 0o600
        answers.clear()
        assert answers.kept() == []
        texts(Endpoint("m", server.url), requests(3))
        assert server.calls == 8


# ---- keys ------------------------------------------------------------------------------------------------------------


def test_openais_key_is_sent_to_openai_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Break seen to fail: either key sent to any address."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert api_key("https://api.openai.com/v1") == KEY
    for url in ("http://localhost:8000/v1", "https://api.openai.com.example.org/v1", "https://openai.com/v1"):
        assert api_key(url) == NO_KEY
    monkeypatch.setenv("FEWFIT_API_KEY", "another")
    assert {api_key(url) for url in ("http://localhost:8000/v1", "https://api.openai.com/v1")} == {"another"}


def test_a_key_opens_and_is_left_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with made.serving(key=KEY) as server:
        with pytest.raises(EnvironmentProblem, match=r"refuses access \(HTTP 401\); set FEWFIT_API_KEY"):
            texts(Endpoint("m", server.url), requests(1))
        monkeypatch.setenv("FEWFIT_API_KEY", KEY)
        assert texts(Endpoint("m", server.url), requests(3)) == WORDS[:3]
        for path in tmp_path.rglob("*"):
            assert not path.is_file() or KEY.encode() not in path.read_bytes()


@pytest.mark.parametrize("code", [400, 401, 403, 404, 429, 501])
def test_a_key_that_the_endpoint_repeats_is_not_told(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Break seen to fail: `without_key` left out of `refusal`."""
    monkeypatch.setenv("FEWFIT_API_KEY", KEY)
    body = {"error": {"message": f"{KEY} is wrong", "code": "insufficient_quota"}}
    with made.serving() as server:
        server.faults = [lambda handler: handler.say(code, body)]
        with pytest.raises(FewfitError) as caught:
            texts(Endpoint("m", server.url), requests(1))
        assert KEY not in caught.value.line() and KEY not in repr(caught.value.__cause__)


def test_a_key_that_none_can_be_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Break seen to fail: the sign for more, copied from a page, taken for a server that is not well."""
    monkeypatch.setenv("FEWFIT_API_KEY", "sk…")
    with pytest.raises(UserError, match="FEWFIT_API_KEY holds characters"):
        Endpoint("m", "http://localhost:1/v1")


def test_models_that_think_are_asked_in_their_way() -> None:
    """Break seen to fail: the refusal told as the user's fault."""

    def refuse(said: str) -> Any:
        return lambda handler: handler.say(400, {"error": {"message": said}})

    with made.serving() as server:
        server.faults = [
            refuse("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
            refuse("Unsupported value: 'temperature' does not support 0.0 with this model."),
        ]
        endpoint = Endpoint("m", server.url, concurrency=1, cache=False)
        assert len(texts(endpoint, requests(2))) == 2
        for body in server.asked:
            assert "max_tokens" not in body and "temperature" not in body and body["max_completion_tokens"]
        server.faults = [refuse("'max_completion_tokens' is too large")]
        with pytest.raises(UserError, match="too large"):
            texts(endpoint, requests(1))


def refuse_together(said: str, number: int) -> list[made.Fault]:
    """None is refused before all of them were sent."""
    together = threading.Barrier(number)

    def refuse(handler: Any) -> None:
        together.wait(10)
        handler.say(400, {"error": {"message": said}})

    return [refuse] * number


UNSUPPORTED = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."


def test_what_one_request_learns_is_news_to_those_sent_before() -> None:
    """Break seen to fail: what was learnt compared with what is known now, not with how the refused one was asked."""
    with made.serving() as server:
        server.faults = refuse_together(UNSUPPORTED, 4)
        endpoint = Endpoint("m", server.url, concurrency=4)
        assert texts(endpoint, requests(12)) == WORDS[:12]
        assert server.calls == 12 + 4 and all("max_tokens" not in body for body in server.asked)


def test_learning_how_to_ask_is_no_retry() -> None:
    """Break seen to fail: an assertion where `retries` were as few as the things to learn."""
    with made.serving() as server:
        server.faults = [
            *refuse_together(UNSUPPORTED, 1),
            *refuse_together("Unsupported value: 'temperature' does not support 0.0 with this model.", 1),
        ]
        assert texts(Endpoint("m", server.url, retries=0), requests(1)) == WORDS[:1]
        server.faults = [*refuse_together(UNSUPPORTED, 1), made.status(500), made.status(500)]
        with pytest.raises(EnvironmentProblem, match="no answer in 2 tries"):
            texts(Endpoint("other", server.url, retries=1), requests(1))


def test_models_share_a_budget() -> None:
    """Break seen to fail: as many calls again for the second model."""
    with made.serving() as server:
        budget = Budget(3)
        one, other = (Endpoint(name, server.url, budget=budget, cache=False) for name in ("m", "n"))
        texts(one, requests(2))
        with pytest.raises(FewfitError, match="budget of 3 calls is spent"):
            texts(other, requests(2))
        assert server.calls == 3


def test_an_answer_cut_off_within_a_character_can_be_sent_back() -> None:
    """Break seen to fail: its text taken as it came, which no request can carry."""
    cut = {"choices": [{"message": {"content": "a \ud83d\ude00 b \ud83d"}, "finish_reason": "length"}]}
    said = read(json.dumps(cut), Request((Message("user", "one"),), max_tokens=8)).text
    assert said == "a 😀 b �"
    with made.serving() as server:
        (answer,) = texts(Endpoint("m", server.url), [Request((Message("user", said),), max_tokens=8)])
        assert answer and server.asked[-1]["messages"][0]["content"] == said


def test_a_probability_of_nothing_is_kept_and_no_number_is_none() -> None:
    told = {"tokens": ["a", "b"], "token_logprobs": [None, -math.inf]}
    assert read_echoed(told)[1].logp == -1e4
    with pytest.raises(BrokenAnswer):
        read_echoed({**told, "token_logprobs": [None, math.nan]})


@pytest.mark.parametrize(
    "url", ["http://me:secret@host/v1", "http://host/v1?key=secret", "me:secret@host", "http://host:x/secret@1"]
)
def test_an_address_that_holds_a_password_is_refused(url: str) -> None:
    with pytest.raises(UserError) as caught:
        Endpoint("m", url)
    assert "secret" not in caught.value.line()
