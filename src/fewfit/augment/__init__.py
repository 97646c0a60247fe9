"""In-context inferences as training data (arXiv 2505.00661): what a model can tell from facts while it reads them, it
cannot tell once it was trained on them, unless it is trained on that, too.

    splitting.py   documents to sentences
    prompts.py     the prompts, ours (prompts/*.txt) or the user's;  target.py  what is put into them
    parsing.py     from what was written to rows;  checking.py  what the model affirms
    making.py      the strategies: local, global, document
    ../writing     who writes: a model here, or one behind an endpoint
    inference.py   a row with all that it was made from, and what it cost
    augmented.py   from a file to a file;  ledger.py  and gone on with where it was stopped

The package itself can be called: `fewfit.augment(data, model)` is `augmented.augment`.
"""

import sys
from types import ModuleType
from typing import Any

from fewfit.augment.augmented import Augmented, augment
from fewfit.augment.inference import Account, Inference
from fewfit.augment.making import STRATEGIES
from fewfit.augment.splitting import cumulative, independent, sentences
from fewfit.writing import EndpointWriter, LocalWriter, Writer, Written

__all__ = [
    "STRATEGIES",
    "Account",
    "Augmented",
    "EndpointWriter",
    "Inference",
    "LocalWriter",
    "Writer",
    "Written",
    "augment",
    "cumulative",
    "independent",
    "sentences",
]


class _Called(ModuleType):
    """A package and a function of one name: importing the one would hide the other."""

    def __call__(self, *args: Any, **keywords: Any) -> Augmented:
        return augment(*args, **keywords)


sys.modules[__name__].__class__ = _Called
