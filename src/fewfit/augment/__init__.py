"""In-context inferences as training data (arXiv 2505.00661): what a model can tell from facts while it reads them, it
cannot tell once it was trained on them, unless it is trained on that, too.

    splitting.py   documents to sentences
    prompts.py     the prompts, ours (prompts/*.txt) or the user's;  target.py  what is put into them
    writing.py     who writes: a model here, or one behind an endpoint
    parsing.py     from what was written to rows;  checking.py  what the model affirms
    making.py      the strategies: local, global, document
    inference.py   a row with all that it was made from, and what it cost
"""

from fewfit.augment.inference import Account, Inference
from fewfit.augment.making import STRATEGIES, inferences
from fewfit.augment.splitting import cumulative, independent, sentences
from fewfit.augment.writing import EndpointWriter, LocalWriter, Writer, Written

__all__ = [
    "STRATEGIES",
    "Account",
    "EndpointWriter",
    "Inference",
    "LocalWriter",
    "Writer",
    "Written",
    "cumulative",
    "independent",
    "inferences",
    "sentences",
]
