"""A bundle whose model is behind an endpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fewfit.bundle import Bundle
from fewfit.engine.remote import RemotePrompter
from fewfit.models.remote.served import Served, load
from fewfit.predict.predictor import Ids, Predictor
from fewfit.predict.queries import Asked


class RemotePredictor(Predictor):
    """Prompts are laid out here as they were tested, and answered there."""

    def __init__(self, bundle: Bundle | str | Path, *, served: Served | None = None, tokenizer: Any = None):
        self._read(bundle, tokenizer)
        base = self.bundle.model
        if served is None:
            # What was found out when the bundle was made: by choice only where likelihoods are told.
            known = (self.bundle.settings.chat, self.bundle.by_choice)
            served = load(base.name, str(base.base_url), known=known).model
        self._prompter = RemotePrompter(served, self.renderer)

    def close(self) -> None:
        """The endpoint may be others' too."""

    @contextmanager
    def _embodied(self, asked: Sequence[Asked]) -> Iterator[None]:
        yield

    def _logp(
        self, prompts: Sequence[Ids], choices: Sequence[Sequence[Ids]]
    ) -> tuple[list[tuple[float, ...]], list[int]]:
        pairs = [(ids, choice) for ids, some in zip(prompts, choices, strict=True) for choice in some]
        told = zip(self._prompter.tell(pairs), (choice for _, choice in pairs), strict=True)
        return [tuple(-self._prompter.known(*next(told)) for _ in some) for some in choices], []

    def _texts(self, asked: Sequence[Asked]) -> list[Ids]:
        return self._prompter.write([one.prompt.ids for one in asked])

    def _nll(self, pairs: Sequence[tuple[Ids, Ids]]) -> Sequence[float | None]:
        """How likely its own text was, an endpoint would have to be asked a second time."""
        return [None] * len(pairs)
