"""From predictions to a verdict. Reads prediction rows and the grid's lanes, nothing else.

table.py     prediction rows as arrays
choice.py    which lane, how good, which kind is better
records.py   what a selection says, as frozen records
verdict.py   the same in plain sentences
"""

from fewfit.select.choice import more_examples, select
from fewfit.select.records import Best, Comparison, LaneResult, Majority, Selection
from fewfit.select.table import KINDS_CHEAPEST_FIRST, LaneLike, tie_order

__all__ = [
    "KINDS_CHEAPEST_FIRST",
    "Best",
    "Comparison",
    "LaneLike",
    "LaneResult",
    "Majority",
    "Selection",
    "more_examples",
    "select",
    "tie_order",
]
