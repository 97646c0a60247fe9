"""fewfit: prompt it, tune it, or both? Evidence from a handful of examples, and something ready to serve.

    run = fewfit.fit("reviews.csv", model="lab")
    print(run.verdict)
    run.bundle.predict(["The soup was cold."])

Importing this loads no torch: names are looked up when they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from fewfit import augment
    from fewfit.api import Run, fit, load, resume
    from fewfit.examples import Example, Message
    from fewfit.grid import Grid, Lane
    from fewfit.metrics import deferred, pairwise
    from fewfit.predict import Predictor
    from fewfit.settings import Settings

_WHERE = {
    "Example": "fewfit.examples.example",
    "Message": "fewfit.examples.example",
    "Grid": "fewfit.grid",
    "Lane": "fewfit.grid",
    "Predictor": "fewfit.predict",
    "load": "fewfit.api",
    "Run": "fewfit.api",
    "Settings": "fewfit.settings",
    "deferred": "fewfit.metrics",
    "pairwise": "fewfit.metrics",
    "fit": "fewfit.api",
    "resume": "fewfit.api",
}
__all__ = [
    "Example",
    "Grid",
    "Lane",
    "Message",
    "Predictor",
    "Run",
    "Settings",
    "__version__",
    "augment",
    "deferred",
    "fit",
    "load",
    "pairwise",
    "resume",
]


def __getattr__(name: str) -> Any:
    if name == "augment":  # a package that can be called
        return import_module("fewfit.augment")
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'fewfit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE, "augment"])
