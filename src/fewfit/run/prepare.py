"""From what was asked to what will be done: a run folder whose run.json holds every value with its source."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from fewfit.demonstrations import chooser
from fewfit.engine.source import source
from fewfit.engine.task import Task
from fewfit.errors import UserError
from fewfit.examples import Dataset, Example
from fewfit.examples import load as load_examples
from fewfit.examples import save as save_examples
from fewfit.grid import SEARCHED, TTT, Grid, Lane, several
from fewfit.metrics import Metric
from fewfit.metrics import auto as auto_metric
from fewfit.metrics import metric as find_metric
from fewfit.metrics.patterns import shortened
from fewfit.metrics.structured import NOT_JSON, parsed
from fewfit.models import local
from fewfit.models.local import Loaded
from fewfit.models.remote import served
from fewfit.render import Renderer
from fewfit.run import folders
from fewfit.run import shots as choosing
from fewfit.run.budget import within_budget
from fewfit.run.reading import lanes_on_documents
from fewfit.run.watch import Watch
from fewfit.settings import DEFAULTS, Settings, flag, short_name

# Of a whole run. Small models make some hundred updates a second: beyond this it would be days, and is said to be.
MOST_UPDATES = 10_000_000
MANY_UPDATES = 50_000  # are announced
TEST, DOCUMENTS = "test.jsonl", "documents.jsonl"
CHAT_REASONS = ("the endpoint takes text", "the endpoint takes messages")


@dataclass(frozen=True)
class Part:
    """A run that is one of many of a suite: under a seed of its own, and every lane that ends is delivered. Lanes in
    `again` are delivered a second time, trained afresh in i.i.d. order. `alone`: too short to be worth a helper, or
    measuring how large passes may be."""

    seed: int = 0
    again: tuple[str, ...] = ()
    alone: bool = False


@dataclass
class Prepared:
    """A run ready to go, with what was loaded on the way."""

    folder: Path
    record: dict[str, Any]
    loaded: dict[str | None, Loaded] = field(default_factory=dict)  # by lane's model: None where there is one only
    part: Part | None = None


def load_models(asked: Settings, tokenizer: Any, watch: Watch) -> dict[str | None, Loaded]:
    """By the name that lanes carry: None where there is one model only."""
    loaded: dict[str | None, Loaded] = {}
    for one in asked.models:
        if asked.base_url is not None:
            watch.phase(f"asking for {one}")
            found = served.load(
                one, asked.base_url, chat=asked.chat, concurrency=asked.concurrency, max_calls=asked.max_calls
            )
        elif isinstance(one, str | Path):
            watch.phase(f"loading {one}")
            found = local.load(
                str(one),
                revision=asked.revision,
                device=asked.device,
                dtype=asked.load_dtype,
                quantize=asked.quantize,
                tell=watch.phase,
            )
        else:
            found = wrap(one, tokenizer)
        name = None if len(asked.models) == 1 else short_name(found.ref.name)
        if name in loaded:
            raise UserError(f"two models called {name}", hint="rename one folder")
        loaded[name] = found
    return loaded


def wrap(model: Any, tokenizer: Any) -> Loaded:
    """A loaded model, or a pair of model and tokenizer."""
    return local.wrap(*model) if isinstance(model, tuple) else local.wrap(model, tokenizer)


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


def read(asked: Settings, data: Any) -> Material:
    """Everything that can be refused before a model is fetched."""

    def load(source: Any) -> Dataset:
        return load_examples(
            source,
            input=asked.input,
            output=asked.output,
            labels=asked.labels,
            choices=asked.choices,
            skip_bad=asked.skip_bad,
            keep_duplicates=asked.keep_duplicates,
        )

    dataset, documents = load(data), None
    if dataset.are_documents:
        if asked.probe is None:
            raise UserError(
                "documents hold no answers to predict",
                hint="give questions about them: --probe FILE of prompt/completion",
            )
        documents, dataset, data = dataset, load(asked.probe), asked.probe
        if dataset.are_documents:
            raise UserError("--probe holds documents", hint="give prompt and completion")
        refuse_on_documents(asked)
    elif asked.probe is not None:
        raise UserError(
            "--probe without documents", hint="DATA are rows of `text` alone; --test is for further examples"
        )
    wanted = asked.metric if asked.metric != "auto" else auto_metric(dataset)
    judge = find_metric(wanted, answer_patterns=tuple(asked.answer_pattern or ()))
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
        test = load_examples(
            asked.test,
            input=asked.input,
            output=asked.output,
            labels=asked.labels,
            choices=among,
            skip_bad=asked.skip_bad,
            keep_duplicates=True,
        )
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
    if (updates := updates_of(grid.lanes, len(documents or dataset), seeds)) > MOST_UPDATES:
        message = f"{updates:,} updates are asked for, and {MOST_UPDATES:,} are the most"
        raise UserError(message, hint="give fewer --updates, --seeds, --lr or --shots, or fewer examples")
    at = Path(data).expanduser().resolve() if isinstance(data, str | Path) else None
    digest = None if at is None else sha256(at.read_bytes()).hexdigest()
    return Material(dataset, test, judge, seeds, None if at is None else str(at), digest, documents=documents)


def grid_of(asked: Settings, dataset: Dataset, documents: Dataset | None, models: Sequence[str | None]) -> Grid:
    if documents is not None:
        return lanes_on_documents(asked, len(documents), models)
    return asked.lanes(models, len(dataset))


def judged_by_what_is_told(asked: Settings, material: Material, loaded: dict[str | None, Loaded]) -> Material:
    """Where an endpoint does not tell how likely an answer is, answers can only be judged as they are written."""
    silent = next((one for one in loaded.values() if one.is_remote and not one.model.likelihood), None)
    if silent is None or material.judge.needs == "text":
        return material
    told = "the endpoint tells no likelihood of a given answer"
    if asked.metric != "auto":
        raise UserError(
            f"{told}, which --metric {material.judge.name} needs", where=silent.ref.base_url, hint="give --metric match"
        )
    judge = find_metric("match", answer_patterns=tuple(asked.answer_pattern or ()))
    return replace(material, judge=judge, notices=(f"{told}: answers are written, and scored by match",))


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
    for name in ("final", "order"):
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


def updates_of(lanes: Sequence[Lane], n: int, seeds: int) -> int:
    return seeds * n * sum(lane.updates for lane in lanes)


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


def prepare(
    asked: Settings,
    material: Material,
    loaded: dict[str | None, Loaded],
    watch: Watch,
    part: Part | None = None,
) -> Prepared:
    """Settles what is left to settle with the models at hand, and writes the run folder."""
    dataset, test, judge, seeds = material.dataset, material.test, material.judge, material.seeds
    documents = material.documents
    grid = grid_of(asked, dataset, documents, tuple(loaded))
    renderers = {
        name: render_with(one.tokenizer, one.config, dataset, judge.needs, asked, documents)
        for name, one in loaded.items()
    }
    notices = [
        *(documents.notices if documents else ()),
        *dataset.notices,
        *(test.notices if test else ()),
        *material.notices,
    ]
    for name, renderer in renderers.items():
        notices += [f"{name}: {notice}" if name else notice for notice in renderer.notices]
    chosen: list[choosing.Chosen] = []
    if asked.chooses_shots and any(lane.kind == "icl+ft" for lane in grid.lanes):
        watch.phase("choosing the number of shots")
        for name, one in loaded.items():
            task = Task(dataset.examples, renderers[name], judge, order=asked.order)
            chosen.append(choosing.choose(name, one.model, task))
        grid = choosing.narrowed(grid, {one.lane: one.shots for one in chosen})
        notices += [one.told for one in chosen]
    if documents is None and len(dataset.examples) <= max((lane.shots for lane in grid.lanes), default=0):
        notices.append(
            f"{len(dataset.examples)} examples: the longest prompts will have fewer demonstrations than asked"
        )
    budget = asked.budget_seconds
    cost: dict[str, float] = {}
    halvings: tuple[int, ...] = ()
    if documents is None and (asked.is_sized or asked.budget is not None):
        from fewfit.engine.threads import is_small, one_thread
        from fewfit.run.timing import lane_seconds

        watch.phase("timing a few steps")
        for name, one in loaded.items():
            lanes = [lane for lane in grid.lanes if lane.model == name]
            task = Task(dataset.examples, renderers[name], judge, order=asked.order)
            with one_thread(is_small(one.model)):
                cost |= lane_seconds(one.model, task, lanes, seeds)
        racing = replace(asked, race=asked.races(len(dataset.examples)) and not judge.is_deferred)
        grid, halvings, told = within_budget(racing, grid, cost, budget, len(dataset.examples))
        notices += told
    if asked.base_url is not None and asked.max_length is not None:
        notices.append(f"--max-length {asked.max_length} counts bytes: the endpoint's tokens are not known here")
    refuse_no_opponent(judge, grid)
    if (updates := updates_of(grid.lanes, len(documents or dataset), seeds)) > MANY_UPDATES:
        predictions = seeds * len(dataset) * len(grid.lanes)
        notices.append(
            f"{updates:,} updates and {predictions:,} predictions are to be made; fewfit plan tells how long"
        )
    record: dict[str, Any] = {
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "asked": asked.as_json(),
        "data": {
            "source": dataset.source,
            "path": material.path,
            "file_digest": material.file_digest,
            "digest": dataset.digest,
            "n": len(dataset.examples),
            "choices": dataset.choices,
        },
        "documents": None if documents is None else {"digest": documents.digest, "n": len(documents)},
        "test": None if test is None else {"digest": test.digest, "n": len(test.examples)},
        "models": [
            {
                "lane": name,
                **asdict(one.ref),
                "dtype": one.dtype,
                "render": renderers[name].settings.as_json(),
                "likelihood": not one.is_remote or one.model.likelihood,
            }
            for name, one in loaded.items()
        ],
        "augmenter": None if asked.augment_with is None else {"name": asked.augment_with, "url": asked.augment_url},
        "device": asked.device,
        "dtype": asked.dtype,
        "metric": judge.name,
        "answer_patterns": list(asked.answer_pattern or ()),
        "lanes": [lane.as_json() for lane in grid.lanes],
        "seeds": list(range(seeds)) if part is None else [part.seed],
        "order": asked.order,
        "race": documents is None and asked.races(len(dataset.examples)) and not judge.is_deferred,
        "halvings": list(halvings),
        "shots": [asdict(one) for one in chosen],
        "final": asked.final,
        "select": asked.select,
        "budget": budget if asked.is_sized else None,
        "estimated_seconds": {name: round(cost[name], 2) for name in grid.names if name in cost},
        "notices": notices,
        "versions": folders.versions(),
    }
    name = next(iter(loaded.values())).ref.short_name
    folder = folders.create(Path(asked.out) if asked.out else None, (documents or dataset).source, name)
    save_examples(dataset, folder / folders.EXAMPLES)
    if documents is not None:
        save_examples(documents, folder / DOCUMENTS)
    if test is not None:
        save_examples(test, folder / TEST)
    folders.write_record(folder, record)  # last: a folder with run.json can be resumed
    if part is None:
        folders.remember(folder)
    return Prepared(folder, folders.record(folder), dict(loaded), part)


def render_with(
    tokenizer: Any, config: Any, dataset: Dataset, needs: str, asked: Settings, documents: Dataset | None = None
) -> Renderer:
    return Renderer.resolve(
        tokenizer,
        [*dataset.examples, *(documents.examples if documents else ())],
        chat=asked.chat,
        instruction=asked.instruction,
        no_instruction=asked.no_instruction,
        system=asked.system,
        template=asked.template,
        max_length=asked.max_length,
        context_length=getattr(config, "max_position_embeddings", None),
        # Also where labels are written, since nobody tells how likely each is.
        choices=dataset.choices if needs == "choices" or asked.metric == "auto" else None,
        template_kwargs=asked.chat_template_kwargs,
        chat_reason=None if asked.base_url is None else CHAT_REASONS[tokenizer.chat_template is not None],
    )
