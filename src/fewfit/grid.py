"""Lanes and grids: one lane is one way to adapt the model; a grid is the lanes that are compared.

A lane is a frozen record. Its name says shots, rate and updates always, then every coordinate that differs from the
defaults below, in the order of the fields.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from decimal import Decimal
from typing import Any, Literal, get_args, get_origin, get_type_hints

from fewfit.draw import Replay
from fewfit.errors import UserError
from fewfit.examples.text import shorten

Kind = Literal["zero-shot", "icl", "ft", "icl+ft"]
KINDS: tuple[Kind, ...] = ("zero-shot", "icl", "ft", "icl+ft")  # as they are shown
TTT = "ttt"  # test-time training, a method whose lanes are of the kind icl+ft
# What a coordinate may be. The upper bounds are far above sense; beyond them a run would not end, or not fit.
BOUNDS: dict[str, tuple[float, float]] = {
    "shots": (0, 10_000),
    "lr": (0, 1e30),
    "updates": (0, 1_000),
    "rank": (1, 8_192),
    "batch": (1, 10_000),
    "block": (1, 10_000),
    "weight_decay": (0, 1_000_000),
    "kl": (0, 1_000_000),
    "use_shots": (0, 10_000),
}
MOST_LANES = 1_000
DRAWS, MOST_MEMBERS = 16, 64
AUTO, AUTO_SHOTS = "auto", (1, 2, 4, 8, 16)  # what `--shots auto` prompts with, and chooses of for lanes that train
BLIND = ("random", "balanced")  # choosers that do not look at the query
SEARCHED = "searched"  # the chooser of one set for all queries

RANK = 8  # of adapters, where nobody says


@dataclass(frozen=True)
class Lane:
    """One way to adapt the model. `lr` 0 means that nothing is trained."""

    shots: int = 0
    lr: float = 0.0
    updates: int = 0  # gradient updates per new example
    loss: Literal["every-answer", "last-answer"] = "every-answer"
    tune: Literal["lora", "full"] = "lora"
    rank: int = RANK
    optimizer: Literal["adamw", "adafactor"] = "adamw"
    replay: Replay = "balanced"
    layers: Literal["all", "upper-half", "values"] = "all"  # which carry adapters; of attention its values' alone
    augment: tuple[str, ...] = ()  # inferences from the examples that updates 2, 3, … train on, too
    demonstrations: str = "random"
    batch: int = 1  # rows an update
    block: int = 1  # examples predicted, then trained on, together
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    weight_decay: float = 0.0
    kl: float = 0.0  # of the divergence from the frozen model where loss falls, in the loss
    use_shots: int | None = None  # shots at use, if not those of training
    deliver: str | None = None  # demonstrations at use, if not as is usual: `delivery`
    model: str | None = None  # with several models in one grid: which

    def __post_init__(self) -> None:
        for name, words in WORDS.items():
            if getattr(self, name) not in words:
                raise UserError(f"{name} {getattr(self, name)!r}", hint=f"choose among {', '.join(words)}")
        for name in BOUNDS:
            value, whole = getattr(self, name), name not in ("lr", "weight_decay", "kl")
            if value is not None and (not isinstance(value, int if whole else int | float) or isinstance(value, bool)):
                raise UserError(f"{name} {shorten(repr(value))}", hint=f"give a {'whole ' * whole}number")
        if self.deliver is not None and not self.shots_at_use:
            raise UserError(f"deliver {self.deliver!r} in a lane without demonstrations", hint="leave it out")
        parse_deliver(self.delivery)
        if self.use_shots is not None and not self.updates:
            raise UserError("use_shots in a lane that trains nothing", hint="its shots are those that it uses")
        if (self.lr > 0) != (self.updates > 0):
            raise UserError(f"a lane with lr={self.lr:g} and updates={self.updates}", hint="give both or neither")
        if self.kl and self.tune == "full":
            raise UserError(
                "kl in a lane that tunes the whole model", hint="there is no frozen one beside it: tune lora"
            )
        if self.tune == "full" and (self.layers != "all" or self.rank != RANK):
            given = f"layers {self.layers}" if self.layers != "all" else f"rank {self.rank}"
            raise UserError(f"{given} in a lane that tunes the whole model", hint="it is for adapters: tune lora")
        for name, (least, most) in BOUNDS.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                flag = f"--{name.replace('_', '-')}"
                shown = value if abs(value) < 1e12 else f"{float(value):.3g}" if abs(value) < 1e300 else "(huge)"
                hint = f"give {least} or more" if value < least else f"give {most:,} at the most"
                raise UserError(f"{flag} {shown}", hint=hint)

    @property
    def trains(self) -> bool:
        return self.updates > 0

    @property
    def kind(self) -> Kind:
        if self.trains:
            return "icl+ft" if self.shots else "ft"
        return "icl" if self.shots else "zero-shot"

    @property
    def shots_at_use(self) -> int:
        return self.shots if self.use_shots is None else self.use_shots

    @property
    def delivery(self) -> str:
        """Demonstrations at use: one set for all queries, a draw for each, or several draws whose answers are averaged.

        A set makes much difference to a model that was not tuned and little to one that was on random ones: the one
        has the likeliest, the other trains on the very forward that predicts.
        """
        if self.deliver is not None:
            return self.deliver
        if self.demonstrations == SEARCHED:
            return "fixed"
        return "per-query" if self.trains or self.demonstrations not in BLIND else "fixed"

    @property
    def is_fixed(self) -> bool:
        return self.shots_at_use > 0 and self.delivery == "fixed"

    @property
    def members(self) -> int:
        """Prompts whose answers are averaged into one."""
        return parse_deliver(self.delivery) if self.delivery.startswith("ensemble") else 1

    @property
    def name(self) -> str:
        if self.kind == "zero-shot":
            head = "zero-shot"
        elif self.kind == "icl":
            head = f"icl-{self.shots}"
        else:
            start = f"icl{self.shots}+ft" if self.shots else "ft"
            head = f"{start}-lr{short(self.lr)}-u{self.updates}"
        tail = [part for part in self._differences() if part]
        at = f"@{self.model}" if self.model else ""
        return "-".join([head, *tail]) + at

    def _differences(self) -> Iterable[str]:
        if self.use_shots is not None and self.use_shots != self.shots:
            yield f"use{self.use_shots}"
        if self.demonstrations != "random":
            yield self.demonstrations
        if self.deliver not in (None, replace(self, deliver=None).delivery):
            yield str(self.deliver).replace(":", "")
        if not self.trains:
            return
        yield {"last-answer": "last"}.get(self.loss, "")
        yield {"full": "full"}.get(self.tune, "")
        if self.tune == "lora" and self.rank != 8:
            yield f"r{self.rank}"
        yield {"adafactor": "adafactor"}.get(self.optimizer, "")
        yield {"balanced": ""}.get(self.replay, self.replay)
        yield {"all": ""}.get(self.layers, self.layers)
        yield "+".join(self.augment)
        if self.batch != 1:
            yield f"b{self.batch}"
        if self.block != 1:
            yield f"block{self.block}"
        yield {"constant": ""}.get(self.schedule, self.schedule)
        if self.weight_decay:
            yield f"wd{short(self.weight_decay)}"
        if self.kl:
            yield f"kl{short(self.kl)}"

    def as_json(self) -> dict[str, Any]:
        record = asdict(self)
        record["augment"] = list(self.augment)
        return record

    @staticmethod
    def from_json(record: dict[str, Any]) -> Lane:
        known = {field.name for field in fields(Lane)}
        unknown = set(record) - known
        if unknown:
            raise UserError(
                f"a lane with unknown fields {sorted(unknown)}", hint="use the fewfit version that wrote the run"
            )
        return Lane(**{**record, "augment": tuple(record.get("augment", ()))})


WORDS: dict[str, tuple[str, ...]] = {
    name: get_args(kind) for name, kind in get_type_hints(Lane).items() if get_origin(kind) is Literal
}


@dataclass(frozen=True)
class Grid:
    """The lanes that are compared, cheapest kind first, each once."""

    lanes: tuple[Lane, ...]

    def __post_init__(self) -> None:
        names = [lane.name for lane in self.lanes]
        doubled = sorted(name for name, times in Counter(names).items() if times > 1)
        if doubled:
            raise UserError(f"two lanes of one name: {', '.join(doubled)}", hint="drop one of each")
        if not self.lanes:
            raise UserError("the grid has no lane", hint="name at least one of --methods zero-shot,icl,ft,icl+ft")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(lane.name for lane in self.lanes)

    def __getitem__(self, name: str) -> Lane:
        for lane in self.lanes:
            if lane.name == name:
                return lane
        raise UserError(f"no lane {name!r} in this run", hint=f"one of: {', '.join(self.names)}")

    @staticmethod
    def of(
        *,
        methods: Sequence[str] = KINDS,
        shots: Sequence[int] = (4, 8),
        lr: Sequence[float] = (3e-4, 1e-3),
        updates: Sequence[int] = (1, 5),
        augment: Sequence[str] = (),
        model: Sequence[str | None] = (None,),
        n: int | None = None,
        **common: Any,
    ) -> Grid:
        """The grid of all combinations. Methods alone decide which kinds run. With `augment` each lane that trains is
        there without inferences and with each kind of them: local, global, local+global. `n` examples there are: as
        many as a prompt of test-time training shows."""
        methods, lr = several(methods), tuple(number(one, "lr", float) for one in several(lr))
        shots, updates = (
            tuple(number(one, name, int) for one in several(value))
            for name, value in (("shots", shots), ("updates", updates))
        )
        refuse_unknown(methods)
        if any(k < 1 for k in shots):
            raise UserError(f"shots {list(shots)}", hint="shots are 1 or more; zero-shot and ft have none")
        added = [(), *dict.fromkeys(parse_augment(one) for one in several(augment))]
        training = len(added) * sum({"ft": 1, "icl+ft": len(set(shots)), TTT: 1}.get(kind, 0) for kind in methods)
        count = len(model) * (1 + len(set(shots)) + training * len(set(lr)) * len(set(updates)))
        if count > MOST_LANES:
            hint = f"give fewer --shots, --lr or --updates: {MOST_LANES:,} lanes are the most"
            raise UserError(f"a grid of {count:,} lanes", hint=hint)
        lanes: list[Lane] = []
        for name in model:
            if "zero-shot" in methods:
                lanes.append(Lane(model=name))
            if "icl" in methods:
                lanes += [Lane(shots=k, model=name, **prompting(common)) for k in sorted(set(shots))]
            for kind in ("ft", "icl+ft"):
                if kind not in methods:
                    continue
                for k in (0,) if kind == "ft" else sorted(set(shots)):
                    lanes += [
                        Lane(
                            shots=k, lr=rate, updates=e, augment=more, model=name,
                            **(at_use(common) if k else without_shots(common)),
                        )
                        for rate in sorted(set(lr))
                        for e in sorted(set(updates))
                        for more in added
                        if not more or e * common.get("batch", 1) > 1  # update 1 is of the example itself
                    ]  # fmt: skip
            if TTT in methods:
                rates = [(rate, e) for rate in sorted(set(lr)) for e in sorted(set(updates))]
                lanes += [test_time_training(n, lr=rate, updates=e, model=name, **common) for rate, e in rates]
        if len(added) > 1 and not any(lane.augment for lane in lanes):
            hint = "add ft or icl+ft to --methods, and 2 or more to --updates: the first is of the example itself"
            raise UserError("--augment, and no lane that would train on inferences", hint=hint)
        return Grid(tuple(lanes))


def test_time_training(n: int | None, **coordinates: Any) -> Lane:
    """Akyürek et al. (arXiv 2411.07279): each example in turn is left out and asked behind all others, in ever new
    orders, with loss on all answers. In a stream, of what was predicted so far; `--final refit` trains afresh, as they
    do. A prompt shows all there are."""
    return Lane(shots=int(BOUNDS["shots"][1]) if n is None else n, **{**coordinates, "replay": "passes"})


def parse_augment(text: str) -> tuple[str, ...]:
    """`local+global` as ("local", "global"), in this order however it is written."""
    parts = {part.strip() for part in str(text).split("+")}
    if not parts <= {"local", "global"}:
        raise UserError(f"--augment {shorten(str(text))}", hint="local, global, local+global, or several: local,global")
    return tuple(name for name in ("local", "global") if name in parts)


def parse_deliver(text: str) -> int:
    """How many sets of demonstrations a bundle holds: DRAWS of which a query's hash picks one, one, or as many as are
    averaged."""
    if text in ("per-query", "fixed"):
        return DRAWS if text == "per-query" else 1
    found = re.fullmatch(r"ensemble:(\d+)", text) if isinstance(text, str) else None
    if found is None or not 2 <= int(found[1]) <= MOST_MEMBERS:
        raise UserError(f"--deliver {text}", hint=f"per-query, fixed, or ensemble:m with m from 2 to {MOST_MEMBERS}")
    return int(found[1])


def several(value: Any) -> tuple[Any, ...]:
    """One of a kind is as good as a list of one; text is split at commas, as on the command line."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(","))
    return tuple(value) if isinstance(value, Sequence) else (value,)


def number(value: Any, name: str, kind: type) -> Any:
    """As such a number, text of one too; what is none, or 1.5 where a count is due, is refused."""
    try:
        found = kind(value)
        if isinstance(value, str) or found == value:
            return found
    except (ValueError, TypeError, OverflowError):
        pass
    raise UserError(f"{name} {shorten(repr(value))}", hint="give a number, or a list of numbers")


def refuse_unknown(methods: Sequence[str]) -> None:
    known = (*KINDS, TTT)
    if unknown := [m for m in methods if m not in known]:
        raise UserError(f"unknown method {unknown[0]!r}", hint=f"choose among {', '.join(known)}")


def prompting(common: dict[str, Any]) -> dict[str, Any]:
    """Of the coordinates common to a grid those that mean something where nothing is trained."""
    return {k: v for k, v in common.items() if k in ("demonstrations", "deliver")}


def at_use(common: dict[str, Any]) -> dict[str, Any]:
    """Lanes that have no demonstrations at use have none to deliver."""
    return {k: v for k, v in common.items() if k != "deliver" or common.get("use_shots") != 0}


def without_shots(common: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in common.items() if k not in ("deliver", "demonstrations") or common.get("use_shots")}


PAPER = {  # arXiv 2512.19879, section 4: full tuning, Adafactor; Algorithm 1's replay (the newest, again and again)
    "lr": (1e-4, 2e-4, 3e-4),
    "updates": (1, 2, 5, 10, 15),
    "tune": "full",
    "optimizer": "adafactor",
    "replay": "newest",
}
PAPER_SEEDS = 5
PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"shots": (4, 8), "lr": (3e-4, 1e-3), "updates": (1, 5)},
    "thorough": {"shots": (1, 2, 4, 8, 16), "lr": (1e-4, 3e-4, 1e-3), "updates": (1, 2, 5, 10)},
    "paper": {"shots": (1, 3, 5, 10, 15, 30), "deliver": "per-query", **PAPER},
    "ttt": {"methods": (*KINDS, TTT), "shots": (4,), "lr": (3e-4, 1e-3), "updates": (5,)},
}

# What `quick` gives up first when the budget is short: dear settings whose kind stays represented by a cheaper one, and
# of them first those that do worst on real models (docs/findings.md: 1e-3 many times over).
QUICK_ORDER: tuple[tuple[str, dict[str, Any]], ...] = (
    ("zero-shot", {}),
    ("icl", {"shots": 8}),
    ("ft", {"lr": 1e-3, "updates": 1}),
    ("icl+ft", {"shots": 4, "lr": 1e-3, "updates": 1}),
    ("icl", {"shots": 4}),
    ("ft", {"lr": 3e-4, "updates": 5}),
    ("icl+ft", {"shots": 4, "lr": 3e-4, "updates": 5}),
    ("icl+ft", {"shots": 8, "lr": 3e-4, "updates": 5}),
    ("icl+ft", {"shots": 8, "lr": 1e-3, "updates": 1}),
    ("ft", {"lr": 1e-3, "updates": 5}),
    ("icl+ft", {"shots": 4, "lr": 1e-3, "updates": 5}),
    ("icl+ft", {"shots": 8, "lr": 1e-3, "updates": 5}),
    ("ft", {"lr": 3e-4, "updates": 1}),
    ("icl+ft", {"shots": 4, "lr": 3e-4, "updates": 1}),
    ("icl+ft", {"shots": 8, "lr": 3e-4, "updates": 1}),
)


def short(value: float) -> str:
    """3e-4 as `3e-4`, 0.001 as `1e-3`, 0.02 as `2e-2`: one spelling for one number."""
    if value == 0:
        return "0"
    sign, digits, exponent = Decimal(repr(float(value))).as_tuple()
    text = "".join(map(str, digits)).rstrip("0") or "0"
    power = int(exponent) + len(digits) - 1
    mantissa = text[0] + ("." + text[1:] if len(text) > 1 else "")
    return f"{'-' if sign else ''}{mantissa}e{power}"
