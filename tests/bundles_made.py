"""Lanes trained for a moment on tiny models, and the bundles of them: what the tests of the product start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from folders_made import VOCABULARY, byte_tokenizer
from models_made import tiny

from fewfit import bundle
from fewfit.engine.learner import Row, Scored, Track
from fewfit.engine.plain import PlainLearner
from fewfit.engine.task import best_choice
from fewfit.examples.example import Example
from fewfit.grid import Lane
from fewfit.models import local
from fewfit.render import Renderer

TRACK = Track("lane", 0)
ZERO_SHOT, ICL = Lane(), Lane(shots=3)
LORA = Lane(shots=2, lr=2e-2, updates=1)
FULL = Lane(shots=2, lr=2e-3, updates=1, tune="full")
NOUNS = (
    "kiwi",
    "zebra",
    "ocean",
    "violin",
    "marble",
    "lantern",
    "pepper",
    "glacier",
    "falcon",
    "harbor",
    "copper",
    "saddle",
)

# Of one token each behind a space; of several tokens, of unequal numbers.
LETTERS = ("A", "B", "C")
COLOURS = ("red", "dark green", "blue")


def labelled(choices: Sequence[str], n: int = 12) -> list[Example]:
    return [
        Example(str(i), f"what of the {NOUNS[i % 12]} {i}?", choices[(i * 7) % len(choices)]) for i in range(1, n + 1)
    ]


def free(n: int = 12) -> list[Example]:
    """Answers that no pattern foretells."""
    return [Example(str(i), f"code of {NOUNS[i % 12]} {i}", f"{(i * 7919) % 991}") for i in range(1, n + 1)]


@dataclass
class Made:
    """A trained lane, still in the engine, and how it is rendered."""

    loaded: local.Loaded
    learner: PlainLearner
    renderer: Renderer
    lane: Lane
    metric: str
    demos: tuple[Example, ...]

    def row(self, query: Example) -> Row:
        rendered = self.renderer.render(self.demos, query)
        choices: tuple[tuple[int, ...], ...] = ()
        if self.metric == "choice":
            names = query.choices or self.renderer.settings.choices or ()
            choices = tuple(self.renderer.continuations(self.renderer.prompt(self.demos, query), names))
        return Row(TRACK, rendered.ids, rendered.spans, choices=choices)

    def scored(self, query: Example) -> Scored:
        told = self.learner.score([self.row(query)])[0]
        assert told is not None
        return told

    def answer(self, query: Example) -> str:
        """What the engine predicts."""
        if self.metric == "choice":
            return best_choice(query.choices or self.renderer.settings.choices or (), self.scored(query).choices)[0]
        new = self.learner.generate([self.row(query)], self.renderer.settings.max_new_tokens)[0]
        return self.renderer.answer_text(new)[0]

    def save(self, folder: Path, **more: Any) -> bundle.Bundle:
        weights = (lambda at: self.learner.export(TRACK, at)) if self.lane.trains else None
        settings = {
            "lane": self.lane,
            "seed": 0,
            "n": 12,
            "loaded": self.loaded,
            "settings": self.renderer.settings,
            "metric": self.metric,
            "sets": [self.demos],
            "export": weights,
            "score": 0.75,
            "interval": (0.5, 0.875),
            "end_ids": self.renderer.end_ids,
            "end_text": self.renderer.end_text,
        }
        return bundle.save(folder, **{**settings, **more})


def made(
    loaded: local.Loaded | str,
    lane: Lane,
    examples: Sequence[Example],
    *,
    metric: str = "match",
    choices: Sequence[str] | None = None,
    passes: int = 1,
    **render: Any,
) -> Made:
    """`loaded` or an architecture's name; trained on the examples in turn, `passes` times over."""
    if isinstance(loaded, str):
        loaded = local.wrap(tiny(loaded, vocab_size=VOCABULARY), byte_tokenizer())
    renderer = Renderer.resolve(loaded.tokenizer, examples, choices=choices, no_instruction=True, **render)
    learner = PlainLearner(
        loaded.model, end_ids=renderer.end_ids, ended=lambda ids: renderer.answer_text(ids)[1], totals=lambda lane: 100
    )
    learner.open(TRACK, lane)
    for _ in range(passes if lane.trains else 0):
        for i, target in enumerate(examples):
            demos = [e for e in examples[max(0, i - lane.shots) : i] if not e.conflicts_with(target)]
            rendered = renderer.render(demos, target)
            learner.update([Row(TRACK, rendered.ids, rendered.spans, rendered.spans, scored=False)])
    return Made(loaded, learner, renderer, lane, metric, tuple(examples[: lane.shots]))


def queries(kind: str, n: int = 12) -> list[Example]:
    """New inputs of unlike lengths; their answers are not looked at but have to be something to be rendered."""
    head, answer = ("what of the", "A") if kind == "choice" else ("code of", "1")
    return [Example(f"q{k}", f"{head} {NOUNS[k % 12]} {'so ' * (k % 4)}{k * 31}?", answer) for k in range(n)]
