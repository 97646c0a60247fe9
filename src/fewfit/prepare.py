"""From what was asked to what will be done: a run folder whose run.json holds every value with its source."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from fewfit import runs
from fewfit.errors import UserError
from fewfit.examples import Dataset, Example
from fewfit.examples import load as load_examples
from fewfit.examples import save as save_examples
from fewfit.examples.text import shorten
from fewfit.grid import PAPER_SEEDS, PRESETS, QUICK_ORDER, Grid, Lane
from fewfit.metrics import NOT_JSON, Metric, parsed, shortened
from fewfit.metrics import auto as auto_metric
from fewfit.metrics import metric as find_metric
from fewfit.models.local import Loaded
from fewfit.render import Renderer
from fewfit.watch import Watch

QUICK_BUDGET = 600.0  # seconds
LONGEST_BUDGET = 8760 * 3600.0
MOST_SEEDS = 1_000
# Of a whole run. Small models make some hundred updates a second: beyond this it would be days, and is said to be.
MOST_UPDATES = 10_000_000
MANY_UPDATES = 50_000  # are announced
GRID_FLAGS = ("methods", "shots", "lr", "updates")
COMMON_FLAGS = ("rank", "tune", "optimizer", "loss", "replay", "layers")
STUDY_FLAGS = ("batch", "block", "schedule", "weight_decay", "use_shots")
TEST = "test.jsonl"


@dataclass
class Prepared:
    """A run ready to go, with what was loaded on the way."""

    folder: Path
    record: dict[str, Any]
    loaded: dict[str | None, Loaded] = field(default_factory=dict)  # by lane's model: None where there is one only


def seconds(text: str | float | int) -> float:
    """`10m`, `90s`, `1h30m` or plain seconds."""
    if isinstance(text, int | float):
        if not 0 <= text <= LONGEST_BUDGET:
            raise UserError(f"--budget {text:g}", mend="give seconds, a year of them at the most")
        return float(text)
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", text.strip())
    if not text.strip() or match is None:
        raise UserError(f"--budget {text!r} is no duration", mend="write it like 90s, 10m or 1h30m")
    h, m, s = (float(part or 0) for part in match.groups())
    found = h * 3600 + m * 60 + s
    if not found <= LONGEST_BUDGET:
        raise UserError(f"--budget {shorten(text)}", mend="give a year (8760h) at the most")
    return found


def grid_of(asked: dict[str, Any], models: Sequence[str | None]) -> tuple[Grid, dict[str, str]]:
    """The lanes asked for, and where each coordinate came from."""
    preset = asked["preset"]
    if preset not in PRESETS:
        raise UserError(f"unknown preset {preset!r}", mend=f"choose among {', '.join(PRESETS)}")
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for flag in (*GRID_FLAGS, *COMMON_FLAGS, *STUDY_FLAGS):
        if asked.get(flag) is not None:
            values[flag], sources[flag] = asked[flag], "given"
        elif flag in PRESETS[preset]:
            values[flag], sources[flag] = PRESETS[preset][flag], f"preset {preset}"
        else:
            sources[flag] = "default"
    return Grid.of(model=models, **values), sources


def dtype_for(asked: dict[str, Any]) -> str:
    """Weights that train whole are their own masters: in bf16 most of every update would be rounded away."""
    whole = any(lane.trains and lane.tune == "full" for lane in grid_of(asked, (None,))[0].lanes)
    return "float32" if whole and asked["dtype"] == "auto" else str(asked["dtype"])


def within_budget(
    asked: dict[str, Any], grid: Grid, cost: dict[str, float], budget: float, n: int
) -> tuple[Grid, tuple[int, ...], list[str]]:
    """The lanes to run, after which examples the field is halved, and what to say of it.

    The default budget cuts lanes from the quick grid and keeps the promise of racing for those that run. A budget that
    was given halves the field on the way first: a lane that was seen on some examples is better judged than one that
    was never run.
    """
    from fewfit.engine.race import halving_places, share_run

    need = sum(cost.values())
    shown = f"a budget of {budget / 60:.3g} minutes"
    if need <= budget:
        return grid, (), []
    if not is_sized(asked):
        return grid, (), [f"about {need / 60:.3g} minutes, more than {shown}; a grid that was spelled out is not cut"]
    notices = []
    halvings: tuple[int, ...] = ()
    if asked["race"] and asked["budget"] is not None:
        halvings = halving_places(n, asked["select"])
        cost = {name: seconds * share_run(n, halvings) for name, seconds in cost.items()}
        after = " and ".join(map(str, halvings))
        if halvings:
            notices.append(
                f"{shown} does not hold all lanes to their end: the worse half leaves after example {after}, without "
                "racing's promise (a would-be winner is dropped in at most 5 of 100 runs)"
            )
    kept = fitting_lanes(grid, cost, budget)
    if len(kept.lanes) < len(grid.lanes):
        notices.append(f"{len(kept.lanes)} of {len(grid.lanes)} lanes fit {shown}; --budget says otherwise")
    return kept, halvings, notices


def is_sized(asked: dict[str, Any]) -> bool:
    """Only the quick preset's own grid is cut to the budget; a grid that was spelled out never is."""
    return asked["preset"] == "quick" and all(asked.get(flag) is None for flag in GRID_FLAGS)


def fitting_lanes(grid: Grid, cost: dict[str, float], budget: float) -> Grid:
    """As many lanes as the budget holds, in QUICK_ORDER; of every kind at least one stays."""
    models = sorted({lane.model for lane in grid.lanes}, key=lambda m: m or "")
    kept: list[Lane] = []
    spent = 0.0
    kinds: set[tuple[str, str | None]] = set()
    for kind, want in QUICK_ORDER:
        for model in models:
            for lane in grid.lanes:
                same = lane.kind == kind and lane.model == model
                if not same or any(getattr(lane, key) != value for key, value in want.items()):
                    continue
                first = (kind, model) not in kinds
                if first or spent + cost[lane.name] <= budget:
                    kept.append(lane)
                    spent += cost[lane.name]
                    kinds.add((kind, model))
    names = {lane.name for lane in kept}
    return Grid(tuple(lane for lane in grid.lanes if lane.name in names))


@dataclass(frozen=True)
class Material:
    """What can be read and checked without a model."""

    dataset: Dataset
    test: Dataset | None
    judge: Metric
    seeds: int
    path: str | None
    file_digest: str | None


def read(asked: dict[str, Any], data: Any) -> Material:
    """Everything that can be refused before a model is fetched."""
    dataset = load_examples(
        data,
        input=asked["input"],
        output=asked["output"],
        labels=asked["labels"],
        choices=asked["choices"],
        skip_bad=asked["skip_bad"],
        keep_duplicates=asked["keep_duplicates"],
    )
    wanted = asked["metric"] if asked["metric"] != "auto" else auto_metric(dataset)
    judge = find_metric(wanted, answer_patterns=tuple(asked["answer_pattern"] or ()))
    if judge.needs == "choices" and dataset.choices is None and any(e.choices is None for e in dataset.examples):
        if asked["metric"] == "auto":
            message, mend = "some rows have choices and some have none", "give them to every row, or --metric match"
            raise UserError(message, mend=mend)
        raise UserError("--metric choice needs choices", mend="give --choices a,b,c, or a `choices` field in every row")
    test = None
    if asked["test"] is not None:
        # Only where answers are chosen among the labels must those of the test file be among them.
        free = "none" if isinstance(asked["choices"], str) and asked["choices"] == "none" else "rows"
        among = dataset.choices if judge.needs == "choices" and dataset.choices is not None else free
        test = load_examples(
            asked["test"],
            input=asked["input"],
            output=asked["output"],
            labels=asked["labels"],
            choices=among,
            skip_bad=asked["skip_bad"],
            keep_duplicates=True,
        )
    refuse_unreadable(judge, [*dataset.examples, *(test.examples if test is not None else ())])
    grid, _ = grid_of(asked, (None,))
    seeds = asked["seeds"]
    if seeds is None:
        seeds = PAPER_SEEDS if asked["preset"] == "paper" else 1
    if not isinstance(seeds, int) or not 1 <= seeds <= MOST_SEEDS:
        raise UserError(f"--seeds {shorten(repr(seeds))}", mend=f"give 1 to {MOST_SEEDS:,}")
    if (updates := updates_of(grid.lanes, len(dataset), seeds)) > MOST_UPDATES:
        message = f"{updates:,} updates are asked for, and {MOST_UPDATES:,} are the most"
        raise UserError(message, mend="give fewer --updates, --seeds, --lr or --shots, or fewer examples")
    if asked["budget"] is not None:
        seconds(asked["budget"])
    at = Path(data).expanduser().resolve() if isinstance(data, str | Path) else None
    digest = None if at is None else sha256(at.read_bytes()).hexdigest()
    return Material(dataset, test, judge, seeds, None if at is None else str(at), digest)


def updates_of(lanes: Sequence[Lane], n: int, seeds: int) -> int:
    return seeds * n * sum(lane.updates for lane in lanes)


def refuse_unreadable(judge: Metric, examples: Sequence[Example]) -> None:
    """An answer that the metric cannot compare with is better named now than in the middle of a run."""
    for example in examples if judge.name == "json" else ():
        if parsed(example.completion) is NOT_JSON:
            raise UserError(
                f"the answer {shortened(example.completion)} is no JSON, which --metric json compares",
                where=f"example {example.id}",
                mend="mend the row, or take --metric match",
            )


def prepare(asked: dict[str, Any], material: Material, loaded: dict[str | None, Loaded], watch: Watch) -> Prepared:
    """Settles what is left to settle with the models at hand, and writes the run folder."""
    dataset, test, judge, seeds = material.dataset, material.test, material.judge, material.seeds
    grid, sources = grid_of(asked, tuple(loaded))
    renderers = {name: renderer_for(one, dataset, judge.needs, asked) for name, one in loaded.items()}
    notices = [*dataset.notices, *(test.notices if test else ())]
    for name, renderer in renderers.items():
        notices += [f"{name}: {notice}" if name else notice for notice in renderer.notices]
    if len(dataset.examples) <= max((lane.shots for lane in grid.lanes), default=0):
        notices.append(
            f"{len(dataset.examples)} examples: the longest prompts will have fewer demonstrations than asked"
        )
    budget = seconds(asked["budget"]) if asked["budget"] is not None else QUICK_BUDGET
    cost: dict[str, float] = {}
    halvings: tuple[int, ...] = ()
    if is_sized(asked) or asked["budget"] is not None:
        from fewfit.engine.task import Task
        from fewfit.engine.threads import is_small, one_thread
        from fewfit.engine.timing import lane_seconds

        watch.phase("timing a few steps")
        for name, one in loaded.items():
            lanes = [lane for lane in grid.lanes if lane.model == name]
            task = Task(dataset.examples, renderers[name], judge, order=asked["order"])
            with one_thread(is_small(one.model)):
                cost |= lane_seconds(one.model, task, lanes, seeds)
        grid, halvings, told = within_budget(asked, grid, cost, budget, len(dataset.examples))
        notices += told
    if (updates := updates_of(grid.lanes, len(dataset), seeds)) > MANY_UPDATES:
        predictions = seeds * len(dataset) * len(grid.lanes)
        notices.append(
            f"{updates:,} updates and {predictions:,} predictions are to be made; fewfit plan tells how long"
        )
    record: dict[str, Any] = {
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "asked": {
            k: {"value": plain(v), "source": sources.get(k, "default" if v is None else "given")}
            for k, v in asked.items()
        },
        "data": {
            "source": dataset.source,
            "path": material.path,
            "file_digest": material.file_digest,
            "digest": dataset.digest,
            "n": len(dataset.examples),
            "choices": dataset.choices,
        },
        "test": None if test is None else {"digest": test.digest, "n": len(test.examples)},
        "models": [
            {"lane": name, **asdict(one.ref), "dtype": one.dtype, "render": renderers[name].settings.as_json()}
            for name, one in loaded.items()
        ],
        "device": asked["device"],
        "dtype": asked["dtype"],
        "metric": judge.name,
        "answer_patterns": list(asked["answer_pattern"] or ()),
        "lanes": [lane.as_json() for lane in grid.lanes],
        "seeds": list(range(seeds)),
        "order": asked["order"],
        "race": bool(asked["race"]),
        "halvings": list(halvings),
        "final": asked["final"],
        "select": asked["select"],
        "budget": budget if is_sized(asked) else None,
        "estimated_seconds": {name: round(cost[name], 2) for name in grid.names if name in cost},
        "notices": notices,
        "versions": runs.versions(),
    }
    name = next(iter(loaded.values())).ref.short_name
    folder = runs.create(Path(asked["out"]) if asked["out"] else None, dataset.source, name)
    save_examples(dataset, folder / runs.EXAMPLES)
    if test is not None:
        save_examples(test, folder / TEST)
    runs.write_record(folder, record)  # last: a folder with run.json can be resumed
    runs.remember(folder)
    return Prepared(folder, runs.record(folder), dict(loaded))


def renderer_for(loaded: Loaded, dataset: Dataset, needs: str, asked: dict[str, Any]) -> Renderer:
    config = loaded.model.config
    return Renderer.resolve(
        loaded.tokenizer,
        dataset.examples,
        chat=asked["chat"],
        instruction=asked["instruction"],
        no_instruction=asked["no_instruction"],
        system=asked["system"],
        template=asked["template"],
        max_length=asked["max_length"],
        context_length=getattr(config, "max_position_embeddings", None),
        choices=dataset.choices if needs == "choices" else None,
        template_kwargs=asked["chat_template_kwargs"],
    )


def plain(value: Any) -> Any:
    """As JSON holds it."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return f"<{type(value).__name__}>"
