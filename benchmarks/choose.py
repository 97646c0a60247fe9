"""How long does it take to choose among 16 configurations and deliver the chosen one, and how good is it?

    python -m benchmarks.choose [--tasks a,b] [--seeds 0] [--contenders fewfit,holdout] [--lines FILE] [--json FILE]

60 examples, the bundled model, sixteen ways to prompt it, tune it or both (`adapts.sixteen`), the same for everybody;
what is delivered is judged on 200 examples that nobody saw. The clock runs from the examples to the bundle (or to the
saved adapter); judging is outside of it. Contenders take turns cell by cell, on the same two cores, all with their
libraries imported before the clock starts.

    fewfit      `fewfit.fit` as it comes: racing, one process and the helper that it starts when it sees fit
    unraced     the same with race=False
    holdout     TRL + PEFT: every configuration trains on 48 and is judged on 12, the best is trained again on all 60
    fivefold    the same by five-fold cross-validation
    holdout-b8  holdout at batch 8 instead of 1 (an eighth of the updates)

The rivals run as two processes of one thread, which take the longest of the remaining configurations each time; equal
accuracies are told apart by the likelihood of the right answers. See choose_rival.py for what they do.

With --full FILE, the lines of `benchmarks.adapts`, a second table says what the best lane of every kind is worth, and
the best of all sixteen by the test examples themselves. A lane predicts the same with racing and without, so what a
raced run chooses is found from the full one.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.adapts import TASKS, TEST, sixteen, tested
from benchmarks.records import Lines, machine, markdown, processor_time, write

CONTENDERS = ("fewfit", "unraced", "holdout", "fivefold", "holdout-b8", "fivefold-b8")
KINDS = ("zero-shot", "icl", "ft", "icl+ft")
N, HELD, FOLDS = 60, 12, 5
KEY = ("contender", "task", "n", "seed")


# ---- fewfit ----------------------------------------------------------------------------------------------------------


def fewfit_cell(
    model: str, task: str, n: int, seed: int, test: int, *, race: bool, lanes: Sequence[Any]
) -> dict[str, Any]:
    import fewfit
    from fewfit.models import local
    from lab.tasks import held_out_task

    rows = held_out_task(task, seed, n + test)
    with tempfile.TemporaryDirectory() as scratch:
        cpu, start = processor_time(), time.monotonic()
        run = fewfit.fit(rows[:n], model=model, race=race, grid=lanes, out=Path(scratch) / "run")
        seconds, cpu = time.monotonic() - start, processor_time() - cpu
        base = local.load(model)
        return {
            "best": run.best,
            "test": tested(run.folder / "bundle", base.model, rows[n:]),
            "seconds": round(seconds, 2),
            "cpu": round(cpu, 2),
            "score": run.score,
            "dropped": {lane["name"]: lane["n"] for lane in run.lanes if lane["status"] == "dropped"},
            "weights": base.ref.digest[:16],
        }


# ---- the rivals ------------------------------------------------------------------------------------------------------


class Crew:
    """Processes of one rival, alive over all cells; jobs are dealt to whoever is free."""

    def __init__(self, model: str, processes: int = 2, threads: int = 1):
        task = json.dumps({"model": model, "threads": threads})
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        environment |= {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
        environment |= {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}  # all as fewfit's helper has it
        self.members: list[Any] = [
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.choose_rival", task],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=environment,
            )
            for _ in range(processes)
        ]
        for member in self.members:
            self._hear(member)

    def all(self, **order: Any) -> list[dict[str, Any]]:
        for member in self.members:
            self._say(member, order)
        return [self._hear(member) for member in self.members]

    def share(self, jobs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The answers in the order of the jobs."""
        import select as ready

        out: list[dict[str, Any]] = [{} for _ in jobs]
        waiting = list(range(len(jobs)))
        busy: dict[Any, tuple[Any, int]] = {}
        for member in self.members:
            if waiting:
                self._say(member, jobs[waiting[0]])
                busy[member.stdout] = member, waiting.pop(0)
        while busy:
            for stream in ready.select(list(busy), [], [])[0]:
                member, job = busy.pop(stream)
                out[job] = self._hear(member)
                if waiting:
                    self._say(member, jobs[waiting[0]])
                    busy[member.stdout] = member, waiting.pop(0)
        return out

    def one(self, **order: Any) -> dict[str, Any]:
        self._say(self.members[0], order)
        return self._hear(self.members[0])

    @staticmethod
    def _say(member: Any, order: dict[str, Any]) -> None:
        member.stdin.write(json.dumps(order) + "\n")
        member.stdin.flush()

    @staticmethod
    def _hear(member: Any) -> dict[str, Any]:
        line = member.stdout.readline()
        if not line:
            raise RuntimeError("a rival's process died: run `python -m benchmarks.choose_rival` by hand to see why")
        return json.loads(line)

    def dismiss(self) -> None:
        for member in self.members:
            member.stdin.close()
            member.wait()


def rival_cell(
    crew: Crew, task: str, n: int, seed: int, test: int, *, folds: int | None, batch: int, lanes: Sequence[Any]
) -> dict[str, Any]:
    """`folds` None: one hold-out."""
    start = time.monotonic()
    cpu = sum(one["cpu"] for one in crew.all(do="data", task=task, n=n, seed=seed, test=test))
    jobs = []
    for number, lane in enumerate(lanes):
        for held in parts(n, seed, folds):
            train = [k for k in range(n) if k not in held]
            jobs.append(
                (number, {"do": "configuration", "lane": lane.as_json(), "train": train, "held": held, "batch": batch})
            )
    jobs.sort(key=lambda job: -cost(lanes[job[0]]))
    told = crew.share([job for _, job in jobs])
    judged = []
    for number, _ in enumerate(lanes):
        mine = [one for (which, _), one in zip(jobs, told, strict=True) if which == number]
        hits, nats = ([value for one in mine for value in one[name]] for name in ("hits", "nats"))
        judged.append((mean(hits), -mean(nats)))
    best = max(range(len(lanes)), key=lambda number: judged[number])
    last = crew.one(do="final", lane=lanes[best].as_json(), batch=batch)
    seconds = time.monotonic() - start
    return {
        "best": lanes[best].name,
        "test": crew.one(do="tested")["test"],
        "seconds": round(seconds, 2),
        "cpu": round(cpu + sum(one["cpu"] for one in told) + last["cpu"], 2),
        "score": judged[best][0],
        "judged": {lane.name: one[0] for lane, one in zip(lanes, judged, strict=True)},
    }


def cost(lane: Any) -> int:
    return (lane.shots + 1) * (1 + 3 * lane.updates)


def parts(n: int, seed: int, folds: int | None) -> list[list[int]]:
    """What is held out: a fifth, or each fifth in turn."""
    from random import Random

    order = list(range(n))
    Random(seed).shuffle(order)
    if folds is None:
        return [sorted(order[: n // 5])]
    return [sorted(order[fold::folds]) for fold in range(folds)]


# ---- the table -------------------------------------------------------------------------------------------------------


def table(cells: list[dict[str, Any]]) -> str:
    """Every contender against fewfit, over the cells that both have."""
    by = {(one["contender"], one["task"], one["n"], one["seed"]): one for one in cells}
    ours = {key[1:]: one for key, one in by.items() if key[0] == "fewfit"}
    head = ["contender", "cells", "seconds", "CPU s", "test score", "less fewfit's", "times fewfit's seconds", "CPU"]
    rows = [head]
    for name in CONTENDERS:
        theirs = {key[1:]: one for key, one in by.items() if key[0] == name and key[1:] in ours}
        if theirs:
            rows.append(line(name, theirs, ours))
    return markdown(rows)


def line(name: str, theirs: dict[Any, dict[str, Any]], ours: dict[Any, dict[str, Any]]) -> list[str]:
    score = f"{100 * mean(one['test'] for one in theirs.values()):.1f}"
    middle, reach = paired([100 * (one["test"] - ours[key]["test"]) for key, one in theirs.items()])
    difference = f"{middle:+.1f} ({middle - reach:+.1f} to {middle + reach:+.1f})" if name != "fewfit" else ""
    if "seconds" not in next(iter(theirs.values())):
        return [name, str(len(theirs)), "", "", score, difference, "", ""]
    seconds, cpu = (mean(one[what] for one in theirs.values()) for what in ("seconds", "cpu"))
    ratios = [sum(one[w] for one in theirs.values()) / sum(ours[key][w] for key in theirs) for w in ("seconds", "cpu")]
    return [name, str(len(theirs)), f"{seconds:.1f}", f"{cpu:.1f}", score, difference, *(f"{r:.2f}" for r in ratios)]


def paired(differences: Sequence[float]) -> tuple[float, float]:
    """Mean and half width of the 95% t interval."""
    from scipy import stats

    m = len(differences)
    if m < 2:
        return mean(differences), math.inf
    return mean(differences), float(stats.t.ppf(0.975, m - 1)) * stdev(differences) / math.sqrt(m)


def by_full_runs(path: Path, n: int) -> str:
    """What every kind's best lane by its own score is worth on the test examples, and the best of all by these."""
    from benchmarks.racing import of_lines

    cells = {(one["task"], one["n"], one["seed"]): one for one in Lines(path, ()).cells if one["n"] == n}
    replayed = {(one["task"], one["n"], one["seed"]): one for one in of_lines(path) if one["n"] == n}
    ours = {key: {"test": one["test_raced"]} for key, one in replayed.items()}
    values: dict[str, dict[Any, float]] = {
        "fewfit": {key: one["test"] for key, one in ours.items()},
        "fewfit, race=False": {key: one["test"] for key, one in replayed.items()},
    }
    for kind in KINDS:
        values[f"best {kind} lane"] = {
            key: cells[key]["test"][one["best_of_kind"][kind]] for key, one in replayed.items()
        }
    values["the oracle"] = {key: max(one["test"].values()) for key, one in cells.items()}
    rows = [["chosen", "cells", "test score", "less fewfit's"]]
    for name, worth in values.items():
        rows.append([line(name, {key: {"test": one} for key, one in worth.items()}, ours)[k] for k in (0, 1, 4, 5)])
    return markdown(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="lab")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--n", type=int, default=N)
    parser.add_argument("--test", type=int, default=TEST)
    parser.add_argument("--contenders", default="fewfit,holdout,fivefold")
    parser.add_argument("--setting", default="2x1", help="the rivals' processes x threads")
    parser.add_argument("--lines", type=Path, default=Path("results/choose.jsonl"))
    parser.add_argument("--full", type=Path, help="the lines of `benchmarks.adapts`")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    lines = Lines(asked.lines, KEY)
    wanted = asked.contenders.split(",")
    assert set(wanted) <= set(CONTENDERS), f"contenders are {', '.join(CONTENDERS)}"
    crew: Crew | None = None
    warm = False
    try:
        for seed in map(int, asked.seeds.split(",")):
            for task in asked.tasks.split(","):
                for name in wanted:
                    if lines.has(contender=name, task=task, n=asked.n, seed=seed):
                        continue
                    common: dict[str, Any] = {"task": task, "n": asked.n, "seed": seed, "test": asked.test}
                    if name in ("fewfit", "unraced"):
                        if not warm:  # imports, and what libraries make at their first use
                            fewfit_cell(asked.model, task, 6, seed, 5, race=True, lanes=sixteen()[:4])
                            warm = True
                        found = fewfit_cell(asked.model, **common, race=name == "fewfit", lanes=sixteen())
                    else:
                        if crew is None:
                            crew = Crew(asked.model, *map(int, asked.setting.split("x")))
                            crew.all(do="data", task=task, n=6, seed=seed, test=5)
                            first = {"lane": sixteen()[3].as_json(), "train": [0, 1, 2], "held": [3], "batch": 1}
                            crew.all(do="configuration", **first)  # as fewfit is warmed up
                        folds = FOLDS if name.startswith("fivefold") else None
                        found = rival_cell(
                            crew, **common, folds=folds, batch=8 if name.endswith("b8") else 1, lanes=sixteen()
                        )
                    load = [round(one, 2) for one in os.getloadavg()]
                    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                    lines.add(
                        {
                            "contender": name,
                            **{k: common[k] for k in ("task", "n", "seed")},
                            **found,
                            "load": load,
                            "at": at,
                        }
                    )
    finally:
        if crew is not None:
            crew.dismiss()
    text = table(lines.cells)
    if asked.full:
        text += f"\n\nOver full runs, racing replayed:\n\n{by_full_runs(asked.full, asked.n)}"
    print(text)
    if asked.json:
        write(asked.json, {**machine(), "cells": lines.cells})
        asked.json.with_suffix(".md").write_text(f"# {__doc__.splitlines()[0]}\n\n`{machine()['command']}`\n\n{text}\n")


if __name__ == "__main__":
    main()
