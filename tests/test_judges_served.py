"""MT-Bench with all of its published questions, over a real HTTP endpoint that is both the model and the judge."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests import endpoint_made as made
from tests.judges_made import MT_BENCH, NO_MT_BENCH, says

pytest.importorskip("openai")
pytestmark = [pytest.mark.skipif(not MT_BENCH.exists(), reason=NO_MT_BENCH), pytest.mark.slow]

RUN = """
import json, sys
from pathlib import Path
from fewfit.judges.answering import answer
from fewfit.judges.model import RemoteModel
from fewfit.judges.mt_bench import ANSWER_TEMPERATURE, ANSWER_TOKENS, GradeJudge, Prompts, load
from fewfit.models.remote import Endpoint

url, folder, out = sys.argv[1], sys.argv[2], Path(sys.argv[3])
endpoint = Endpoint("model", url)
answered = []
for heat in sorted(set(ANSWER_TEMPERATURE.values())):
    some = [one for one in load(folder) if ANSWER_TEMPERATURE[one.category] == heat]
    writer = RemoteModel(endpoint, max_tokens=ANSWER_TOKENS, temperature=heat, seed=0)
    answered += answer(some, writer, out / f"answers-{heat}.jsonl", by="model")
judge = GradeJudge(RemoteModel(Endpoint("judge", url)), Prompts(folder))
verdicts = judge.judge(answered)
rows = [
    [one.question.id, turn + 1, verdict.score, dict(verdict.details), one.answers[turn]]
    for one, some in zip(answered, verdicts, strict=True)
    for turn, verdict in enumerate(some)
]
(out / "verdicts.json").write_text(json.dumps(rows))
"""
KILLED_AT = (50, 200)  # in the middle of the answers, and of the verdicts
AT_ONCE = 4


@dataclass
class Gate:
    """Answers so many requests; the next ones wait, and the client with them."""

    left: int | None = None
    answered: list[dict[str, Any]] = field(default_factory=list)
    waiting: int = 0
    opened: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            held = self.left == 0
            if held:
                self.waiting += 1
            else:
                self.answered.append(body)
                self.left = None if self.left is None else self.left - 1
        if held:
            self.opened.wait(120)
        message = {"role": "assistant", "content": says(body)}
        return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": {}}


@dataclass
class Session:
    asked: list[dict[str, Any]]  # all that was answered, in all processes
    rows: list[Any]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """Killed twice where every request in flight is waiting, so that all that was answered had time to be kept."""
    out = tmp_path_factory.mktemp("mt-bench")
    names = {name: text for name, text in os.environ.items() if name not in ("FEWFIT_API_KEY", "OPENAI_API_KEY")}
    environment = {**names, "FEWFIT_CACHE": str(out / "cache")}
    asked: list[dict[str, Any]] = []
    port = 0  # then the same each time: the address is part of what was asked
    for kill in (*KILLED_AT, None):
        gate = Gate(None if kill is None else kill - len(asked))
        with made.serving(answer=gate.answer, port=port) as server:
            port = server.server_port
            command = [sys.executable, "-c", RUN, server.url, str(MT_BENCH), str(out)]
            process = subprocess.Popen(command, env=environment)
            deadline = time.monotonic() + 120
            while kill is not None and gate.waiting < AT_ONCE and time.monotonic() < deadline:
                assert process.poll() is None
                time.sleep(0.01)
            if kill is not None:
                process.kill()
            assert process.wait(120) == (0 if kill is None else -9)
            gate.opened.set()
        asked += gate.answered
    return Session(asked, json.loads((out / "verdicts.json").read_text()))


def test_killed_and_resumed_nothing_is_asked_twice(session: Session) -> None:
    """Break seen to fail: `cache=False` of either endpoint."""
    whole = [json.dumps(body, sort_keys=True) for body in session.asked]
    assert len(whole) == len(set(whole)) == 320
    assert [sum(body["model"] == name for body in session.asked) for name in ("model", "judge")] == [160, 160]


def test_all_questions_have_two_verdicts(session: Session) -> None:
    assert len(session.rows) == 160 and len({(id, turn) for id, turn, *_ in session.rows}) == 160
    for _, _, score, details, _ in session.rows:
        if score is None:
            assert details["rating"] is None and details["reason"]
            assert "[[" not in details["said"] or "[[11]]" in details["said"]
        else:
            assert (
                score == pytest.approx((details["rating"] - 1) / 9) and f"[[{details['rating']:g}]]" in details["said"]
            )
    assert 5 < sum(score is None for _, _, score, *_ in session.rows) < 60  # of twelve replies two have none


def test_each_category_is_judged_by_its_published_prompt(session: Session) -> None:
    """The prompts are filled here by `str.format`, as MT-Bench does. Break seen to fail: the prompt of the first turn
    taken for both; references left out; coding judged without one."""
    questions = lines("question.jsonl")
    references = {one["question_id"]: one["choices"][0]["turns"] for one in lines("reference_answer/gpt-4.jsonl")}
    published = {one["name"]: one for one in lines("judge_prompts.jsonl")}
    sent = {(body["messages"][0]["content"], body["messages"][1]["content"]): body
            for body in session.asked if body["model"] == "judge"}  # fmt: skip
    answers = {(id, turn): text for id, turn, _, _, text in session.rows}
    used = {(id, turn): details["prompt"] for id, turn, _, details, _ in session.rows}
    for one in questions:
        id = one["question_id"]
        guided = one["category"] in ("math", "reasoning", "coding")
        values: dict[str, str] = {"question": one["turns"][0], "answer": answers[str(id), 1]}
        for turn in (1, 2):
            values |= {f"question_{turn}": one["turns"][turn - 1], f"answer_{turn}": answers[str(id), turn]}
            values |= {f"ref_answer_{turn}": references[id][turn - 1]} if guided else {}
        for turn in (1, 2):
            prompt = published[f"single{'-math' if guided else ''}-v1{'-multi-turn' if turn == 2 else ''}"]
            assert used[str(id), turn] == prompt["name"]
            body = sent.pop((prompt["system_prompt"], prompt["prompt_template"].format(**values)))
            assert (body["temperature"], body["max_tokens"]) == (0.0, 2048)
    assert not sent


def test_the_conversation_so_far_is_carried_on(session: Session) -> None:
    """Break seen to fail: the second turn asked without the first."""
    answers = {(id, turn): text for id, turn, _, _, text in session.rows}
    heats: dict[str, set[float]] = {}
    second = 0
    by_turns = {one["turns"][0]: one for one in lines("question.jsonl")}
    for body in session.asked:
        if body["model"] == "judge":
            continue
        question = by_turns[body["messages"][0]["content"]]
        heats.setdefault(question["category"], set()).add(body["temperature"])
        if len(body["messages"]) > 1:
            second += 1
            assert [(one["role"], one["content"]) for one in body["messages"]] == [
                ("user", question["turns"][0]),
                ("assistant", answers[str(question["question_id"]), 1]),
                ("user", question["turns"][1]),
            ]
    assert second == 80
    assert heats["writing"] == heats["roleplay"] == {0.7} and heats["math"] == {0.0} and heats["stem"] == {0.1}


def test_pairs_are_asked_by_the_published_prompts() -> None:
    """In both orders. Break seen to fail: references left out."""
    from fewfit.judges import Answered
    from fewfit.judges.mt_bench import PairJudge, Prompts, load
    from tests.judges_made import Scripted

    questions = load(MT_BENCH)
    assert len(questions) == 80 and sum(bool(one.references) for one in questions) == 30
    mine = [Answered(one, ("m1", "m2")) for one in questions]
    other = [Answered(one, ("o1", "o2")) for one in questions]
    model = Scripted(lambda _: "[[C]]")
    verdicts = PairJudge(model, Prompts(MT_BENCH)).compare(mine, other)
    assert {verdict.score for one in verdicts for verdict in one} == {0.5} and len(model.asked) == 320
    published = {one["name"]: one for one in lines("judge_prompts.jsonl")}
    asked = iter(model.asked)
    for one in questions:
        guided = one.category in ("math", "reasoning", "coding")
        for turn in (1, 2):
            prompt = published[f"pair-{'math-v1' if guided else 'v2'}{'-multi-turn' if turn == 2 else ''}"]
            for a, b in ("mo", "om"):
                values = {"question": one.turns[0], "answer_a": f"{a}1", "answer_b": f"{b}1"}
                for n in (1, 2):
                    values |= {
                        f"question_{n}": one.turns[n - 1],
                        f"answer_a_{n}": f"{a}{n}",
                        f"answer_b_{n}": f"{b}{n}",
                    }
                    values |= {f"ref_answer_{n}": one.references[n - 1]} if guided else {}
                system, user = next(asked)
                assert system.content == prompt["system_prompt"]
                assert user.content == prompt["prompt_template"].format(**values)


def lines(name: str) -> list[Any]:
    return [json.loads(line) for line in (Path(MT_BENCH) / name).read_text().splitlines()]
