"""`select_demos`: examples of one's own as candidates and questions, on a model; and its command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fewfit.cli.main import run as command
from fewfit.engine.task import softmax
from fewfit.errors import UserError
from fewfit.examples import load
from fewfit.examples.example import Example
from fewfit.metrics import metric
from fewfit.render import Renderer
from fewfit.search import STRATEGIES
from fewfit.search.examples import ExampleScorer
from fewfit.search.selecting import FOUND, SCORES, SET, select_demos
from tests.models_made import tiny
from tests.streams_made import examples
from tests.tokenizers_made import byte_level

torch.set_num_threads(1)
ROWS = [{"id": one.id, "prompt": one.prompt, "completion": one.completion} for one in examples(26)]
FREE = [{"prompt": f"word {n}", "completion": f"w{n}"} for n in range(26)]


def scorer_of(rows: list[dict[str, str]], judge: str, start: tuple[Example, ...] = ()) -> ExampleScorer:
    dataset = load(rows, choices="auto" if judge == "choice" else "none")
    renderer = Renderer.resolve(
        byte_level(), dataset.examples, chat="off", choices=dataset.choices, no_instruction=True
    )
    return ExampleScorer(tiny("llama", len(byte_level())), renderer, metric(judge), dataset.examples, start)


def select(rows: Any, **more: Any) -> Any:
    asked = {"pool": 5, "k": 2, "tokenizer": byte_level(), **more}
    return select_demos(rows, tiny("llama", len(byte_level())), **asked)


def test_a_choice_is_scored_as_the_whole_prompt_would_be() -> None:
    """Beside transformers on whole sequences, one by one. Break seen to fail: the start behind what was added."""
    labels = {"left": "left", "right": "over there"}  # of several tokens
    start = (Example("s", "harbor 99", "left"),)
    scorer = scorer_of([{**row, "completion": labels[row["completion"]]} for row in ROWS], "choice", start)
    added, asked = ("3", "8"), [str(n) for n in range(10, 22)]
    told, likely = scorer.score(added, asked), scorer.likelihood(added, asked)
    assert [one.id for one in scorer.demonstrations(added)] == ["3", "8", "s"]
    renderer, by_id = scorer.task.renderer, scorer.by_id
    for id, score, value in zip(asked, told, likely, strict=True):
        logp = {}
        for choice in labels.values():
            whole = renderer.render([by_id["3"], by_id["8"], *start], by_id[id], choice)
            with torch.no_grad():
                logits = scorer.model(torch.tensor([whole.ids])).logits[0].log_softmax(-1)
            first, end = whole.spans[-1]
            logp[choice] = sum(float(logits[place - 1, whole.ids[place]]) for place in range(first, end))
        right = by_id[id].completion
        assert abs(logp["left"] - logp["over there"]) > 1e-3
        assert score == float(logp[right] == max(logp.values()))
        share = softmax(list(logp), list(logp.values()))[right]
        assert value == pytest.approx(max(torch.tensor(share).log().item(), -5.0), abs=1e-3)
    assert 0 < sum(told) < len(told)  # else the test could not tell


def test_a_text_is_scored_as_generate_writes_it() -> None:
    """Break seen to fail: the demonstrations in another order."""
    scorer = scorer_of(FREE, "chrf")
    asked = [str(n) for n in range(12, 20)]
    told = scorer.score(("3", "4"), asked)
    renderer, by_id = scorer.task.renderer, scorer.by_id
    for id, score in zip(asked, told, strict=True):
        prompt = renderer.prompt(scorer.demonstrations(("3", "4")), by_id[id])
        new = scorer.model.generate(
            torch.tensor([prompt.ids]),
            attention_mask=torch.ones(1, len(prompt.ids), dtype=torch.long),
            do_sample=False,
            max_new_tokens=renderer.settings.max_new_tokens,
            eos_token_id=sorted(renderer.end_ids),
            pad_token_id=0,
        )[0, len(prompt.ids) :].tolist()
        assert score == metric("chrf").score(renderer.answer_text(new)[0], by_id[id])
    assert len(set(told)) > 1


@pytest.mark.parametrize("name", STRATEGIES)
def test_answers_that_are_held_out_change_nothing_of_the_set(name: str) -> None:
    """Break seen to fail: held-out questions searched on, too."""
    first = select(ROWS, strategy=name)
    held = {one.id for one in first.split.held_out}
    other = {"left": "right", "right": "left"}
    turned = [{**row, "completion": other[row["completion"]]} if row["id"] in held else row for row in ROWS]
    again = select(turned, strategy=name)
    assert again.demonstrations == first.demonstrations and again.found.steps == first.found.steps
    assert again.found.seen == first.found.seen
    mean = {key: value.score for key, value in first.found.worth.means.items()}
    assert {key: pytest.approx(1 - value.score) for key, value in again.found.worth.means.items()} == mean


def test_a_folder_is_gone_on_with_by_any_strategy(tmp_path: Path) -> None:
    """Break seen to fail: a ledger for each seed."""
    out = tmp_path / "found"
    first = select(ROWS, strategy="greedy", out=out)
    size = (out / SCORES).stat().st_size
    again = select(ROWS, strategy="greedy", out=out)
    assert again.found.paid == 0 and replace(again.found, paid=first.found.paid) == first.found
    assert (out / SCORES).stat().st_size == size
    assert select(ROWS, strategy="random", out=out, seed=1).found.paid > 0
    chosen = [json.loads(line) for line in (out / SET).read_text().splitlines()]
    assert len(chosen) == 2 and json.loads((out / FOUND).read_text())["strategy"] == "random"
    with pytest.raises(UserError, match="another judge"):
        select(ROWS, judge="match", out=out)


def test_files_of_questions_and_a_start(tmp_path: Path) -> None:
    """Rows of several files have the same numbers; an answer outside the labels is refused."""
    start, asked = tmp_path / "start.jsonl", tmp_path / "asked.csv"
    start.write_text(json.dumps({"prompt": "velvet 500", "completion": "left"}) + "\n")
    asked.write_text(
        "prompt,completion\n" + "".join(f"maple {900 + n},{'left' if n % 2 else 'right'}\n" for n in range(8))
    )
    found = select(ROWS, start=start, questions=asked, strategy="greedy", pool=None)
    assert [one.prompt for one in found.demonstrations][-1] == "velvet 500" and len(found.demonstrations) == 3
    assert len(found.split.candidates) == 26 and len(found.split.questions) == len(found.split.held_out) == 4
    asked.write_text("prompt,completion\nmaple 1,left\nmaple 2,up\n")
    with pytest.raises(UserError, match="'up' is none of the choices"):
        select(ROWS, questions=asked)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"strategy": "best"}, "--strategy best"),
        ({"k": 6}, "--k 6"),
        ({"judge": "exact"}, "cannot score a single answer"),
        ({"judge": "applause"}, "unknown metric 'applause'"),
        ({"pool": 26}, "no questions"),
        ({"budget": 0}, "--budget 0"),
    ],
    ids=str,
)
def test_what_cannot_be_searched_is_refused(more: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        select(ROWS, **more)


def test_the_command(tmp_path: Path, base: Path, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    asked = ["select-demos", "rows.jsonl", "--model", str(base), "--k", "2", "--pool", "5", "--device", "cpu"]
    assert command([*asked, "--json", "-q"]) == 0
    told, err = capsys.readouterr()
    assert err == ""
    found = json.loads(told)
    assert found["schema"] == 1 and found["calls"] <= found["budget"] and len(found["demonstrations"]) == 2
    assert {"searched", "the start", "random sets"} == set(found["held_out"]["scores"])
    assert command(asked) == 0
    told, err = capsys.readouterr()
    assert "held out" in told and str(Path("runs") / f"demos-rows-{base.name}" / SET) in told
    assert json.loads(Path("runs", f"demos-rows-{base.name}", FOUND).read_text())["paid"] == 0
    for wrong, words in ((["--threshold", "0.5"], "--threshold with racing"), (["--k", "0"], "--k 0")):
        assert command([*asked, *wrong]) == 2
        assert words in capsys.readouterr().err
    assert command(["select-demos", "rows.jsonl"]) == 2
    assert "no model" in capsys.readouterr().err
