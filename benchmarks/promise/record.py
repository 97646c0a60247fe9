"""One cell: eight lanes stream over 60 examples; at 20 and at 60 all of them answer the test examples.

A cell holds what any rule of choosing and any estimate can be judged by afterwards: each row's score and likelihood,
and for lanes with demonstrations the test answers under rotating draws (a query gets one of sixteen sets by its hash,
which is a draw for each query but for the sixteen). Where every way is tried, it can judge other ways of delivering as
well: the same with labels in turn, four fixed sets and their averages, and what the sets make of the other examples.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.promise.served import Answer, Served
from benchmarks.promise.tasks import Task, number
from fewfit.demonstrations import CHOOSERS, Moment
from fewfit.demonstrations.delivery import NEXT, purpose, query_number
from fewfit.engine.learner import LaneState, Track
from fewfit.engine.stream import Progress, Stream, steps
from fewfit.engine.task import Task as Rows
from fewfit.examples import Example
from fewfit.grid import Lane
from fewfit.metrics import metric
from fewfit.models.lent import put_adapter_on, take_adapter_off
from fewfit.models.local import Loaded
from fewfit.render import Renderer
from fewfit.run.teams import Team

SIZES = (20, 60)
LANES = (
    Lane(),
    Lane(shots=4, deliver="per-query"),
    *(Lane(lr=lr, updates=e) for lr, e in ((3e-4, 3), (1e-3, 1), (1e-3, 3))),
    *(Lane(shots=4, lr=lr, updates=e) for lr, e in ((3e-4, 3), (1e-3, 1), (1e-3, 3))),
)
DRAWS = 16  # that rotate
FIXED = 4  # of them, each on its own
TESTED_FIXED = 150  # test examples for each of those


class Memory:
    """The sink of a stream: its rows, and what each lane has become."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self.rows: dict[str, dict[int, dict[str, Any]]] = {lane.name: {} for lane in lanes}
        self.states: dict[Track, LaneState] = {}

    def prediction(self, track: Track, row: dict[str, Any]) -> None:
        self.rows[track.lane][row["i"]] = row

    def trained(self, track: Track, row: dict[str, Any]) -> None:
        pass

    def snapshot(self, progress: Progress, state: Callable[[], LaneState]) -> None:
        self.states[progress.track] = state()


def renderer_of(loaded: Loaded, task: Task) -> Renderer:
    return Renderer.resolve(
        loaded.tokenizer,
        task.learnt,
        chat="off",
        context_length=loaded.model.config.max_position_embeddings,
        choices=task.choices,
    )


def record(loaded: Loaded, task: Task, every_way: bool) -> dict[str, Any]:
    renderer = renderer_of(loaded, task)
    examples = tuple(with_choices(one, task) for one in task.learnt)
    rows = Rows(examples, renderer, metric("exact" if task.choices is None else "choice"), order="file")
    memory, cell, seconds = Memory(LANES), {}, {}
    before, known = 0, dict[Any, Any]()
    with tempfile.TemporaryDirectory() as scratch:
        for n in SIZES:
            start = time.monotonic()
            folders = stream(loaded, rows, memory, before, n, Path(scratch) / str(n))
            seconds[f"stream {n}"] = round(time.monotonic() - start, 1)
            start = time.monotonic()
            cell[str(n)] = {
                lane.name: tested(loaded, renderer, task, lane, n, folders, known, every_way) for lane in LANES
            }
            seconds[f"test {n}"] = round(time.monotonic() - start, 1)
            before = n
    return {
        "golds": golds(examples, task),
        "tested": len(task.tested),
        "test_golds": [one.completion for one in task.tested] if task.choices else None,
        "stream": {lane.name: evidence(memory.rows[lane.name]) for lane in LANES},
        "tests": cell,
        "seconds": seconds,
        "renderer": {"template": renderer.settings.template, "instruction": renderer.settings.instruction},
    }


def record_empty(loaded: Loaded, task: Task, n: int) -> dict[str, Any]:
    """The stream alone, of labels that carry nothing: there is nothing to be tested."""
    examples = tuple(with_choices(one, task) for one in task.learnt[:n])
    rows, memory = Rows(examples, renderer_of(loaded, task), metric("choice"), order="file"), Memory(LANES)
    with tempfile.TemporaryDirectory() as scratch:
        stream(loaded, rows, memory, 0, n, Path(scratch))
    golds = [one.completion for one in examples]
    return {"golds": golds, "stream": {lane.name: evidence(memory.rows[lane.name]) for lane in LANES}}


def golds(examples: Sequence[Example], task: Task) -> list[str]:
    """Which answers are the same; words of the published data stay where they are."""
    if task.choices is not None:
        return [one.completion for one in examples]
    known: dict[str, str] = {}
    return [known.setdefault(one.completion, f"answer {len(known) + 1}") for one in examples]


def with_choices(example: Example, task: Task) -> Example:
    return example if task.choices is None else Example(example.id, example.prompt, example.completion, task.choices)


def stream(loaded: Loaded, rows: Rows, memory: Memory, before: int, n: int, scratch: Path) -> dict[str, Path]:
    """Examples `before` + 1 to n; adapters as they then are, by lane."""
    team = Team(True, LANES)
    learner = team.learner(loaded.model, rows.renderer, len(rows))
    try:
        tracks = []
        for lane in LANES:
            plan = [step for step in steps(lane, n) if step.i > before]
            progress = Progress(Track(lane.name, 0), lane, plan)
            if lane.trains and before:
                learner.restore(progress.track, lane, memory.states[progress.track])
                progress.opened = True
            tracks.append(progress)
        stream = Stream(rows, learner, memory, every=1e9, width=team.width, tokens=team.tokens(loaded.model))
        stream.run(tracks)
        folders: dict[str, Path] = {}
        for progress in tracks:
            if progress.lane.trains and progress.status == "done":
                learner.restore(progress.track, progress.lane, memory.states[progress.track])
                folders[progress.lane.name] = scratch / str(len(folders))
                learner.export(progress.track, folders[progress.lane.name])
                learner.forget(progress.track)
        return folders
    finally:
        learner.close()


def evidence(rows: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """By example, in the order of the stream. `right` is the right choice's probability among the choices."""
    there = [rows[i] for i in sorted(rows)]
    return {
        "score": [round(row["score"], 4) for row in there],
        "nll": [round(row["nll"], 4) for row in there],
        "tokens": [row["tokens"] for row in there],
        "right": [round(row["probs"][row["gold"]], 6) for row in there] if there and there[0]["probs"] else None,
    }


def draws(examples: Sequence[Example], n: int, shots: int, chooser: str) -> list[list[Example]]:
    """The first of the random ones is what a bundle with one fixed draw holds."""
    known, out = examples[:n], []
    for k in range(DRAWS):
        at = Moment(0, n + 1, 1, purpose(k))
        out.append(CHOOSERS[chooser].choose(known, NEXT, shots, at))
    return out


def tested(
    loaded: Loaded,
    renderer: Renderer,
    task: Task,
    lane: Lane,
    n: int,
    folders: dict[str, Path],
    known: dict[Any, Any],
    every_way: bool,
) -> dict[str, Any]:
    if lane.trains and lane.name not in folders:
        return {"diverged": True}
    peft = put_adapter_on(loaded.model, folders[lane.name]) if lane.trains else None
    try:
        served = Served(loaded.model, renderer, task.choices, known)
        if not lane.shots:
            return {"plain": bits(served.answers([], task.tested))}
        sets = draws(task.learnt, n, lane.shots, "random")
        out: dict[str, Any] = {"rotating": bits(rotating(served, sets, task.tested))}
        if not every_way:
            return out
        if task.choices is not None:
            out["balanced"] = bits(rotating(served, draws(task.learnt, n, lane.shots, "balanced"), task.tested))
        if not lane.trains and n == SIZES[-1]:
            some = task.tested[:TESTED_FIXED]
            out |= {how: bits(anew(served, task.learnt[:n], some, lane.shots, how)) for how in ("similar", "mixed")}
        fixed = sets[:FIXED]
        singles, hits = served.ensembles(fixed, task.tested[:TESTED_FIXED], (2, 4))
        out["fixed"] = [bits(one) for one in singles]
        out |= {f"ensemble{size}": "".join("01"[hit] for hit in some) for size, some in hits.items()}
        out["sets"] = [[task.learnt.index(one) + 1 for one in demos] for demos in sets]
        # What the sets make of the other examples: of a lane that only prompts, evidence of every one of them.
        others = [
            served.answers(demos, [one for one in task.learnt[:n] if one not in demos])
            for demos in (fixed if lane.trains else sets)
        ]
        out["others"] = [bits(one) for one in others]
        out["others_nll"] = [[round(one.nll, 3) for one in some] for some in others]
        return out
    finally:
        take_adapter_off(loaded.model, peft)


def rotating(served: Served, sets: Sequence[Sequence[Example]], examples: Sequence[Example]) -> list[Answer]:
    found: dict[int, Answer] = {}
    for k, demos in enumerate(sets):
        mine = [n for n, one in enumerate(examples) if number("rotating", str(one.prompt)) % len(sets) == k]
        found |= dict(zip(mine, served.answers(demos, [examples[n] for n in mine]), strict=True))
    return [found[n] for n in range(len(examples))]


def anew(
    served: Served, known: Sequence[Example], examples: Sequence[Example], shots: int, chooser: str
) -> list[Answer]:
    """Demonstrations that depend on the query: nothing is shared between queries."""
    pairs = []
    for one in examples:
        at = Moment(0, len(known) + 1, 1, f"demos of query {query_number(one)}")
        pairs.append((CHOOSERS[chooser].choose(known, one, shots, at), one))
    return served.whole(pairs)


def bits(answers: Sequence[Answer]) -> str:
    return "".join("01"[one.hit] for one in answers)
