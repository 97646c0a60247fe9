"""What the recorded cells say: of delivery, of the numbers, of the choice, of racing; and verdicts to read.

python -m benchmarks.promise.report --lines results/promise.jsonl --to results/promise.md
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.promise.cells import BEFORE, FIXED, NOW, PER_QUERY, Cell, cells, records
from benchmarks.promise.folds import FOLDS
from benchmarks.promise.record import SIZES
from benchmarks.records import markdown, publish
from fewfit.demonstrations.delivery import SETS
from fewfit.grid import Lane
from fewfit.select import Selection, select
from fewfit.select.baseline import LEARNT, leads
from fewfit.select.choice import TUNING
from fewfit.select.table import Table
from fewfit.stats import cheapest, choose, chosen_estimate, recommend, resample
from fewfit.stats.race import Race
from fewfit.suites.claims import Mean
from fewfit.suites.tasks.comparing import of_means

OTHERS = ("balanced", "similar", "mixed", "ensemble2", "ensemble4", "chosen")
NOW_LANES = {lane.name: lane for lane in NOW.lanes}
EMPTY_SIZES = (20, 40, 60)
OBEYED = "recommended, or the commonest answer where none is to be deployed"
NEARS = (0.0, 0.25, 0.5, 1.0, 1.96)


@dataclass(frozen=True)
class Run:
    """A cell with what `select` makes of it."""

    cell: Cell
    found: Selection
    table: Table

    @property
    def best(self) -> float:
        return max(self.cell.test(lane) for lane in self.cell.lanes)

    @property
    def obeyed(self) -> float:
        """What one has who does as the verdict says: where none is to be deployed, the commonest answer."""
        golds, majority = self.cell.record["test_golds"], self.found.majority
        if self.found.nothing_learnt and golds and majority is not None:
            return float(np.mean([gold == majority.answer for gold in golds]))
        return self.cell.test(self.found.best.name)


def run_of(cell: Cell) -> Run:
    rows, lanes = list(cell.rows()), cell.grid.lanes
    found = select(rows, lanes, metric=cell.metric, statuses=cell.statuses)
    return Run(cell, found, Table.of(rows, lanes, cell.metric, cell.statuses))


# ---- delivery --------------------------------------------------------------------------------------------------------


def delivery(runs: Sequence[Run]) -> str:
    """By task: how far fixed sets stray, and what other ways bring over a draw for each query."""
    out = [["model", "task", "n", "kind", "a draw each", "sd over fixed sets", *(f"{how} less it" for how in OTHERS)]]
    groups: dict[tuple[str, str, int, str], list[tuple[Cell, str]]] = defaultdict(list)
    for cell in [run.cell for run in runs if run.cell.tried_every_way]:
        for lane in shots_of(cell):
            groups[cell.model, cell.task, cell.n, lane.kind].append((cell, lane.name))
    for (model, task, n, kind), some in sorted(groups.items()):
        means = np.mean([cell.test(lane) for cell, lane in some])
        sd = np.sqrt(np.mean([spread(cell, lane) for cell, lane in some]))
        gains = []
        for how in OTHERS:
            there = [gain(cell, lane, how) for cell, lane in some if how in {**cell.tests[lane], **chosen_of(lane)}]
            gains.append(f"{100 * np.mean(there):+.1f}" if there else "–")
        out.append([model, task, str(n), kind, f"{100 * means:.1f}", f"{100 * sd:.1f}", *gains])
    return markdown(out)


def shots_of(cell: Cell) -> list[Lane]:
    return [BEFORE[name] for name in cell.before.lanes if BEFORE[name].shots]


def chosen_of(lane: str) -> dict[str, str]:
    """The lane whose one set is chosen by likelihood, of one that has a draw each."""
    return {"chosen": FIXED.name} if lane == PER_QUERY.name else {}


def spread(cell: Cell, lane: str) -> float:
    """Variance of the true scores of fixed sets: what is seen, less what the number of test examples alone brings to
    differences between sets."""
    hits_SN = np.array([[int(hit) for hit in one] for one in cell.tests[lane]["fixed"]])
    seen = hits_SN.mean(axis=1).var(ddof=1)
    alone = (hits_SN - hits_SN.mean(axis=0)).var() * len(hits_SN) / (len(hits_SN) - 1) / hits_SN.shape[1]
    return float(max(0.0, seen - alone))


def gain(cell: Cell, lane: str, how: str) -> float:
    hits = cell.tested(chosen_of(lane)[how]) if how == "chosen" else cell.tested(lane, how)
    return float(np.mean(hits) - np.mean(cell.tested(lane)[: len(hits)]))


# ---- honesty ---------------------------------------------------------------------------------------------------------


def honesty(runs: Sequence[Run]) -> str:
    """Of the recommended lane: does the interval hold what the bundle then scored, how far off is the point?"""
    out = [["n", "runs", "what", "interval holds", "its width", "mean error (95%, over tasks)", "mean size of it"]]
    for n in SIZES:
        some = [run for run in runs if run.cell.n == n]
        if not some:
            continue
        out.append(told(n, "now: the recommended lane, as it is delivered", [now(run) for run in some]))
        tried = [before(run, "fixed") for run in some if run.cell.tried_every_way]
        out.append(told(n, "before: Z23, last half, one fixed draw", tried))
        out.append(told(n, "before, a draw each", [before(run, "rotating") for run in some]))
        out.append(told(n, "every lane that prompts", [one for run in some for one in each(run, trains=False)]))
        out.append(told(n, "every lane that trains", [one for run in some for one in each(run, trains=True)]))
    return markdown(out)


class Told(NamedTuple):
    task: str
    low: float
    point: float
    high: float
    truth: float


def now(run: Run) -> Told:
    best = run.found.best
    return Told(run.cell.task, best.interval[0], best.score, best.interval[1], run.cell.test(best.name))


def before(run: Run, how: str) -> Told:
    cell = run.cell.before
    table = Table.of(list(cell.rows()), cell.grid.lanes, cell.metric, cell.statuses)
    lane = choose(table.stream, "z23")
    found = chosen_estimate(table.stream, table.stream.last_half, lane, resample(table.stream, "z23"))
    return Told(cell.task, found.low, found.point, found.high, cell.test(table.lanes[lane].name, how))


def each(run: Run, *, trains: bool) -> Iterable[Told]:
    for lane in run.found.lanes:
        if lane.name in run.cell.lanes and (lane.updates > 0) == trains and lane.interval and lane.score is not None:
            yield Told(run.cell.task, lane.interval[0], lane.score, lane.interval[1], run.cell.test(lane.name))


def told(n: int, what: str, some: Sequence[Told]) -> list[str]:
    if not some:
        return [str(n), "0", what, "–", "–", "–", "–"]
    held = [one.low <= one.truth <= one.high for one in some]
    error = [one.point - one.truth for one in some]
    over = over_tasks([one.task for one in some], error)
    bounds = "–" if over is None else f"{100 * over.low:+.1f} to {100 * over.high:+.1f}"
    return [
        str(n), str(len(some)), what, f"{np.mean(held):.2f}", f"{np.mean([one.high - one.low for one in some]):.2f}",
        f"{100 * np.mean(error):+.1f} ({bounds})", f"{100 * np.mean(np.abs(error)):.1f}",
    ]  # fmt: skip


# ---- the choice ------------------------------------------------------------------------------------------------------


def rules(run: Run) -> dict[str, str]:
    """Which lane each rule would take."""
    table = run.table
    names = [lane.name for lane in table.lanes]
    rule = cheapest(table.stream, "z23", table.tier_L(None))
    out = {"recommended": run.found.best.name}
    for near in NEARS:
        taken = recommend(table.stream, "z23", type(rule)(rule.tier_L, rule.error_LL, near))
        out["z23" if near == 0 else f"cheapest within {near:g} standard errors"] = names[taken]
    for criterion in ("accuracy", "nll"):
        out[f"{criterion} over the stream"] = names[choose(table.stream, criterion)]
    return out


def regret(runs: Sequence[Run]) -> str:
    """Points lost on the test against the lane that is best there (which flatters it: it was picked by the test)."""
    out = [["rule", *(f"n = {n}" for n in SIZES), "95% of both, over tasks", "cheaper than z23's lane"]]
    found: dict[str, list[tuple[int, float, bool]]] = defaultdict(list)
    for run in runs:
        taken = rules(run)
        tier = dict(
            zip([lane.name for lane in run.table.lanes], run.table.tier_L(run.table.lanes[0].model), strict=True)
        )
        for name, lane in taken.items():
            found[name].append((run.cell.n, run.best - run.cell.test(lane), tier[lane] < tier[taken["z23"]]))
        found[OBEYED].append((run.cell.n, run.best - run.obeyed, tier[taken["recommended"]] < tier[taken["z23"]]))
    for name, some in found.items():
        lost = np.array([value for _, value, _ in some])
        by_n = [np.array([value for n, value, _ in some if n == size]) for size in SIZES]
        over = over_tasks([run.cell.task for run in runs], list(lost))
        shown = [f"{100 * one.mean():.1f}" if len(one) else "–" for one in by_n]
        bounds = "–" if over is None else f"{100 * max(0.0, over.low):.1f} to {100 * over.high:.1f}"
        out.append([name, *shown, bounds, f"{np.mean([cheap for *_, cheap in some]):.2f}"])
    return markdown(out)


def crossing(runs: Sequence[Run]) -> str:
    """What people do instead, on the runs for which it was recorded: points lost, and our loss less theirs.

    Costs are examples that the model reads, to the choice and a trained model of it; a stream has both when it ends."""
    out = [["n", "runs", "rule", "points lost", "ours less it (95%, over tasks)", "examples read, ours to its"]]
    for n in SIZES:
        some = [run for run in runs if run.cell.n == n and run.cell.folds]
        for name, first in (("hold-out of a fifth", 1), ("five folds", FOLDS)) if some else ():
            taken = [run.cell.by_folds(first) for run in some]
            theirs = [run.best - run.cell.test(lane) for run, lane in zip(some, taken, strict=True)]
            less = [run.best - run.obeyed - one for run, one in zip(some, theirs, strict=True)]
            share = [stream_cost(n) / fold_cost(first, NOW_LANES[lane]) for lane in taken]
            over = over_tasks([run.cell.task for run in some], less)
            shown = "–" if over is None else f"{100 * over.value:+.1f} ({100 * over.low:.1f} to {100 * over.high:.1f})"
            lost, cost = f"{100 * np.mean(theirs):.1f}", f"{np.mean(share):.2f}"
            out.append([str(n), str(len(some)), name, lost, shown, cost])
    return markdown(out)


def stream_cost(n: int) -> float:
    """Examples read, a row of four shots being five, for each of the n. A lane that trains has its prediction with its
    first update; the one set of a prompting lane is chosen among several, whose beginnings are read once."""
    return sum(
        SETS * (1 + lane.shots / n) if lane == FIXED else max(1, lane.updates) * (1 + lane.shots) for lane in NOW.lanes
    )


def fold_cost(folds: int, chosen: Lane) -> float:
    """Four fifths trained on and a fifth predicted, for each fold; then the chosen lane is trained on all."""
    each = sum((1 / FOLDS + (FOLDS - 1) / FOLDS * lane.updates) * (1 + lane.shots) for lane in NOW.lanes)
    return folds * each + chosen.updates * (1 + chosen.shots)


def nothing(empty: Path) -> str:
    """Streams whose labels carry nothing: by how much the best lane leads what knows the labels alone."""
    out = [["n", "streams", "largest lead, standard errors", "above 1", f"above {LEARNT}", "tuning recommended"]]
    found: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for record in records(empty):
        for n in (n for n in EMPTY_SIZES if n <= len(record["golds"])):
            rows = list(Cell({**record, "test_golds": None}, {}, n, grid=BEFORE).rows())
            table = Table.of(rows, BEFORE.lanes, "choice", dict.fromkeys(BEFORE.names, "done"))
            best = select(rows, BEFORE.lanes, metric="choice").best
            found[n].append((float(leads(table, "z23").max()), best.kind in TUNING))
    for n, some in sorted(found.items()):
        lead, tuned = (np.array(one) for one in zip(*some, strict=True))
        above = [f"{(lead > bound).sum()}" for bound in (1, LEARNT)]
        out.append([str(n), str(len(some)), f"{lead.max():.2f}", *above, f"{tuned.sum():.0f}"])
    return markdown(out)


def over_tasks(tasks: Sequence[str], values: Sequence[float]) -> Mean | None:
    """Runs of one task have the same test examples: they are averaged first."""
    by_task: dict[str, list[float]] = defaultdict(list)
    for task, value in zip(tasks, values, strict=True):
        by_task[task].append(value)
    return of_means([float(np.mean(some)) for some in by_task.values()])


# ---- racing ----------------------------------------------------------------------------------------------------------


def racing(runs: Sequence[Run]) -> str:
    out = [["n", "runs", "rows saved", "would-be winner lost", "test points lost by it"]]
    for n in SIZES:
        some = [replayed(run) for run in runs if run.cell.n == n and len(run.cell.lanes) == len(NOW.lanes)]
        if some:
            saved, lost, points = (np.array(one, dtype=float) for one in zip(*some, strict=True))
            row = [str(n), str(len(some)), f"{saved.mean():.2f}", f"{int(lost.sum())}", f"{100 * points.mean():.1f}"]
            out.append(row)
    return markdown(out)


def replayed(run: Run) -> tuple[float, bool, float]:
    """The rows of a finished run, told in the order in which a race hears of them."""
    cell = run.cell
    race = Race(NOW.lanes, [0], cell.n, cell.metric)
    for row in sorted(cell.rows(), key=lambda row: row["i"]):
        race.tell(row)
    race.leaving()
    left = race.left
    saved = sum(cell.n - i for i in left.values()) / (cell.n * len(NOW.lanes))
    stream = run.table.stream
    winner = run.table.lanes[choose(stream, "z23")].name
    rows = [row for row in cell.rows() if row["i"] <= left.get(row["lane"], cell.n)]
    statuses = {name: "dropped" if name in left else "done" for name in NOW.names}
    raced = select(rows, NOW.lanes, metric=cell.metric, statuses=statuses).best.name
    return saved, winner in left, cell.test(run.found.best.name) - cell.test(raced)


# ---- to be read ------------------------------------------------------------------------------------------------------


def verdicts(runs: Sequence[Run], most: int = 10) -> str:
    """Of runs as unlike as there are: by task, model and number of examples in turn."""
    some = sorted(runs, key=lambda run: (run.cell.record["order"], run.cell.n, run.cell.task))
    step = max(1, len(some) // most)
    out = []
    for run in some[::step][:most]:
        tested = ", ".join(f"{lane} {100 * run.cell.test(lane):.0f}" for lane in run.cell.lanes)
        out.append(f"- *{run.cell.name}.* {run.found.verdict} (On the test: {tested}.)")
    return "\n".join(out)


SECTIONS: dict[str, Callable[[Sequence[Run]], str]] = {
    "Delivery: what becomes of one draw, and what other ways bring (points on the test)": delivery,
    "Is the number honest?": honesty,
    "Points lost by the choice": regret,
    "Points lost by a hold-out and by five folds": crossing,
    "Racing, replayed": racing,
    "Verdicts": verdicts,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=Path, default=Path("results/promise.jsonl"))
    parser.add_argument("--fixed", type=Path, default=Path("results/promise-fixed.jsonl"))
    parser.add_argument("--folds", type=Path, default=Path("results/promise-folds.jsonl"))
    parser.add_argument("--empty", type=Path, default=Path("results/promise-empty.jsonl"))
    parser.add_argument("--to", type=Path, help="a Markdown file")
    asked = parser.parse_args()
    runs = [run_of(cell) for cell in cells(asked.lines, asked.fixed, asked.folds)]
    made = {head: section(runs) for head, section in SECTIONS.items()}
    made["Labels that carry nothing"] = nothing(asked.empty)
    text = "\n\n".join(f"## {head}\n\n{section}" for head, section in made.items())
    print(text)
    publish(asked.to and asked.to.with_suffix(".json"), "Is what is promised what is delivered?", text, runs=len(runs))


if __name__ == "__main__":
    main()
