"""What a lane of a run saw at a place: its prompt as it was predicted, or the sequence of one of its updates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewfit.engine.learner import Track
from fewfit.engine.task import SetKey, Task
from fewfit.errors import UserError
from fewfit.examples import restore as restore_examples
from fewfit.grid import Grid, Lane
from fewfit.metrics import metric
from fewfit.models import local
from fewfit.models.remote.tokens import byte_tokenizer
from fewfit.render import Rendered, Renderer, RenderSettings
from fewfit.render.rendered import Span
from fewfit.run import folders, inferences, sets


def sequence(
    folder: str | Path, lane: str, at: int, update: int | None = None, seed: int | None = None, *, tokenizer: Any = None
) -> tuple[Rendered, tuple[Span, ...], Any]:
    """The sequence, the spans that carried loss there, and the tokenizer. Without `update`: the prediction of row `at`.

    Drawn again by hash rather than read from anywhere: it is the same because nothing else enters.
    """
    opened = Inspection.of(folder, lane, tokenizer=tokenizer)
    return (*opened.sequence(at, update, seed), opened.tokenizer)


@dataclass(frozen=True)
class Inspection:
    """One lane of a run, opened to be looked into."""

    folder: Path
    record: dict[str, Any]
    lane: Lane
    task: Task
    tokenizer: Any

    @staticmethod
    def of(folder: str | Path, lane: str, *, tokenizer: Any = None) -> Inspection:
        where = folders.find(folder)
        record = folders.record(where)
        if record.get("documents"):
            raise UserError(
                "a run on documents has no stream to look into",
                where=str(where),
                hint="trained.jsonl names what each update had",
            )
        chosen = Grid(tuple(Lane.from_json(one) for one in record["lanes"]))[lane]
        model = next(one for one in record["models"] if one["lane"] == chosen.model)
        if tokenizer is None and model.get("base_url"):
            tokenizer = byte_tokenizer(chat=model["render"]["chat"])
        elif tokenizer is None:
            _, tokenizer = local.load_config_and_tokenizer(model["name"], model["revision"], digest=model["digest"])
        renderer = Renderer(tokenizer, RenderSettings.from_json(model["render"]))
        judge = metric("exact")  # how it was judged changes nothing of what was seen
        task = Task(restore_examples(where / folders.EXAMPLES).examples, renderer, judge, order=record["order"])
        sets.restore(where, chosen.model, task)
        inferences.restore(where, chosen.model, task)
        return Inspection(where, record, chosen, task, tokenizer)

    def sequence(
        self, at: int, update: int | None = None, seed: int | None = None
    ) -> tuple[Rendered, tuple[Span, ...]]:
        lane, seeds, n = self.lane, self.record["seeds"], self.record["data"]["n"]
        seed = min(seeds) if seed is None else seed
        if seed not in seeds:
            raise UserError(f"no seed {seed} in this run", hint=f"one of: {', '.join(map(str, seeds))}")
        if not 1 <= at <= n:
            raise UserError(f"no row {at} in this run", hint=f"--at 1 to {n}")
        if update is not None and not 1 <= update <= max(1, lane.updates):
            has = f"--update 1 to {lane.updates}" if lane.trains else "leave --update out: the lane does not train"
            raise UserError(f"{lane.name} makes no update {update}", hint=has)
        key = SetKey(seed, lane.shots_at_use, lane.demonstrations)
        if update is None and lane.is_fixed and not sets.known(self.task, key):
            raise UserError(
                f"{self.folder / sets.FILE} lacks what {lane.name} chose its demonstrations by",
                hint="predictions.jsonl names those that stood there (`demos`)",
            )
        track = Track(lane.name, seed)
        if update is None:
            seen = self.task.scored_row(track, lane, at, train=lane.trains)
        elif lane.trains:
            seen = self.task.trained_rows(track, lane, at, update)[0]
        else:
            raise UserError(f"{lane.name} does not train", hint="leave --update out")
        return seen.rendered, seen.row.loss
