"""Running a bundle: new inputs in, answers out, as the lane gave them while it was tested.

predictor = fewfit.load("last")
predictor.predict(["The soup was cold."])  # [{"id": "1", "prediction": "negative", "probs": {…}, "nll": 0.12}]
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fewfit.bundle import Bundle
from fewfit.bundle import load as load_bundle
from fewfit.predict.predictor import Predictor
from fewfit.predict.queries import Query, as_example
from fewfit.predict.remote import RemotePredictor

__all__ = ["Predictor", "Query", "RemotePredictor", "as_example", "load", "predictor_of"]


def load(path: str | Path, *, model: Any = None, device: str = "auto") -> Predictor:
    """The predictor of a run or a bundle."""
    return predictor_of(load_bundle(path), model=model, device=device)


def predictor_of(bundle: Bundle, *, model: Any = None, device: str = "auto", tokenizer: Any = None) -> Predictor:
    """`model` is the bundle's base model, or what a run has found out of the endpoint that it stands behind."""
    if bundle.model.is_remote:
        return RemotePredictor(bundle, served=model, tokenizer=tokenizer)
    return Predictor(bundle, model=model, device=device, tokenizer=tokenizer)
