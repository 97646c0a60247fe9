"""`select_demos`: demonstrations searched for among examples of one's own, in memory or in a folder.

The folder holds every score (scores.jsonl), what was found (found.json) and the set itself (demonstrations.jsonl); a
search that was stopped goes on there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from fewfit.errors import UserError
from fewfit.examples import Example, as_dict, digest
from fewfit.examples import load as load_examples
from fewfit.files import one_line, publish, write_json
from fewfit.metrics import Metric, auto, metric
from fewfit.models import local
from fewfit.models.configs import context_length
from fewfit.models.local import Loaded
from fewfit.models.remote import served
from fewfit.models.remote.budget import Budget
from fewfit.models.remote.served import NO_LIKELIHOOD, judged_as_told
from fewfit.render import Renderer
from fewfit.search import ledger
from fewfit.search import strategy as find_strategy
from fewfit.search.calls import OnStep
from fewfit.search.examples import ExampleScorer, ServedScorer
from fewfit.search.searching import Found, refuse_impossible, search
from fewfit.search.splitting import KINDS, Split, named, split
from fewfit.search.strategy import Problem, Strategy

SCHEMA = 1
SCORES, FOUND, SET = "scores.jsonl", "found.json", "demonstrations.jsonl"
K = 3
OF_THIS_MACHINE = ("revision", "device", "dtype", "quantize")


@dataclass(frozen=True)
class Material:
    """What can be read and checked without a model. `examples` are all that were given."""

    split: Split
    examples: tuple[Example, ...]
    choices: tuple[str, ...] | None
    judge: Metric
    notices: tuple[str, ...]


@dataclass(frozen=True)
class Selected:
    """`demonstrations` in prompt order, the start's last."""

    found: Found
    demonstrations: tuple[Example, ...]
    split: Split
    judge: str
    out: Path | None
    notices: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        sizes = {"pool": len(self.split.candidates), "questions": len(self.split.questions)}
        return {
            "schema": SCHEMA,
            "judge": self.judge,
            **self.found.as_json(),
            **sizes,
            "start": len(self.split.start),
            "demonstrations": [as_dict(one) for one in self.demonstrations],
            "out": None if self.out is None else str(self.out),
        }


def select_demos(
    data: Any,
    model: Any,
    *,
    judge: str | Metric | Callable[[str, Example], Any] = "auto",
    answer_patterns: Sequence[str] = (),
    k: int = K,
    start: Any = None,
    questions: Any = None,
    held_out: Any = None,
    strategy: str | Strategy = "racing",
    pool: int | None = None,
    budget: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    tokenizer: Any = None,
    render: dict[str, Any] | None = None,
    columns: dict[str, Any] | None = None,
    load: dict[str, Any] | None = None,
    on_step: OnStep | None = None,
) -> Selected:
    """k rows of `data` that, put before the `start`, make the model answer `questions` best.

    Questions are other rows of `data`, or a file; half of them are held out, or those of another file. `judge` is a
    metric or a function of one's own. With `out`, a folder, no question is asked twice: not by the same call after it
    was killed, nor by another strategy, seed or budget. `load` is what load_model() takes: where the model is, and how
    it is run.
    """
    how = find_strategy(strategy) if isinstance(strategy, str) else strategy
    material = read(
        data,
        judge,
        answer_patterns,
        start=start,
        questions=questions,
        held_out=held_out,
        pool=pool,
        seed=seed,
        columns=columns or {},
    )
    parts = material.split
    refuse_impossible(problem_of(parts, k, seed), budget)
    render = render or {}
    loaded = load_model(model, tokenizer, chat=render.get("chat", "auto"), **(load or {}))
    flag = None if judge == "auto" else "--judge"
    written = judged_as_told(loaded, material.judge, flag=flag, answer_patterns=answer_patterns)
    if written is not material.judge:
        told = f"{NO_LIKELIHOOD}: answers are written, and scored by {written.name}"
        material = replace(material, judge=written, notices=(*material.notices, told))
    renderer = Renderer.resolve(
        loaded.tokenizer,
        material.examples,
        choices=material.choices if material.judge.needs == "choices" or judge == "auto" else None,
        context_length=context_length(loaded.config),
        **render,
    )
    scores = ServedScorer if loaded.is_remote else ExampleScorer
    scorer = scores(loaded.model, renderer, material.judge, parts.examples, parts.start)
    asked = {
        "schema": SCHEMA,
        "data": digest(material.examples),
        "model": identity(loaded),
        "dtype": loaded.dtype,
        "quantize": (load or {}).get("quantize"),
        "judge": [material.judge.name, *answer_patterns, *filter(None, [material.judge.code])],
        "render": renderer.settings.as_json(),
    }
    folder = None if out is None else Path(out)
    with kept_in(folder, asked) as book:
        held = [one.id for one in parts.held_out]
        problem = problem_of(parts, k, seed)
        found = search(problem, how, scorer, held, ledger=book, budget=budget, on_step=on_step)
        demos = scorer.demonstrations(found.added)
        notices = (*material.notices, *renderer.notices)
        selected = Selected(found, demos, parts, material.judge.name, folder, notices)
        if folder is not None:
            publish(folder / SET, "".join(one_line(as_dict(one)) + "\n" for one in demos).encode())
            write_json(folder / FOUND, selected.as_json())
    return selected


def load_model(
    model: Any,
    tokenizer: Any = None,
    *,
    base_url: str | None = None,
    chat: str = "auto",
    concurrency: int | None = None,
    max_calls: int | None = None,
    max_tokens: int | None = None,
    **here: Any,
) -> Loaded:
    """Behind an endpoint, or on this machine (models/local.py): its name, or as it is in memory."""
    limits = {"concurrency": concurrency, "max_calls": max_calls, "max_tokens": max_tokens}
    if base_url is None:
        if given := next((name for name, value in limits.items() if value is not None), None):
            hint = "it is for models behind an endpoint"
            raise UserError(f"--{given.replace('_', '-')} without --base-url", hint=hint)
        return local.load(str(model), **here) if isinstance(model, str | Path) else local.wrap(model, tokenizer)
    if given := next((name for name in OF_THIS_MACHINE if here.get(name) not in (None, "auto")), None):
        raise UserError(f"--{given} with --base-url", hint="leave it out: the endpoint runs the model as it does")
    budget = Budget(max_calls, max_tokens)
    told = {name: here[name] for name in ("tell",) if name in here}
    return served.load(str(model), base_url, chat=chat, concurrency=concurrency, budget=budget, **told)


def identity(loaded: Loaded) -> str:
    """What scores hang on; of an endpoint its address, and the name there."""
    return f"{loaded.ref.digest}/{loaded.ref.name}" if loaded.is_remote else loaded.ref.digest


def problem_of(parts: Split, k: int, seed: int) -> Problem:
    return Problem(parts.pool, tuple(one.id for one in parts.questions), k, seed)


def read(
    data: Any,
    judge: str | Metric | Callable[[str, Example], Any],
    answer_patterns: Sequence[str],
    *,
    start: Any,
    questions: Any,
    held_out: Any,
    pool: int | None,
    seed: int,
    columns: dict[str, Any],
) -> Material:
    """Answers of further files are among the labels of the data, where they are chosen among labels."""
    dataset = load_examples(data, **columns)
    if dataset.are_documents:
        raise UserError("documents have no answers to score", hint="give prompt and completion")
    wanted = metric(auto(dataset) if judge == "auto" else judge, answer_patterns=answer_patterns)
    if wanted.needs == "choices" and dataset.choices is None and any(one.choices is None for one in dataset.examples):
        raise UserError("--judge choice needs choices", hint="give --choices a,b,c, or a `choices` field in every row")
    free = "none" if columns.get("choices") == "none" else "rows"
    among = dataset.choices if wanted.needs == "choices" and dataset.choices is not None else free
    further = {**columns, "choices": among, "fewest": 1}
    others = [None if one is None else load_examples(one, **further) for one in (start, questions, held_out)]
    started, asked, outside = (None if one is None else one.examples for one in others)
    parts = split(dataset.examples, seed=seed, pool=pool, questions=asked, held_out=outside, start=started or ())
    given = [named(kind, some) for kind, some in zip(KINDS, (started, asked, outside), strict=True) if some]
    notices = [*dataset.notices, *(notice for one in others if one is not None for notice in one.notices)]
    return Material(parts, (*dataset.examples, *chain(*given)), dataset.choices, wanted, tuple(notices))


@contextmanager
def kept_in(folder: Path | None, asked: dict[str, Any]) -> Iterator[ledger.Ledger]:
    if folder is None:
        yield ledger.Ledger()
        return
    folder.mkdir(parents=True, exist_ok=True)
    with ledger.opened(folder / SCORES, asked) as book:
        yield book
