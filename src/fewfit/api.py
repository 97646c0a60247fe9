"""The Python face: `fit` runs a grid of lanes on examples, `resume` goes on with a run, `Run` is what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewfit.errors import FewfitError, UserError
from fewfit.metrics import Metric
from fewfit.metrics import metric as find_metric
from fewfit.metrics.metric import known_code
from fewfit.models import local
from fewfit.models.local import Loaded
from fewfit.models.remote import served
from fewfit.models.remote.budget import Budget
from fewfit.predictions import read as read_predictions
from fewfit.report.writing import write_report
from fewfit.run import folders
from fewfit.run.material import judged_by_what_is_told, read
from fewfit.run.prepare import Prepared, load_models, prepare, wrap
from fewfit.run.watch import Callbacks, OnLane, OnRow, Watch
from fewfit.settings import Settings, is_pair, settings_of, takes_settings

if TYPE_CHECKING:
    from fewfit.predict import Predictor


class Run:
    """A finished run: its result, its evidence, its bundle. The folder holds all of it."""

    def __init__(self, folder: Path, result: dict[str, Any], models: Mapping[str | None, Any] | None = None):
        """`models` are those that were handed in as objects, by the name that their lanes carry."""
        self.folder, self.result, self._models = folder, result, models or {}

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
        best = next(lane for lane in self.lanes if lane["name"] == self.best)
        return load(self.folder, model=self._models.get(best["model"]))

    def report(self, out: str | Path | None = None, *, with_text: bool = True) -> Path:
        """Writes what the run found as a page that opens offline, `report.html` in its folder; without the examples
        where `with_text` is False."""
        return write_report(self.folder, out, with_text=with_text)

    def __repr__(self) -> str:
        low, high = self.interval
        return f"Run({str(self.folder)!r}, best={self.best!r}, score={self.score:.3f} ({low:.3f} to {high:.3f}))"


@takes_settings
def fit(
    data: Any,
    model: Any = None,
    *,
    settings: Settings | None = None,
    tokenizer: Any = None,
    watch: Watch | None = None,
    on_row: OnRow | None = None,
    on_lane: OnLane | None = None,
    **wanted: Any,
) -> Run:
    """Compares prompting, tuning and both on the examples, and makes the best one ready to serve.

    `data` is a file, a list (of dicts, pairs or `Example`s), a DataFrame or a `datasets.Dataset`. `model` is a Hugging
    Face name, a folder, a GGUF file, an installed model (`lab`), a loaded model (given back unchanged), or several of
    these. What else may be asked are the fields of `Settings`, as keywords or as such a record; `grid` takes lanes
    that are spelled out: `grid=[Lane(shots=4), Lane(shots=4, lr=1e-3, updates=2)]`.
    """
    if model is not None:
        wanted["model"] = model
    asked = settings_of(settings, wanted)
    callbacks = Callbacks(watch, on_row, on_lane)
    material = read(asked, data)  # what is wrong with the data is said before a model is fetched
    loaded = load_models(asked, tokenizer, callbacks)
    material = judged_by_what_is_told(asked, material, loaded)
    prepared = prepare(asked, material, loaded, callbacks)
    return _run(prepared, material.judge, callbacks)


def resume(
    folder: str | Path,
    *,
    model: Any = None,
    tokenizer: Any = None,
    metric: Any = None,
    watch: Watch | None = None,
    on_row: OnRow | None = None,
    on_lane: OnLane | None = None,
) -> Run:
    """Goes on with a run that was stopped, with the settings it began with.

    A model or a metric that was handed to `fit` as an object is handed in again; a changed one is refused.
    """
    where = folders.find(folder)
    record = folders.record(where)
    callbacks = Callbacks(watch, on_row, on_lane)
    if (where / folders.RESULT).exists():
        pairs = zip(of_objects(record), objects_in(model), strict=False)
        mine = {one["lane"]: an_object[0] if is_pair(an_object) else an_object for one, an_object in pairs}
        return Run(where, folders.result(where), mine)
    refuse_changed_data(record, where)
    judge = find_metric(metric or record["metric"], answer_patterns=tuple(record["answer_patterns"]))
    if judge.name != record["metric"]:
        raise UserError(
            f"the run is scored by {record['metric']}, not by {judge.name}",
            where=str(where),
            hint="hand in the metric that it began with, or start a new run",
        )
    if record.get("metric_code") and known_code(judge) and record["metric_code"] != known_code(judge):
        raise UserError(
            f"{judge.name} does something else than when the run began",
            where=str(where),
            hint="hand in the metric that it began with, or start a new run",
        )
    objects, wanted = objects_in(model), of_objects(record)
    if len(objects) == len(record["models"]):
        wanted = record["models"]  # one that has a name may be handed in, too
    if objects and len(objects) != len(wanted):
        raise UserError(
            f"{len(objects)} models for a run of {len(wanted)}", where=str(where), hint="hand in all of them"
        )
    given = {one["lane"]: an_object for one, an_object in zip(wanted, objects, strict=False)}
    loaded: dict[str | None, Loaded] = {}
    max_tokens = record["asked"].get("max_tokens", {}).get("value")  # which older runs could not be asked
    budget = Budget(record["asked"]["max_calls"]["value"], max_tokens)
    for one in record["models"]:
        callbacks.phase(f"loading {one['name']}")
        if one["lane"] in given:
            loaded[one["lane"]] = wrap(given[one["lane"]], tokenizer)
        elif one.get("base_url"):
            known, many = (one["render"]["chat"], one["likelihood"]), record["asked"]["concurrency"]["value"]
            loaded[one["lane"]] = served.load(
                one["name"], one["base_url"], known=known, concurrency=many, budget=budget, tell=callbacks.phase
            )
        else:
            loaded[one["lane"]] = local.load(
                one["name"],
                revision=one["revision"],
                device=record["device"],
                dtype=one.get("dtype", record["dtype"]),
                quantize=record["asked"]["quantize"]["value"],
                digest=one["digest"],
                tell=callbacks.phase,
            )
        if loaded[one["lane"]].ref.digest != one["digest"]:
            raise UserError(
                f"{one['name']} is not the model that the run began with",
                where=str(where),
                hint="put the old one back, or start a new run",
            )
    return _run(Prepared(where, record, loaded), judge, callbacks)


def load(path: str | Path, *, model: Any = None, device: str = "auto") -> Predictor:
    """The predictor of a run (a folder, or `last`) or of a bundle's folder."""
    from fewfit import predict

    return predict.load(folders.place(path), model=model, device=device)


def _run(prepared: Prepared, judge: Metric, watch: Watch) -> Run:
    from fewfit.run.execute import execute  # torch with it, which `plan` does without

    objects = {lane: one.model for lane, one in prepared.loaded.items() if one.ref.digest.startswith("weights:")}
    run = Run(prepared.folder, execute(prepared, judge, watch), objects)
    try:
        tokenizers = {lane: one.tokenizer for lane, one in prepared.loaded.items()}
        write_report(run.folder, with_text=folders.shows_text(prepared.record), tokenizers=tokenizers)
    except (FewfitError, OSError) as error:  # the run is done and on disk, whatever became of its page
        watch.phase(f"no report was written ({error}); try: fewfit report {run.folder}")
    return run


def refuse_changed_data(record: dict[str, Any], where: Path) -> None:
    from hashlib import sha256

    for files in (record["data"], record["documents"] or {}):
        path, digest = files.get("path"), files.get("file_digest")
        if path and digest and Path(path).exists() and sha256(Path(path).read_bytes()).hexdigest() != digest:
            raise UserError(
                f"{path} has changed since the run began",
                where=str(where),
                hint="put the old file back, or start a new run on the new one",
            )


def objects_in(model: Any) -> list[Any]:
    """The models that were given as objects, not by name."""
    given = list(model) if isinstance(model, list | tuple) and not is_pair(model) else [model]
    return [one for one in given if one is not None and not isinstance(one, str | Path)]


def of_objects(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The models of a run that were handed in."""
    return [one for one in record["models"] if one["digest"].startswith("weights:")]
