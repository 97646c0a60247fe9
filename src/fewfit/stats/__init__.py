"""Intervals, curves, paired differences: arrays in, numbers out.

    stream.py      the scores of all lanes on all rows, and windows over them
    criterion.py   which lane is chosen, in the sample and in resamples of it
    chosen.py      how good the chosen lane is, corrected for having been chosen
    difference.py  whether one kind of lanes is better than another
    intervals.py   Clopper-Pearson, Tango, and the maximum over lanes
    curve.py       whether a lane is still rising

docs/statistics.md says in prose what is done and what simulation shows of it.
"""

from fewfit.stats.chosen import Estimate, at_delivery, chosen_estimate, estimates
from fewfit.stats.criterion import (
    CRITERIA,
    Cheapest,
    Criterion,
    Resamples,
    cheapest,
    choose,
    criterion_start,
    item_scores,
    likelihood_per_token,
    recommend,
    resample,
)
from fewfit.stats.curve import is_rising
from fewfit.stats.difference import Difference, difference_of_kinds
from fewfit.stats.intervals import clopper_pearson, tango_interval
from fewfit.stats.stream import Stream

__all__ = [
    "CRITERIA",
    "Cheapest",
    "Criterion",
    "Difference",
    "Estimate",
    "Resamples",
    "Stream",
    "at_delivery",
    "chosen_estimate",
    "cheapest",
    "choose",
    "clopper_pearson",
    "criterion_start",
    "difference_of_kinds",
    "estimates",
    "is_rising",
    "item_scores",
    "likelihood_per_token",
    "recommend",
    "resample",
    "tango_interval",
]
