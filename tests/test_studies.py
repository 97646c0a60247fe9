"""Studies that need tasks made of others, orders of one set of examples, or what a lane is worth elsewhere."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from peft import PeftModel
from test_tasks_comparing import row
from test_tasks_suite import made

from fewfit import bundle
from fewfit.cli.main import run as command
from fewfit.demonstrations import CHOOSERS, Moment
from fewfit.errors import UserError
from fewfit.examples import Example
from fewfit.grid import Lane
from fewfit.models.local import Loaded
from fewfit.suites import studies
from fewfit.suites.studies.forgetting import TEXT
from fewfit.suites.tasks import cell, suite
from fewfit.suites.tasks.altered import AS_SHOWN, altered, choosers_of, crossed, wrong
from fewfit.suites.tasks.comparing import of_tasks
from fewfit.suites.tasks.condition import Condition
from fewfit.suites.tasks.elsewhere import Elsewhere, paragraphs_of
from fewfit.suites.tasks.suite import Asked
from fewfit.suites.tasks.task import Asking, Published, Task, hold_out
from fewfit.suites.tasks.testing import numbers

FT = Lane(lr=1e-2, updates=5)


def answers(examples: Sequence[Example]) -> dict[str, str]:
    return {one.id: one.completion for one in examples}


def other(name: str = "shades", labels: tuple[str, str] = ("blue", "red")) -> Task:
    examples = [Example(f"s{k}", f"shade {k}", labels[k % 2]) for k in range(20)]
    return hold_out(Published(name, tuple(examples), Asking("choice", choices=labels)), 6)


# ---- wrong answers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "count"), [(20, 4), (40, 7)])
def test_wrong_answers_stand_where_they_are_to(share: int, count: int) -> None:
    """Of 18 examples; the test examples keep theirs. Breaks seen to fail: test examples turned as well; `taught` and
    `shown` exchanged; a right answer for a wrong one."""
    task = made()
    tasks = {"": task, "colours": task}
    both, shown, taught = (
        altered(f"wrong{share}-{where}colours", tasks.__getitem__) for where in ("", "shown-", "taught-")
    )
    assert both and shown and taught
    right, turned = answers(task.stream(18, 1)), answers(both.stream(18, 1))
    assert sum(right[id] != turned[id] for id in right) == count and set(turned.values()) == {"red", "blue"}
    assert both.test == shown.test == taught.test == task.test and not both.shown(18, 1)
    for one, learnt, seen in ((both, turned, turned), (shown, right, turned), (taught, turned, right)):
        assert answers(one.stream(18, 1)) == learnt
        with choosers_of(one, 18, 1):
            target, at, some = task.test[0], Moment(0, 1, 1), one.stream(18, 1)
            drawn = CHOOSERS[AS_SHOWN].choose(some, target, 18, at)
        assert answers(drawn) == seen
        assert [one.id for one in drawn] == [e.id for e in CHOOSERS["random"].choose(some, target, 18, at)]
    assert AS_SHOWN not in CHOOSERS and len({one.digest for one in (task, both, shown, taught)}) == 4


def test_a_larger_share_holds_the_smaller_ones_wrong_answers() -> None:
    task = made()
    few, many = (wrong("w", task, share, "shown").shown(18, 0) for share in (0.2, 0.4))
    assert few.items() < many.items()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("one_set", [False, True])
def test_any_number_of_examples_has_its_share_of_wrong_answers(seed: int, one_set: bool) -> None:
    """Break seen to fail: a share of the pool, of which ten may have none, or half."""
    task = replace(made(), one_set=one_set)
    turned = replace(wrong("w", task, 0.4, None), one_set=one_set)
    for n in (5, 10, 15):
        right, learnt = answers(task.stream(n, seed)), answers(turned.stream(n, seed))
        assert [*right] == [*learnt] and sum(right[id] != learnt[id] for id in right) == 0.4 * n


def test_what_is_delivered_shows_wrong_answers_too(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """All sets of a bundle, not only the first. Break seen to fail: the pool as the task has it."""
    task = wrong("w", made(), 0.4, "shown")
    seen: list[bundle.Bundle] = []
    real = cell.test
    monkeypatch.setattr(cell, "test", lambda loaded, made, *more: (seen.append(made), real(loaded, made, *more))[1])
    lane = Lane(shots=2, demonstrations=AS_SHOWN, deliver="per-query")
    (told,) = cell.measure(loaded, task, 12, 0, [Condition("icl", (lane,))])
    (delivered,) = seen
    there = {one.id: one.completion for some in delivered.sets for one in some}
    expected = answers(task.pool) | task.shown(12, 0)
    assert len(delivered.sets) > 1 and told["status"] == "done"
    assert there == {id: expected[id] for id in there} != {id: answers(task.pool)[id] for id in there}


@pytest.mark.slow
def test_wrong_answers_are_learnt(loaded: Loaded) -> None:
    """All of them wrong, of two labels: what is tuned on them does the opposite on the very examples it has seen."""
    task = replace(made(), test=made().pool[:8])
    lanes = [Condition("ft", (replace(FT, updates=10),))]
    pools = [task, wrong("w", task, 1.0, "taught"), wrong("w", task, 1.0, "shown")]
    right, turned, unseen = (cell.measure(loaded, one, 8, 0, lanes)[0] for one in pools)
    assert right["accuracy"] > 0.6 and turned["accuracy"] < 0.4 and unseen["scores"] == right["scores"]


# ---- another set -----------------------------------------------------------------------------------------------------


def test_one_set_is_learnt_from_and_another_tested_on() -> None:
    """Break seen to fail: rows of the test examples' prompts kept in the pool."""
    one, two = made(), other()
    same = replace(one, pool=(*one.pool, replace(two.test[0], id="twin")))
    there = crossed("c", same, two)
    assert there.test == two.test and there.pool == one.pool and there.asking == one.asking
    with pytest.raises(UserError, match=r"blue, red in the one, no, yes in the other"):
        crossed("c", one, other(labels=("no", "yes")))
    with pytest.raises(UserError, match="no labels"):
        crossed("c", replace(one, asking=Asking("match")), two)


def test_a_set_is_compared_with_another_on_the_same_test_examples() -> None:
    some = [
        row("ft", "1100", task="a"), row("ft", "1000", task="b-to-a"), row("icl", "0000", task="a"),
        row("icl", "1110", task="b-to-a"), row("ft", "1111", task="b"),
    ]  # fmt: skip
    found = {one.this: one.value.value for one in of_tasks(some, "b-to-a", "a")}
    assert found == {"ft": -0.25, "icl": 0.75}
    lines = studies.study("transfer").report(some, [])
    assert len(lines) == 2 and "ft, learnt from another set" in lines[0]


# ---- orders ----------------------------------------------------------------------------------------------------------


def test_orders_are_of_the_same_examples() -> None:
    """Break seen to fail: `one_set` without effect."""
    task = replace(made(), one_set=True)
    first, second = task.stream(8, 0), task.stream(8, 3)
    assert set(first) == set(second) and first != second and first == made().stream(8, 0)
    assert set(made().stream(8, 3)) != set(first)
    assert task.digest != made().digest


def test_the_spread_over_orders_is_told_beside_that_of_test_examples() -> None:
    """By hand: 0.5 and 0.75 differ by 17.7 points' standard deviation; of four test examples 25 and 21.7 points."""
    some = [row("ft", "1100", seed=0, test=4), row("ft", "1110", seed=1, test=4), row("icl", "1100", seed=0, test=4)]
    (line,) = studies.study("order").report(some, [])
    assert "ft: 50 to 75 over 2 orders, ± 17.7; test examples alone ± 23.3" in line


# ---- elsewhere -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_is_measured_elsewhere_is_of_the_tuned_weights(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """The untrained lane's figures are the model's own, by plain transformers; the tuned lane's are those of its merged
    weights. Break seen to fail: the adapter left off for the text."""
    tasks = (made(), other())
    elsewhere = Elsewhere(tasks, TEXT)
    kept: dict[str, Any] = {}
    real = Elsewhere.measure

    def measure(self: Elsewhere, loaded: Any, folder: Path, task: Task, chat: str) -> dict[str, Any]:
        whole = loaded.model
        if (folder / "adapter_config.json").is_file():
            whole = PeftModel.from_pretrained(copy.deepcopy(whole), str(folder)).merge_and_unload()
        kept[str(bundle.load(folder).lane.kind)] = nats(whole, loaded.tokenizer)
        return real(self, loaded, folder, task, chat)

    monkeypatch.setattr(Elsewhere, "measure", measure)
    conditions = [Condition("base", (Lane(shots=2),)), Condition("ft", (replace(FT, updates=20),))]
    base, tuned = cell.measure(loaded, tasks[0], 8, 0, conditions, elsewhere=elsewhere)
    assert base["text_nll"] == pytest.approx(kept["icl"], rel=1e-4)
    assert tuned["text_nll"] == pytest.approx(kept["ft"], rel=1e-4) and abs(kept["ft"] - kept["icl"]) > 1e-3
    assert base["prompted"].keys() == tuned["prompted"].keys() == {"shades"}
    assert len(base["prompted"]["shades"]) == 6
    # What the untrained model makes of the other task is what a prompting lane makes of it.
    lane = Condition("icl", (Lane(shots=4, deliver="per-query"),))
    (alone,) = cell.measure(loaded, replace(tasks[1], one_set=True), 14, 0, [lane])
    assert base["prompted"]["shades"] == alone["scores"]
    assert not hasattr(loaded.model, "peft_config")


def nats(model: Any, tokenizer: Any) -> float:
    lost = tokens = 0.0
    for paragraph in paragraphs_of(TEXT):
        ids = torch.tensor([tokenizer(paragraph)["input_ids"]])
        with torch.no_grad():
            lost += float(model(input_ids=ids, labels=ids).loss) * (ids.shape[1] - 1)
        tokens += ids.shape[1] - 1
    return lost / tokens


@pytest.mark.parametrize("answer", ["red", "blue"])
def test_a_tuned_adapter_is_on_while_another_task_is_prompted(answer: str, loaded: Loaded) -> None:
    """Tuned to say one thing whatever it is asked, it says so of the shades. Break seen to fail: no adapter in
    the bundle that the other task is prompted with."""
    told = other()
    shades = replace(told, pool=told.pool[:4], test=told.pool[4:])
    alike = tuple(replace(one, completion=answer) for one in made().pool)
    task = replace(made(), pool=alike, test=made().test[:2])
    conditions = [Condition("both", (Lane(shots=2, lr=1e-2, updates=10),))]
    (row,) = cell.measure(loaded, task, 8, 0, conditions, elsewhere=Elsewhere((shades,), TEXT))
    assert row["prompted"]["shades"] == "".join("01"[one.completion == answer] for one in shades.test)


def test_what_is_asked_elsewhere_is_part_of_what_a_row_is_known_by(loaded: Loaded, tmp_path: Path) -> None:
    """Break seen to fail: the digest of the task alone."""
    lane = (Condition("zero-shot", (Lane(),)),)
    first = Asked("tiny", (made(),), (4,), lane)
    second = replace(first, elsewhere=Elsewhere((made(), other()), TEXT))
    for one in (first, second, replace(first, elsewhere=Elsewhere((made(), other()), "Another text.")), second):
        suite.run(one, loaded, tmp_path)
    assert len(suite.Results(tmp_path / suite.ROWS, suite.KEY).rows) == 3


def test_forgetting_is_told_against_the_untrained_model() -> None:
    """By hand. Break seen to fail: the sign of the nats."""
    some = [
        row("base", "10", prompted={"u": "1110"}, text_nll=3.0),
        row("ft", "11", prompted={"u": "0010"}, text_nll=3.5),
        row("ft-kl", "11", prompted={"u": "1110"}, text_nll=3.1),
    ]
    lines = studies.study("forgetting").report(some, [])
    assert len(lines) == 2
    assert "ft against the untrained model: -50 points" in lines[0] and "+0.500 nats a token" in lines[0]
    assert "ft-kl against the untrained model: 0 points" in lines[1] and "+0.100 nats" in lines[1]
    assert fmean(numbers("1110")) == 0.75
    # In another dtype it is another run, and the same examples are not more of them.
    again = [one | {"dtype": "float32"} for one in some]
    assert studies.study("forgetting").report([*some, *again], []) == lines
    assert studies.study("forgetting").report([some[0], again[1]], []) == []


# ---- commands --------------------------------------------------------------------------------------------------------


def test_the_plan_counts_what_is_measured_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    """Break seen to fail: the other tasks' tests left out."""

    def tokens(name: str, *more: str) -> float:
        arguments = ["suite", "study", name, "--model", "lab", "--quick", "--plan", "--json", "--budgets", "5"]
        assert command([*arguments, *more]) == 0
        return float(json.loads(capsys.readouterr().out)["models"][0]["tokens"])

    one, both = tokens("forgetting", "--tasks", "kinds"), tokens("forgetting", "--tasks", "kinds,animal")
    assert both > one + tokens("forgetting", "--tasks", "animal")
    assert tokens("order", "--conditions", "ft") == pytest.approx(
        4 * tokens("order", "--conditions", "ft", "--seeds", "1")
    )


@pytest.mark.slow
def test_studies_look_quickly_at_tasks_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Break seen to fail: bundled tasks looked for in another folder."""
    rows = [{"text": f"shade {k}", "label": ("blue", "red")[k % 2]} for k in range(40)]
    for name in ("sst2", "sentiment"):
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
    arguments = ["suite", "study", "transfer", "--data", str(tmp_path), "--model", "lab", "--quick", "--json", "-q"]
    assert command([*arguments, "--out", str(tmp_path / "out")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {row["task"] for row in told["rows"]} == {"sst2", "sentiment-to-sst2"}
    assert sum("another set" in line for line in told["found"]) == 3
