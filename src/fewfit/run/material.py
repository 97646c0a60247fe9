"""What is read and refused before a model is there: examples, test, metric, and lanes that make no sense of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from fewfit.demonstrations import chooser
from fewfit.engine.source import source
from fewfit.errors import UserError
from fewfit.examples import Dataset, Example
from fewfit.examples import load as load_examples
from fewfit.grid import SEARCHED, TTT, Grid, Lane, several
from fewfit.metrics import Metric
from fewfit.metrics import auto as auto_metric
from fewfit.metrics import metric as find_metric
from fewfit.metrics.patterns import shortened
from fewfit.metrics.structured import NOT_JSON, parsed
from fewfit.models.local import Loaded
from fewfit.models.remote.access import checked_url
from fewfit.models.remote.served import NO_LIKELIHOOD, judged_as_told
from fewfit.run import shots as choosing
from fewfit.run.reading import lanes_on_documents
from fewfit.settings import DEFAULTS, READING, Settings, flag

# Of a whole run. Small models make some hundred updates a second: beyond this it would be days, and is said to be.
MOST_UPDATES = 10_000_000


@dataclass(frozen=True)
class Material:
    """What can be read and checked without a model."""

    dataset: Dataset
    test: Dataset | None
    judge: Metric
    seeds: int
    path: str | None
    file_digest: str | None
    notices: tuple[str, ...] = ()
    documents: Dataset | None = None  # what is read; `dataset` are then the questions about it
    documents_path: str | None = None


def read(asked: Settings, data: Any) -> Material:
    """Everything that can be refused before a model is fetched, and before anything stands in run.json."""
    if asked.augment_url is not None:
        checked_url(asked.augment_url, "--augment-url")

    def load(source: Any, **changed: Any) -> Dataset:
        return load_examples(source, **{name: getattr(asked, name) for name in READING} | changed)

    # With a probe, --choices and --labels are of its answers: documents have none.
    dataset = load(data, **({} if asked.probe is None else {"choices": "rows", "labels": None}))
    documents, read_from = None, None
    if dataset.are_documents:
        if asked.probe is None:
            raise UserError(
                "documents hold no answers to predict",
                hint="give questions about them: --probe FILE of prompt/completion",
            )
        read_from, data = place_of(data), asked.probe
        documents, dataset = dataset, load(asked.probe)
        if dataset.are_documents:
            raise UserError("--probe holds documents", hint="give prompt and completion")
        refuse_on_documents(asked)
    elif asked.probe is not None:
        raise UserError(
            "--probe without documents", hint="DATA are rows of `text` alone; --test is for further examples"
        )
    wanted = asked.metric if asked.metric != "auto" else auto_metric(dataset)
    judge = find_metric(wanted, answer_patterns=asked.answer_patterns)
    if judge.needs == "choices" and dataset.choices is None and any(e.choices is None for e in dataset.examples):
        if asked.metric == "auto":
            message, hint = "some rows have choices and some have none", "give them to every row, or --metric match"
            raise UserError(message, hint=hint)
        raise UserError("--metric choice needs choices", hint="give --choices a,b,c, or a `choices` field in every row")
    test = None
    if asked.test is not None:
        # Only where answers are chosen among the labels must those of the test file be among them.
        free = "none" if isinstance(asked.choices, str) and asked.choices == "none" else "rows"
        among = dataset.choices if judge.needs == "choices" and dataset.choices is not None else free
        test = load(asked.test, choices=among, keep_duplicates=True)
        if judge.needs == "choices" and dataset.choices is None:
            lacking = next((one for one in test.examples if one.choices is None), None)
            if lacking is not None:
                raise UserError(
                    f"row {lacking.id} of the test file has no choices, and the examples have each their own",
                    hint="give every row its `choices`",
                )
    refuse_unreadable(judge, [*dataset.examples, *(test.examples if test is not None else ())])
    seeds = asked.number_of_seeds
    if documents is None and asked.chooses_shots:
        choosing.refuse_few(len(dataset))
    grid = grid_of(asked, dataset, documents, (None,))
    for lane in grid.lanes:
        if chooser(lane.demonstrations).per_query and lane.deliver == "fixed":
            raise UserError(f"--demos {lane.demonstrations} --deliver fixed", hint="it chooses for each query")
        if lane.demonstrations == SEARCHED and not lane.is_fixed:
            raise UserError(f"--demos {SEARCHED} --deliver {lane.deliver}", hint="it is one set for all queries: fixed")
        source(lane.augment)
        if lane.members > 1 and judge.needs == "teacher":
            raise UserError(
                f"--metric {judge.name} with --deliver {lane.deliver}",
                hint="answers are put to the vote, and it proves hits without writing any: take --metric match",
            )
    if documents is not None:
        refuse_lanes_on_documents(grid.lanes)
    if (updates := updates_of(grid.lanes, dataset, documents, seeds)) > MOST_UPDATES:
        message = f"{updates:,} updates are asked for, and {MOST_UPDATES:,} are the most"
        raise UserError(message, hint="give fewer --updates, --seeds, --lr or --shots, or fewer examples")
    at = place_of(data)
    return Material(dataset, test, judge, seeds, at, digest_of(at), documents=documents, documents_path=read_from)


def digest_of(path: str | None) -> str | None:
    return None if path is None else sha256(Path(path).read_bytes()).hexdigest()


def place_of(data: Any) -> str | None:
    return str(Path(data).expanduser().resolve()) if isinstance(data, str | Path) else None


def grid_of(asked: Settings, dataset: Dataset, documents: Dataset | None, models: Sequence[str | None]) -> Grid:
    if documents is not None:
        return lanes_on_documents(asked, len(documents), models)
    return asked.lanes(models, len(dataset))


def judged_by_what_is_told(asked: Settings, material: Material, loaded: dict[str | None, Loaded]) -> Material:
    for one in loaded.values():
        flag = None if asked.metric == "auto" else "--metric"
        judge = judged_as_told(one, material.judge, flag=flag, answer_patterns=asked.answer_patterns)
        if judge is not material.judge:
            notice = f"{NO_LIKELIHOOD}: answers are written, and scored by {judge.name}"
            return replace(material, judge=judge, notices=(notice,))
    return material


# What only means something where examples are predicted one after another, or where a prompt's documents may differ.
OF_STREAMS = (
    "base_url", "race", "budget", "block", "loss", "replay", "demonstrations", "deliver", "use_shots",
)  # fmt: skip


def refuse_on_documents(asked: Settings) -> None:
    if asked.chooses_shots or TTT in several(asked.methods or ()):
        raise UserError("--shots auto or --methods ttt with documents", hint="leave it out")
    if given := next((name for name in OF_STREAMS if getattr(asked, name) is not None), None):
        raise UserError(
            f"{flag(given)} with documents",
            hint="leave it out" if given != "base_url" else "documents need a model on this machine",
        )
    for name in ("final", "order", "preset"):
        if getattr(asked, name) != DEFAULTS[name]:
            raise UserError(f"{flag(name)} {getattr(asked, name)} with documents", hint="leave it out")
    if asked.chat == "on":
        raise UserError("--chat on with documents", hint="leave it out: documents are no turns")


def refuse_lanes_on_documents(lanes: Sequence[Lane]) -> None:
    for lane in lanes:
        if lane.trains and lane.tune == "full":
            raise UserError(f"{lane.name} tunes all weights, and documents", hint="give --tune lora")
        if lane.shots_at_use and not (lane.is_fixed and lane.demonstrations == "random" and lane.members == 1):
            raise UserError(f"{lane.name}: the same documents stand in every prompt", hint="give deliver='fixed'")


def updates_of(lanes: Sequence[Lane], dataset: Dataset, documents: Dataset | None, seeds: int) -> int:
    """Inferences apart. `updates` is how often each example is trained on, or each document in batches of several."""
    if documents is None:
        return seeds * len(dataset) * sum(lane.updates for lane in lanes)
    return seeds * sum(-(-len(documents) * lane.updates // (lane.batch * (1 + lane.shots))) for lane in lanes)


def refuse_unreadable(judge: Metric, examples: Sequence[Example]) -> None:
    """An answer that the metric cannot compare with is better named now than in the middle of a run."""
    for example in examples if judge.name == "json" else ():
        if parsed(example.completion) is NOT_JSON:
            raise UserError(
                f"the answer {shortened(example.completion)} is no JSON, which --metric json compares",
                where=f"example {example.id}",
                hint="fix the row, or take --metric match",
            )


def refuse_no_opponent(judge: Metric, grid: Grid) -> None:
    """Of a pairwise metric, for each model."""
    for model in {lane.model for lane in grid.lanes} if judge.against is not None else ():
        wanted = judge.against if model is None else f"{judge.against}@{model}"
        if wanted not in grid.names:
            raise UserError(
                f"a pairwise metric compares with {wanted}, which is no lane of the grid",
                hint="add it, or choose against= among " + ", ".join(grid.names),
            )
