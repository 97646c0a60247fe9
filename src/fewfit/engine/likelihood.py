"""What the model, untrained, makes of the examples behind a set of demonstrations: how a set for all queries is chosen.

The set's keys and values are computed once, and each example costs its own few tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch

from fewfit.engine import keyvalue
from fewfit.engine.beginning import prefix
from fewfit.engine.forward import logits_at
from fewfit.engine.prefix import Prefix, logits_behind
from fewfit.engine.score import one_token_apart, read_off, sum_logp
from fewfit.engine.task import SetKey, Task, softmax
from fewfit.examples.example import Example
from fewfit.render import Renderer

Ids = tuple[int, ...]
ROWS, TOKENS = 32, 4096  # of one forward
WORTH_KEEPING = 16  # tokens
NATS_AT_MOST = 5.0  # a token: one answer that is thought impossible must not decide


def set_likelihoods(
    model: Any, task: Task, key: SetKey, stopped: Callable[[], None] = lambda: None
) -> list[list[float | None]]:
    """By set and example in the seed's order: nats a token of the answer, or of the right choice among all; None where
    the set shares something with the example. `stopped` is asked between sets and raises where it is time to stop."""
    out = []
    for demos in task.sets(key):
        stopped()
        order = task.order(key.seed)
        able = [k for k, one in enumerate(order) if not any(demo.conflicts_with(one) for demo in demos)]
        found = dict(zip(able, behind(model, task, demos, [order[k] for k in able]), strict=True))
        out.append([found.get(k) for k in range(len(order))])
    return out


def behind(model: Any, task: Task, demos: Sequence[Example], examples: Sequence[Example]) -> list[float]:
    found = []
    answers = [task.choices(one) or (one.completion,) for one in examples]
    for one, told in zip(examples, answers_behind(model, task.renderer, demos, examples, answers), strict=True):
        if choices := task.choices(one):
            share = softmax(choices, told.logp)[one.completion]
            nats = -math.log(share) if share > 0 else math.inf
        else:
            nats = -told.logp[0] / told.tokens[0]
        found.append(min(nats, NATS_AT_MOST))
    return found


class Told(NamedTuple):
    """Of each answer to one example: log p, its end included, and its tokens."""

    logp: tuple[float, ...]
    tokens: tuple[int, ...]


def answers_behind(
    model: Any,
    renderer: Renderer,
    demos: Sequence[Example],
    examples: Sequence[Example],
    answers: Sequence[Sequence[str]],
) -> list[Told]:
    """What the model makes of some answers to each example behind the same demonstrations."""
    ids = renderer.prefix(demos)
    kept = prefix(model, ids) if len(ids) >= WORTH_KEEPING else None
    prompts = [renderer.prompt(demos, one) for one in examples]
    tokens = [renderer.continuations(prompt, some) for prompt, some in zip(prompts, answers, strict=True)]
    found: list[Told] = [Told((), ())] * len(examples)
    for past, some in parted(kept, [prompt.ids for prompt in prompts]):
        for chunk in chunks(some, [len(prompt.ids) for prompt in prompts]):
            told = logp(model, past, [prompts[k].ids for k in chunk], [tokens[k] for k in chunk])
            for k, values in zip(chunk, told, strict=True):
                found[k] = Told(values, tuple(len(one) for one in tokens[k]))
    return found


def logp(
    model: Any, past: Prefix | None, prompts: Sequence[Ids], answers: Sequence[Sequence[Ids]]
) -> list[tuple[float, ...]]:
    """Log p of each prompt's answers, behind what is kept where that is given."""

    def logits(rows: Sequence[Ids], places: list[list[int]]) -> Sequence[Any]:
        with torch.no_grad():
            if past is None:
                found_NV = logits_at(model, rows, places)
            else:
                found_NV = logits_behind(model, past, rows, places)
        return found_NV.split([len(some) for some in places])

    apart = [one_token_apart(some) if len(some) > 1 else None for some in answers]
    if all(place is not None for place in apart):
        rows = [(*ids, *some[0][:place]) for ids, some, place in zip(prompts, answers, apart, strict=True)]
        found = logits(rows, [[len(row) - 1] for row in rows])
        return [read_off(one[0], some, place) for one, some, place in zip(found, answers, apart, strict=True)]  # type: ignore[arg-type]
    if max(map(len, answers)) > 1 and keyvalue.usable(model):
        told = keyvalue.logp_behind(model, prompts, answers, past)
        if told is not None:
            return told
    pairs = [(n, answer) for n, some in enumerate(answers) for answer in some]
    rows = [(*prompts[n], *answer[:-1]) for n, answer in pairs]
    places = [list(range(len(prompts[n]) - 1, len(row))) for (n, _), row in zip(pairs, rows, strict=True)]
    sums = [sum_logp(one, [answer])[0] for (_, answer), one in zip(pairs, logits(rows, places), strict=True)]
    ends = iter(sums)
    return [tuple(next(ends) for _ in some) for some in answers]


def parted(kept: Prefix | None, rows: Sequence[Ids]) -> Iterator[tuple[Prefix | None, list[int]]]:
    """Those that begin with what is kept, and others: long examples crowd demonstrations out."""
    fits = [n for n, ids in enumerate(rows) if kept is not None and kept.begins(ids)]
    rest = sorted(set(range(len(rows))) - set(fits))
    yield from ((past, some) for past, some in ((kept, fits), (None, rest)) if some)


def chunks(some: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    chunk: list[int] = []
    for n in sorted(some, key=lambda n: lengths[n]):
        if chunk and (len(chunk) == ROWS or (len(chunk) + 1) * lengths[n] > TOKENS):
            yield chunk
            chunk = []
        chunk.append(n)
    if chunk:
        yield chunk
