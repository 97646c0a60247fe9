"""The faces of what predicts and learns: who scores, who writes text, who trains.

A lane under a seed is a track. A track that only prompts is of the model as it is and asks for a Prompter, no more:
`remote.RemotePrompter` is one over a model behind an endpoint. A learner trains, too: `plain.PlainLearner` runs one
track at a time on stock PEFT, `stack.StackLearner` many in one pass. The stream knows nothing else of them, and
tests/conformance/test_learners.py says what each learner has to keep to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from fewfit.grid import Lane


class Track(NamedTuple):
    """One lane under one seed."""

    lane: str
    seed: int


@dataclass(frozen=True)
class Row:
    """One sequence for one track.

    `spans` are the token spans of all answers, their end marks included; the last one is the target's, and the row ends
    with it. `loss` are those that carry loss, empty where nothing is to be trained. `choices` are the continuations
    (end mark included) to be scored in place of the last span.
    """

    track: Track
    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    loss: tuple[tuple[int, int], ...] = ()
    choices: tuple[tuple[int, ...], ...] = ()
    scored: bool = True

    @property
    def prompt_tokens(self) -> int:
        return self.spans[-1][0]


@dataclass(frozen=True)
class Scored:
    """What one forward says of a row's last answer; None is what an endpoint does not tell."""

    nll: float | None  # nats, the whole answer with its end
    tokens: int | None
    hit: bool  # every token of the answer and its end is the arg-max
    margin: float | None  # smallest gap between the two top logits along the answer
    argmax: tuple[int, ...]  # the arg-max tokens up to and including the first wrong one
    choices: tuple[float, ...] = ()  # log p of each choice
    prompt_tokens: int | None = None  # as an endpoint counts them; None: as rendered


@dataclass
class LaneState:
    """All that a track is, self-contained: it can move between processes and machines. No generator in it."""

    tensors: dict[str, Any] = field(default_factory=dict)  # weights and optimizer state, by name
    steps: int = 0  # optimizer steps made
    diverged: bool = False


class Prompter(Protocol):
    """Over one model, which may have memory to be careful of."""

    def score(self, rows: Sequence[Row]) -> list[Scored | None]:
        """One forward over the rows; None for rows that are not `scored`. Rows that carry loss keep their graph."""

    def generate(
        self, rows: Sequence[Row], max_new_tokens: int, begun: Sequence[Sequence[int]] | None = None
    ) -> list[tuple[int, ...]]:
        """Greedy continuation of each row's prompt, up to the end mark; how each begins may be known already."""

    def drop_graphs(self) -> None:
        """Drop what a pass that failed has left behind: graphs and gradients. It may be made again."""

    def enable_recompute(self) -> bool:
        """Use less memory from now on, at the price of time. False where nothing can be done, or is done already."""

    def close(self) -> None:
        """Give the model back as it came."""


class Trainer(Protocol):
    """Rows of a track that was never opened are of the model as it is."""

    def open(self, track: Track, lane: Lane) -> None:
        """Begin a track with fresh weights (zero effect on the model)."""

    def update(self, rows: Sequence[Row]) -> list[bool]:
        """One optimizer step for every track among the rows (rows of one track are one batch), on the graph of the
        `score` just made where the rows were in it. False for a row whose track has diverged: it is frozen."""

    def state(self, track: Track) -> LaneState: ...

    def restore(self, track: Track, lane: Lane, state: LaneState) -> None: ...

    def export(self, track: Track, folder: Path) -> None:
        """Write the track's weights: a PEFT adapter, or the whole model for full tuning."""

    def forget(self, track: Track) -> None:
        """Give back the track's memory."""


class Learner(Prompter, Trainer, Protocol):
    """All of it over a model in this process."""
