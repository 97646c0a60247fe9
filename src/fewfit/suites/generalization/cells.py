"""One cell: a model under one condition in one world, asked all of that world's questions."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewfit.engine.learner import Track
from fewfit.engine.lessons import Course, part_that_fits
from fewfit.engine.likelihood import answers_behind
from fewfit.examples.example import Example
from fewfit.grid import Lane
from fewfit.models.configs import context_length
from fewfit.models.lent import as_it_was, put_adapter_on, take_adapter_off
from fewfit.models.local import Loaded
from fewfit.render import Renderer
from fewfit.run.teams import team_of
from fewfit.suites.generalization.conditions import Condition, documents
from fewfit.suites.generalization.world import Question, World

SAY_SECONDS = 10.0
TEMPLATE = "{prompt} {completion}"  # a question and its option are one sentence, as the documents are
USUAL = Lane(lr=1e-3, updates=6, batch=8)  # `updates`: how often each document is seen


@dataclass(frozen=True)
class Cost:
    shown: int  # documents in the prompt: all, or those that fit the context
    documents: int  # what was trained on, and with all repeats
    trained_tokens: int
    query_tokens: int  # of all questions, what is computed once counted once
    seconds: float


def renderer_for(loaded: Loaded, world: World, extra: Sequence[Example] = ()) -> Renderer:
    """Plain text, whatever the model's chat template: documents are no turns. `extra` texts share the end mark."""
    return Renderer.resolve(
        loaded.tokenizer,
        [*asked(world.questions), *documents(world), *extra],
        chat="off",
        template=TEMPLATE,
        context_length=context_length(loaded.model.config),
    )


def asked(questions: Sequence[Question]) -> list[Example]:
    return [Example(one.id, one.prompt, one.answer, one.options) for one in questions]


def measure(
    loaded: Loaded,
    world: World,
    condition: Condition,
    learnt: Sequence[Example],
    *,
    usual: Lane = USUAL,
    tell: Callable[[str], None] = lambda what: None,
) -> list[dict[str, Any]]:
    """A row for each split."""
    began = time.monotonic()
    renderer = renderer_for(loaded, world, learnt)
    lane, track = condition.lane(usual), Track(condition.name, world.seed)
    course = Course(track, lane, tuple(learnt))
    trained, alive, said = 0, True, 0.0
    with tempfile.TemporaryDirectory() as scratch, as_it_was(loaded.model):
        if lane.trains:
            learner = team_of(lane).learner(loaded.model, renderer, totals=lambda _: course.steps)
            try:
                learner.open(track, lane)
                for step, lesson in enumerate(course.lessons(renderer), start=1):
                    alive = learner.update(lesson.rows)[0]
                    if not alive:
                        break
                    trained += lesson.tokens
                    if step == course.steps or time.monotonic() - said > SAY_SECONDS:
                        tell(f"step {step} of {course.steps}")
                        said = time.monotonic()
                if alive:
                    learner.export(track, Path(scratch))
            finally:
                learner.close()
        if not alive:  # its weights answer nothing that could be counted
            cost = Cost(0, len(learnt), trained, 0, round(time.monotonic() - began, 1))
            return [row(world, condition, split, None, cost) for split in world.splits]
        peft = put_adapter_on(loaded.model, Path(scratch)) if lane.trains else None
        try:
            tell("asking")
            questions = asked(world.questions)
            shown = part_that_fits(renderer, documents(world), questions, world.seed) if condition.shows else ()
            if condition.shows and len(shown) < len(world.documents):
                tell(f"{len(shown)} of {len(world.documents)} documents fit the context")
            right, tokens = answered(loaded.model, renderer, shown, world.questions)
        finally:
            take_adapter_off(loaded.model, peft)
    cost = Cost(len(shown), len(learnt), trained, tokens, round(time.monotonic() - began, 1))
    return [row(world, condition, split, right, cost) for split in world.splits]


def answered(
    model: Any, renderer: Renderer, shown: Sequence[Example], questions: Sequence[Question]
) -> tuple[dict[str, bool], int]:
    """Whether each question's likeliest option is right (the first of equals), and the tokens that this took."""
    examples = asked(questions)
    told = answers_behind(model, renderer, shown, examples, [one.options for one in questions])
    right = {
        question.id: max(zip(one.logp, question.options, strict=True), key=lambda pair: pair[0])[1] in question.right
        for question, one in zip(questions, told, strict=True)
    }
    beginning = len(renderer.prefix(shown)) if shown else 0
    prompts = [len(renderer.prompt(shown, example).ids) - beginning for example in examples]
    return right, beginning + sum(prompts) + sum(sum(one.tokens) for one in told)


def row(world: World, condition: Condition, split: str, right: dict[str, bool] | None, cost: Cost) -> dict[str, Any]:
    """`hits` is question by question, so that conditions can be compared on the same ones. What diverged was asked
    nothing (`right` is None), and has neither hits nor accuracy."""
    questions = [one for one in world.questions if one.split == split]
    hits = None if right is None else [right[one.id] for one in questions]
    accuracy = None if hits is None else sum(hits) / len(hits)
    return {
        "world": world.name,
        "split": split,
        "condition": condition.name,
        "seed": world.seed,
        "accuracy": None if accuracy is None else round(accuracy, 4),
        "stderr": None if accuracy is None else round(math.sqrt(accuracy * (1 - accuracy) / len(questions)), 4),
        "chance": round(sum(one.chance for one in questions) / len(questions), 4),
        "n": len(questions),
        "splits": len(world.splits),
        "hits": None if hits is None else "".join("01"[hit] for hit in hits),
        "scale": world.scale,
        "names": world.names,
        "shown": cost.shown,
        "documents": cost.documents,
        "trained_tokens": cost.trained_tokens,
        "query_tokens": cost.query_tokens,
        "seconds": cost.seconds,
        "status": "diverged" if right is None else "done",
    }
