"""The whole suite: every world under every condition and seed, finished cells kept in a file and never made again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from fewfit import draw
from fewfit.errors import UserError
from fewfit.examples.example import Example
from fewfit.grid import RANK, Lane
from fewfit.models.local import Loaded
from fewfit.suites.generalization.conditions import Condition, Part, conditions, material, told
from fewfit.suites.generalization.diluting import diluted
from fewfit.suites.generalization.judging import judged
from fewfit.suites.generalization.published import load_published
from fewfit.suites.generalization.world import Document, Names, Scale, World
from fewfit.suites.generalization.worlds import WORLDS, build
from fewfit.suites.results import ROWS, Results, held, machine

INFERENCES = "inferences"
KEY = (
    "model", "world", "condition", "seed", "scale", "names", "lr", "passes", "batch", "quick", "dtype", "digest",
    "data",
)  # fmt: skip
LATER = ("rank",)
QUICK = {"worlds": ("reversals",), "conditions": ("none", "icl", "ft")}
LIKE: tuple[Part, ...] = ("local", "global")  # what the errors among the truth are as many as
QUICK_QUESTIONS = 8  # of each split
PUBLISHED = "published"
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """`passes`: how often each document is trained on. `published`: the reversal curse's own files, one world more."""

    model: str
    worlds: tuple[str, ...] = tuple(WORLDS)
    conditions: tuple[str, ...] = tuple(one.name for one in conditions())
    scale: Scale = "small"
    names: Names = "nonsense"
    seeds: int = 1
    lr: float = 1e-3
    passes: int = 6
    batch: int = 8
    rank: int = RANK
    quick: bool = False
    published: Path | None = None

    def __post_init__(self) -> None:
        known = (*WORLDS, *([] if self.published is None else [PUBLISHED]))
        if unknown := next((name for name in self.worlds if name not in known), None):
            raise UserError(f"unknown world {unknown!r}", hint=f"choose among {', '.join(known)}")
        conditions(self.conditions)
        if self.seeds < 1:
            raise UserError(f"--seeds {self.seeds}", hint="give 1 or more")
        if self.passes < 1:
            raise UserError(f"--passes {self.passes}", hint="give 1 or more")
        if not 0 < self.lr < float("inf"):
            raise UserError(f"--lr {self.lr:g}", hint="give a number above 0, such as 1e-3")
        usual = self.usual  # which refuses what is no setting
        if usual.batch == 1 and any(one.shows and one.learns for one in conditions(self.conditions)):
            raise UserError("--batch 1 with icl+ft", hint="it trains on documents one behind the other: give 2 or more")

    @property
    def usual(self) -> Lane:
        return Lane(lr=self.lr, updates=self.passes, batch=self.batch, rank=self.rank)


class LeftOut(Exception):
    """A condition that this world, or what the model made of it, does not have."""


class Cell(NamedTuple):
    world: str
    seed: int
    condition: Condition


def cells(asked: Asked) -> Iterator[Cell]:
    """The first seed of all worlds before the second of any: a run that is cut off has seen most."""
    for seed in range(asked.seeds):
        for world in asked.worlds:
            for condition in conditions(asked.conditions):
                yield Cell(world, seed, condition)


@lru_cache(maxsize=1)
def world_of(asked: Asked, name: str, seed: int) -> World:
    if name == PUBLISHED:
        assert asked.published is not None
        world = load_published(asked.published, asked.scale, seed=seed)
    else:
        world = build(name, scale=asked.scale, seed=seed, names=asked.names)
    return shortened(world) if asked.quick else world


def shortened(world: World) -> World:
    """The first questions of each split, and the documents that they need."""
    some = tuple(
        question
        for split in world.splits
        for question in [one for one in world.questions if one.split == split][:QUICK_QUESTIONS]
    )
    needed = {fact for question in some for fact in question.made_from}

    def kept(all_: Sequence[Document]) -> tuple[Document, ...]:
        return tuple(one for one in all_ if needed & set(one.facts))

    told = {question.fact for question in some}
    truth = tuple(one for one in world.inferences if told & set(one.facts))
    return replace(world, questions=some, documents=kept(world.documents), inferences=truth)


def run(asked: Asked, loaded: Loaded, folder: Path, tell: Tell = lambda what: None) -> list[dict[str, Any]]:
    """The rows of every cell that was asked for, those that were there already among them."""
    with held(folder):
        return run_alone(asked, loaded, folder, tell)


def run_alone(asked: Asked, loaded: Loaded, folder: Path, tell: Tell) -> list[dict[str, Any]]:
    results = Results(folder / ROWS, KEY, LATER)
    every = list(cells(asked))
    found: list[dict[str, Any]] = []
    for number, cell in enumerate(every, start=1):
        key = key_of(asked, cell, loaded)
        there = results.of(key)
        if not there:
            name = f"{cell.world} {cell.seed}, {cell.condition.name} ({number} of {len(every)})"

            def told(what: str, name: str = name) -> None:
                tell(f"{name}: {what}")

            try:
                there = [key | row for row in make(asked, loaded, cell, folder, told)]
            except LeftOut as why:
                told(f"left out: {why}")
                continue
            results.add(there)
            told(", ".join(f"{row['split']} {reached(row)}" for row in there))
        found += there
    return found


def reached(row: Mapping[str, Any]) -> str:
    return row["status"] if row["accuracy"] is None else f"{100 * row['accuracy']:.0f}"


def key_of(asked: Asked, cell: Cell, loaded: Loaded) -> dict[str, Any]:
    """What a cell's rows are known by. Where nothing is trained, the settings of training say nothing."""
    trains = bool(cell.condition.learns)
    return {
        "model": asked.model,
        "world": cell.world,
        "condition": cell.condition.name,
        "seed": cell.seed,
        "scale": asked.scale,
        "names": "plausible" if cell.world == PUBLISHED else asked.names,
        "lr": asked.lr if trains else 0,
        "passes": asked.passes if trains else 0,
        "batch": asked.batch if trains else 0,
        "quick": asked.quick,
        "dtype": loaded.dtype,
        "digest": loaded.ref.digest,
        "data": world_of(asked, cell.world, cell.seed).digest,
        **({"rank": asked.rank} if trains and asked.rank != RANK else {}),
    }


def make(asked: Asked, loaded: Loaded, cell: Cell, folder: Path, tell: Tell) -> list[dict[str, Any]]:
    from fewfit.suites.generalization.cells import measure

    world = world_of(asked, cell.world, cell.seed)
    costs: dict[str, Any] = {}

    def infer(part: Part) -> Sequence[Example]:
        if part == "diluted":
            for one in LIKE:
                infer(one)
            read = [costs[one] for one in LIKE]
            right, wrong = sum(one["true"] for one in read), sum(one["false"] for one in read)
            if not right + wrong:
                raise LeftOut("of the model's inferences none can be read, so how right they are is not known")
            costs["diluted"] = {"precision": round(right / (right + wrong), 4)}
            return told(diluted(world, costs["diluted"]["precision"]))
        found = inferred(asked, loaded, world, part, folder / INFERENCES, tell)
        costs[part] = found.account
        return found.examples

    if cell.condition.splits_nothing(world):
        raise LeftOut("its documents are one sentence each, so that it would be ft")
    learnt = material(cell.condition, world, infer)
    rows = measure(loaded, world, cell.condition, learnt, usual=asked.usual, tell=tell)
    made = {"inferences": costs, "machine": machine(), "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    return [row | made for row in rows]


class Inferred(NamedTuple):
    examples: list[Example]
    account: dict[str, Any]  # tokens, seconds, rows kept and dropped, how many are true


def inferred(asked: Asked, loaded: Loaded, world: World, part: Part, folder: Path, tell: Tell) -> Inferred:
    """The model's own inferences from a world's documents, made once for all conditions that learn from them."""
    from fewfit.augment.augmented import augment

    by = draw.number(asked.model, loaded.ref.digest, loaded.dtype, world.digest)
    folder.mkdir(parents=True, exist_ok=True)
    made = augment(
        [{"id": one.id, "text": one.text} for one in world.documents],
        loaded,
        strategy=part,
        seed=world.seed,
        out=folder / f"{world.name}-{world.seed}-{part}-{by:016x}.jsonl",
        on_block=lambda done, of, _: tell(f"{part} inferences {done} of {of}"),
    )
    texts = [str(row["text"]) for row in made.rows]
    examples = [Example(str(n), "", text) for n, text in enumerate(texts, start=1)]
    return Inferred(examples, made.accounts[part].as_dict() | judged(world, texts))
