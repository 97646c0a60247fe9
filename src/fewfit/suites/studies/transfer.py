"""Learnt from one set, tested on another of the same labels, both ways: which of the three carries further?

The function vectors' `sentiment` reads like SST's own sentences, cased and with their spaces: from it to sst2 the form
shifts more than what is written about. Tweets, which have a third label, are asked for by name:
sst2-to-tweet-sentiment-as-sst2 beside tweet-sentiment-as-sst2, and tweet-sentiment-as-sst2-to-sst2 beside sst2.
"""

from __future__ import annotations

from collections.abc import Sequence

from fewfit.grid import Lane
from fewfit.suites.studies.study import BOTH, TUNED, Compared, Study, one, told_of_tasks
from fewfit.suites.tasks.comparing import Difference, Row

PAIRS = (("sst2", "sentiment"), ("stance-abortion", "stance-feminist"), ("stance-atheism", "stance-climate"))


def report(rows: Sequence[Row], found: Sequence[Difference]) -> list[str]:
    """What it costs to have learnt from another set than the tested one's."""
    crossed = dict.fromkeys(row["task"] for row in rows if "-to-" in row["task"])
    pairs = [(name, name.partition("-to-")[2]) for name in crossed]
    return told_of_tasks(rows, pairs, "learnt from another set against the tested one's own")


STUDY = Study(
    "transfer",
    "What is left on another set of the same labels: of prompting, of tuning, of both?",
    (one("icl", Lane(shots=4)), one("ft", TUNED), one("icl+ft", BOTH)),
    (Compared("icl+ft", ("icl", "ft")), Compared("ft", ("icl",))),
    tasks=tuple(name for a, b in PAIRS for name in (a, f"{b}-to-{a}", b, f"{a}-to-{b}")),
    report=report,
    quick=("support", "flipped-support-to-support"),
)
