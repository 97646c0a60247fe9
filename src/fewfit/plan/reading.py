"""What lanes on documents do: learn all of them, then answer questions with some of them in the prompt."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from fewfit.grid import Lane
from fewfit.plan.lengths import Length
from fewfit.plan.work import Work
from fewfit.run.reading import Reading

GROWTH = 2.0  # inferred tokens for each of the documents', by every strategy, about
ASKED = 4.0  # tokens of what is read to infer, for each of the documents'
WRITTEN_TOGETHER = 8  # texts share a pass: a token of each costs about as much as one of one


@dataclass(frozen=True)
class Sizes:
    """Tokens that do not depend on the lane."""

    reading: Reading

    @cached_property
    def documents(self) -> list[int]:
        return [len(self.reading.renderer.documents(one).ids) for one in self.reading.documents]

    @cached_property
    def prompts(self) -> list[int]:
        return [len(self.reading.renderer.prompt((), one).ids) for one in self.reading.examples]

    @cached_property
    def asked(self) -> list[int]:
        """Each question with all that is scored behind it."""
        renderer, found = self.reading.renderer, []
        for length, one in zip(self.prompts, self.reading.examples, strict=True):
            answers = self.reading.choices(one) or (one.completion,)
            found.append(length + sum(map(len, renderer.continuations(renderer.prompt((), one), answers))))
        return found

    @property
    def most_written(self) -> int:
        """Of an answer; nothing where it is chosen among some."""
        return 0 if self.reading.judge.needs == "choices" else self.reading.renderer.settings.max_new_tokens

    def shown(self, lane: Lane) -> int:
        some = self.reading.delivered_sets(lane, 0)[0]
        return len(self.reading.renderer.prefix(some)) if some else 0

    def lesson(self, lane: Lane) -> int:
        """The longest row that the lane trains on, at the most."""
        if not lane.trains:
            return 0
        room = self.reading.renderer.settings.max_length
        longest = (1 + lane.shots) * max(self.documents)
        return longest if room is None else min(longest, room)

    def rows(self, lane: Lane) -> int:
        """Of one update, at the most: those that are to stand in one row take several where they are too long."""
        lesson = self.lesson(lane)
        return lane.batch * math.ceil((1 + lane.shots) * max(self.documents) / lesson) if lesson else 0


def work_of(sizes: Sizes, lane: Lane) -> Work:
    """Under one seed. What the model will infer is not known yet, only about how much."""
    shown, asked = sizes.shown(lane), sum(sizes.asked)
    grown = 1 + GROWTH * len(lane.augment) if lane.trains else 0.0
    trained = lane.updates * grown * sum(sizes.documents)
    rows = lane.updates * grown * len(sizes.documents) / (1 + lane.shots)
    again = shown + sum(sizes.prompts) if sizes.most_written else 0  # what is written follows a reading of its own
    return Work(
        steps=math.ceil(rows / lane.batch) + len(sizes.asked),
        tokens=trained + shown + asked,
        longest=max(shown + max(sizes.asked), sizes.lesson(lane)),
        read=shown + asked + again + (trained if lane.kl else 0.0),
        trained=trained,
        reads=len(sizes.asked),
        trains=rows,
        written=sizes.most_written * len(sizes.asked) / WRITTEN_TOGETHER,
    )


def inferring(tokens: float, rows: int, lanes: Sequence[Lane]) -> Work | None:
    """What the untrained model writes about so many rows before any lane learns from it; None where none does."""
    strategies = len({name for lane in lanes for name in lane.augment})
    if not strategies:
        return None
    read, written = ASKED * tokens * strategies, GROWTH * tokens * strategies
    return Work(
        steps=0, tokens=read + written, longest=0, read=read, trained=0.0, reads=rows * strategies, trains=0.0,
        written=written / WRITTEN_TOGETHER,
    )  # fmt: skip


def lengths_of(sizes: Sizes, works: Mapping[Lane, Work]) -> dict[int, Length]:
    """By shots, the heaviest of the lanes that have so many. Heavy is a lesson, all of which carries loss; a prompt is
    only read."""
    out: dict[int, Length] = {}
    for lane, work in sorted(works.items(), key=lambda pair: (pair[0].trains, pair[1].longest)):
        out[lane.shots] = Length(
            shots=lane.shots,
            mean=work.tokens / (work.reads + work.trains),
            longest=sizes.lesson(lane) or work.longest,
            scoring=0.0,
            generated=sizes.most_written,
            answers=sizes.lesson(lane) or 1,
        )
    return out
