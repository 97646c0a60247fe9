"""Rows, lanes and comparisons that the tests of the stacked engine share."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch

from fewfit.engine.learner import LaneState, Learner, Row, Scored, Track
from fewfit.engine.plain import PlainLearner
from fewfit.engine.stack import StackLearner
from fewfit.grid import Lane
from fewfit.run.sizing import Counted

END = frozenset({2})
LENGTHS = (18, 40)  # both sides of the tiny models' sliding window


def track_of(lane: Lane, seed: int = 0) -> Track:
    return Track(lane.name, seed)


def lane(**settings: Any) -> Lane:
    return Lane(**{"lr": 3e-3, "updates": 1, **settings})


def random_row(
    track: Track, rng: random.Random, *, choices: str = "", train: bool = True, answers: int = 2, length: int = 0
) -> Row:
    """A sequence with `answers` answers of 2 to 4 tokens; `choices`: none, `one-apart` or `several` tokens."""
    length = length or rng.randrange(*LENGTHS)
    ids = tuple(rng.randrange(3, 300) for _ in range(length))
    size = rng.randrange(2, 5)
    middle = [(start, start + 2) for start in rng.sample(range(4, length - 8, 3), answers - 1)]
    spans = (*sorted(middle), (length - size, length))
    answer = ids[-size:]
    offered: tuple[tuple[int, ...], ...] = ()
    if choices == "one-apart":
        offered = tuple((token, *answer[1:]) for token in (answer[0], 290, 291))
    if choices == "several":
        offered = (answer, (7, 9, 11), (12, 13, 14, 15, 16), (5,))
    return Row(track, ids, spans, spans if train else (), offered)


def rows_of(lanes: Sequence[Lane], steps: int, seed: int = 0, **kind: Any) -> list[list[Row]]:
    """For each step one row a lane."""
    rng = random.Random(seed)
    kinds = ("", "one-apart", "several")
    return [
        [random_row(track_of(one), rng, train=one.trains, choices=kinds[step % 3], **kind) for one in lanes]
        for step in range(steps)
    ]


def bytes_of_a_step(learner: Learner, lane: Lane, row: Row) -> int:
    """The most that lives at once, beside what a first step has made for all. The learner is closed."""
    learner.open(track_of(lane), lane)
    learner.score([row])
    learner.update([row])
    with Counted() as counted:
        learner.score([row])
        learner.update([row])
    learner.close()
    return counted.most


def plain_run(model: Any, lanes: Sequence[Lane], steps: list[list[Row]], total: int = 1) -> dict[Track, Any]:
    """The oracle, lane after lane: predictions and last state of each track."""
    learner = PlainLearner(model, end_ids=END, totals=lambda lane: total)
    out: dict[Track, tuple[list[Scored], LaneState]] = {}
    for index, one in enumerate(lanes):
        learner.open(track_of(one), one)
        told = []
        for rows in steps:
            told += learner.score([rows[index]])
            if rows[index].loss:
                learner.update([rows[index]])
        out[track_of(one)] = (told, learner.state(track_of(one)))
    learner.close()
    return out


def stack_run(model: Any, lanes: Sequence[Lane], steps: list[list[Row]], total: int = 1) -> dict[Track, Any]:
    learner = StackLearner(model, end_ids=END, totals=lambda lane: total)
    for one in lanes:
        learner.open(track_of(one), one)
    told = []
    for rows in steps:
        told.append(learner.score(rows))
        training = [row for row in rows if row.loss]
        if training:
            learner.update(training)
    out = {
        track_of(one): ([results[index] for results in told], learner.state(track_of(one)))
        for index, one in enumerate(lanes)
    }
    learner.close()
    return out


def assert_alike(ours: Sequence[Scored], theirs: Sequence[Scored], tolerance: float) -> None:
    """Numbers within the tolerance; discrete fields wherever the margin exceeds it."""
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        close = tolerance * max(1.0, b.nll)
        assert abs(a.nll - b.nll) <= close
        assert a.tokens == b.tokens
        assert len(a.choices) == len(b.choices)
        # Log p of a choice is as large as an answer's nll.
        for p, q in zip(a.choices, b.choices, strict=True):
            assert abs(p - q) <= tolerance * max(1.0, abs(q))
        assert abs(a.margin - b.margin) <= 10 * close
        if b.margin > 10 * close:
            assert (a.hit, a.argmax) == (b.hit, b.argmax)


def largest_gap(ours: LaneState, theirs: LaneState) -> float:
    assert set(ours.tensors) == set(theirs.tensors)
    assert (ours.steps, ours.diverged) == (theirs.steps, theirs.diverged)
    gaps = [(ours.tensors[k].double() - theirs.tensors[k].double()).abs().max() for k in theirs.tensors]
    return float(torch.stack(gaps).max()) if gaps else 0.0


def opened(model: Any, lanes: Sequence[Lane], kind: type = StackLearner) -> Learner:
    learner = kind(model, end_ids=END)
    for one in lanes:
        learner.open(track_of(one), one)
    return learner
