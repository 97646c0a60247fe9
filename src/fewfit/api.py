"""The Python face: `fit` runs a grid of lanes on examples, `resume` goes on with a run, `Run` is what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewfit import runs
from fewfit.errors import UserError
from fewfit.metrics import Metric
from fewfit.metrics import metric as find_metric
from fewfit.models import local
from fewfit.models.local import Loaded
from fewfit.predictions import read as read_predictions
from fewfit.prepare import Prepared, dtype_for, prepare, read
from fewfit.watch import Callbacks, OnLane, OnRow, Watch

if TYPE_CHECKING:
    from fewfit.predict import Predictor


class Run:
    """A finished run: its result, its evidence, its bundle. The folder holds all of it."""

    def __init__(self, folder: Path, result: dict[str, Any], model: Any = None):
        self.folder, self.result, self._model = folder, result, model

    @property
    def best(self) -> str:
        return self.result["best"]

    @property
    def verdict(self) -> str:
        return self.result["verdict"]

    @property
    def score(self) -> float:
        return self.result["score"]

    @property
    def interval(self) -> tuple[float, float]:
        low, high = self.result["interval"]
        return low, high

    @property
    def lanes(self) -> list[dict[str, Any]]:
        return self.result["lanes"]

    def predictions(self) -> Any:
        """One row per lane and example: a DataFrame where pandas is installed, else a list of dicts."""
        rows = read_predictions(self.folder)
        try:
            import pandas
        except ImportError:
            return rows
        return pandas.DataFrame(rows)

    @property
    def bundle(self) -> Predictor:
        """The product, ready to predict. A model that was handed to `fit` is used again, not loaded twice."""
        return load(self.folder, model=self._model)

    def __repr__(self) -> str:
        low, high = self.interval
        return f"Run({str(self.folder)!r}, best={self.best!r}, score={self.score:.3f} ({low:.3f} to {high:.3f}))"


def fit(
    data: Any,
    *,
    model: Any = None,
    tokenizer: Any = None,
    revision: str | None = None,
    base_url: str | None = None,
    preset: str = "quick",
    methods: Sequence[str] | None = None,
    shots: Sequence[int] | None = None,
    lr: Sequence[float] | None = None,
    updates: Sequence[int] | None = None,
    rank: int | None = None,
    tune: str | None = None,
    optimizer: str | None = None,
    loss: str | None = None,
    replay: str | None = None,
    layers: str | None = None,
    batch: int | None = None,
    block: int | None = None,
    schedule: str | None = None,
    weight_decay: float | None = None,
    use_shots: int | None = None,
    seeds: int | None = None,
    budget: str | float | None = None,
    race: bool = True,
    metric: str | Callable[..., float] = "auto",
    choices: Any = "auto",
    answer_pattern: Sequence[str] = (),
    instruction: str | None = None,
    no_instruction: bool = False,
    system: str | None = None,
    template: str | None = None,
    chat: str = "auto",
    chat_template_kwargs: Mapping[str, Any] | None = None,
    max_length: int | None = None,
    input: str | None = None,
    output: str | None = None,
    labels: Any = None,
    order: str = "shuffle",
    skip_bad: bool = False,
    keep_duplicates: bool = False,
    test: Any = None,
    final: str = "stream",
    select: str = "z23",
    device: str = "auto",
    dtype: str = "auto",
    quantize: str | None = None,
    out: str | Path | None = None,
    watch: Watch | None = None,
    on_row: OnRow | None = None,
    on_lane: OnLane | None = None,
) -> Run:
    """Compares prompting, tuning and both on the examples, and makes the best one ready to serve.

    `data` is a file, a list (of dicts, pairs or `Example`s), a DataFrame or a `datasets.Dataset`. `model` is a Hugging
    Face name, a folder, a GGUF file, an installed model (`lab`), a loaded model (given back unchanged), or several of
    these.
    """
    asked = {k: v for k, v in locals().items() if k not in ("data", "tokenizer", "watch", "on_row", "on_lane")}
    told = Callbacks(watch, on_row, on_lane)
    check(asked)
    material = read(asked, data)  # what is wrong with the data or the grid is said before a model is fetched
    loaded = load_models(asked, tokenizer, told)
    prepared = prepare(asked, material, loaded, told)
    return _run(prepared, material.judge, told, handed_in(model))


def resume(
    folder: str | Path,
    *,
    model: Any = None,
    tokenizer: Any = None,
    metric: Callable[..., float] | None = None,
    watch: Watch | None = None,
    on_row: OnRow | None = None,
    on_lane: OnLane | None = None,
) -> Run:
    """Goes on with a run that was stopped, with the settings it began with.

    A model or a metric that was handed to `fit` as an object is handed in again; a changed one is refused.
    """
    where = runs.find(folder)
    record = runs.record(where)
    told = Callbacks(watch, on_row, on_lane)
    if (where / runs.RESULT).exists():
        return Run(where, runs.result(where), handed_in(model))
    refuse_changed_data(record, where)
    judge = find_metric(metric or record["metric"], answer_patterns=tuple(record["answer_patterns"]))
    if judge.name != record["metric"]:
        raise UserError(
            f"the run is scored by {record['metric']}, not by {judge.name}",
            where=str(where),
            mend="hand in the metric that it began with, or start a new run",
        )
    objects = handed_in_all(model)
    if objects and len(objects) != len(record["models"]):
        raise UserError(
            f"{len(objects)} models for a run of {len(record['models'])}", where=str(where), mend="hand in all of them"
        )
    loaded: dict[str | None, Loaded] = {}
    for number, one in enumerate(record["models"]):
        told.phase(f"loading {one['name']}")
        if objects:
            loaded[one["lane"]] = wrapped(objects[number], tokenizer)
        else:
            loaded[one["lane"]] = local.load(
                one["name"],
                revision=one["revision"],
                device=record["device"],
                dtype=one.get("dtype", record["dtype"]),
                quantize=record["asked"]["quantize"]["value"],
                digest=one["digest"],
                tell=told.phase,
            )
        if loaded[one["lane"]].ref.digest != one["digest"]:
            raise UserError(
                f"{one['name']} is not the model that the run began with",
                where=str(where),
                mend="put the old one back, or start a new run",
            )
    return _run(Prepared(where, record, loaded), judge, told, handed_in(model))


def load(path: str | Path, *, model: Any = None, device: str = "auto") -> Predictor:
    """The predictor of a run (a folder, or `last`) or of a bundle's folder."""
    from fewfit import predict

    return predict.load(runs.find(path) if str(path) == "last" else path, model=model, device=device)


def _run(prepared: Prepared, judge: Metric, watch: Watch, model: Any) -> Run:
    from fewfit.execute import execute  # the engine, and torch with it: `plan` asks this module without needing either

    return Run(prepared.folder, execute(prepared, judge, watch), model)


def check(asked: dict[str, Any]) -> None:
    if asked["model"] is None or (isinstance(asked["model"], list | tuple) and not asked["model"]):
        raise UserError(
            "no model",
            mend="name one: --model lab (bundled toy, offline), smollm2, a folder, a GGUF file, or a hub name such as "
            "--model Qwen/Qwen3-0.6B; fewfit models lists those found without a network",
        )
    if asked["base_url"]:
        raise UserError(
            "--base-url: models behind an endpoint are not supported", mend="name a folder or a hub model with --model"
        )
    refuse_same_names(asked["model"])
    for part in ("{prompt}", "{completion}"):
        if asked["template"] is not None and part not in asked["template"]:
            raise UserError(f"--template has no {part}", mend="write it like 'Q: {prompt}\\nA: {completion}'")
    for flag, known in (
        ("final", ("stream", "refit")),
        ("select", ("z23", "accuracy", "nll")),
        ("order", ("shuffle", "file")),
        ("chat", ("auto", "on", "off")),
        ("tune", (None, "lora", "full")),
        ("optimizer", (None, "adamw", "adafactor")),
        ("loss", (None, "every-answer", "last-answer")),
        ("replay", (None, "balanced", "uniform", "newest")),
        ("layers", (None, "all", "upper-half")),
        ("schedule", (None, "constant", "linear", "cosine")),
    ):
        if asked[flag] not in known:
            choices = ", ".join(str(k) for k in known if k)
            raise UserError(f"--{flag} {asked[flag]}", mend=f"choose among {choices}")


def short_name(model: str | Path) -> str:
    """The last part of a name or path: what lanes carry where there are several models."""
    return str(model).rstrip("/").split("/")[-1]


def refuse_same_names(model: Any) -> None:
    wanted = (
        [short_name(one) for one in model if isinstance(one, str | Path)] if isinstance(model, list | tuple) else []
    )
    for name in wanted:
        if wanted.count(name) > 1:
            raise UserError(f"two models called {name}", mend="name each once; rename a folder that is called the same")


def load_models(asked: dict[str, Any], tokenizer: Any, watch: Watch) -> dict[str | None, Loaded]:
    """By the name that lanes carry: None where there is one model only."""
    wanted = asked["model"] if isinstance(asked["model"], list | tuple) else [asked["model"]]
    loaded: dict[str | None, Loaded] = {}
    for one in wanted:
        if isinstance(one, str | Path):
            watch.phase(f"loading {one}")
            found = local.load(
                str(one),
                revision=asked["revision"],
                device=asked["device"],
                dtype=dtype_for(asked),
                quantize=asked["quantize"],
                tell=watch.phase,
            )
        else:
            found = wrapped(one, tokenizer)
        name = None if len(wanted) == 1 else short_name(found.ref.name)
        if name in loaded:
            raise UserError(f"two models called {name}", mend="rename one folder")
        loaded[name] = found
    return loaded


def refuse_changed_data(record: dict[str, Any], where: Path) -> None:
    from hashlib import sha256

    path, digest = record["data"]["path"], record["data"]["file_digest"]
    if path and digest and Path(path).exists() and sha256(Path(path).read_bytes()).hexdigest() != digest:
        raise UserError(
            f"{path} has changed since the run began",
            where=str(where),
            mend="put the old file back, or start a new run on the new one",
        )


def handed_in_all(model: Any) -> list[Any]:
    """The models that were given as objects, not by name."""
    several = model if isinstance(model, list | tuple) else [model]
    return [one for one in several if one is not None and not isinstance(one, str | Path)]


def handed_in(model: Any) -> Any:
    """The one model that was given as an object, for the bundle to use again."""
    objects = handed_in_all(model)
    return objects[0] if len(objects) == 1 and not isinstance(model, list | tuple) else None


def wrapped(model: Any, tokenizer: Any) -> Loaded:
    """A loaded model, or a pair of model and tokenizer."""
    return local.wrap(*model) if isinstance(model, tuple) else local.wrap(model, tokenizer)
