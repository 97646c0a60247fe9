"""The prompting lane as it is delivered: one set of demonstrations, chosen by likelihood. A complement to each cell.

    python -m benchmarks.promise.fixed --models smollm2 --lines results/promise-fixed.jsonl

What the sets are drawn from depends on the number of examples, so that 20 and 60 are two streams.
"""

from __future__ import annotations

import time
from typing import Any

from benchmarks.promise import tasks
from benchmarks.promise.every import every_cell, parser
from benchmarks.promise.record import SIZES, Memory, bits, evidence, renderer_of, with_choices
from benchmarks.promise.served import Served
from fewfit.demonstrations.delivery import likeliest
from fewfit.engine.learner import Track
from fewfit.engine.likelihood import set_likelihoods
from fewfit.engine.stream import Progress, Stream, steps
from fewfit.engine.task import SetKey
from fewfit.engine.task import Task as Rows
from fewfit.grid import Lane
from fewfit.metrics import metric
from fewfit.models.local import Loaded
from fewfit.run.teams import Team

LANE = Lane(shots=4)


def fixed(loaded: Loaded, task: tasks.Task, known: dict[Any, Any]) -> dict[str, Any]:
    renderer = renderer_of(loaded, task)
    out: dict[str, Any] = {}
    for n in SIZES:
        began = time.monotonic()
        examples = [with_choices(one, task) for one in task.learnt[:n]]
        rows = Rows(examples, renderer, metric("exact" if task.choices is None else "choice"), order="file")
        key = SetKey(0, LANE.shots, LANE.demonstrations)
        rows.set_nll[key] = set_likelihoods(loaded.model, rows, key)
        choosing = time.monotonic() - began
        memory, team = Memory([LANE]), Team(True, (LANE,))
        learner = team.learner(loaded.model, renderer, n)
        try:
            progress = Progress(Track(LANE.name, 0), LANE, list(steps(LANE, n)))
            stream = Stream(rows, learner, memory, every=1e9, width=team.width, tokens=team.tokens(loaded.model))
            stream.run([progress])
        finally:
            learner.close()
        served = Served(loaded.model, renderer, task.choices, known)
        (demos,) = rows.delivered_sets(LANE, 0)
        out[str(n)] = {
            "stream": evidence(memory.rows[LANE.name]),
            "test": bits(served.answers(demos, task.tested)),
            "each": [bits(served.answers(one, task.tested[:100])) for one in rows.sets(key)],
            "chosen": likeliest(rows.set_nll[key], n + 1),
            "nll": [[None if value is None else round(value, 4) for value in one] for one in rows.set_nll[key]],
            "seconds": {"choosing": round(choosing, 1), "all": round(time.monotonic() - began, 1)},
        }
    return out


def main() -> None:
    asked = parser(__doc__, "results/promise-fixed.jsonl").parse_args()
    every_cell(asked, lambda loaded, task, _: fixed(loaded, task, {}))


if __name__ == "__main__":
    main()
