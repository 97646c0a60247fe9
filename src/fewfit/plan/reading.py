"""What lanes on documents do: learn all of them, then answer questions with some of them in the prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fewfit.engine.task import MISS_SHARE
from fewfit.grid import Lane
from fewfit.plan.lengths import Length
from fewfit.plan.work import Work
from fewfit.run.reading import Reading

GROWTH = 2.0  # inferred tokens for each of the documents', by every strategy, about
ASKED = 4.0  # tokens of what is read to infer, for each of the documents'
WRITTEN_TOGETHER = 8  # texts share a pass: a token of each costs about as much as one of one


def work_of(reading: Reading, lane: Lane) -> Work:
    """Under one seed. What the model will infer is not known yet, only about how much."""
    sizes = document_sizes(reading)
    shown = reading.delivered_sets(lane, 0)[0]
    shown_tokens = len(reading.renderer.prefix(shown)) if shown else 0
    prompts = [reading.renderer.prompt((), one) for one in reading.examples]
    answers = [
        reading.renderer.continuations(prompt, reading.choices(one) or (one.completion,))
        for prompt, one in zip(prompts, reading.examples, strict=True)
    ]
    asked = [len(prompt.ids) + sum(map(len, some)) for prompt, some in zip(prompts, answers, strict=True)]
    grown = 1 + GROWTH * len(lane.augment) if lane.trains else 0.0
    trained = lane.updates * grown * sum(sizes)
    rows = lane.updates * grown * len(sizes) / (1 + lane.shots)
    writes = reading.judge.needs != "choices"
    return Work(
        steps=round(rows / lane.batch) + len(asked),
        tokens=trained + shown_tokens + sum(asked),
        longest=max(shown_tokens + max(asked), longest_lesson(reading, lane, max(sizes)) if lane.trains else 0),
        read=shown_tokens + sum(asked) + (trained if lane.kl else 0.0),
        trained=trained,
        reads=len(asked),
        trains=rows,
        written=MISS_SHARE * reading.renderer.settings.max_new_tokens * len(asked) if writes else 0.0,
    )


def inferring(reading: Reading, lanes: Sequence[Lane]) -> Work | None:
    """What the untrained model writes before any lane learns from it; None where none does."""
    strategies = {name for lane in lanes for name in lane.augment}
    if not strategies:
        return None
    sizes = document_sizes(reading)
    read, written = ASKED * sum(sizes) * len(strategies), GROWTH * sum(sizes) * len(strategies)
    return Work(0, read + written, 0, read, 0.0, len(sizes) * len(strategies), 0.0, written / WRITTEN_TOGETHER)


def lengths_of(reading: Reading, works: Mapping[Lane, Work]) -> dict[int, Length]:
    """By shots, the heaviest of the lanes that have so many: all of a document carries loss."""
    out: dict[int, Length] = {}
    writes = reading.judge.needs == "text"
    for lane, work in sorted(works.items(), key=lambda pair: (pair[0].trains, pair[1].longest)):
        out[lane.shots] = Length(
            shots=lane.shots,
            mean=work.tokens / (work.reads + work.trains),
            longest=work.longest,
            scoring=0.0,
            generated=reading.renderer.settings.max_new_tokens if writes else 0,
            answers=work.longest if lane.trains else 1,
        )
    return out


def document_sizes(reading: Reading) -> list[int]:
    return [len(reading.renderer.documents(one).ids) for one in reading.documents]


def longest_lesson(reading: Reading, lane: Lane, document: int) -> int:
    most = (1 + lane.shots) * document
    return most if reading.renderer.settings.max_length is None else min(most, reading.renderer.settings.max_length)
