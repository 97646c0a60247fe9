"""Training on documents: batches in a random order, each as often as the others, until all were seen so many times.

There is nothing to predict before it is trained on: what is learnt is measured by questions of their own (a probe).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import NamedTuple

from fewfit import draw
from fewfit.engine.learner import Row, Track
from fewfit.examples.example import Example
from fewfit.grid import Lane
from fewfit.render import Renderer

SLACK = 32  # tokens: counts of parts are not quite those of the whole


def part_that_fits(
    renderer: Renderer, documents: Sequence[Example], questions: Sequence[Example], seed: int
) -> tuple[Example, ...]:
    """All documents, or as many as stand in one prompt before any of the questions: which, by hash, in their order."""
    most = renderer.settings.max_length
    if most is None:
        return tuple(documents)
    room = most - renderer.settings.max_new_tokens - SLACK
    room -= max(len(renderer.prompt((), question).ids) for question in questions)
    taken: set[str] = set()
    for document in draw.shuffled(documents, lambda one: one.id, seed=seed, purpose="documents shown"):
        room -= len(renderer.documents(document).ids)
        if room < 0:
            break
        taken.add(document.id)
    return tuple(document for document in documents if document.id in taken)


def within(renderer: Renderer, documents: Sequence[Example]) -> Iterator[Sequence[Example]]:
    """Documents that are to stand in one row, in as many rows as their length takes."""
    most, begun, length = renderer.settings.max_length, 0, 0
    for k, document in enumerate(documents):
        size = len(renderer.documents(document).ids) if most is not None and len(documents) > 1 else 0
        if most is not None and k > begun and length + size > most - SLACK:
            yield documents[begun:k]
            begun, length = k, 0
        length += size
    yield documents[begun:]


class Lesson(NamedTuple):
    """The rows of one update, and the ids of all documents in them, row by row."""

    rows: list[Row]
    ids: list[str]

    @property
    def tokens(self) -> int:
        return sum(len(row.ids) for row in self.rows)


@dataclass(frozen=True)
class Course:
    """What one lane learns from, and how often: `lane.updates` times each, `lane.batch` rows an update.

    A lane with shots learns from so many documents with each other, one under the other: the ones before are what it
    will have in its prompt.
    """

    track: Track
    lane: Lane
    documents: tuple[Example, ...]

    @property
    def steps(self) -> int:
        return -(-len(self.documents) * self.lane.updates // (self.lane.batch * (1 + self.lane.shots)))

    def lessons(self, renderer: Renderer, done: int = 0) -> Iterator[Lesson]:
        """From lesson `done` + 1 on. Independent draws, as the paper has it (arXiv 2505.00661): a new order each time
        round."""
        again = (
            one
            for time in count()
            for one in draw.shuffled(
                self.documents, lambda one: one.id, seed=self.track.seed, purpose=f"documents {time}"
            )
        )
        for step in range(self.steps):
            some = [tuple(islice(again, 1 + self.lane.shots)) for _ in range(self.lane.batch)]
            if step < done:
                continue
            rendered = [renderer.documents(*part) for one in some for part in within(renderer, one)]
            rows = [Row(self.track, one.ids, one.spans, one.spans, scored=False) for one in rendered]
            yield Lesson(rows, [document.id for one in some for document in one])
