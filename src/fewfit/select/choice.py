"""Which lane, how good it will be, whether its kind is better, what more data would bring.

Numbers are made in `fewfit.stats`; here it is decided what may be said of them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from fewfit.errors import NoUsableLane
from fewfit.select.baseline import lanes_that_learnt
from fewfit.select.records import Best, Comparison, Majority, Selection
from fewfit.select.table import KINDS_CHEAPEST_FIRST, LaneLike, Table
from fewfit.select.verdict import compared, is_settled, verdict, warnings
from fewfit.stats import (
    Criterion,
    Resamples,
    at_delivery,
    cheapest,
    choose,
    chosen_estimate,
    difference_of_kinds,
    recommend,
    resample,
)
from fewfit.stats.stream import Bools

TUNING = ("ft", "icl+ft")
WITH_MAJORITY = ("choice", "match", "exact")  # one fixed answer cannot be scored by the other metrics
SHORT_STREAM = 30  # below it no curve shows whether a lane still rises
POWER = 0.84  # standard errors between a difference that is found in half of all runs and one found in 80%


def select(
    rows: Iterable[Mapping[str, Any]],
    lanes: Sequence[LaneLike],
    *,
    metric: str,
    statuses: Mapping[str, str] | None = None,
    criterion: Criterion = "z23",
    flat: bool = False,
) -> Selection:
    """Chooses among the lanes that are `done`; the others count with the rows they have.

    `statuses` are `done`, `dropped` or `diverged` by lane name; without them a lane is done that has all rows.
    `metric` is the name of the score, `choice` being special: its likelihood is that of the right choice among all.
    `flat`: nothing was learnt between one row and the next (questions about documents), so all rows say the same.
    """
    table = Table.of(rows, lanes, metric, statuses, flat)
    stream = table.stream
    if not stream.can_win_L.any():
        raise NoUsableLane("no lane finished the stream", hint="see the status of each lane; lower rates diverge less")
    asked = criterion
    if criterion == "nll" and stream.nll_LR is None:
        criterion = "accuracy"
    rising = [table.rises(index) for index in range(stream.lanes)]
    leader = choose(stream, criterion)
    rule = cheapest(stream, criterion, table.tier_L(table.lanes[leader].model))
    learnt_L = lanes_that_learnt(table, criterion) if metric == "choice" else stream.can_win_L
    learnt = bool(learnt_L.any())
    if not learnt:  # nothing to choose by: the cheapest
        rule = replace(rule, near=1e9)
    elif rising[leader]:  # what it is behind by now it will hardly be
        rule = replace(rule, near=0.0)
    resamples = resample(stream, criterion, rule)
    kinds = np.array([lane.kind for lane in table.lanes])
    groups: dict[str, Bools] = {kind: np.asarray(kinds == kind) for kind in KINDS_CHEAPEST_FIRST}
    groups["prompting"] = np.asarray(groups["zero-shot"] | groups["icl"])
    by_criterion = {
        group: choose(stream, criterion, among_L)
        for group, among_L in groups.items()
        if (among_L & stream.can_win_L).any()
    }
    among_L = np.asarray(learnt_L if learnt else stream.can_win_L)
    while True:
        chosen = recommend(stream, criterion, rule, among_L)
        picked = {group: chosen if groups[group][chosen] else lane for group, lane in by_criterion.items()}
        comparisons = []
        for this, other in pairs_to_compare(picked):
            pair = (picked[this], picked[other])
            rises = [rising[index] for index in pair]
            comparisons.append(compare(table, (this, other), (groups[this], groups[other]), pair, rises, resamples))
        kind = table.lanes[chosen].kind
        if not learnt or not any((groups[other] & among_L).any() for other in better_than(kind, comparisons)):
            break
        # The likelihood has a say in the choice and none in the comparison: a kind called worse is not recommended.
        among_L = among_L & ~groups[kind]
    cheaper = choose(stream, criterion, among_L) != chosen
    resamples = replace(resamples, among_L=among_L)

    trains_L = np.array([lane.kind in TUNING for lane in table.lanes])
    learning_L = trains_L & (np.array(rising) | (stream.places < SHORT_STREAM)) & (not flat)
    delivered = at_delivery(stream, table.telling_LR, chosen, resamples, learning_L)
    seen_L = np.asarray(~np.isnan(stream.score_LR).all(axis=1))
    results = {
        lane.name: table.result(index, delivered[index] if seen_L[index] else None, rising[index])
        for index, lane in enumerate(table.lanes)
    }
    score = delivered[chosen]
    prequential = chosen_estimate(stream, stream.whole, chosen, resamples)
    best = Best(
        name=table.lanes[chosen].name,
        kind=table.lanes[chosen].kind,
        score=score.point,
        interval=(score.low, score.high),
        prequential=prequential.point,
        prequential_interval=(prequential.low, prequential.high),
        rising=rising[chosen],
    )
    majority = most_frequent(table.gold) if metric in WITH_MAJORITY else None
    if table.own_options_R is not None:
        majority = Majority(None, float((1 / table.own_options_R).mean()))
    selection = Selection(
        metric=metric,
        asked=asked,
        criterion=criterion,
        n=stream.examples,
        seeds=stream.seeds,
        lanes=tuple(results[lane.name] for lane in lanes),
        best=best,
        leader=table.lanes[leader].name,
        best_of_kind={kind: table.lanes[picked[kind]].name for kind in KINDS_CHEAPEST_FIRST if kind in picked},
        comparisons=tuple(comparisons),
        majority=majority,
        learnt=learnt,
        cheaper=cheaper,
        settled=False,
        flat=flat,
        verdict="",
        warnings=(),
    )
    settled = not selection.nothing_learnt and is_settled(compared(selection))
    selection = replace(selection, settled=settled)
    return replace(selection, verdict=verdict(selection), warnings=warnings(selection))


def better_than(kind: str, comparisons: Sequence[Comparison]) -> list[str]:
    """The kinds that this one is called worse than."""
    out = []
    for each in comparisons:
        if each.this == kind and each.says == "worse" and not each.so_far:
            out.append(each.other)
        if each.other == kind and each.says == "better" and not each.so_far:
            out.append(each.this)
    return [other for other in out if other != "prompting"]


def most_frequent(gold: Sequence[str]) -> Majority:
    answer, count = min(Counter(gold).items(), key=lambda item: (-item[1], item[0]))
    return Majority(answer, count / len(gold))


def pairs_to_compare(picked: Mapping[str, int]) -> list[tuple[str, str]]:
    """All pairs of kinds; and, where both kinds of prompting ran, prompting as one against the tuning kinds."""
    kinds = [kind for kind in KINDS_CHEAPEST_FIRST if kind in picked]
    pairs = list(combinations(kinds, 2))
    return pairs + [("prompting", kind) for kind in kinds if kind in TUNING and "prompting" in picked]


def compare(
    table: Table,
    sides: tuple[str, str],
    among: tuple[Bools, Bools],
    pair: tuple[int, int],
    tuning_rises: Sequence[bool],
    resamples: Resamples,
) -> Comparison:
    """Kinds are compared at delivery, by the last half of the stream; the whole stream stands beside.

    A tuning lane that is still rising will be better at delivery than its last half says. So that it is better may be
    said from the interval alone, that something is better than it only "so far".
    """
    stream = table.stream
    late = difference_of_kinds(stream, stream.last_half, *among, pair, resamples)
    whole = difference_of_kinds(stream, stream.whole, *among, pair, resamples)
    says = "better" if late.low > 0 else "worse" if late.high < 0 else "not settled"
    return Comparison(
        this=sides[0],
        other=sides[1],
        lane=table.lanes[pair[0]].name,
        other_lane=table.lanes[pair[1]].name,
        difference=late.point,
        interval=(late.low, late.high),
        prequential=whole.point,
        prequential_interval=(whole.low, whole.high),
        says=says,
        so_far=(says == "better" and tuning_rises[1]) or (says == "worse" and tuning_rises[0]),
        more=more_examples(late.point, late.low, late.high, stream.examples) if says == "not settled" else None,
    )


def more_examples(point: float, low: float, high: float, n: int) -> int | None:
    """How many examples to add until a difference as large as `point` would be found in four of five runs.

    Intervals shrink like 1 / sqrt(n). None below half a point: no number of examples that anybody gathers settles that.
    """
    size = abs(point)
    if size < 0.005:
        return None
    reach = max(point - low, 0.0) if point > 0 else max(high - point, 0.0)
    needed = n * (reach * (1 + POWER / 1.96) / size) ** 2
    return max(1, math.ceil(needed) - n)
