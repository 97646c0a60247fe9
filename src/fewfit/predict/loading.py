"""The model and the tokenizer that a bundle was made with, found again."""

from __future__ import annotations

from typing import Any

from fewfit.bundle import Bundle
from fewfit.errors import UserError
from fewfit.models import installed, local
from fewfit.models.digest import of_object

KNOWN_ATTENTION = ("sdpa", "eager")  # others need a device or a package that may not be here


def own_tokenizer(bundle: Bundle) -> Any:
    """The bundle brings its own, which may take seconds to read."""
    return local.tokenizer_of(bundle.folder, local.ModelRef(str(bundle.folder), None, str(bundle.folder), ""))


def base_model(bundle: Bundle, device: str, *, dtype: str | None = None) -> Any:
    """Without the adapter; a model that was tuned whole stands in the bundle itself.

    `dtype` is another than the bundle ran in, and then nothing is quantized.
    """
    base = bundle.model
    settings: dict[str, Any] = {
        "device": device,
        "dtype": dtype or base.dtype,
        "quantize": None if dtype else base.quantize,
        "attention": base.attention if base.attention in KNOWN_ATTENTION else None,
    }
    if bundle.weights == "model":
        return local.load_model(bundle.folder, revision=None, **{**settings, "quantize": None})[0]
    name, revision = base.name, base.revision
    if base.from_hub:
        revision = base.digest
    elif base.folder and base.name not in installed.NAMES and not base.from_gguf:
        name = base.folder
    if not name:
        raise UserError(
            "was made with a model that was handed in as an object", where=str(bundle.folder), hint="give model=…"
        )
    model, ref = local.load_model(name, revision=revision, digest=base.digest, **settings)
    found = of_object(model) if base.digest.startswith("weights:") else ref.digest
    if found != base.digest:
        raise UserError(
            f"{name} is not the model that the bundle was made with (its contents differ)",
            where=str(bundle.folder),
            hint="put the old one back, or hand the model in: model=…",
        )
    return model
