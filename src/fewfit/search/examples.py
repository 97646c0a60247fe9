"""Examples of one's own as candidates and questions, scored by the task's metric: one answer is one judge's call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fewfit.engine.likelihood import answers_behind, behind, texts_behind
from fewfit.engine.task import Task, best_choice
from fewfit.errors import UserError
from fewfit.examples.example import Example
from fewfit.metrics import Metric
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
        told = answers_behind(self.model, self.task.renderer, demos, asked, choices)
        best = [best_choice(names, one.logp)[0] for names, one in zip(choices, told, strict=True)]
        return [self.metric.score(answer, one) for answer, one in zip(best, asked, strict=True)]

    def by_text(self, demos: Sequence[Example], asked: Sequence[Example]) -> list[float]:
        texts = texts_behind(self.model, self.task.renderer, demos, asked)
        return [self.metric.score(text, one, one.choices) for text, one in zip(texts, asked, strict=True)]

    def likelihood(self, added: Added, questions: Sequence[str]) -> list[float]:
        nats = behind(self.model, self.task, self.demonstrations(added), [self.by_id[one] for one in questions])
        return [-value for value in nats]
