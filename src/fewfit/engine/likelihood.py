"""What the model, untrained, makes of the examples behind a set of demonstrations: how a set for all queries is chosen.

The set's keys and values are computed once, and each example costs its own few tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch

from fewfit.engine import packed
from fewfit.engine.beginning import prefix
from fewfit.engine.forward import logits_at
from fewfit.engine.generate import greedy
from fewfit.engine.prefix import WORTH_KEEPING, Prefix, logits_behind
from fewfit.engine.score import one_token_apart, read_off
from fewfit.engine.task import SetKey, Task, softmax
from fewfit.examples.example import Example
from fewfit.render import Renderer

Ids = tuple[int, ...]
A_PASS = 4096  # tokens, where each answer has a row of its own
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
    return in_nats(task, examples, answers_behind(model, task.renderer, demos, examples, wanted(task, examples)))


def wanted(task: Task, examples: Sequence[Example]) -> list[tuple[str, ...]]:
    return [task.choices(one) or (one.completion,) for one in examples]


def in_nats(task: Task, examples: Sequence[Example], answers: Sequence[Told]) -> list[float]:
    """A token of the answer, or of the right choice among all; of what was `wanted`."""
    found = []
    for one, told in zip(examples, answers, strict=True):
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
    kept = kept_for_all(model, ids)
    prompts = [renderer.prompt(demos, one) for one in examples]
    tokens = [renderer.continuations(prompt, some) for prompt, some in zip(prompts, answers, strict=True)]
    found: list[Told] = [Told((), ())] * len(examples)
    for past, some in parted(kept, [prompt.ids for prompt in prompts]):
        told = logp(model, past, [prompts[k].ids for k in some], [tokens[k] for k in some])
        for k, values in zip(some, told, strict=True):
            found[k] = Told(values, tuple(len(one) for one in tokens[k]))
    return found


def texts_behind(model: Any, renderer: Renderer, demos: Sequence[Example], examples: Sequence[Example]) -> list[str]:
    """Greedy text up to the end mark, for each example behind the same demonstrations."""
    ids = renderer.prefix(demos)
    kept = kept_for_all(model, ids)
    prompts = [renderer.prompt(demos, one).ids for one in examples]
    texts = [""] * len(examples)
    for past, some in parted(kept, prompts):
        new = greedy(
            model,
            [prompts[k] for k in some],
            max_new_tokens=renderer.settings.max_new_tokens,
            end_ids=renderer.end_ids,
            ended=lambda written: renderer.answer_text(written)[1],
            past=past,
        )
        for k, written in zip(some, new, strict=True):
            texts[k] = renderer.answer_text(written)[0]
    return texts


def logp(
    model: Any, past: Prefix | None, prompts: Sequence[Ids], answers: Sequence[Sequence[Ids]]
) -> list[tuple[float, ...]]:
    """Log p of each prompt's answers, behind what is kept where that is given. Of answers that differ in one token
    alone it is that token's (`score.read_off`)."""
    apart = [one_token_apart(some) for some in answers]
    tails = [
        [answer[:-1] for answer in some] if place is None else [some[0][:place]]
        for some, place in zip(answers, apart, strict=True)
    ]
    logits_of = packed.logits if packed.usable(model) else row_by_row
    out = []
    for part in packed.rows(past, prompts, tails):
        found = logits_of(model, past, [prompts[n] for n in part], [tails[n] for n in part])
        for n, logits_NV in zip(part, found, strict=True):
            place = apart[n]
            out.append(whole(logits_NV, answers[n]) if place is None else read_off(logits_NV[-1], answers[n], place))
    return out


def whole(logits_NV: Any, answers: Sequence[Ids]) -> tuple[float, ...]:
    """Log p of whole answers, from the logits behind their prompt and behind each of their tokens but the last."""
    logp_NV = torch.log_softmax(logits_NV, dim=-1)
    out, start = [], 1
    for answer in answers:
        rows_N = torch.tensor([0, *range(start, start + len(answer) - 1)])
        out.append(float(logp_NV[rows_N, torch.tensor(answer)].cpu().double().sum()))
        start += len(answer) - 1
    return tuple(out)


def row_by_row(model: Any, past: Prefix | None, prompts: Sequence[Ids], tails: Sequence[Sequence[Ids]]) -> list[Any]:
    """As `packed.logits`, where the model does not allow it: each tail behind its prompt in a row of its own."""
    rows = [(*prompt, *tail) for prompt, some in zip(prompts, tails, strict=True) for tail in some]
    starts = [len(prompt) - 1 for prompt, some in zip(prompts, tails, strict=True) for _ in some]
    places = [list(range(start, len(row))) for start, row in zip(starts, rows, strict=True)]
    found: list[Any] = []
    with torch.no_grad():
        for part in in_passes([len(row) for row in rows]):
            ids, wanted = rows[part], places[part]
            found_NV = logits_at(model, ids, wanted) if past is None else logits_behind(model, past, ids, wanted)
            found += found_NV.split([len(some) for some in wanted])
    by_row = iter(found)
    out = []
    for some in tails:
        first, *rest = [next(by_row) for _ in some]
        out.append(torch.cat([first, *(one_NV[1:] for one_NV in rest)]))
    return out


def in_passes(lengths: Sequence[int]) -> Iterator[slice]:
    """Neighbours, as many as stay within a pass once they are as long as the longest of them; one at the least."""
    begun, longest = 0, 0
    for k, length in enumerate(lengths):
        longest = max(longest, length)
        if k > begun and longest * (k + 1 - begun) > A_PASS:
            yield slice(begun, k)
            begun, longest = k, length
    if lengths:
        yield slice(begun, len(lengths))


def kept_for_all(model: Any, ids: Ids) -> list[Prefix]:
    found = prefix(model, ids) if len(ids) >= WORTH_KEEPING else None
    return [] if found is None else [found]


def parted(kept: Sequence[Prefix], rows: Sequence[Ids]) -> Iterator[tuple[Prefix | None, list[int]]]:
    """Indices of the rows that begin with one of what is kept, and of others: long ones crowd demonstrations out."""
    parts: dict[int, list[int]] = {}
    for n, ids in enumerate(rows):
        parts.setdefault(next((k for k, one in enumerate(kept) if one.begins(ids)), -1), []).append(n)
    yield from ((kept[k] if k >= 0 else None, some) for k, some in parts.items())
