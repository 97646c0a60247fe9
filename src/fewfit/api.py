"""The Python face: `fit` runs a grid of lanes on examples, `resume` goes on with a run, `Run` is what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fewfit import runs
from fewfit.errors import UserError
from fewfit.execute import execute
from fewfit.metrics import metric as find_metric
from fewfit.models import local
from fewfit.models.local import Loaded
from fewfit.predictions import read
from fewfit.prepare import Prepared, prepare
from fewfit.watch import Callbacks, OnLane, OnRow, Watch


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
        rows = read(self.folder)
        try:
            import pandas
        except ImportError:
            return rows
        return pandas.DataFrame(rows)

    @property
    def bundle(self) -> Any:
        """The product, ready to predict. A model that was handed to `fit` is used again, not loaded twice."""
        from fewfit.predict import load

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
    Face name or folder, a bundled model (`lab`), a loaded model (given back unchanged), or several of these.
    """
    asked = {k: v for k, v in locals().items() if k not in ("data", "tokenizer", "watch", "on_row", "on_lane")}
    told = Callbacks(watch, on_row, on_lane)
    check(asked)
    loaded = load_models(asked, tokenizer, told)
    prepared = prepare(asked, data, loaded, told)
    return _run(prepared, metric, told, only_model(model, prepared))


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
        return Run(where, runs.result(where), model)
    refuse_changed_data(record, where)
    loaded: dict[str | None, Loaded] = {}
    for one in record["models"]:
        told.phase(f"loading {one['name']}")
        if model is not None and not isinstance(model, str):
            loaded[one["lane"]] = local.wrap(model, tokenizer)
        else:
            loaded[one["lane"]] = local.load(
                one["name"],
                revision=one["revision"],
                device=record["device"],
                dtype=record["dtype"],
                quantize=record["asked"]["quantize"]["value"],
            )
        if loaded[one["lane"]].ref.digest != one["digest"]:
            raise UserError(
                f"{one['name']} is not the model that the run began with",
                where=str(where),
                mend="put the old one back, or start a new run",
            )
    prepared = Prepared(where, record, loaded)
    return _run(prepared, metric or "recorded", told, only_model(model, prepared))


def _run(prepared: Prepared, metric: Any, watch: Watch, model: Any) -> Run:
    wanted = metric if callable(metric) else prepared.record["metric"]
    judge = find_metric(wanted, answer_patterns=tuple(prepared.record["answer_patterns"]))
    return Run(prepared.folder, execute(prepared, judge, watch), model)


def check(asked: dict[str, Any]) -> None:
    if asked["model"] is None:
        raise UserError(
            "no model",
            mend="name one: --model lab (bundled, offline), a folder, or a hub name such as --model Qwen/Qwen3-0.6B",
        )
    if asked["base_url"]:
        raise UserError(
            "--base-url: models behind an endpoint are not supported", mend="name a folder or a hub model with --model"
        )
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
                dtype=asked["dtype"],
                quantize=asked["quantize"],
            )
        elif isinstance(one, tuple):
            found = local.wrap(*one)
        else:
            found = local.wrap(one, tokenizer)
        name = None if len(wanted) == 1 else found.ref.name.rstrip("/").split("/")[-1]
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


def only_model(model: Any, prepared: Prepared) -> Any:
    """A model that was handed in as an object, for the bundle to use again."""
    return None if model is None or isinstance(model, str | Path | list | tuple) else model
