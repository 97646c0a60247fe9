"""What a lane of a run saw at a place: its prompt as it was predicted, or the sequence of one of its updates."""

from __future__ import annotations

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
from fewfit.run import folders, inferences, sets


def sequence(
    folder: str | Path, lane: str, at: int, update: int | None = None, seed: int | None = None, *, tokenizer: Any = None
) -> tuple[Rendered, tuple[tuple[int, int], ...], Any]:
    """The sequence, the spans that carried loss there, and the tokenizer. Without `update`: the prediction of row `at`.

    Drawn again by hash rather than read from anywhere: it is the same because nothing else enters.
    """
    where = folders.find(folder)
    record = folders.record(where)
    if record.get("documents"):
        raise UserError(
            "a run on documents has no stream to look into",
            where=str(where),
            hint="trained.jsonl names what each update had",
        )
    grid = Grid(tuple(Lane.from_json(one) for one in record["lanes"]))
    chosen = grid[lane]
    seed = min(record["seeds"]) if seed is None else seed
    if seed not in record["seeds"]:
        raise UserError(f"no seed {seed} in this run", hint=f"one of: {', '.join(map(str, record['seeds']))}")
    n = record["data"]["n"]
    if not 1 <= at <= n:
        raise UserError(f"no row {at} in this run", hint=f"--at 1 to {n}")
    if update is not None and not 1 <= update <= max(1, chosen.updates):
        has = f"--update 1 to {chosen.updates}" if chosen.trains else "leave --update out: the lane does not train"
        raise UserError(f"{lane} makes no update {update}", hint=has)
    model = next(one for one in record["models"] if one["lane"] == chosen.model)
    if tokenizer is None and model.get("base_url"):
        tokenizer = byte_tokenizer(chat=model["render"]["chat"])
    elif tokenizer is None:
        _, tokenizer = local.load_config_and_tokenizer(model["name"], model["revision"])
    renderer = Renderer(tokenizer, RenderSettings.from_json(model["render"]))
    judge = metric("exact")  # how it was judged changes nothing of what was seen
    task = Task(restore_examples(where / folders.EXAMPLES).examples, renderer, judge, order=record["order"])
    sets.restore(where, chosen.model, task)
    inferences.restore(where, chosen.model, task)
    key = SetKey(seed, chosen.shots_at_use, chosen.demonstrations)
    if update is None and chosen.is_fixed and not sets.known(task, key):
        raise UserError(
            f"{where / sets.FILE} lacks what {lane} chose its demonstrations by",
            hint="predictions.jsonl names those that stood there (`demos`)",
        )
    track = Track(lane, seed)
    if update is None:
        seen = task.scored_row(track, chosen, at, train=chosen.trains)
    elif chosen.trains:
        seen = task.trained_rows(track, chosen, at, update)[0]
    else:
        raise UserError(f"{lane} does not train", hint="leave --update out")
    return seen.rendered, seen.row.loss, tokenizer
