"""All that one server offers: bundles over one model that is loaded once, and that model itself."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewfit.bundle import Bundle
from fewfit.bundle import load as load_bundle
from fewfit.bundle.folder import IN_A_RUN
from fewfit.engine import packed
from fewfit.engine.adapters import Wrapped
from fewfit.engine.joint import Writing
from fewfit.engine.mixed import all_names, read_adapter
from fewfit.errors import UserError
from fewfit.models.configs import context_length
from fewfit.predict.loading import base_model, own_tokenizer
from fewfit.render import Renderer
from fewfit.render.encode import Encoder
from fewfit.run.folders import place
from fewfit.serve.hosted import BASE, Hosted, HostedBase, HostedBundle

NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclass(frozen=True)
class House:
    model: Any
    wrapped: Wrapped
    hosted: dict[str, Hosted]

    def begin(self, texts: int) -> Writing:
        return Writing(self.model, texts=texts, wrapped=self.wrapped)

    def close(self) -> None:
        self.wrapped.close()


def load(runs: Sequence[str], *, device: str = "auto", model: Any = None, reuse: bool = True) -> House:
    """`runs` are folders of runs or bundles, or NAME=FOLDER. `model` is their base model, where it is loaded already.
    Without `reuse` every prompt is computed whole (a check; the answers are the same)."""
    bundles = named([split(one) for one in runs])
    first = next(iter(bundles.values()))
    if model is None:
        model = base_model(first, device)
    if not packed.usable(model):
        raise UserError(
            f"{type(model).__name__} does not keep keys and values by position, which serving many at once rests on",
            where=str(first.folder),
            hint="answer files of queries instead: fewfit predict RUN --in FILE",
        )
    limit = context_length(model.config)
    settings: dict[str, Any] = {"limit": limit, "lock": threading.Lock()}
    hosted: dict[str, Hosted] = {}
    for name, bundle in bundles.items():
        made = HostedBundle(name, bundle, Renderer(own_tokenizer(bundle), bundle.settings), **settings)
        made.adapter = read_adapter(bundle.folder, model) if bundle.weights == "adapter" else None
        hosted[name] = made
        if not reuse:
            made.forget_beginnings()
    if first.weights != "model":
        hosted[BASE] = base_of(own_tokenizer(first), settings)
    wrapped = Wrapped(model, all_names([one.adapter for one in hosted.values() if one.adapter is not None]))
    return House(model, wrapped, hosted)


def split(run: str) -> tuple[str | None, Path]:
    name, equals, folder = run.partition("=")
    if equals and NAME.fullmatch(name) and not Path(run).exists():
        return name, place(folder)
    return None, place(run)


def named(runs: Sequence[tuple[str | None, Path]]) -> dict[str, Bundle]:
    """Bundles by the names that clients ask for them by; refused where they are not of one model."""
    found: dict[str, Bundle] = {}
    for given, path in runs:
        bundle = load_bundle(path)
        where, folder = str(path), bundle.folder
        own = folder.parent.name if folder.name == IN_A_RUN else folder.name
        name = given or re.sub(r"[^A-Za-z0-9._-]", "-", own)[:128]
        if name == BASE or name in found:
            taken = "the base model's" if name == BASE else "another's"
            raise UserError(f"the name {name!r} is {taken}", where=where, hint=f"name it: {name}-2={where}")
        if bundle.model.is_remote:
            raise UserError(
                "its model is behind an endpoint, which serves already", where=where, hint="fewfit predict answers here"
            )
        found[name] = bundle
    first, *others = found.values()
    for one in others:
        if base(one) != base(first) or "model" in (one.weights, first.weights):
            raise UserError(
                "bundles of different models",
                where=str(one.folder),
                hint="serve them apart, each at a --port of its own",
            )
    return found


def base(bundle: Bundle) -> tuple[Any, ...]:
    return bundle.model.digest, bundle.model.dtype, bundle.model.quantize


def base_of(tokenizer: Any, settings: dict[str, Any]) -> HostedBase:
    renderer = None
    if getattr(tokenizer, "chat_template", None):
        try:
            renderer = Renderer.resolve(tokenizer, [], chat="on", max_new_tokens=1)
        except UserError:  # a template that cannot be used: text goes on
            renderer = None
    return HostedBase(Encoder(tokenizer), renderer, **settings)
