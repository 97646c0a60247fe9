"""An answer that knows the labels and nothing of the question: the commonest so far; where each question has options of
its own, any of them.

A lane that does not lead it has learnt nothing that its examples could show.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from fewfit.select.table import Table
from fewfit.stats import Criterion, criterion_start, item_scores
from fewfit.stats.criterion import NATS_AT_MOST
from fewfit.stats.stream import Bools, Floats, by_example

LEARNT = 1.64  # standard errors


def lanes_that_learnt(table: Table, criterion: Criterion) -> Bools:
    """Among those that can win: whose item scores lead those of the baseline."""
    stream = table.stream
    rows = np.flatnonzero(stream.after(criterion_start(stream.places, criterion)))
    score_R, nll_R = baseline(table)
    if criterion == "z23":  # nothing that knows the labels alone has a higher probability than one that is sure
        nll_R = -np.log(np.maximum(score_R, 1e-9))
    out_L = np.zeros(stream.lanes, dtype=bool)
    for lane in np.flatnonzero(stream.can_win_L):
        score_2R = np.stack([stream.score_LR[lane, rows], score_R[rows]])
        nll_2R = None if stream.nll_LR is None else np.stack([stream.nll_LR[lane, rows], nll_R[rows]])
        item_2R = item_scores(score_2R, nll_2R, criterion)
        lead_1E, _ = by_example(item_2R[:1] - item_2R[1:], stream.example_R[rows], stream.examples)
        lead, count = float(lead_1E.sum()), len(np.unique(stream.example_R[rows]))
        # Two more examples that say nothing: a lead that is tiny and always there is none.
        variance = (np.square(lead_1E).sum() + 4 * item_2R.var()) / (count + 2) - (lead / (count + 2)) ** 2
        out_L[lane] = lead > LEARNT * np.sqrt(variance * count)
    return out_L


def baseline(table: Table) -> tuple[Floats, Floats]:
    """Score, and nats of an answer that is as likely as it was common, from the rows before it in its seed's order."""
    if table.own_options_R is not None:
        return 1 / table.own_options_R, np.minimum(NATS_AT_MOST, np.log(table.own_options_R))
    labels = sorted(set(table.gold))
    score_R, nll_R = np.zeros(len(table.stream.place_R)), np.zeros(len(table.stream.place_R))
    seen: Counter[str] = Counter()
    for row, (place, example) in enumerate(zip(table.stream.place_R, table.stream.example_R, strict=True)):
        if place == 1:
            seen = Counter()
        gold = table.gold[example]
        score_R[row] = max(labels, key=lambda label: seen[label]) == gold
        nll_R[row] = min(NATS_AT_MOST, -np.log((seen[gold] + 1) / (place - 1 + len(labels))))
        seen[gold] += 1
    return score_R, nll_R
