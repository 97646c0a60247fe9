"""A bundle with its model in this process."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fewfit import draw
from fewfit.bundle import Bundle
from fewfit.bundle import load as load_bundle
from fewfit.engine.beginning import prefix
from fewfit.engine.generate import greedy
from fewfit.engine.likelihood import logp as likelihoods
from fewfit.engine.likelihood import parted
from fewfit.engine.prefix import WORTH_KEEPING, Prefix
from fewfit.engine.score import one_token_apart
from fewfit.engine.task import TINY, best_choice, mean_nll, mean_probs, softmax
from fewfit.errors import UserError
from fewfit.examples.example import Example
from fewfit.models.digest import of_object
from fewfit.models.lent import as_it_was, put_adapter_on, take_adapter_off
from fewfit.predict.loading import base_model, own_tokenizer
from fewfit.predict.prompts import choices_of, prompts_of
from fewfit.predict.queries import Asked, Query, as_example, grouped, row
from fewfit.render import Renderer
from fewfit.writing import Decoding
from fewfit.writing.sampling import adjustment

Ids = tuple[int, ...]

BATCH = 32  # rows of one forward
SLACK = 8  # tokens at the end of what all prompts begin with that a query may change


class Predictor:
    """One bundle with its model.

    A `model` that is handed in is the base model of the bundle; it carries the adapter during a call to `predict` only
    and is otherwise as it was. `reuse=False` computes every prompt whole (a check; the answers are the same).
    """

    def __init__(
        self,
        bundle: Bundle | str | Path,
        *,
        model: Any = None,
        device: str = "auto",
        reuse: bool = True,
        tokenizer: Any = None,
    ):
        self._read(bundle, tokenizer)
        self.reuse = reuse
        self._begins = [self.renderer.prefix(one) for one in self.bundle.sets]  # of each set
        self._kept: list[Prefix | None] = [None] * len(self._begins)
        self._lent = model is not None and self.bundle.weights != "model"
        if self._lent:
            self._model = self._checked(model)
            return
        if model is not None:  # a model that was tuned whole stands in the bundle itself; only the place is taken over
            device = str(next(model.parameters()).device)
        self._model = base_model(self.bundle, device)
        if self.bundle.weights == "adapter":
            put_adapter_on(self._model, self.bundle.folder)

    def _read(self, bundle: Bundle | str | Path, tokenizer: Any) -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
        self.tokenizer = own_tokenizer(self.bundle) if tokenizer is None else tokenizer
        self.renderer = Renderer(self.tokenizer, self.bundle.settings)

    def _checked(self, model: Any) -> Any:
        where, digest = str(self.bundle.folder), self.bundle.model.digest
        if hasattr(model, "peft_config"):
            raise UserError("the model handed in carries adapters", where=where, hint="give the base model: unload()")
        if digest.startswith("weights:") and of_object(model) != digest:
            raise UserError(
                "the model handed in is not the one that the bundle was made with (its weights differ)",
                where=where,
                hint="give that one, unchanged",
            )
        return model

    def predict(self, queries: Sequence[Query], *, nll: bool = True) -> list[dict[str, Any]]:
        """One row a query, in their order: {"id", "prediction", "probs", "nll"}.

        `probs` are over the choices, None for free text. `nll` is in nats: the predicted answer's, its end included.
        Without it (None) a forward is saved.
        """
        if isinstance(queries, str | Mapping | Example) or hasattr(queries, "columns"):
            raise UserError(f"one {type(queries).__name__} is no list of queries", hint="give a list: predict([…])")
        examples = [as_example(query, number) for number, query in enumerate(queries, start=1)]
        if not examples:
            return []
        asked = [
            Asked(n, example, *one)
            for n, example in enumerate(examples)
            for one in prompts_of(self.bundle, self.renderer, example)
        ]
        with self._embodied(asked):
            return self._choose(examples, asked, nll) if self.bundle.by_choice else self._write(examples, asked, nll)

    def check(self, query: Example) -> None:
        """Raises what answering it would raise for its text; nothing is computed."""
        for _ in prompts_of(self.bundle, self.renderer, query):
            pass
        if self.bundle.by_choice:
            choices_of(self.bundle, query)

    def close(self) -> None:
        """Give the model's memory back. The predictor is of no use afterwards."""
        self._model, self._kept = None, []

    # ---- answers -----------------------------------------------------------------------------------------------------

    def _choose(self, examples: Sequence[Example], asked: Sequence[Asked], wanted: bool) -> list[dict[str, Any]]:
        """The likeliest choice; of several prompts by the mean of their probabilities."""
        names = [choices_of(self.bundle, example) for example in examples]
        ids = [self.renderer.continuations(one.prompt, names[one.query]) for one in asked]
        logp, apart = self._logp([one.prompt.ids for one in asked], ids)
        probs = [mean_probs(one) for one in grouped(asked, [softmax(names[a.query], p) for a, p in zip(asked, logp)])]
        best = [best_choice(some, [math.log(max(p[name], TINY)) for name in some])[0] for some, p in zip(names, probs)]
        chosen = [names[one.query].index(best[one.query]) for one in asked]
        nll: list[float | None] = [-some[c] for some, c in zip(logp, chosen, strict=True)]
        # What was read off at one place says nothing of the answer's other tokens.
        open_ = [j for j in apart if wanted and len(ids[j][chosen[j]]) > 1]
        for j, value in zip(open_, self._nll([(asked[j].prompt.ids, ids[j][chosen[j]]) for j in open_]), strict=True):
            nll[j] = value
        mean = [mean_nll(some) if wanted else None for some in grouped(asked, nll)]
        return [row(*one) for one in zip(examples, best, probs, mean, strict=True)]

    def _write(self, examples: Sequence[Example], asked: Sequence[Asked], wanted: bool) -> list[dict[str, Any]]:
        """Greedy text up to the end mark; of several prompts what most of them give, the first of equals."""
        new = self._texts(asked)
        said = list(grouped(asked, [self.renderer.answer_text(text)[0] for text in new]))
        answers = [max(some, key=some.count) for some in said]
        nll: list[float | None] = [None] * len(examples)
        if wanted:
            # What another prompt gave stands in for a prompt that gave something else.
            pairs = []
            for texts_, mine, answer in zip(said, grouped(asked, range(len(asked))), answers, strict=True):
                likely = new[mine[texts_.index(answer)]]
                pairs += [(asked[j].prompt.ids, likely if text != answer else new[j]) for j, text in zip(mine, texts_)]
            nll = [mean_nll(some) for some in grouped(asked, self._nll(pairs))]
        return [row(example, text, None, value) for example, text, value in zip(examples, answers, nll, strict=True)]

    def _texts(self, asked: Sequence[Asked]) -> list[Ids]:
        new: list[Ids] = [()] * len(asked)
        decoding = Decoding(self.bundle.max_new_tokens, **asdict(self.bundle.sampling))
        for kept, some in self._parted([one.prompt.ids for one in asked]):
            texts = greedy(
                self._model,
                [asked[j].prompt.ids for j in some],
                max_new_tokens=self.bundle.max_new_tokens,
                end_ids=self.bundle.end_ids,
                ended=lambda ids: self.renderer.answer_text(ids)[1],
                batch=BATCH,
                past=kept,
                adjust=adjustment(decoding, [str(draw.number(*asked[j].prompt.ids)) for j in some]),
            )
            for j, text in zip(some, texts, strict=True):
                new[j] = text
        return new

    # ---- the model ---------------------------------------------------------------------------------------------------

    @contextmanager
    def _embodied(self, asked: Sequence[Asked]) -> Iterator[None]:
        """The model as the bundle has it; one that was handed in is as it was afterwards, whatever happens."""
        if not self._lent:
            self._keep_beginnings(asked)
            yield
            return
        with as_it_was(self._model):
            peft = put_adapter_on(self._model, self.bundle.folder) if self.bundle.weights == "adapter" else None
            try:
                self._keep_beginnings(asked)
                yield
            finally:
                self._kept = [None] * len(self._kept)  # the model may be changed before the next call
                take_adapter_off(self._model, peft)

    def _keep_beginnings(self, asked: Sequence[Asked]) -> None:
        """What all prompts of a set begin with is computed once for all queries, and for all calls where the model is
        ours."""
        for k in sorted({one.set for one in asked if one.set is not None}) if self.reuse else ():
            kept = self._kept[k]
            ids = self._begins[k] if kept is None else kept.ids
            ids = ids[: common([one.prompt.ids for one in asked if one.set == k], ids)]
            if kept is None or len(ids) < len(kept.ids):
                self._kept[k] = prefix(self._model, ids) if len(ids) >= WORTH_KEEPING else None
                self._begins[k] = ids if self._kept[k] is not None else ()

    def _parted(self, rows: Sequence[Ids]) -> Iterator[tuple[Prefix | None, list[int]]]:
        return parted([kept for kept in self._kept if kept is not None], rows)

    def _logp(
        self, prompts: Sequence[Ids], choices: Sequence[Sequence[Ids]]
    ) -> tuple[list[tuple[float, ...]], list[int]]:
        """Of each prompt's choices, told apart as the engine does it (engine/score.py); and the prompts whose choices
        were read off at the one place where they differ."""
        apart = [j for j, some in enumerate(choices) if one_token_apart(some) is not None]
        return self._likelihoods(prompts, choices), apart

    def _likelihoods(self, prompts: Sequence[Ids], answers: Sequence[Sequence[Ids]]) -> list[tuple[float, ...]]:
        """Log p of each prompt's answers."""
        out: list[tuple[float, ...]] = [()] * len(prompts)
        for kept, some in self._parted(prompts):
            told = likelihoods(self._model, kept, [prompts[j] for j in some], [answers[j] for j in some])
            for j, values in zip(some, told, strict=True):
                out[j] = values
        return out

    def _nll(self, pairs: Sequence[tuple[Ids, Ids]]) -> Sequence[float | None]:
        told = self._likelihoods([prompt for prompt, _ in pairs], [[answer] for _, answer in pairs])
        return [-one[0] for one in told]


def common(rows: Sequence[Ids], ids: Ids) -> int:
    """How much of `ids` the rows begin with. A merge with what follows may take its last tokens away; rows that share
    less than that (demonstrations were crowded out, a system turn of their own) do not count."""
    shortest = len(ids)
    for other in rows:
        if other[:shortest] == ids[:shortest] and len(other) > shortest:
            continue
        same = next(
            (n for n, (a, b) in enumerate(zip(ids, other[:-1], strict=False)) if a != b), min(len(ids), len(other) - 1)
        )
        if same >= len(ids) - SLACK:
            shortest = min(shortest, same)
    return shortest
