"""An answer that knows how common each label is and nothing of the question: always the commonest; where each question
has options of its own, any of them.

A lane that does not lead it has learnt nothing that its examples could show.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from fewfit.select.table import Table
from fewfit.stats import Criterion, item_scores
from fewfit.stats.criterion import NATS_AT_MOST
from fewfit.stats.stream import Bools, Floats, by_example

LEARNT = 1.28  # standard errors; of eight lanes that know nothing one is beyond in at most one run of eight


def lanes_that_learnt(table: Table, criterion: Criterion) -> Bools:
    """Those that lead the baseline, if any of them leads it by more than chance."""
    lead_L = leads(table, criterion)
    return (lead_L > 0) & bool((lead_L > LEARNT).any())


def leads(table: Table, criterion: Criterion) -> Floats:
    """By how many standard errors a lane's item scores lead those of the baseline, over the whole stream; minus
    infinity of those that cannot win."""
    stream = table.stream
    score_R, nll_R = baseline(table)
    if criterion == "z23":  # what knows the labels alone gives the right one no higher probability than by being sure
        nll_R = -np.log(np.maximum(score_R, 1e-9))
    out_L = np.full(stream.lanes, -np.inf)
    for lane in np.flatnonzero(stream.can_win_L):
        score_2R = np.stack([stream.score_LR[lane], score_R])
        nll_2R = None if stream.nll_LR is None else np.stack([stream.nll_LR[lane], nll_R])
        item_2R = item_scores(score_2R, nll_2R, criterion)
        lead_1E, _ = by_example(item_2R[:1] - item_2R[1:], stream.example_R, stream.examples)
        lead, count = float(lead_1E.sum()), len(np.unique(stream.example_R))
        # Two more examples that say nothing: a lead that is tiny and always there is none.
        variance = (np.square(lead_1E).sum() + 4 * item_2R.var()) / (count + 2) - (lead / (count + 2)) ** 2
        out_L[lane] = lead / max(np.sqrt(variance * count), 1e-12)
    return out_L


def baseline(table: Table) -> tuple[Floats, Floats]:
    """Its score, in the mean: what it happens to hit in a few rows is chance, and no lane should be held against that.
    And its nats, where it is as sure of a label as the label is common."""
    if table.own_options_R is not None:
        return 1 / table.own_options_R, np.minimum(NATS_AT_MOST, np.log(table.own_options_R))
    share = {label: count / len(table.gold) for label, count in Counter(table.gold).items()}
    nll_R = np.array([-np.log(share[table.gold[example]]) for example in table.stream.example_R])
    return np.full(len(nll_R), max(share.values())), np.minimum(NATS_AT_MOST, nll_R)
