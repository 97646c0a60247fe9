"""Folders that other libraries load: the adapter as it is, or merged into its base model."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

from fewfit.bundle import Bundle
from fewfit.bundle.folder import ADAPTER, generation_config, write_json
from fewfit.errors import EnvironmentProblem, UserError
from fewfit.examples.example import Example
from fewfit.models.lent import put_adapter_on
from fewfit.models.messages import without_bars
from fewfit.predict.loading import base_model
from fewfit.render import Piece, Renderer

WEIGHTS = "adapter_model.safetensors"
GENERATION = "generation_config.json"


def write_adapter(bundle: Bundle, to: Path) -> None:
    """Byte for byte the bundle's, in a folder without any example's text but what a template holds."""
    to.mkdir(parents=True)
    for name in (ADAPTER, WEIGHTS):
        shutil.copyfile(bundle.folder / name, to / name)


def write_merged(bundle: Bundle, to: Path, device: str) -> None:
    """Merged in fp32, whatever the bundle ran in, and then cast to that: merging in bf16 would round twice."""
    import torch

    wide = "float64" if bundle.model.dtype == "float64" else "float32"
    model = base_model(bundle, device, dtype=wide)
    if bundle.weights == "adapter":
        model = put_adapter_on(model, bundle.folder).merge_and_unload()
    dtype = getattr(torch, bundle.model.dtype)
    model = model.to(dtype)
    model.config.dtype = dtype
    to.mkdir(parents=True)
    try:
        with without_bars():
            model.save_pretrained(str(to))
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot write the merged weights: {error.strerror or error}", where=str(to), hint="free some disk"
        ) from error


def write_tokenizer(renderer: Renderer, to: Path, template: str | None) -> None:
    """With the template in place of the model's own, where there is one."""
    tokenizer = renderer.tokenizer
    if template is not None:
        tokenizer = copy.deepcopy(tokenizer)
        tokenizer.chat_template = template
    tokenizer.save_pretrained(str(to))


def write_generation(bundle: Bundle, renderer: Renderer, to: Path) -> None:
    """Greedy, up to an end: servers read this file, and take no stop strings from any."""
    record = generation_config(bundle, renderer.tokenizer)
    record["eos_token_id"] = sorted({*record["eos_token_id"], *end_tokens(renderer)})
    write_json(to / GENERATION, record)


def end_tokens(renderer: Renderer) -> set[int]:
    """Tokens that begin with an end mark of plain text: where one comes, the answer is over, and whole."""
    end = renderer.end_text
    if renderer.settings.chat or not end:
        return set()
    layout = renderer.layout.lay((), Example("\0query", "Who?", ""))
    found = set()
    for answer in ("A", "one", "1", "."):
        text = (Piece(answer), Piece(end), Piece(layout.after))
        ids = renderer.encoder.encode(text, special=False).ids
        found |= {id for id in ids if renderer.encoder.decode([id]).startswith(end)}
    return found


def refuse_no_weights(bundle: Bundle, what: str) -> None:
    if bundle.model.is_remote:
        raise UserError(
            f"its model stands behind {bundle.model.base_url}, so there are no weights to export as {what}",
            where=str(bundle.folder),
            hint="export --as prompt,messages",
            code="no-weights",
        )


def refuse_no_adapter(bundle: Bundle) -> None:
    where = str(bundle.folder)
    if bundle.weights == "none":
        hint = "serve the base model with the template: export --as template"
        raise UserError(f"lane {bundle.lane.name} trained nothing", where=where, hint=hint, code="no-adapter")
    if bundle.weights == "model":
        hint = "export --as merged"
        raise UserError("all its weights were trained, not an adapter", where=where, hint=hint, code="no-adapter")
