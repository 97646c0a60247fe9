"""What a selection says, as frozen records."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

Interval = tuple[float, float]


@dataclass(frozen=True)
class LaneResult:
    """One lane's figures; None where it has no row (or no likelihood).

    `score` and `interval` estimate the lane as it would be delivered. They are the one number that is shown of it
    wherever it is named.
    """

    name: str
    model: str | None
    kind: str
    shots: int
    shots_at_use: int
    lr: float
    updates: int
    n: int  # examples predicted
    prequential: float | None  # mean over the stream
    score: float | None  # of the recommended lane, corrected for the choice
    interval: Interval | None  # holds for all lanes at once
    accuracy: float | None  # share of `correct` over the stream
    nll: float | None  # nats per answer, mean over the stream
    tokens: float | None  # of a query's prompt
    rising: bool
    counted_from: int | None  # the place in the stream from which on its rows tell how it is when delivered
    status: str


@dataclass(frozen=True)
class Best:
    """The recommended lane, its figures corrected for the choice."""

    name: str
    kind: str
    score: float
    interval: Interval
    prequential: float
    prequential_interval: Interval
    rising: bool


@dataclass(frozen=True)
class Comparison:
    """One side against another. Sides are kinds, or `prompting`: zero-shot and icl together."""

    this: str
    other: str
    lane: str
    other_lane: str
    difference: float  # over the last half, corrected
    interval: Interval
    prequential: float  # over the whole stream
    prequential_interval: Interval
    says: str  # "better", "worse" or "not settled": what may be said of `this`
    so_far: bool  # the losing side's lane is still rising and may catch up
    more: int | None  # examples to add that would likely settle it; None where settled, or level


@dataclass(frozen=True)
class Majority:
    """Always giving the most frequent answer; where each question has options of its own (`answer` None), any of
    them."""

    answer: str | None
    share: float  # of all examples, named with hindsight: the bar is, if anything, a little high


@dataclass(frozen=True)
class Selection:
    metric: str
    asked: str  # the criterion asked for
    criterion: str  # the one chosen by: `accuracy` where `nll` was asked for and a lane has no likelihood
    n: int  # examples
    seeds: int
    lanes: tuple[LaneResult, ...]  # as given
    best: Best
    leader: str  # the lane that the criterion puts first: the recommended one, or one that costs more to serve
    best_of_kind: dict[str, str]  # kind: lane; kinds without a lane that can win are missing
    comparisons: tuple[Comparison, ...]
    majority: Majority | None
    cheaper: bool  # what is recommended costs less to serve than what leads among lanes that are not called worse
    learnt: bool  # whether any lane leads an answer that knows the labels alone
    settled: bool  # the recommended lane's side is surely better than every other
    flat: bool  # rows are questions, and nothing was learnt between one and the next
    verdict: str
    warnings: tuple[str, ...]

    def lane(self, name: str) -> LaneResult:
        return next(lane for lane in self.lanes if lane.name == name)

    @property
    def nothing_learnt(self) -> bool:
        if self.majority is None or not self.learnt:
            return self.majority is not None
        lows = [lane.interval[0] for lane in self.lanes if lane.status == "done" and lane.interval]
        return max(self.best.score, *lows) <= self.majority.share

    def comparison(self, this: str, other: str) -> Comparison:
        """The comparison seen from `this`."""
        for each in self.comparisons:
            if (each.this, each.other) == (this, other):
                return each
            if (each.this, each.other) == (other, this):
                return turned(each)
        raise KeyError(f"{this} was not compared with {other}")

    def as_json(self) -> dict[str, Any]:
        """The part of `fit --json` that is known here. Strict JSON: no NaN."""
        return {
            "best": self.best.name,
            "kind": self.best.kind,
            "leader": self.leader,
            "n": self.n,
            "seeds": self.seeds,
            "criterion": self.criterion,
            "flat": self.flat,
            "metric": self.metric,
            "score": self.best.score,
            "interval": list(self.best.interval),
            "prequential": self.best.prequential,
            "prequential_interval": list(self.best.prequential_interval),
            "majority": None if self.majority is None else self.majority.share,
            "majority_answer": None if self.majority is None else self.majority.answer,
            "verdict": self.verdict,
            "settled": self.settled,
            "nothing_learnt": self.nothing_learnt,
            "rising": self.best.rising,
            "best_of_kind": self.best_of_kind,
            "comparisons": [as_lists(each) for each in self.comparisons],
            "lanes": [as_lists(lane) for lane in self.lanes],
        }


def as_lists(record: Comparison | LaneResult) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(record).items()}


def turned(comparison: Comparison) -> Comparison:
    """The same comparison from the other side."""
    (low, high), (stream_low, stream_high) = comparison.interval, comparison.prequential_interval
    return replace(
        comparison,
        this=comparison.other,
        other=comparison.this,
        lane=comparison.other_lane,
        other_lane=comparison.lane,
        difference=-comparison.difference,
        interval=(-high, -low),
        prequential=-comparison.prequential,
        prequential_interval=(-stream_high, -stream_low),
        says={"better": "worse", "worse": "better"}.get(comparison.says, comparison.says),
    )
