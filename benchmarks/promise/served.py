"""What a model answers behind given demonstrations, whose keys and values are computed once for all queries.

Free text is scored by its teacher-forced hit, which is what greedy decoding would have to write (`--metric exact`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from fewfit.engine import likelihood
from fewfit.engine.beginning import prefix
from fewfit.engine.forward import logits_at
from fewfit.engine.prefix import Prefix, logits_behind
from fewfit.engine.task import softmax
from fewfit.examples import Example
from fewfit.render import Prompt, Renderer

ROWS = 32
Written = tuple[Prompt, list[tuple[int, ...]], Example]


class Answer(NamedTuple):
    hit: bool
    nll: float  # of the right answer; among the choices where there are any
    probs_TV: Any  # free text: at each token of the right answer, where asked for
    ids: tuple[int, ...]  # of the right answer
    probs: dict[str, float] | None


class Served:
    """One model (with an adapter on it or not) under one renderer."""

    def __init__(self, model: Any, renderer: Renderer, choices: tuple[str, ...] | None, known: dict[Any, Any]):
        """`known` are prompts that were written already, for other lanes."""
        self.model, self.renderer, self.choices, self.known = model, renderer, choices, known

    def written(self, demos: Sequence[Example], example: Example) -> tuple[Prompt, list[tuple[int, ...]]]:
        """The prompt, and the ids of the choices behind it, or of the right answer."""
        key = (*(one.id for one in demos), example.id)
        if key not in self.known:
            prompt = self.renderer.prompt(demos, example)
            self.known[key] = prompt, self.renderer.continuations(prompt, self.choices or (example.completion,))
        return self.known[key]

    def beginning(self, demos: Sequence[Example]) -> Prefix | None:
        ids = self.renderer.prefix(demos)
        return prefix(self.model, ids) if len(ids) >= 8 else None

    def answers(
        self, demos: Sequence[Example], examples: Sequence[Example], *, dense: bool = False, kept: Prefix | None = None
    ) -> list[Answer]:
        kept = kept or self.beginning(demos)
        asked = [(*self.written(demos, example), example) for example in examples]
        found: dict[int, Answer] = {}
        fits = [n for n, (prompt, *_) in enumerate(asked) if kept is not None and kept.begins(prompt.ids)]
        for some, past in ((fits, kept), (sorted(set(range(len(asked))) - set(fits)), None)):
            some = sorted(some, key=lambda n: len(asked[n][0].ids))
            for start in range(0, len(some), ROWS):
                chunk = some[start : start + ROWS]
                found |= dict(zip(chunk, self._part([asked[n] for n in chunk], past, dense), strict=True))
        return [found[n] for n in range(len(asked))]

    def whole(self, pairs: Sequence[tuple[Sequence[Example], Example]]) -> list[Answer]:
        """Behind demonstrations that no other query has."""
        asked = [(*self.written(*pair), pair[1]) for pair in pairs]
        found: dict[int, Answer] = {}
        order = sorted(range(len(asked)), key=lambda n: len(asked[n][0].ids))
        for start in range(0, len(order), ROWS // 2):
            chunk = order[start : start + ROWS // 2]
            found |= dict(zip(chunk, self._part([asked[n] for n in chunk], None, False), strict=True))
        return [found[n] for n in range(len(asked))]

    def _part(self, part: Sequence[Written], past: Prefix | None, dense: bool) -> list[Answer]:
        if self.choices is not None:
            return self._chosen(part, past)
        answers = [ids[0] for _, ids, _ in part]
        ids = [prompt.ids + answer[:-1] for (prompt, *_), answer in zip(part, answers, strict=True)]
        places = [list(range(len(prompt.ids) - 1, len(row))) for (prompt, *_), row in zip(part, ids, strict=True)]
        out = []
        for answer, logits_TV in zip(answers, self._logits(ids, places, past), strict=True):
            wanted_T = torch.tensor(answer)
            logp_TV = torch.log_softmax(logits_TV, dim=-1)
            hit = bool((logits_TV.argmax(dim=-1) == wanted_T).all())
            nll = -float(logp_TV[torch.arange(len(answer)), wanted_T].double().sum())
            out.append(Answer(hit, nll, logp_TV.exp() if dense else None, answer, None))
        return out

    def _chosen(self, part: Sequence[Written], past: Prefix | None) -> list[Answer]:
        assert self.choices is not None
        ids = [one for _, one, _ in part]
        found = likelihood.logp(self.model, past, [prompt.ids for prompt, *_ in part], ids)
        out = []
        for (*_, example), logp in zip(part, found, strict=True):
            probs = softmax(self.choices, logp)
            best = max(self.choices, key=lambda one: probs[one])
            right = max(probs[example.completion], 1e-30)
            out.append(Answer(best == example.completion, -float(torch.tensor(right).log()), None, (), probs))
        return out

    def _logits(self, ids: Sequence[tuple[int, ...]], places: list[list[int]], past: Prefix | None) -> Sequence[Any]:
        with torch.no_grad():
            if past is None:
                logits_NV = logits_at(self.model, ids, places)
            else:
                logits_NV = logits_behind(self.model, past, ids, places)
        return logits_NV.float().split([len(some) for some in places])

    def ensembles(
        self, sets: Sequence[Sequence[Example]], examples: Sequence[Example], sizes: Sequence[int]
    ) -> tuple[list[list[Answer]], dict[int, list[bool]]]:
        """Each set's answers, and the hits of probabilities averaged over the first so many sets."""
        kept = [self.beginning(demos) for demos in sets]
        singles: list[list[Answer]] = [[] for _ in sets]
        hits: dict[int, list[bool]] = {size: [] for size in sizes}
        for start in range(0, len(examples), ROWS):
            part = examples[start : start + ROWS]
            found = [self.answers(demos, part, dense=True, kept=past) for demos, past in zip(sets, kept, strict=True)]
            for size in sizes:
                hits[size] += [averaged(one, example) for one, example in zip(zip(*found[:size]), part, strict=True)]
            for single, some in zip(singles, found, strict=True):
                single += [one._replace(probs_TV=None) for one in some]
        return singles, hits


def averaged(answers: Sequence[Answer], example: Example) -> bool:
    if answers[0].probs is not None:
        means = {name: sum(one.probs[name] for one in answers if one.probs) for name in answers[0].probs}
        return max(means, key=lambda name: means[name]) == example.completion
    if len({one.ids for one in answers}) > 1:  # tokenised otherwise behind another demonstration
        return sum(one.hit for one in answers) * 2 > len(answers)
    probs_TV = sum(one.probs_TV for one in answers)
    return bool((probs_TV.argmax(dim=-1) == torch.tensor(answers[0].ids)).all())
