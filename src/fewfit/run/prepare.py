"""From what was asked to what will be done: a run folder whose run.json holds every value with its source."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from fewfit.engine.task import Task
from fewfit.errors import UserError
from fewfit.examples import Dataset
from fewfit.examples import save as save_examples
from fewfit.metrics.metric import known_code
from fewfit.models import local
from fewfit.models.configs import context_length
from fewfit.models.local import Loaded
from fewfit.models.remote import served
from fewfit.models.remote.budget import Budget
from fewfit.render import Renderer
from fewfit.run import folders
from fewfit.run import shots as choosing
from fewfit.run.budget import within_budget
from fewfit.run.material import Material, digest_of, grid_of, refuse_no_opponent, updates_of
from fewfit.run.watch import Watch
from fewfit.settings import Settings, short_name

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
    budget = Budget(asked.max_calls, asked.max_tokens)  # of a session, however many models it asks
    for one in asked.models:
        if asked.base_url is not None:
            watch.phase(f"asking for {one}")
            found = served.load(
                one,
                asked.base_url,
                chat=asked.chat,
                concurrency=asked.concurrency,
                budget=budget,
                tell=watch.phase,
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
    if test is not None:
        refuse_unfit(test, renderers.values())
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
    if (updates := updates_of(grid.lanes, dataset, documents, seeds)) > MANY_UPDATES:
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
        "documents": None
        if documents is None
        else {
            "path": material.documents_path,
            "file_digest": digest_of(material.documents_path),
            "digest": documents.digest,
            "n": len(documents),
        },
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
        "metric_code": known_code(judge),
        "answer_patterns": list(asked.answer_patterns),
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


def refuse_unfit(test: Dataset, renderers: Iterable[Renderer]) -> None:
    """Test rows are asked when all is done: one that has no prompt would end the run there, again and again."""
    for renderer in renderers:
        for example in test.examples:
            try:
                renderer.prompt((), example)
            except UserError as error:
                error.add_hint("it is a row of --test: leave it out")
                raise


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
        context_length=context_length(config),
        # Also where labels are written, since nobody tells how likely each is.
        choices=dataset.choices if needs == "choices" or asked.metric == "auto" else None,
        template_kwargs=asked.chat_template_kwargs,
        chat_reason=None if asked.base_url is None else CHAT_REASONS[tokenizer.chat_template is not None],
    )
