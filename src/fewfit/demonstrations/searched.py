"""One set for all queries, searched for: again and again the demonstration is added behind which the model, untrained,
finds the answers of other examples likeliest (arXiv 2405.19874 adds them so by a judge).

A set that was searched on examples knows them. So a search is made on the first examples that a set may be drawn from,
and again on a half, three quarters and all of the order: each for the predictions of later examples, the last one for
the bundle. Before the first, and in the prompts that a tuning lane trains on, any earlier examples stand.
The search itself needs the model: search/prefixes.py.
"""

from __future__ import annotations

from fewfit.demonstrations.random import Random

CANDIDATES, QUESTIONS = 8, 24  # of one search, at most: as many candidates as there are sets to choose among otherwise


class Searched(Random):
    """What stands where nothing was searched for yet."""
