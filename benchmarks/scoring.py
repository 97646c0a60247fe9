"""What does it cost to score every example, over training on it alone?

    OMP_NUM_THREADS=1 python -m benchmarks.scoring [--shape lab|5m] [--lanes 16] [--rounds 7] [--json FILE]

Sixteen lanes walk from example to example as in a run: one forward that predicts and carries the loss of update 1, then
the other updates. `train` does the same without scoring anything; all else is told against it, in the same round:

    exact          the right answer is scored in the training's own forward
    choice, apart  four choices that one token tells apart
    choice         four choices of two and three tokens, scored behind the kept keys and values
    match, hit h   what the forward cannot tell is generated: greedy text of the answer's length for the share 1 - h of
                   the rows, pass by pass (`match` and every other metric on text generate misses only, so h is what
                   their cost hangs on; 0 is a metric on text that never hits)

Rows hold random tokens and five answers of eight tokens, the last one being the example's. Contenders take turns, round
after round, in one process of one thread; processor time, medians of the rounds.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.records import markdown, publish

ANSWER, ANSWERS, PASS_TOKENS = 8, 5, 1024
TOKENS = {"lab": 64, "5m": 128, "135m": 256}
CHOICES_APART = "choice, apart"
HITS = {"match, hit 0.8": 0.8, "match, hit 0.2": 0.2, "match, hit 0": 0.0}
WAYS = ("train", "exact", CHOICES_APART, "choice", *HITS)
UPDATES = (1, 5)


def model_of(shape: str) -> Any:
    if shape == "lab":
        from fewfit.models import local

        return local.load("lab").model
    from benchmarks.shapes import shaped

    return shaped(shape)


def rows_of(lanes: int, tokens: int, vocabulary: int, *, choices: str = "", seed: int = 0) -> list[Any]:
    """One row a lane: `ANSWERS` answers, evenly spread, the last one at the end."""
    from fewfit.engine.learner import Row, Track

    rng = random.Random(seed)
    ends = [tokens * (k + 1) // ANSWERS for k in range(ANSWERS)]
    length = min(ANSWER, tokens // ANSWERS - 1)
    spans = tuple((end - length, end) for end in ends)
    out = []
    for number in range(lanes):
        ids = tuple(rng.randrange(3, vocabulary) for _ in range(tokens))
        asked: tuple[tuple[int, ...], ...] = ()
        if choices:
            ids, asked = with_choices(ids, choices, rng, vocabulary)
            spans = (*spans[:-1], (tokens - len(asked[0]), tokens))
        out.append(Row(Track(f"lane-{number}", 0), ids, spans, spans, asked))
    return out


def with_choices(
    ids: tuple[int, ...], choices: str, rng: random.Random, vocabulary: int
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Four choices, the first one right; the row ends with it."""
    end = 2
    lengths = (2, 2, 2, 2) if choices == CHOICES_APART else (3, 2, 3, 2)
    asked = tuple((*(rng.randrange(3, vocabulary) for _ in range(length - 1)), end) for length in lengths)
    return (*ids[: -len(asked[0])], *asked[0]), asked


def walk(learner: Any, passes: Sequence[Sequence[Any]], updates: int, hit: float | None) -> None:
    """Every lane, one example on."""
    for some in passes:
        told = learner.score(some)
        if hit is not None:
            misses = some[: round(len(some) * (1 - hit))]
            if misses:
                learner.generate(misses, ANSWER, [one.argmax for one in told[: len(misses)]])
        learner.update(some)
        for _ in range(updates - 1):
            learner.update([replace(row, scored=False, choices=()) for row in some])


def measure(shape: str, lanes: int, tokens: int, rounds: int, ways: Sequence[str] = WAYS) -> list[dict[str, Any]]:
    from fewfit.engine.stack import StackLearner
    from fewfit.grid import Lane

    model = model_of(shape)
    vocabulary = model.config.vocab_size
    learner = StackLearner(model, end_ids=frozenset())  # nothing ends an answer early
    lane = Lane(lr=1e-5, updates=1)
    width = max(1, PASS_TOKENS // tokens)
    passes: dict[str, list[list[Any]]] = {}
    for way in ways:
        rows = rows_of(lanes, tokens, vocabulary, choices=way if way.startswith("choice") else "")
        rows = [replace(row, scored=way != "train") for row in rows]
        passes[way] = [rows[start : start + width] for start in range(0, lanes, width)]
    for row in (row for some in passes[ways[0]] for row in some):
        learner.open(row.track, lane)
    spent: dict[tuple[str, int], list[float]] = {(way, updates): [] for way in ways for updates in UPDATES}
    for number in range(rounds + 1):
        for (way, updates), times in spent.items():
            start = time.process_time()
            walk(learner, passes[way], updates, HITS.get(way))
            if number:  # the first round warms up
                times.append((time.process_time() - start) / lanes)
        print(f"{shape}: round {number}", file=sys.stderr, flush=True)
    learner.close()
    return [
        {
            "shape": shape,
            "lanes": lanes,
            "tokens": tokens,
            "way": way,
            "updates": updates,
            "ms_per_lane_example": round(1e3 * median(times), 3),
            "over_training": round(
                median(a / b for a, b in zip(times, spent["train", updates], strict=True)) - 1, 4
            ),
            "rounds": [round(1e3 * one, 3) for one in times],
        }
        for (way, updates), times in spent.items()
    ]  # fmt: skip


def table(records: Sequence[dict[str, Any]]) -> str:
    rows = [
        [
            "shape",
            "scored by",
            *(f"updates {u}: ms a lane and example" for u in UPDATES),
            *(f"over training, {u}" for u in UPDATES),
        ]
    ]
    for shape in dict.fromkeys(one["shape"] for one in records):
        for way in dict.fromkeys(one["way"] for one in records):
            some = [one for one in records if (one["shape"], one["way"]) == (shape, way)]
            if some:
                told = ["" if way == "train" else f"{one['over_training']:+.0%}" for one in some]
                rows.append([shape, way, *(f"{one['ms_per_lane_example']:.1f}" for one in some), *told])
    return markdown(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="lab,5m")
    parser.add_argument("--lanes", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    records = []
    for shape in asked.shape.split(","):
        records += measure(shape, asked.lanes, TOKENS[shape], asked.rounds)
    text = table(records)
    print(text)
    publish(asked.json, __doc__, text, records=records)


if __name__ == "__main__":
    main()
