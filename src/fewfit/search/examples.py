"""Examples of one's own as candidates and questions, scored by the task's metric: one answer is one judge's call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from fewfit.engine.likelihood import Told, answers_behind, in_nats, texts_behind, wanted
from fewfit.engine.remote import RemotePrompter
from fewfit.engine.task import Task, best_choice
from fewfit.errors import UserError
from fewfit.examples.example import Example
from fewfit.metrics import Metric
from fewfit.models.remote.served import NO_LIKELIHOOD
from fewfit.render import Renderer
from fewfit.search.pool import Added


class ExampleScorer:
    """What was added stands before the start, which stays next to the question."""

    def __init__(
        self, model: Any, renderer: Renderer, metric: Metric, examples: Sequence[Example], start: Sequence[Example] = ()
    ) -> None:
        if metric.is_deferred or metric.needs == "teacher":
            hint = "take choice, match or another metric of one answer's text"
            raise UserError(f"--judge {metric.name} cannot score a single answer", hint=hint)
        self.model, self.metric, self.start = model, metric, tuple(start)
        self.task = Task(examples, renderer, metric)
        self.by_id: Mapping[str, Example] = {one.id: one for one in examples}

    def demonstrations(self, added: Added) -> tuple[Example, ...]:
        return (*(self.by_id[one] for one in added), *self.start)

    def score(self, added: Added, questions: Sequence[str], repeat: int = 0) -> list[float]:
        """The model answers greedily, so a repeat brings nothing new."""
        demos, asked = self.demonstrations(added), [self.by_id[one] for one in questions]
        return self.by_choice(demos, asked) if self.metric.needs == "choices" else self.by_text(demos, asked)

    def by_choice(self, demos: Sequence[Example], asked: Sequence[Example]) -> list[float]:
        choices = [self.task.choices(one) for one in asked]
        told = self.answers(demos, asked, choices)
        best = [best_choice(names, one.logp)[0] for names, one in zip(choices, told, strict=True)]
        return [self.metric.score(answer, one) for answer, one in zip(best, asked, strict=True)]

    def by_text(self, demos: Sequence[Example], asked: Sequence[Example]) -> list[float]:
        texts = self.texts(demos, asked)
        return [self.metric.score(text, one, one.choices) for text, one in zip(texts, asked, strict=True)]

    def likelihood(self, added: Added, questions: Sequence[str]) -> list[float]:
        asked = [self.by_id[one] for one in questions]
        told = self.answers(self.demonstrations(added), asked, wanted(self.task, asked))
        return [-nats for nats in in_nats(self.task, asked, told)]

    # ---- the model -----------------------------------------------------------------------------------------------

    def answers(
        self, demos: Sequence[Example], asked: Sequence[Example], answers: Sequence[Sequence[str]]
    ) -> list[Told]:
        return answers_behind(self.model, self.task.renderer, demos, asked, answers)

    def texts(self, demos: Sequence[Example], asked: Sequence[Example]) -> list[str]:
        return texts_behind(self.model, self.task.renderer, demos, asked)


class ServedScorer(ExampleScorer):
    """Of a model behind an endpoint (models/remote/served.py), which keeps what was paid for."""

    def answers(
        self, demos: Sequence[Example], asked: Sequence[Example], answers: Sequence[Sequence[str]]
    ) -> list[Told]:
        if not self.model.likelihood:
            where = self.model.endpoint.url
            raise UserError(NO_LIKELIHOOD, where=where, hint="give --strategy racing, and --judge match")
        renderer = self.task.renderer
        prompts = [renderer.prompt(demos, one) for one in asked]
        tokens = [renderer.continuations(prompt, some) for prompt, some in zip(prompts, answers, strict=True)]
        pairs = [(prompt.ids, one) for prompt, some in zip(prompts, tokens, strict=True) for one in some]
        prompter = RemotePrompter(self.model, renderer)
        found = iter([(-prompter.known(told, one), told.tokens) for told, (_, one) in zip(prompter.tell(pairs), pairs)])
        return [Told(*zip(*islice(found, len(some)))) for some in tokens]

    def texts(self, demos: Sequence[Example], asked: Sequence[Example]) -> list[str]:
        renderer = self.task.renderer
        written = RemotePrompter(self.model, renderer).write([renderer.prompt(demos, one).ids for one in asked])
        return [renderer.answer_text(ids)[0] for ids in written]
