"""The strategies: what is put to the model, and what is kept of its answers.

local     each sentence (or pair) by itself: rewordings, the sentence turned round, what follows from it
document  the same over a whole document
global    all examples as context, then one of them: what follows from it together with the rest
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from fewfit import draw
from fewfit.augment import prompts
from fewfit.augment.checking import checked
from fewfit.augment.inference import TOO_LONG, Account, Inference
from fewfit.augment.parsing import Line, lines, sift
from fewfit.augment.prompts import Template
from fewfit.augment.splitting import sentences
from fewfit.augment.target import Made, Target, written
from fewfit.errors import UserError
from fewfit.examples.example import Example
from fewfit.render.plain import flat
from fewfit.render.settings import BLANK_LINE
from fewfit.writing import Decoding, LocalWriter, Writer

STRATEGIES = ("local", "global", "document")
BLOCK = 16  # targets that are asked, and written down, together
SLACK = 32  # tokens: counts of parts are not quite those of the whole


@dataclass(frozen=True)
class Wanted:
    """How inferences are made. `per`: of one target no more than so many are kept. `choices`: answers of pairs must be
    among them, where an example has none of its own."""

    seed: int = 0
    per: int = 5
    max_new_tokens: int = 96
    temperature: float = 0.0
    check: bool = False
    folder: Path | None = None
    choices: tuple[str, ...] | None = None

    @property
    def decoding(self) -> Decoding:
        return Decoding(self.max_new_tokens, (BLANK_LINE,), self.per, self.temperature, seed=self.seed)


@dataclass
class Sieve:
    """Drops what was inferred before from another target, and what the data say themselves."""

    seen: set[tuple[str, str]] = field(default_factory=set)

    @staticmethod
    def of(examples: Sequence[Example]) -> Sieve:
        return Sieve({line.key for example in examples for line in stated(example)})

    def add(self, example: Example) -> bool:
        """False where it was there."""
        there = self.has(example)
        self.seen.add(key_of(example))
        return not there

    def has(self, example: Example) -> bool:
        return key_of(example) in self.seen

    def sift(self, made: Made) -> Made:
        return left(made, [one for one in made.inferences if self.add(one.example)])

    def drop_known(self, made: Made) -> Made:
        """The same, but what is left is not known by that: a check may still deny it."""
        return left(made, [one for one in made.inferences if not self.has(one.example)])


def key_of(example: Example) -> tuple[str, str]:
    return Line(flat(example.prompt), example.completion).key


def left(made: Made, kept: list[Inference]) -> Made:
    if repeated := len(made.inferences) - len(kept):
        made.account.dropped["duplicate"] += repeated
    made.account.kept = len(kept)
    return made._replace(inferences=kept)


def writer_of(loaded: object) -> Writer:
    model, tokenizer = getattr(loaded, "model", None), getattr(loaded, "tokenizer", None)
    return loaded if model is None or tokenizer is None else LocalWriter(model, tokenizer)  # type: ignore[return-value]


# ---- what is asked ---------------------------------------------------------------------------------------------------


def targets(
    writer: Writer, examples: Sequence[Example], strategy: str, wanted: Wanted, *, mark: str = ""
) -> list[Target]:
    """In the order of the examples. `mark` tells ids apart where a strategy is used more than once."""
    if strategy not in STRATEGIES:
        raise UserError(f"unknown strategy {strategy!r}", hint=f"choose among {', '.join(STRATEGIES)}")
    documents = examples[0].is_document
    if strategy == "document" and not documents:
        raise UserError("--strategy document with prompts and completions", hint="a pair is whole: take local")
    context = together(writer, examples, templates(strategy, documents, wanted), wanted) if strategy == "global" else ()
    out = []
    for example in examples:
        parts = sentences(example.completion) if strategy == "local" and documents else [example.completion]
        for k, text in enumerate(parts, 1):
            key = f"{example.id}/{strategy}{mark}/{k}"
            out.append(Target(key, strategy, example, text, context))
    return out


def templates(strategy: str, documents: bool, wanted: Wanted) -> tuple[Template, ...]:
    return prompts.read(strategy if documents else f"{strategy}-pairs", wanted.folder)


def together(
    writer: Writer, examples: Sequence[Example], some: Sequence[Template], wanted: Wanted
) -> tuple[Example, ...]:
    """As many examples as stand in one prompt beside any target, in their order; which, where not all, by hash."""
    if writer.limit is None:
        return tuple(examples)
    size = {example.id: writer.count(written(example) + "\n") + 1 for example in examples}
    room = writer.limit - wanted.max_new_tokens - SLACK - max(size.values())
    room -= max(writer.count(template.text) for template in some)
    taken: set[str] = set()
    for example in draw.shuffled(examples, lambda one: one.id, seed=wanted.seed, purpose="context"):
        if size[example.id] > room:
            break
        taken.add(example.id)
        room -= size[example.id]
    return tuple(example for example in examples if example.id in taken)


def stated(example: Example) -> list[Line]:
    """What an example says itself."""
    if not example.is_document:
        return [Line(flat(example.prompt), example.completion)]
    return [Line("", text) for text in (example.completion, *sentences(example.completion))]


# ---- what comes of it ------------------------------------------------------------------------------------------------


def make(writer: Writer, some: Sequence[Target], wanted: Wanted) -> Iterator[Made]:
    """Each target's inferences, in order; no target knows of another, but for the context that it is shown with."""
    for start in range(0, len(some), BLOCK):
        yield from make_block(writer, some[start : start + BLOCK], wanted)


def make_block(writer: Writer, some: Sequence[Target], wanted: Wanted, known: Sieve | None = None) -> list[Made]:
    """Each strategy by itself: what one keeps, and how long it takes, does not hang on another. What is `known` is not
    put to a check."""
    alike = groupby(some, key=lambda one: one.strategy)
    return [made for _, few in alike for made in make_alike(writer, list(few), wanted, known)]


def make_alike(writer: Writer, some: Sequence[Target], wanted: Wanted, known: Sieve | None) -> list[Made]:
    began = time.perf_counter()
    accounts = [Account(asked=1) for _ in some]
    found: list[list[Line]] = [[] for _ in some]
    asked = [
        (n, k, template.filled("\n".join(map(written, target.context)), **target.slots))
        for n, target in enumerate(some)
        for k, template in enumerate(templates(target.strategy, target.example.is_document, wanted))
    ]
    fits = []
    for n, k, one in asked:
        if writer.limit is None or writer.count(one.text) + wanted.max_new_tokens <= writer.limit:
            fits.append((n, k, one))
        else:
            accounts[n].dropped[TOO_LONG] += 1
    keys = [f"{some[n].key}/{k}" for n, k, _ in fits]
    shown = "\n".join(dict.fromkeys(one.before for *_, one in fits))
    for (n, *_), text in zip(fits, writer.write([one for *_, one in fits], keys, wanted.decoding), strict=True):
        accounts[n].prompt_tokens += text.prompt_tokens
        accounts[n].new_tokens += text.new_tokens
        pairs = not some[n].example.is_document
        found[n] += lines(text.text, ended=text.ended, pairs=pairs, dropped=accounts[n].dropped)
    made = []
    for target, some_lines, account in zip(some, found, accounts, strict=True):
        sources = [line for example in (target.example, *target.context) for line in stated(example)]
        kept = sift(some_lines, sources=sources, shown=shown, most=wanted.per, dropped=account.dropped)
        choices = target.example.choices or wanted.choices
        if choices and not target.example.is_document:
            among = [line for line in kept if line.completion in choices]
            account.dropped["no choice"] += len(kept) - len(among)
            kept = among
        rows = [
            Inference(
                Example(f"{target.key}.{m}", line.prompt, line.completion, group=target.example.group),
                target.strategy,
                target.made_from,
            )
            for m, line in enumerate(kept, 1)
        ]
        account.kept = len(rows)
        account.dropped = Counter({reason: count for reason, count in account.dropped.items() if count})
        made.append(Made(target, rows, account))
    if wanted.check:
        if known is not None:
            made = [known.drop_known(one) for one in made]
        made = checked(writer, made, prompts.read("check", wanted.folder)[0])
    share = (time.perf_counter() - began) / len(made)
    for done in made:
        done.account.seconds = share
    return made
