"""One cell: the first n examples of a task in one order, and what lanes make of them, tested as delivered.

It is `fit` from end to end (prepare, execute, deliver) with a model that is in memory already; what it delivers is put
to the held-out examples and thrown away.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewfit import bundle
from fewfit.errors import Interrupted, NoUsableLane, UserError
from fewfit.grid import Lane
from fewfit.metrics import Metric
from fewfit.models.local import Loaded
from fewfit.predictions import read as read_predictions
from fewfit.run import folders
from fewfit.run.material import Material, read
from fewfit.run.prepare import Part, Prepared, prepare
from fewfit.run.watch import Callbacks
from fewfit.select import select
from fewfit.settings import Settings
from fewfit.stats import clopper_pearson
from fewfit.suites.tasks.altered import choosers_of
from fewfit.suites.tasks.condition import Condition, lanes_of
from fewfit.suites.tasks.elsewhere import Elsewhere
from fewfit.suites.tasks.task import Task
from fewfit.suites.tasks.testing import as_text, test

Tell = Callable[[str], None]
DONE = "done"


@dataclass(frozen=True)
class Stream:
    """A finished run, as far as a cell looks at it."""

    folder: Path
    best: str
    lanes: dict[str, dict[str, Any]]  # as result.json has them
    trained_tokens: dict[str, int]

    def bundle_of(self, lane: str, again: bool) -> Path:
        from fewfit.run.deliver import delivered_again, runner_up

        if again:
            return delivered_again(self.folder, lane)
        return self.folder / folders.BUNDLE if lane == self.best else runner_up(self.folder, lane)


def measure(
    loaded: Loaded,
    task: Task,
    n: int,
    seed: int,
    conditions: Sequence[Condition],
    *,
    chat: str = "auto",
    alone: bool = False,
    curve: Sequence[int] = (),
    elsewhere: Elsewhere | None = None,
    tell: Tell = lambda what: None,
) -> list[dict[str, Any]]:
    """A row for each condition; with the curve over so many shots, where one is asked for."""
    began = time.monotonic()
    lanes = lanes_of(conditions)
    again = tuple(dict.fromkeys(lane.name for one in conditions if one.again for lane in one.lanes))
    with choosers_of(task, n, seed), tempfile.TemporaryDirectory() as scratch:
        asked = settings(task, lanes, loaded, chat, Path(scratch) / "run")
        material = read(asked, list(task.stream(n, seed)))
        prepared = prepare(asked, material, {None: loaded}, Callbacks(), Part(seed, again, alone))
        curves = curves_of(loaded, prepared, material, curve) if curve else {}
        tell("streaming")
        try:
            stream = run(prepared, material.judge)
        except NoUsableLane:
            stream = None
        seconds = round(time.monotonic() - began, 1)
        tested: dict[tuple[str, bool], tuple[list[float], float, dict[str, Any]]] = {}
        rows = []
        for one in conditions:
            chosen = None if stream is None else choose(stream, one, material.judge)
            row = common(task, n, seed, one) | {"stream_seconds": seconds} | curves
            if stream is None or chosen is None:
                rows.append(row | NOTHING)
                continue
            if (chosen, one.again) not in tested:
                tell(f"testing {chosen}")
                at = time.monotonic()
                folder = stream.bundle_of(chosen, one.again)
                if not folder.is_dir():  # trained again, it diverged
                    rows.append(row | NOTHING)
                    continue
                scores = test(loaded, bundle.load(folder), task.test, material.judge)
                more = {} if elsewhere is None else elsewhere.measure(loaded, folder, task, chat)
                tested[chosen, one.again] = scores, round(time.monotonic() - at, 1), more
            scores, spent, more = tested[chosen, one.again]
            told = outcome(stream, chosen, scores) | (OF_NO_STREAM if one.again else {})
            rows.append(row | told | more | {"seconds": round(seconds + spent, 1)})
    return rows


# Of a condition all of whose lanes diverged.
NOTHING: dict[str, Any] = {
    "lane": None, "status": "diverged", "accuracy": None, "interval": None, "scores": [], "prequential": None,
    "expected": None, "trained_tokens": 0, "seconds": 0.0,
}  # fmt: skip


# What an i.i.d. training has none of: that is what a stream is for.
OF_NO_STREAM: dict[str, Any] = {"prequential": None, "expected": None, "trained_tokens": None}


def settings(task: Task, lanes: Sequence[Lane], loaded: Loaded, chat: str, out: Path) -> Settings:
    asking = task.asking
    choices: Any = "none"
    if asking.metric == "choice":
        choices = list(asking.choices) if asking.choices else "rows"
    return Settings(
        model=loaded.ref.name or "model",
        grid=lanes,
        metric=asking.metric,
        choices=choices,
        answer_pattern=asking.answer_patterns,
        instruction=asking.instruction,
        no_instruction=asking.bare and asking.instruction is None,
        chat=chat,  # type: ignore[arg-type]
        keep_duplicates=True,
        race=False,
        seeds=1,
        out=out,
    )


def curves_of(loaded: Loaded, prepared: Prepared, material: Material, shots: Sequence[int]) -> dict[str, Any]:
    """By all examples, and by the first third, which is what `fit --shots auto` chooses by."""
    from fewfit.engine.shots import curve
    from fewfit.engine.task import Task as Rows
    from fewfit.engine.threads import is_small, one_thread
    from fewfit.render import Renderer, RenderSettings
    from fewfit.run.shots import looked_at

    renderer = Renderer(loaded.tokenizer, RenderSettings.from_json(prepared.record["models"][0]["render"]))
    rows = Rows(material.dataset.examples, renderer, material.judge)
    order = rows.order(prepared.record["seeds"][0])
    parts = {"curve": order, "curve_of_third": order[: looked_at(len(order))]}
    with one_thread(is_small(loaded.model)):
        found = {name: curve(loaded.model, rows, some, shots) for name, some in parts.items()}
    return {name: {str(k): round(value, 4) for k, value in one.items()} for name, one in found.items()}


def run(prepared: Prepared, judge: Metric) -> Stream:
    from fewfit.run.execute import execute

    try:
        result = execute(prepared, judge, Callbacks())
    except Interrupted as stopped:
        hint = "the same command goes on from there"
        raise Interrupted("stopped; finished cells are kept", exit_code=stopped.exit_code, hint=hint) from None
    trained = {cost["name"]: cost["trained_tokens"] for cost in result["costs"]}
    return Stream(prepared.folder, result["best"], {lane["name"]: lane for lane in result["lanes"]}, trained)


def choose(stream: Stream, condition: Condition, judge: Metric) -> str | None:
    """The lane that its own stream puts first; None where all have diverged."""
    usable = [lane for lane in condition.lanes if stream.lanes[lane.name]["status"] == DONE]
    if len(usable) < 2:
        return usable[0].name if usable else None
    names = {lane.name for lane in usable}
    rows = [row for row in read_predictions(stream.folder) if row["lane"] in names]
    return select(rows, usable, metric=judge.name).leader


def common(task: Task, n: int, seed: int, condition: Condition) -> dict[str, Any]:
    return {
        "task": task.name,
        "condition": condition.name,
        "kind": condition.kind,
        "n": n,
        "seed": seed,
        "test": len(task.test),
        **({"tested_on": task.tested_on} if task.tested_on else {}),
        "lanes": condition.described,
        "metric": task.asking.metric,
        "majority": task.majority,
    }


def outcome(stream: Stream, lane: str, scores: Sequence[float]) -> dict[str, Any]:
    """`scores` are those of the test examples in their order, hits as text; `prequential` is the mean over the stream,
    `expected` what `fit` says the lane would score."""
    told = stream.lanes[lane]
    mean = sum(scores) / len(scores)
    return {
        "lane": lane,
        "status": DONE,
        "accuracy": round(mean, 4),
        "interval": [round(end, 4) for end in clopper_pearson(sum(scores), len(scores))],
        "scores": as_text(scores),
        "prequential": rounded(told["prequential"]),
        "expected": rounded(told["score"]),
        "trained_tokens": stream.trained_tokens[lane],
    }


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def refuse_unlike(task: Task) -> None:
    """A task of labels tests on the same labels."""
    known = task.asking.choices
    if known and (lost := next((one for one in (*task.pool, *task.test) if one.completion not in known), None)):
        message = f"the answer {lost.completion!r} is none of {', '.join(known)}"
        raise UserError(message, where=f"{task.name}, example {lost.id}", hint="give all labels: choices")
