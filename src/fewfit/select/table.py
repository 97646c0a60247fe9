"""Prediction rows as arrays."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from fewfit.demonstrations.delivery import first_of
from fewfit.errors import NoUsableLane
from fewfit.select.records import LaneResult
from fewfit.stats import Estimate, Stream, is_rising, likelihood_per_token
from fewfit.stats.stream import Bools, Floats, Ints

KINDS_CHEAPEST_FIRST = ("zero-shot", "ft", "icl", "icl+ft")  # to serve; a tie goes to the first


class LaneLike(Protocol):
    """What is read of a lane (`fewfit.grid.Lane` has it)."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def shots(self) -> int: ...
    @property
    def lr(self) -> float: ...
    @property
    def updates(self) -> int: ...
    @property
    def model(self) -> str | None: ...
    @property
    def is_fixed(self) -> bool: ...
    @property
    def shots_at_use(self) -> int: ...
    @property
    def members(self) -> int: ...


@dataclass(frozen=True)
class Table:
    """Prediction rows as arrays, lanes in the order of ties, rows by seed and place."""

    lanes: tuple[LaneLike, ...]
    statuses: tuple[str, ...]
    stream: Stream
    correct_LR: Floats
    nll_LR: Floats  # nats per answer, as the rows have it; NaN where there is none
    tokens_LR: Floats  # of the prompt
    gold: tuple[str, ...]  # one an example
    own_options_R: Floats | None = None  # how many, where rows have no labels in common

    @staticmethod
    def of(
        rows: Iterable[Mapping[str, Any]],
        lanes: Sequence[LaneLike],
        metric: str,
        statuses: Mapping[str, str] | None,
        flat: bool = False,
    ) -> Table:
        ordered = tuple(sorted(lanes, key=tie_order))
        lane_of = {lane.name: index for index, lane in enumerate(ordered)}
        rows = list(rows)
        keys = sorted({(row["seed"], row["i"]) for row in rows})
        if not keys:
            raise NoUsableLane("no prediction was made", hint="run on at least one example")
        column_of = {key: column for column, key in enumerate(keys)}
        example_of: dict[Any, int] = {}
        gold: list[str] = []
        example_R = np.zeros(len(keys), dtype=np.int64)
        shape = (len(ordered), len(keys))
        score_LR, correct_LR, nll_LR, tokens_LR, of_choice_LR, prompt_LR = (np.full(shape, np.nan) for _ in range(6))
        for row in rows:
            at = lane_of[row["lane"]], column_of[row["seed"], row["i"]]
            if row["id"] not in example_of:
                example_of[row["id"]] = len(gold)
                gold.append(row["gold"])
            example_R[at[1]] = example_of[row["id"]]
            score_LR[at] = row["score"] if math.isfinite(row["score"]) else 0.0
            correct_LR[at] = row["correct"]
            prompt_LR[at] = row.get("prompt_tokens", np.nan)
            tokens_LR[at] = row["tokens"] if row["tokens"] else np.nan
            if row["nll"] is not None:
                # A likelihood that is no number is the worst there is, not a missing one.
                nll_LR[at] = row["nll"] if math.isfinite(row["nll"]) else np.inf
            if metric == "choice":
                of_choice_LR[at] = right_choice_nll(row)

        complete_L = ~np.isnan(score_LR).any(axis=1)
        if statuses is None:
            named = tuple("done" if complete else "dropped" for complete in complete_L)
        else:
            named = tuple(statuses.get(lane.name, "done") for lane in ordered)
        can_win_L = complete_L & np.array([status == "done" for status in named])

        def known(values_LR: Floats) -> bool:
            return not np.isnan(values_LR[can_win_L]).any()

        likelihood_LR: Floats | None = None
        if metric == "choice" and known(of_choice_LR):
            likelihood_LR = likelihood_per_token(of_choice_LR, np.ones(shape))
        elif known(nll_LR):
            likelihood_LR = likelihood_per_token(nll_LR, tokens_LR)
        stream = Stream(
            score_LR=score_LR,
            nll_LR=likelihood_LR,
            example_R=example_R,
            place_R=np.array([place for _, place in keys]),
            can_win_L=can_win_L,
            flat=flat,
        )
        own_R = options_of(rows, column_of) if metric == "choice" else None
        return Table(ordered, named, stream, correct_LR, nll_LR, prompt_LR, tuple(gold), own_R)

    @cached_property
    def telling_LR(self) -> Bools:
        """The rows that tell how a lane is when it is delivered: of one that learns the last half of what it predicted;
        of one that only prompts all, from the row on that had all its demonstrations."""
        there_LR = ~np.isnan(self.stream.score_LR)
        if self.stream.flat:
            return there_LR
        place_R = self.stream.place_R
        begins_L = []
        for lane, there_R in zip(self.lanes, there_LR, strict=True):
            last = int(place_R[there_R].max()) if there_R.any() else 0
            begins = first_of(self.stream.places, lane.shots_at_use) if lane.is_fixed else lane.shots_at_use
            begins_L.append(last // 2 if lane.updates else min(begins, last // 2))
        return there_LR & (place_R > np.array(begins_L)[:, None])

    def tier_L(self, model: str | None) -> Ints:
        """Lanes that cost about the same to serve have the same number. What another model
        costs is not known here: it is never cheaper."""
        return np.array(
            [
                (lane.model != model) * 10_000_000
                + KINDS_CHEAPEST_FIRST.index(lane.kind) * 1_000_000
                + lane.shots_at_use * lane.members
                for lane in self.lanes
            ]
        )

    def rises(self, index: int) -> bool:
        """Of a lane that trains: nothing about another one changes."""
        if self.stream.flat:
            return False
        there_R = ~np.isnan(self.stream.score_LR[index])
        stream = self.stream
        return self.lanes[index].updates > 0 and is_rising(
            stream.score_LR[index][there_R], stream.place_R[there_R], stream.example_R[there_R]
        )

    def result(self, index: int, estimate: Estimate | None, rising: bool) -> LaneResult:
        lane = self.lanes[index]
        there_R = ~np.isnan(self.stream.score_LR[index])
        score_R, example_R = self.stream.score_LR[index][there_R], self.stream.example_R[there_R]
        nll_R, tokens_R = self.nll_LR[index], self.tokens_LR[index]
        telling_R = self.telling_LR[index]
        return LaneResult(
            name=lane.name,
            model=lane.model,
            kind=lane.kind,
            shots=lane.shots,
            shots_at_use=lane.shots_at_use,
            lr=lane.lr,
            updates=lane.updates,
            n=len(np.unique(example_R)),
            prequential=mean_or_none(score_R),
            score=None if estimate is None else estimate.point,
            interval=None if estimate is None else (estimate.low, estimate.high),
            accuracy=mean_or_none(self.correct_LR[index][there_R]),
            nll=mean_or_none(nll_R[np.isfinite(nll_R)]),
            tokens=mean_or_none(tokens_R[telling_R & np.isfinite(tokens_R)]),
            rising=rising,
            status=self.statuses[index],
            counted_from=int(self.stream.place_R[telling_R].min()) if telling_R.any() else None,
        )


def options_of(rows: Sequence[Mapping[str, Any]], column_of: Mapping[Any, int]) -> Floats | None:
    """How many options each row has; None where rows have them in common, and always giving the commonest right answer
    is right as often as a guess."""
    options = {column_of[row["seed"], row["i"]]: frozenset(row["probs"] or ()) for row in rows}
    count = Counter(row["gold"] for row in rows)
    commonest = min(count, key=lambda gold: (-count[gold], gold))
    found_R = np.array([float(max(1, len(options[column]))) for column in range(len(options))])
    if len(set(options.values())) == 1 or count[commonest] / len(rows) >= (1 / found_R).mean():
        return None
    return found_R


def tie_order(lane: LaneLike) -> tuple[int, int, int, str]:
    return KINDS_CHEAPEST_FIRST.index(lane.kind), lane.shots, lane.updates, lane.name


def mean_or_none(values: Floats) -> float | None:
    return float(values.mean()) if values.size else None


def right_choice_nll(row: Mapping[str, Any]) -> float:
    """Minus the log of the right choice's probability among the choices; NaN where the row does not tell."""
    probabilities: Mapping[str, float] | None = row["probs"]
    if not probabilities:
        return np.nan
    gold = row["gold"] if row["gold"] in probabilities else row["gold"].strip()
    total = math.fsum(probabilities.values())
    if gold not in probabilities:
        return np.nan
    share = probabilities[gold] / total if total > 0 else 0.0
    return -math.log(share) if share > 0 else math.inf  # also where it is NaN: the worst, and clipped later
