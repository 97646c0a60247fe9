"""Which learner runs which lanes, and how much goes into one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fewfit.engine.learner import Learner
from fewfit.engine.plain import PlainLearner
from fewfit.engine.stack import StackLearner
from fewfit.engine.stream import total_updates
from fewfit.grid import Lane
from fewfit.render import Renderer
from fewfit.run.passes import WIDTH, usual_tokens


@dataclass(frozen=True)
class Team:
    """Lanes that share a learner over one model."""

    stacked: bool
    lanes: tuple[Lane, ...]

    def learner(
        self, model: Any, renderer: Renderer, n: int = 0, *, totals: Callable[[Lane], int] | None = None
    ) -> Learner:
        """For a stream of n examples, or where `totals` says how many updates a lane will make."""
        kind = StackLearner if self.stacked else PlainLearner
        return kind(
            model,
            end_ids=renderer.end_ids,
            ended=lambda ids: renderer.answer_text(ids)[1],
            totals=totals or (lambda lane: total_updates(lane, n)),
        )

    @property
    def width(self) -> int:
        return WIDTH if self.stacked else 1

    def tokens(self, model: Any) -> int:
        weight = next(model.parameters())
        return usual_tokens(cpu=weight.device.type == "cpu", bf16=str(weight.dtype) == "torch.bfloat16")


def teams(lanes: Sequence[Lane]) -> list[Team]:
    """Adapters stack over one frozen model; lanes that tune all of it go one after another."""
    stacked = tuple(lane for lane in lanes if not (lane.trains and lane.tune == "full"))
    full = tuple(lane for lane in lanes if lane.trains and lane.tune == "full")
    return [Team(flag, some) for flag, some in ((True, stacked), (False, full)) if some]


def team_of(lane: Lane) -> Team:
    return teams([lane])[0]
