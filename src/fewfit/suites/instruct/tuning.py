"""Instruction fine-tuning on the examples that prompts show, laid out as the prompts lay them out.

Batches, epochs and schedule by the number of examples, as in the paper's appendix: up to 9 examples two a batch, up to
999 eight, beyond that 128; six epochs, fifteen from 1,000 on; a cosine schedule with a warm-up of 3 in 100 updates and
weight decay .01. The paper tunes all weights of models of seven billion at 2e-6 to 4e-6; here it is LoRA, and the rate
a setting. A conversation of several turns is one sequence with loss on each of its answers.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

from fewfit import draw
from fewfit.engine.learner import Row, Track
from fewfit.engine.memory import in_parts
from fewfit.engine.rates import SHARE
from fewfit.examples.example import Example
from fewfit.grid import Lane
from fewfit.models.configs import context_length
from fewfit.models.lent import as_it_was
from fewfit.models.local import Loaded
from fewfit.prompts import Conversation, Frame, Turn
from fewfit.render import Renderer, RenderSettings
from fewfit.run.sizing import size_update
from fewfit.run.teams import team_of
from fewfit.suites.instruct.conditions import Weights

LR = 2e-4
LENGTH = 2048  # tokens of a sequence, as in the paper
FRAME = 64  # tokens of it, at the most, that are neither query nor answer
DONE = "adapter_model.safetensors"
SAY_SECONDS = 10.0


class Diverged(Exception):
    """Training went to no number."""


def lane_of(weights: Weights, lr: float) -> Lane:
    n = weights.learnt
    return Lane(
        lr=lr,
        updates=6 if n < 1000 else 15,
        shots=weights.shots,
        batch=2 if n < 10 else 8 if n < 1000 else 128,
        schedule="cosine",
        weight_decay=0.01,
    )


def train(
    loaded: Loaded,
    examples: Sequence[Conversation],
    weights: Weights,
    seed: int,
    folder: Path,
    *,
    frame: Frame | None,
    lr: float = LR,
    tell: Callable[[str], None] = lambda what: None,
) -> Path:
    """The adapter's folder; what is there is not trained again. `frame` None: by the model's chat template."""
    if (folder / DONE).exists():
        return folder
    renderer = renderer_for(loaded, frame, weights.shots)
    lane, track = lane_of(weights, lr), Track(weights.name, seed)
    steps = -(-len(examples) * lane.updates // lane.batch)
    unfinished = folder.with_name(f".{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    said = 0.0
    with as_it_was(loaded.model):
        learner = team_of(lane).learner(loaded.model, renderer, totals=lambda _: steps)
        try:
            one_round = lessons(renderer, examples, lane, track, -(-len(examples) // lane.batch))
            largest = max(one_round, key=lambda rows: sum(len(row.ids) for row in rows))
            if spared := size_update(learner, loaded.model, lane, largest):
                tell(spared)
            learner.open(track, lane)
            for step, rows in enumerate(lessons(renderer, examples, lane, track, steps), start=1):
                if not in_parts(learner.update, rows, learner, lambda rows: None, tracks_whole=True)[0]:
                    raise Diverged(f"training diverged at step {step} of {steps}, at a rate of {lr:g}")
                if step == steps or time.monotonic() - said > SAY_SECONDS:
                    tell(f"{weights.name}: step {step} of {steps}")
                    said = time.monotonic()
            learner.export(track, unfinished)
        finally:
            learner.close()
    unfinished.replace(folder)
    return folder


def refuse(loaded: Loaded, examples: Sequence[Conversation], weights: Weights) -> str:
    """Why these cannot be trained on; nothing where they can."""
    longest = max(
        tokens_of(loaded, one.turns[:-1]) + tokens_of(loaded, [Turn(one.turns[-1].query, "")]) for one in examples
    )
    if longest > (most := min(LENGTH, longest_row(loaded, 0))):
        return f"a query has {longest} tokens with what stands before it, and a sequence {most}"
    # Demonstrations that do not fit would be left out in silence, and it would be other shots than its name says.
    whole = sorted(tokens_of(loaded, one.turns) for one in examples)
    needed, most = sum(whole[len(whole) - weights.shots :]) + longest, longest_row(loaded, weights.shots)
    return f"{weights.shots} examples and a query have {needed} tokens, and a sequence {most}" if needed > most else ""


def tokens_of(loaded: Loaded, turns: Sequence[Turn]) -> int:
    """At the most, the frame included."""
    return sum(len(loaded.tokenizer(f"{one.query} {one.answer}")["input_ids"]) + FRAME for one in turns)


def longest_row(loaded: Loaded, shots: int) -> int:
    """Sequences are as long as in the paper, with demonstrations so many times as long."""
    return min((1 + shots) * LENGTH, context_length(loaded.model.config) or LENGTH)


def renderer_for(loaded: Loaded, frame: Frame | None, shots: int = 0) -> Renderer:
    most = longest_row(loaded, shots)
    if frame is None:
        return Renderer.resolve(loaded.tokenizer, [], chat="on", max_length=most, max_new_tokens=1)
    template = frame.opening + frame.to_answer("{prompt}") + frame.closed("{completion}")
    reason = "conversations in a frame"
    return Renderer(
        loaded.tokenizer, RenderSettings(False, reason, template=template, max_length=most, max_new_tokens=1)
    )


def as_examples(some: Iterable[Conversation]) -> list[Example]:
    """Of every turn one: in a prompt they stand behind each other as turns do."""
    return [
        Example(one.id if number == 0 else f"{one.id}#{number}", turn.query, turn.answer)
        for one in some
        for number, turn in enumerate(one.turns)
    ]


def lessons(
    renderer: Renderer, examples: Sequence[Conversation], lane: Lane, track: Track, steps: int
) -> Iterator[list[Row]]:
    """Each example as often as the others, in a new order each time round, behind others drawn for it."""
    again = (
        (one, number)
        for number in count()
        for one in draw.shuffled(examples, lambda one: one.id, seed=track.seed, purpose=f"instruct {number}")
    )
    for _ in range(steps):
        rows = []
        for one, number in islice(again, lane.batch):
            asked = {turn.query for turn in one.turns}
            others = [
                other for other in examples if other.id != one.id and not asked & {turn.query for turn in other.turns}
            ]
            purpose = f"beside {one.id} {number}"
            shown = draw.shuffled(others, lambda other: other.id, seed=track.seed, purpose=purpose)[: lane.shots]
            *before, last = as_examples([*shown, one])
            rows.append(row(renderer, before, last, track))
        yield rows


def row(renderer: Renderer, shown: Sequence[Example], one: Example, track: Track) -> Row:
    """Loss on every answer. What is too long for a sequence is cut off at its end."""
    most = renderer.settings.max_length
    prompt = renderer.prompt(shown, one)
    (answer,) = renderer.continuations(prompt, [one.completion])
    ids = (prompt.ids + answer)[:most]
    spans = (*prompt.spans, (len(prompt.ids), len(ids)))
    return Row(track, ids, spans, spans, scored=False)


def adapter_name(
    loaded: Any, weights: Weights, seed: int, examples: Sequence[Conversation], lr: float, frame: Frame | None
) -> str:
    parts = [loaded.ref.digest, loaded.dtype, weights.name, seed, lr, frame, SHARE]
    key = draw.number(*map(str, parts), *(f"{one.id} {one.turns}" for one in examples))
    return f"{weights.name}-{key:016x}"
