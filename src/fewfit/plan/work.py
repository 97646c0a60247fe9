"""What a lane does, in tokens and rows, and how long that takes.

A step that only predicts costs about 2 P T operations (P parameters without embeddings, T tokens), one that trains
adapters 4 P T (the weights' own gradients are not needed), one that trains everything 6 P T.
"""

from __future__ import annotations

from dataclasses import dataclass

from fewfit.demonstrations.delivery import reads_to_choose
from fewfit.engine.stream import steps
from fewfit.engine.task import MISS_SHARE
from fewfit.grid import Lane
from fewfit.plan.lengths import Length
from fewfit.plan.shape import ModelShape
from fewfit.plan.speed import Speed

# Beside its products a layer touches elements (norms, gates, sums, thin adapters) and makes calls. How many for each
# token and width, and for each row, was fitted to Llamas of 0.06M, 2.4M and 25M parameters on one CPU thread, where the
# estimate lay within a factor of two of what quick grids took; bare products run faster than those inside a model.
EFFICIENCY = 0.6
TOUCHES, TRAIN_TOUCHES = 200, 450
CALLS, TRAIN_CALLS = 200, 350
# Operations a second of a GPU of the H100's class in bf16, on passes of some thousand tokens: reckoned, not measured.
GPU = 150e12


@dataclass(frozen=True)
class Work:
    """Of one lane under one seed. A row that trains has its prediction for nothing."""

    steps: int
    tokens: float  # of all its sequences, as they are told
    longest: int
    read: float  # tokens that are only read
    trained: float  # tokens that are trained on
    reads: float  # rows
    trains: float
    written: float  # tokens that have to be generated, one after another

    def operations(self, body: int, *, whole: bool = False) -> float:
        """In products; what is written is left out. `whole`: all weights train."""
        return body * (2 * self.read + (6 if whole else 4) * self.trained)


def stream_work(lane: Lane, n: int, length: Length, at_use: Length | None = None) -> Work:
    """Predicting n examples, each before it is trained on: behind as many shots as in training, or as many as are there
    `at_use`."""
    used = length if at_use is None else at_use
    made = list(steps(lane, n))
    predicted = sum(step.predicts for step in made)
    trained = sum(step.update > 0 for step in made) * lane.batch
    alone = predicted * lane.members - sum(step.predicts and step.update > 0 for step in made)  # without training
    forward = used.mean * alone + used.scoring * predicted
    if lane.is_fixed:  # examples behind each of the sets that one is chosen among
        forward += reads_to_choose(lane, n) * used.mean / (lane.shots_at_use + 1)
    backward = length.mean * trained
    return Work(
        steps=len(made),
        tokens=sum(used.mean * lane.members if step.predicts else length.mean * lane.batch for step in made),
        longest=max(used.longest, length.longest if lane.trains else 0),
        read=forward + (backward if lane.kl else 0.0),  # also by the frozen model
        trained=backward,
        reads=alone,
        trains=trained,
        written=MISS_SHARE * used.generated * predicted,
    )


def seconds(work: Work, shape: ModelShape, speed: Speed, *, whole: bool = False) -> float:
    """Its products, what is done to each element between them, and the calls themselves."""
    touched = shape.width * shape.layers * (TOUCHES * work.read + TRAIN_TOUCHES * work.trained)
    calls = shape.layers * (CALLS * work.reads + TRAIN_CALLS * work.trains)
    token = 2 * shape.body / speed.single + shape.layers * CALLS * speed.call
    between = touched / speed.elements + calls * speed.call
    return work.operations(shape.body, whole=whole) / (EFFICIENCY * speed.operations) + between + work.written * token
