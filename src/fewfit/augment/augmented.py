"""`augment`: inferences from a file or a list of examples, in memory or to a file, gone on with where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from fewfit.augment import ledger, prompts
from fewfit.augment.inference import Account
from fewfit.augment.making import BLOCK, STRATEGIES, Sieve, Wanted, make_block, targets, templates, writer_of
from fewfit.augment.target import Target, statement
from fewfit.errors import UserError
from fewfit.examples import Dataset, from_dict
from fewfit.examples import load as load_examples
from fewfit.models import local
from fewfit.models.digest import of_object
from fewfit.settings import flag
from fewfit.writing import EndpointWriter, LocalWriter, Writer

Judge = Callable[[str], bool | None]
OnBlock = Callable[[int, int, Account], None]
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Volume:
    """`reckoned`: by the letters, since the tokens of a model behind an endpoint are not known here."""

    rows: int
    tokens: int
    reckoned: bool


@dataclass(frozen=True)
class Truth:
    """By a judge of statements, those that it can tell. `recall` is of the right ones that were written: a check denies
    some of them."""

    right: int
    wrong: int
    unknown: int
    right_denied: int
    wrong_denied: int

    @property
    def precision(self) -> float | None:
        return self.right / (self.right + self.wrong) if self.right + self.wrong else None

    @property
    def recall(self) -> float | None:
        return self.right / (self.right + self.right_denied) if self.right + self.right_denied else None


@dataclass(frozen=True)
class Augmented:
    """`rows` as they stand in the file; `accounts` by strategy."""

    rows: tuple[dict[str, Any], ...]
    accounts: dict[str, Account]
    before: Volume
    after: Volume
    out: Path | None
    truth: Truth | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "schema": 1,
            "out": None if self.out is None else str(self.out),
            "before": asdict(self.before),
            "after": asdict(self.after),
            "strategies": {
                name: {**account.as_dict(), "tokens_told": account.tokens_told}
                for name, account in self.accounts.items()
            },
        }


def augment(
    data: Any,
    model: Any = None,
    *,
    strategy: str | Sequence[str] = "local",
    out: str | Path | None = None,
    base_url: str | None = None,
    check: bool = False,
    prompts: str | Path | None = None,
    max_new_tokens: int = 96,
    temperature: float = 0.0,
    seed: int = 0,
    per: int = 5,
    judge: Judge | None = None,
    tokenizer: Any = None,
    concurrency: int | None = None,
    max_calls: int | None = None,
    max_tokens: int | None = None,
    on_block: OnBlock | None = None,
    tell: Tell = lambda what: None,
) -> Augmented:
    """What a model can tell from the examples while it reads them, as further rows to train on.

    `data` are documents (rows of `text`) or prompts and completions. `strategy` is one or several of local, global and
    document. `model` is a name, a folder, a loaded model, or, with `base_url`, a model of that endpoint. With `out` the
    rows are written there as they are made; the same call again goes on where the last one ended. An endpoint is asked
    no more than `max_calls` times, and no more once it has read and written `max_tokens`. `judge` tells of a statement
    whether it is true, None where it cannot; it is asked in the end and changes nothing. `tell` is told when an
    endpoint does not answer and is waited for.
    """
    names = (strategy,) if isinstance(strategy, str) else tuple(strategy)
    folder = None if prompts is None else Path(prompts)
    dataset = load_examples(data)
    wanted = Wanted(seed, per, max_new_tokens, temperature, check, folder, dataset.choices)
    place = None if out is None else Path(out)
    refuse_impossible(dataset, names, wanted, place)
    limits = {"concurrency": concurrency, "max_calls": max_calls, "max_tokens": max_tokens}
    if base_url is None and (given := next((name for name, value in limits.items() if value is not None), None)):
        raise UserError(f"{flag(given)} without --base-url", hint="it is for a model behind an endpoint")
    writer, of_model = writer_for(model, base_url, tokenizer, tell=tell, **limits)
    refuse_no_room(writer, max_new_tokens)
    if isinstance(writer, LocalWriter):
        # A block is made whole or not at all, so that who shares a pass is the same when the work is gone on with.
        writer = LocalWriter(writer.model, writer.tokenizer, together=True)
    asked = asked_of(dataset, names, wanted, of_model)
    some = [one for name in names for one in targets(writer, dataset.examples, name, wanted)]
    with nullcontext(Memory()) if place is None else ledger.opened(place, asked) as book:
        sieve = Sieve.of(dataset.examples)
        for row in book.rows:
            sieve.add(from_dict(row))
        for start in range(len(book.blocks) * BLOCK, len(some), BLOCK):
            # On this machine a check is rounded by what is checked beside it, so nothing is left out there.
            known = sieve if isinstance(writer, EndpointWriter) else None
            made = [sieve.sift(one) for one in make_block(writer, some[start : start + BLOCK], wanted, known)]
            book.append(
                [
                    {
                        "key": one.target.key,
                        "rows": [row.as_dict() for row in one.inferences],
                        "denied": list(one.denied),
                        "account": one.account.as_dict(),
                    }
                    for one in made
                ]
            )
            if on_block is not None:
                total = Account()
                for account in summed(book.made, some, names).values():
                    total.add(account)
                on_block(len(book.made), len(some), total)
        told = None if judge is None else truth(book.made, judge)
        return Augmented(
            tuple(book.rows),
            summed(book.made, some, names),
            volume(writer, [statement(one) for one in dataset.examples]),
            volume(writer, [statement(from_dict(row)) for row in book.rows]),
            place,
            told,
        )


def refuse_impossible(dataset: Dataset, names: Sequence[str], wanted: Wanted, out: Path | None) -> None:
    """What can be said before a model is fetched."""
    for name in names:
        if name not in STRATEGIES:
            raise UserError(f"--strategy {name}", hint=f"choose among {', '.join(STRATEGIES)}")
        if name == "document" and not dataset.are_documents:
            raise UserError("--strategy document with prompts and completions", hint="a pair is whole: take local")
    if not names or len(set(names)) < len(names):
        raise UserError(f"--strategy {','.join(names)}", hint="name each strategy once")
    for name, value in (("per", wanted.per), ("max_new_tokens", wanted.max_new_tokens)):
        if value < 1:
            raise UserError(f"{flag(name)} {value}", hint="give 1 or more")
    if not 0 <= wanted.temperature <= 10:
        raise UserError(f"--temperature {wanted.temperature:g}", hint="give 0 (the likeliest text) to 10")
    if wanted.folder is not None:
        prompts.check_folder(wanted.folder)
    if wanted.check:
        prompts.read("check", wanted.folder)
    if out is not None:
        ledger.refuse_anothers(out)
    for name in names:
        templates(name, dataset.are_documents, wanted)


def refuse_no_room(writer: Writer, max_new_tokens: int) -> None:
    if writer.limit is not None and max_new_tokens >= writer.limit:
        raise UserError(
            f"--max-new-tokens {max_new_tokens} leaves no room for a prompt",
            hint=f"give fewer: prompt and answer have {writer.limit:,} tokens together",
        )


def writer_for(
    model: Any,
    base_url: str | None,
    tokenizer: Any,
    *,
    concurrency: int | None = None,
    max_calls: int | None = None,
    max_tokens: int | None = None,
    tell: Tell = lambda what: None,
    **load: Any,
) -> tuple[Writer, str]:
    """Who writes, and what tells that it is the same one when the work is gone on with. `load`: how a model of that
    name is loaded."""
    if model is None:
        raise UserError("no model to infer with", hint="name one: --with smollm2, a folder, or a Hugging Face name")
    if base_url is not None:
        from fewfit.models.remote import Endpoint
        from fewfit.models.remote.budget import Budget
        from fewfit.models.remote.served import find_out

        budget = Budget(max_calls, max_tokens)
        endpoint = Endpoint(str(model), base_url, concurrency=concurrency, budget=budget, tell=tell)
        return EndpointWriter(endpoint, chat=find_out(endpoint, "auto")[0]), f"{model} at {endpoint.url}"
    if hasattr(model, "write"):
        return model, who_writes(model)
    if isinstance(model, local.Loaded):
        return writer_of(model), model.ref.digest
    named = isinstance(model, str | Path)
    pair = model if isinstance(model, tuple) else (model, tokenizer)
    loaded = local.load(str(model), **load) if named else local.wrap(*pair)
    return writer_of(loaded), loaded.ref.digest


def who_writes(writer: Writer) -> str:
    if isinstance(writer, LocalWriter):
        return of_object(writer.model)
    if isinstance(writer, EndpointWriter):
        return f"{writer.endpoint.name} at {writer.endpoint.url}"
    return type(writer).__name__


def asked_of(dataset: Dataset, names: Sequence[str], wanted: Wanted, model: str) -> dict[str, Any]:
    """What has to be the same for work to be gone on with."""
    used = [part for name in names for part in templates(name, dataset.are_documents, wanted)]
    used += prompts.read("check", wanted.folder) if wanted.check else ()
    return {
        "schema": 1,
        "data": dataset.digest,
        "model": model,
        "strategy": list(names),
        "prompts": sha256("\0".join(one.text for one in used).encode()).hexdigest(),
        "per": wanted.per,
        "max_new_tokens": wanted.max_new_tokens,
        "temperature": wanted.temperature,
        "seed": wanted.seed,
        "check": wanted.check,
    }


class Memory:
    """A ledger of nothing but this process."""

    def __init__(self) -> None:
        self.blocks: list[list[dict[str, Any]]] = []
        self.made: list[dict[str, Any]] = []
        self.rows: list[dict[str, Any]] = []

    def append(self, block: list[dict[str, Any]]) -> None:
        self.blocks.append(block)
        self.made += block
        self.rows += [row for one in block for row in one["rows"]]


def summed(made: Sequence[dict[str, Any]], some: Sequence[Target], names: Sequence[str]) -> dict[str, Account]:
    accounts = {name: Account() for name in names}
    for one, target in zip(made, some, strict=False):
        accounts[target.strategy].add(Account.from_dict(one["account"]))
    return accounts


def volume(writer: Writer, texts: Sequence[str]) -> Volume:
    return Volume(len(texts), sum(map(writer.count, texts)), isinstance(writer, EndpointWriter))


def truth(made: Sequence[dict[str, Any]], judge: Judge) -> Truth:
    kept = [judge(statement(from_dict(row))) for one in made for row in one["rows"]]
    denied = [judge(text) for one in made for text in one["denied"]]
    return Truth(kept.count(True), kept.count(False), kept.count(None), denied.count(True), denied.count(False))
