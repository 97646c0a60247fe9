"""Which earlier examples stand in a prompt: one chooser a file, and its line below.

A lane names its chooser (`Lane.demonstrations`); tests/conformance/test_choosers.py says what every one keeps to.
One of your own is put into CHOOSERS before `fit`, `resume` and `load`: `CHOOSERS["mine"] = Mine()`.
"""

from __future__ import annotations

from fewfit.demonstrations.balanced import Balanced
from fewfit.demonstrations.chooser import Chooser, Moment
from fewfit.demonstrations.mixed import Mixed
from fewfit.demonstrations.random import Random
from fewfit.demonstrations.searched import Searched
from fewfit.demonstrations.similar import Similar
from fewfit.errors import UserError
from fewfit.grid import SEARCHED

CHOOSERS: dict[str, Chooser] = {
    "random": Random(),
    "balanced": Balanced(),
    "similar": Similar(),
    "mixed": Mixed(),
    SEARCHED: Searched(),
}

SHIPPED = frozenset(CHOOSERS)  # what other processes know, too

__all__ = ["CHOOSERS", "SHIPPED", "Chooser", "Moment", "chooser"]


def chooser(name: str) -> Chooser:
    if name not in CHOOSERS:
        raise UserError(f"--demos {name}", hint=f"choose among {', '.join(CHOOSERS)}")
    return CHOOSERS[name]
