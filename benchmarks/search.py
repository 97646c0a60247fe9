"""Do searches at a quarter of the calls find demonstrations as good as those of the greedy search?

    python -m benchmarks.search [--seeds 0,1,2] [--studies simulated,real] [--lines FILE] [--json FILE] [--keep DIR]

simulated   candidates whose effects are known (search_made.py): a set's true worth, over many draws; a judge that says
            right or wrong, and one that gives 1 to 10 points. What likelihood tells is made up, too.
real        SmolLM2-135M-Instruct, 3 demonstrations of 16 candidates by 24 questions, believed on 60 others: the mood
            of short sentences (SST-2) and the past tense of verbs; each seed has candidates and questions of its own,
            the same for all strategies. The metric of the task is the judge, an answer scored is a call.

Cells are kept as they come and the command goes on where it stopped; with --keep, in the middle of a cell, too. Data
are looked for in ../shared/data (--data).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks.records import Lines, markdown, processor_time, publish
from benchmarks.search_made import Made
from fewfit import draw
from fewfit.kept import ended_lines
from fewfit.search import STRATEGIES, Problem
from fewfit.search.calls import Calls, Spent
from fewfit.search.comparison import RANDOM, START
from fewfit.search.pool import Pool
from fewfit.stats import clopper_pearson, tango_interval

SIZES = ((16, 24, 80), (40, 40, 30), (100, 80, 8))  # candidates, questions, draws
LEVELS = {1: "right or wrong", 9: "1 to 10"}
TASKS = ("sst2", "present-past")
CANDIDATES, QUESTIONS, HELD_OUT, K = 16, 24, 60, 3
WORDS = 12  # of a sentence, at most
KEY = ("study", "task", "seed", "model")
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


# ---- simulated -------------------------------------------------------------------------------------------------------


def simulated_cell(candidates: int, questions: int, draws: int, levels: int) -> dict[str, Any]:
    found: dict[str, list[tuple[float, int]]] = {}
    for seed in range(draws):
        made = Made(candidates, seed, levels=levels)
        problem = Problem(Pool(made.ids), tuple(f"q{number}" for number in range(questions)), K, seed)
        for name, how in STRATEGIES.items():
            calls = Calls(made, budget=how.budget(problem))
            best: tuple[str, ...] = ()
            try:
                for added in how.search(problem, calls):
                    best = added
            except Spent:
                pass
            found.setdefault(name, []).append((made.truth(best), calls.used))
        one = problem.pool.drawn(K, seed, "any set")
        for name, added in (("any set", one), ("nothing added", ())):
            found.setdefault(name, []).append((made.truth(added), 0))
    greedy = [worth for worth, _ in found["greedy"]]
    return {
        name: {
            "worth": fmean(worth for worth, _ in some),
            "calls": fmean(calls for _, calls in some),
            "less than greedy": fmean(one - worth for one, (worth, _) in zip(greedy, some, strict=True)),
            "error": stdev([one - worth for one, (worth, _) in zip(greedy, some, strict=True)]) / draws**0.5,
        }
        for name, some in found.items()
    }


# ---- real ------------------------------------------------------------------------------------------------------------


def rows_of(task: str, data: Path) -> list[dict[str, str]]:
    if task == "present-past":
        rows = json.loads((data / "function_vectors" / "present-past.json").read_text())
        return [{"prompt": row["input"], "completion": row["output"]} for row in rows]
    lines = [
        line
        for part in ("dev", "test")
        for line in (data / "nlp" / "sst2" / f"stsa.binary.{part}.txt").read_text().splitlines()
    ]
    names = {"0": "negative", "1": "positive"}
    return [{"prompt": line[2:], "completion": names[line[0]]} for line in lines if len(line.split()) <= WORDS + 1]


def real_cells(task: str, seed: int, data: Path, loaded: Any, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    from fewfit.search.selecting import SCORES, select_demos

    rows = rows_of(task, data)
    order = [rows[n] for n in draw.shuffled(range(len(rows)), str, seed=seed, purpose=f"search {task}")]
    ends = (CANDIDATES, CANDIDATES + QUESTIONS, CANDIDATES + QUESTIONS + HELD_OUT)
    for name in STRATEGIES:
        cpu = processor_time()
        selected = select_demos(
            order[: ends[0]],
            loaded.model,
            tokenizer=loaded.tokenizer,
            questions=order[ends[0] : ends[1]],
            held_out=order[ends[1] : ends[2]],
            k=K,
            strategy=name,
            seed=seed,
            out=folder,
        )
        found = selected.found
        known: dict[tuple[str, ...], dict[str, float]] = {}
        for line in ended_lines(folder / SCORES)[1:]:
            if line["kind"] == "score":
                known.setdefault(tuple(line["added"]), {}).update(zip(line["questions"], line["values"], strict=True))
        held = [one.id for one in selected.split.held_out]
        yield (
            name,
            {
                "calls": found.calls,
                "seen": found.seen,
                "steps": len(found.steps),
                "scores": [known[found.added][one] for one in held],
                "start": [known[()][one] for one in held],
                "random sets": found.worth.means[RANDOM].score,
                "gain over start": found.worth.gains[0].gain,
                "verdict": [one.verdict for one in found.worth.gains],
                "paid": found.paid,
                "cpu": round(processor_time() - cpu, 1),
            },
        )


# ---- what is told ----------------------------------------------------------------------------------------------------


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


def simulated_table(cells: Sequence[dict[str, Any]]) -> str:
    out = [["candidates × questions", "a verdict", "search", "calls", "of greedy's", "true worth", "less than greedy"]]
    for cell in cells:
        greedy = cell["found"]["greedy"]["calls"]
        for name, one in cell["found"].items():
            less = "–" if name == "greedy" else f"{percent(one['less than greedy'])} ± {percent(one['error'])}"
            share = "–" if not one["calls"] else f"{one['calls'] / greedy:.2f}"
            out.append([*cell["task"].split(", "), name, f"{one['calls']:.0f}", share, percent(one["worth"]), less])
    return markdown(out)


def real_table(cells: Sequence[dict[str, Any]]) -> str:
    """The last column compares question by question over all seeds."""
    head = ["task", "search", "calls", "of greedy's", "on its questions", "held out, by seed", "mean", "95%"]
    out = [[*head, "over greedy"]]
    for task in dict.fromkeys(cell["task"] for cell in cells):
        mine = [cell["found"] for cell in cells if cell["task"] == task]
        greedy = [found["greedy"] for found in mine]
        dear = fmean(one["calls"] for one in greedy)
        for name in STRATEGIES:
            some = [found[name] for found in mine]
            calls = fmean(one["calls"] for one in some)
            told = [f"{calls:.0f}", f"{calls / dear:.2f}", percent(fmean(one["seen"] for one in some))]
            out.append(
                [task, name, *told, *held_out([one["scores"] for one in some], [one["scores"] for one in greedy])]
            )
        start = held_out([one["start"] for one in greedy], [one["scores"] for one in greedy])
        out.append([task, START, "–", "–", "–", *start])
        by_seed = [one["random sets"] for one in greedy]
        shown = ", ".join(map(percent, by_seed))
        out.append([task, f"{RANDOM}, mean of 5", "–", "–", "–", shown, percent(fmean(by_seed)), "–", "–"])
    return markdown(out)


def held_out(by_seed: Sequence[Sequence[float]], greedy: Sequence[Sequence[float]]) -> list[str]:
    scores, others = ([one for some in part for one in some] for part in (by_seed, greedy))
    apart = [one - other for one, other in zip(scores, others, strict=True)]
    low, high = tango_interval(sum(d for d in apart if d > 0), -sum(d for d in apart if d < 0), len(apart))
    ends = " to ".join(map(percent, clopper_pearson(sum(scores), len(scores))))
    over = f"{percent(fmean(apart))} ({percent(low)} to {percent(high)})" if by_seed != greedy else "–"
    return [", ".join(percent(fmean(some)) for some in by_seed), percent(fmean(scores)), ends, over]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", default="simulated,real")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--lines", type=Path, default=Path("results/search.jsonl"))
    parser.add_argument("--keep", type=Path, help="where unfinished cells keep their scores")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    lines = Lines(asked.lines, KEY)
    studies = asked.studies.split(",")
    for candidates, questions, draws in SIZES if "simulated" in studies else ():
        for levels, name in LEVELS.items():
            key = {"study": "simulated", "task": f"{candidates} × {questions}, {name}", "seed": draws, "model": None}
            if not lines.has(**key):
                lines.add({**key, "found": simulated_cell(candidates, questions, draws, levels)})
    loaded = None
    for task in asked.tasks.split(",") if "real" in studies else ():
        for seed in map(int, asked.seeds.split(",")):
            key = {"study": "real", "task": task, "seed": seed, "model": asked.model}
            if lines.has(**key):
                continue
            if loaded is None:
                from fewfit.models import local

                loaded = local.load(asked.model, dtype="float32")
            with tempfile.TemporaryDirectory() as scratch:
                folder = (asked.keep or Path(scratch)) / f"{task}-{seed}"
                found = dict(real_cells(task, seed, asked.data, loaded, folder))
            lines.add({**key, "found": found})
    models = {"simulated": None, "real": asked.model}
    of = {
        study: [cell for cell in lines.cells if (cell["study"], cell.get("model")) == (study, model)]
        for study, model in models.items()
    }
    tables = {"simulated": simulated_table(of["simulated"]), "real": real_table(of["real"])}
    text = "\n\n".join(f"## {study.capitalize()}\n\n{tables[study]}" for study in of if of[study])
    print(text)
    publish(asked.json, __doc__ or "", text, cells=lines.cells)


if __name__ == "__main__":
    main()
