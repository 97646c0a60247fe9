"""Training on documents: batches in a random order, each as often as the others, until all were seen so many times.

There is nothing to predict before it is trained on: what is learnt is measured by questions of their own (a probe).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice

from fewfit import draw
from fewfit.engine.learner import Row, Track, Trainer
from fewfit.examples.example import Example
from fewfit.grid import Lane
from fewfit.render import Rendered, Renderer


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

    def batches(self, renderer: Renderer) -> Iterator[list[Rendered]]:
        """Independent draws, as the paper has it (arXiv 2505.00661): a new order each time round."""
        again = (
            one
            for time in count()
            for one in draw.shuffled(
                self.documents, lambda one: one.id, seed=self.track.seed, purpose=f"documents {time}"
            )
        )
        for _ in range(self.steps):
            yield [renderer.documents(*islice(again, 1 + self.lane.shots)) for _ in range(self.lane.batch)]


def train(
    learner: Trainer, courses: Sequence[Course], renderer: Renderer, tell: Callable[[int], None] = lambda step: None
) -> dict[Track, int]:
    """All courses side by side, a step of each at a time; the tokens that each was trained on."""
    tokens = {course.track: 0 for course in courses}
    going = [(course, course.batches(renderer)) for course in courses]
    for course in courses:
        learner.open(course.track, course.lane)
    for step in count(1):
        rows: list[Row] = []
        for course, batches in going:
            for rendered in next(batches, ()):
                rows.append(Row(course.track, rendered.ids, rendered.spans, rendered.spans, scored=False))
                tokens[course.track] += len(rendered.ids)
        if not rows:
            return tokens
        learner.update(rows)
        tell(step)
    raise AssertionError
