"""What may be asked of a run: one frozen record, checked where it is made.

The flags of the command line, the keywords of `fit` and `plan`, their defaults and what run.json keeps of them are all
read off the fields of `Settings`; a new setting is a field here and its line of help in cli/flags.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from fewfit.draw import Replay
from fewfit.errors import UserError
from fewfit.examples.text import shorten
from fewfit.grid import AUTO, AUTO_SHOTS, PAPER_SEEDS, PRESETS, Grid, Lane, several

QUICK_BUDGET = 600.0  # seconds
LONGEST_BUDGET = 8760 * 3600.0
MOST_SEEDS = 1_000
FEWEST_FOR_A_RACE = 30  # examples

READING = ("input", "output", "labels", "choices", "skip_bad", "keep_duplicates")  # how rows are read
ALL_SHOTS = 10_000  # what --shots all stands for: as many documents as there are
SIZED = ("methods", "shots", "lr", "updates")  # what the quick preset's grid may be cut in
# Where models stand behind an endpoint: nothing can be trained there, and no set is chosen by likelihood.
OF_ENDPOINTS = {"methods": ("zero-shot", "icl"), "deliver": "per-query"}
OF_TRAINING = (
    "lr", "updates", "rank", "tune", "optimizer", "loss", "replay", "layers", "augment", "batch", "schedule",
    "weight_decay", "kl",
)  # fmt: skip
LIMITS = ("concurrency", "max_calls", "max_tokens")  # of an endpoint
OF_OTHERS = ("revision", "device", "dtype", "quantize", "budget", "chat_template_kwargs")
COORDINATES = (
    *SIZED, "rank", "tune", "optimizer", "loss", "replay", "layers", "augment", "demonstrations",
    "deliver", "batch", "block", "schedule", "weight_decay", "kl", "use_shots",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Settings:
    """None is what the preset says, or what is found in the data, the model or on the machine."""

    # The model: a name, a folder, a GGUF file, a loaded one (or a pair of it and its tokenizer), or several of these.
    model: Any = None
    revision: str | None = None
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16", "float64"] = "auto"
    quantize: Literal["nf4"] | None = None
    # Or one that an OpenAI-compatible endpoint has under that name.
    base_url: str | None = None
    concurrency: int | None = None
    max_calls: int | None = None
    max_tokens: int | None = None
    # The lanes: all combinations, or spelled out one by one.
    preset: Literal["quick", "thorough", "paper", "ttt"] = "quick"
    methods: Sequence[str] | None = None
    shots: Sequence[int] | str | None = None  # "auto": of lanes that train as many as is likeliest (run/shots.py)
    lr: Sequence[float] | None = None
    updates: Sequence[int] | None = None
    rank: int | None = None
    tune: Literal["lora", "full"] | None = None
    optimizer: Literal["adamw", "adafactor"] | None = None
    loss: Literal["every-answer", "last-answer"] | None = None
    replay: Replay | None = None
    layers: Literal["all", "upper-half", "values"] | None = None
    augment: Sequence[str] | None = None
    augment_with: str | None = None  # who infers, if not the model itself
    augment_url: str | None = None
    demonstrations: str | None = None
    deliver: str | None = None
    batch: int | None = None
    block: int | None = None
    schedule: Literal["constant", "linear", "cosine"] | None = None
    weight_decay: float | None = None
    kl: float | None = None
    use_shots: int | None = None
    grid: Grid | Sequence[Lane] | None = None
    seeds: int | None = None
    budget: str | float | None = None
    race: bool | None = None
    # The scores: `metric` may be a name, a function of one's own, or a `Metric`.
    metric: Any = "auto"
    choices: Any = "auto"
    answer_pattern: Sequence[str] = ()
    select: Literal["z23", "accuracy", "nll"] = "z23"
    test: Any = None
    probe: Any = None  # questions that measure what is learnt from documents
    # The prompts.
    instruction: str | None = None
    no_instruction: bool = False
    system: str | None = None
    template: str | None = None
    chat: Literal["auto", "on", "off"] = "auto"
    chat_template_kwargs: Mapping[str, Any] | None = None
    max_length: int | None = None
    # The data.
    input: str | None = None
    output: str | None = None
    labels: Any = None
    order: Literal["shuffle", "file"] = "shuffle"
    skip_bad: bool = False
    keep_duplicates: bool = False
    # What becomes of it.
    final: Literal["stream", "refit"] = "stream"
    out: str | Path | None = None
    no_text: bool = False  # the run's pages leave out the examples

    def __post_init__(self) -> None:
        for name, known in OPTIONS.items():
            if (value := getattr(self, name)) is not None and value not in known:
                raise UserError(f"{flag(name)} {value}", hint=f"choose among {', '.join(known)}")
        if not self.models:
            raise UserError(
                "no model",
                hint="name one: --model lab (bundled toy, offline), smollm2, a folder, a GGUF file, or a Hugging Face "
                "name such as --model Qwen/Qwen3-0.6B; fewfit models lists those found without a network",
            )
        names = [short_name(one) for one in self.models if isinstance(one, str | Path)] if self.several_models else []
        if doubled := next((name for name in names if names.count(name) > 1), None):
            raise UserError(
                f"two models called {doubled}", hint="name each once; rename a folder that is called the same"
            )
        for name, kind in TYPES.items():
            if (kind is bool or (kind == (bool | None) and getattr(self, name) is not None)) and not isinstance(
                getattr(self, name), bool
            ):
                raise UserError(f"{name}={getattr(self, name)!r}", hint="give True or False")
        if self.instruction and self.no_instruction:
            raise UserError("--instruction with --no-instruction", hint="leave one out")
        for part in ("{prompt}", "{completion}"):
            if self.template is not None and part not in self.template:
                raise UserError(f"--template has no {part}", hint="write it like 'Q: {prompt}\\nA: {completion}'")
        if not isinstance(self.number_of_seeds, int) or not 1 <= self.number_of_seeds <= MOST_SEEDS:
            raise UserError(f"--seeds {shorten(repr(self.seeds))}", hint=f"give 1 to {MOST_SEEDS:,}")
        if self.budget is not None:
            seconds(self.budget)
        if self.grid is not None and (given := [name for name in COORDINATES if getattr(self, name) is not None]):
            raise UserError(f"grid= and {given[0]}= together", hint="set it in each Lane")
        refuse_idle_augmenter(self)
        if self.probe is None and ALL_SHOTS in several(self.shots or ()):
            raise UserError("--shots all", hint="it is for documents (--probe): name how many examples a prompt shows")
        if self.chooses_shots and self.number_of_seeds > 1:
            hint = "give --seeds 1: what one order begins with, another one ends with"
            raise UserError(f"--shots auto with {self.number_of_seeds} seeds", hint=hint)
        named = [short_name(one) for one in self.models if isinstance(one, str | Path)]
        for name in LIMITS:
            if (value := getattr(self, name)) is None:
                continue
            if self.base_url is None and self.augment_url is None:
                raise UserError(f"{flag(name)} without --base-url", hint="it is for models behind an endpoint")
            if not isinstance(value, int) or value < 1:
                raise UserError(f"{flag(name)} {value}", hint="give a whole number, 1 or more")
        if self.probe is not None:  # documents have lanes of their own (run/reading.py)
            return
        grid = self.lanes(tuple(named) if self.several_models and len(named) == len(self.models) else (None,))
        if self.base_url is not None:
            refuse_behind_endpoint(self, grid)
        if self.quantize and any(lane.trains and lane.tune == "full" for lane in grid.lanes):
            hint = "packed weights train no further: tune lora"
            raise UserError(f"--quantize {self.quantize} with --tune full", hint=hint)

    @property
    def several_models(self) -> bool:
        return isinstance(self.model, list | tuple) and not is_pair(self.model)

    @property
    def models(self) -> tuple[Any, ...]:
        if self.several_models:
            return tuple(self.model)
        return () if self.model is None else (self.model,)

    @property
    def answer_patterns(self) -> tuple[str, ...]:
        one = self.answer_pattern
        return (one,) if isinstance(one, str) else tuple(one or ())

    @property
    def chooses_shots(self) -> bool:
        return several(self.shots) == (AUTO,)

    def lanes(self, models: Sequence[str | None], n: int | None = None) -> Grid:
        """The lanes to be compared, for each of the models that lanes are named after: None where there is one only.
        With `n` examples; where shots are to be chosen, of all that may be."""
        if self.grid is None:
            stated = {name: self.coordinate(name)[0] for name in self._stated()}
            return Grid.of(model=models, n=n, **stated | ({"shots": AUTO_SHOTS} if self.chooses_shots else {}))
        given = self.grid.lanes if isinstance(self.grid, Grid) else tuple(several(self.grid))
        for lane in given:
            if not isinstance(lane, Lane):
                raise UserError(f"a grid that holds a {type(lane).__name__}", hint="give a Grid, or a list of Lanes")
        if models == (None,):
            if (lane := next((lane for lane in given if lane.model), None)) and not self.several_models:
                raise UserError(f"a lane of {lane.model}, and one model", hint="leave the lane's model out")
            return Grid(tuple(dict.fromkeys(replace(lane, model=None) for lane in given)))
        named = [(lane, (lane.model,) if lane.model else models) for lane in given]
        if lost := next((lane.model for lane, some in named if not set(some) <= set(models)), None):
            raise UserError(
                f"a lane of {lost}, which is none of the models", hint=f"one of: {', '.join(map(str, models))}"
            )
        return Grid(tuple(replace(lane, model=model) for lane, some in named for model in some))

    def _stated(self) -> list[str]:
        return [name for name in COORDINATES if self.coordinate(name)[1] != "default"]

    def coordinate(self, name: str) -> tuple[Any, str]:
        """A coordinate's value and where it comes from."""
        if (value := getattr(self, name)) is not None:
            return value, "given"
        if self.base_url is not None and name in OF_ENDPOINTS:
            return OF_ENDPOINTS[name], "endpoint"
        if name in PRESETS[self.preset]:
            return PRESETS[self.preset][name], f"preset {self.preset}"
        return None, "default"

    def races(self, n: int) -> bool:
        """Whether lanes may leave early. With few examples a race saves seconds and may cost the best lane."""
        return n >= FEWEST_FOR_A_RACE if self.race is None else self.race

    @property
    def number_of_seeds(self) -> int:
        if self.seeds is not None:
            return self.seeds
        return PAPER_SEEDS if self.preset == "paper" else 1

    @property
    def budget_seconds(self) -> float:
        return QUICK_BUDGET if self.budget is None else seconds(self.budget)

    @property
    def is_sized(self) -> bool:
        """Only the quick preset's own grid is cut to the budget; a grid that was spelled out never is."""
        spelled_out = self.grid is not None or any(getattr(self, name) is not None for name in SIZED)
        return self.preset == "quick" and self.base_url is None and not spelled_out

    @property
    def load_dtype(self) -> str:
        """Weights that train whole are their own masters: in bf16 most of every update would be rounded away."""
        if self.probe is not None:  # of documents no lane tunes all weights
            return self.dtype
        whole = any(lane.trains and lane.tune == "full" for lane in self.lanes((None,)).lanes)
        return "float32" if whole and self.dtype == "auto" else self.dtype

    def as_json(self) -> dict[str, dict[str, Any]]:
        """Every setting with its value and where that comes from, as run.json keeps it."""

        def source(name: str, value: Any) -> str:
            if name in COORDINATES:
                return self.coordinate(name)[1]
            default = DEFAULTS[name]
            return "default" if value is default or (type(value) is type(default) and value == default) else "given"

        values = {name: self.coordinate(name)[0] if name in COORDINATES else getattr(self, name) for name in DEFAULTS}
        return {name: {"value": plain(value), "source": source(name, value)} for name, value in values.items()}


def refuse_idle_augmenter(asked: Settings) -> None:
    if asked.augment_url is not None and asked.augment_with is None:
        raise UserError(
            "--augment-url without --augment-with", hint="give the name that the endpoint has for its model"
        )
    lanes = asked.grid.lanes if isinstance(asked.grid, Grid) else several(asked.grid or ())
    if asked.augment_with is not None and not (asked.augment or any(lane.augment for lane in lanes)):
        raise UserError("--augment-with, and nothing is inferred", hint="give --augment local, global or both")


def refuse_behind_endpoint(asked: Settings, grid: Grid) -> None:
    """What an endpoint cannot do is told before it is asked anything."""
    if given := next((name for name in OF_OTHERS if getattr(asked, name) != DEFAULTS[name]), None):
        raise UserError(f"{flag(given)} with --base-url", hint="leave it out: the endpoint runs the model as it does")
    if any(not isinstance(one, str) for one in asked.models):
        raise UserError("a model in memory with --base-url", hint="give the name that the endpoint has for it")
    if given := next((name for name in OF_TRAINING if getattr(asked, name) is not None), None):
        hint = "leave it out, or give a model without --base-url"
        raise UserError(f"{flag(given)} with --base-url: nothing can be trained behind an endpoint", hint=hint)
    if lane := next((lane for lane in grid.lanes if lane.trains), None):
        raise UserError(
            f"the lane {lane.name} with --base-url: nothing can be trained behind an endpoint",
            hint="give --methods zero-shot,icl, or a model without --base-url",
        )
    if lane := next((lane for lane in grid.lanes if lane.is_fixed), None):
        raise UserError(
            f"the lane {lane.name} with --base-url: its set would be chosen by the likelihood of all examples",
            hint="give --deliver per-query or ensemble:m",
        )


DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(Settings)}
TYPES: dict[str, Any] = get_type_hints(Settings)


def options(kind: Any) -> tuple[str, ...]:
    """All that a setting of this type may be, where it is one of a few words."""
    inner = [one for one in (kind, *get_args(kind)) if getattr(one, "__origin__", None) is Literal]
    return tuple(get_args(inner[0])) if inner else ()


OPTIONS: dict[str, tuple[str, ...]] = {name: options(kind) for name, kind in TYPES.items() if options(kind)}


def settings_of(settings: Settings | None, wanted: Mapping[str, Any]) -> Settings:
    """From keywords, or those changed in settings that were handed over."""
    if unknown := next((name for name in wanted if name not in DEFAULTS), None):
        near = get_close_matches({"demos": "demonstrations"}.get(unknown, unknown), DEFAULTS, 1)
        among = f"did you mean {near[0]}?" if near else f"there are {', '.join(DEFAULTS)}"
        raise TypeError(f"unknown setting {unknown!r}; {among}")
    return Settings(**wanted) if settings is None else replace(settings, **wanted)


def takes_settings(function: Callable[..., Any]) -> Callable[..., Any]:
    """Shows the settings among the keywords of a function that takes them as **wanted: in help() and in editors."""
    own = Signature.from_callable(function)
    named = [p for p in own.parameters.values() if p.kind != Parameter.VAR_KEYWORD]
    added = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=TYPES[name])
        for name, default in DEFAULTS.items()
        if name not in own.parameters
    ]
    function.__signature__ = own.replace(parameters=[*named, *added])  # type: ignore[attr-defined]
    return function


def flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def seconds(text: str | float | int) -> float:
    """`10m`, `90s`, `1h30m` or plain seconds."""
    if isinstance(text, int | float):
        if not 0 <= text <= LONGEST_BUDGET:
            raise UserError(f"--budget {text:g}", hint="give seconds, a year of them at the most")
        return float(text)
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", text.strip())
    if not text.strip() or match is None:
        raise UserError(f"--budget {shorten(repr(text))} is no duration", hint="write it like 90s, 10m or 1h30m")
    h, m, s = (float(part or 0) for part in match.groups())
    found = h * 3600 + m * 60 + s
    if not found <= LONGEST_BUDGET:
        raise UserError(f"--budget {shorten(text)}", hint="give a year (8760h) at the most")
    return found


def is_pair(model: Any) -> bool:
    """A loaded model and its tokenizer."""
    return isinstance(model, tuple) and len(model) == 2 and hasattr(model[1], "convert_ids_to_tokens")


def short_name(model: str | Path) -> str:
    """The last part of a name or path: what lanes carry where there are several models."""
    return str(model).rstrip("/").split("/")[-1]


def plain(value: Any) -> Any:
    """As JSON holds it."""
    if isinstance(value, Grid):
        return list(value.names)
    if isinstance(value, Lane):
        return value.name
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return f"<{type(value).__name__}>"
