"""What `fit` would do, told beforehand: lanes, tokens, memory, disk, minutes. No weights are fetched.

    fewfit plan DATA --model M

Sequences are really rendered (a sample of them); the model is built from its config on the meta device, where it has
shapes and no weights; how fast this machine is, a short matrix product says. A step that only predicts costs about
2 P T operations (P parameters without embeddings, T tokens), one that trains adapters 4 P T (the weights' own gradients
are not needed), one that trains everything 6 P T.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fewfit.demonstrations.delivery import reads_to_choose
from fewfit.engine.stream import steps
from fewfit.engine.task import MISS_SHARE, Task
from fewfit.engine.threads import processors
from fewfit.errors import UserError
from fewfit.grid import Lane
from fewfit.models import local
from fewfit.models.device import pick_device, pick_dtype
from fewfit.plan.lengths import Length, length
from fewfit.plan.remote import EndpointPlan, plan_calls
from fewfit.plan.shape import ModelShape, shape_of
from fewfit.plan.space import Space, amount_of, disk, free_here, space
from fewfit.plan.speed import Speed, measure
from fewfit.run import shots
from fewfit.run.budget import within_budget
from fewfit.run.prepare import read, render_with
from fewfit.settings import Settings, settings_of, short_name, takes_settings

SCHEMA = 1
# Beside its products a layer touches elements (norms, gates, sums, thin adapters) and makes calls. How many for each
# token and width, and for each row, was fitted to Llamas of 0.06M, 2.4M and 25M parameters on one CPU thread, where the
# estimate lay within a factor of two of what quick grids took; bare products run faster than those inside a model.
EFFICIENCY = 0.6
TOUCHES, TRAIN_TOUCHES = 200, 450
CALLS, TRAIN_CALLS = 200, 350


@dataclass(frozen=True)
class LanePlan:
    """One lane over all its seeds. `kept` is False for what the budget would leave out of the quick grid."""

    name: str
    model: str | None
    kind: str
    shots: int
    lr: float
    updates: int
    steps: int
    tokens: int
    longest: int
    seconds: float
    kept: bool


@dataclass(frozen=True)
class Plan:
    data: str
    n: int
    metric: str
    choices: tuple[str, ...] | None
    models: tuple[ModelShape, ...]
    device: str
    dtype: str
    speed: float  # operations a second, of one process
    processes: int  # that share the lanes
    seeds: int
    budget: float | None  # seconds; None where the grid was spelled out and is never cut
    lanes: tuple[LanePlan, ...]
    lengths: dict[str, tuple[Length, ...]]  # by model
    memory: int  # bytes, at the most
    memory_there: int | None
    spaces: dict[str, Space]  # by model: what the memory goes to, and how large passes can be
    disk: int  # bytes, while it runs
    fetch: int  # bytes of weights that are not on this machine yet
    seconds: float
    notices: tuple[str, ...]

    @property
    def left_out(self) -> tuple[str, ...]:
        return tuple(lane.name for lane in self.lanes if not lane.kept)

    def as_json(self) -> dict[str, Any]:
        record = {"schema": SCHEMA, **asdict(self), "left_out": list(self.left_out)}
        record["choices"] = None if self.choices is None else list(self.choices)
        return record


@takes_settings
def plan(
    data: Any, model: Any = None, *, memory: str | None = None, settings: Settings | None = None, **wanted: Any
) -> Plan | EndpointPlan:
    """Takes what `fewfit.fit` takes, models by name or folder. With `memory` (`24GB`) it is told for a GPU with so much
    of it, which need not be here, or for a CPU where `device` says so."""
    if model is not None:
        wanted["model"] = model
    asked = settings_of(settings, wanted)
    names = named(asked)
    material = read(asked, data)  # and refuse what fit would refuse
    if material.documents is not None:
        raise UserError("plan knows no documents yet", hint="fewfit fit tells how far it is")
    if asked.base_url is not None:
        return plan_calls(asked, material, names)
    dataset, judge, seeds = material.dataset, material.judge, material.seeds
    grid, notices = asked.lanes(tuple(names), len(dataset)), list(dataset.notices)
    if asked.chooses_shots:
        k = shots.most(len(dataset))
        grid = shots.narrowed(grid, dict.fromkeys(names, k))
        notices.append(f"fit looks how many shots lanes that train get; here they have {k}, the most that it may be")
    given = None if memory is None else amount_of(memory)
    device, here = devices(asked.device, elsewhere=given is not None)
    if device != here:
        notices.append(f"there is no {device} here: minutes are those of this CPU, and no budget cuts the grid")
    shapes: dict[str | None, ModelShape] = {}
    lengths: dict[str | None, dict[int, Length]] = {}
    cost: dict[str, float] = {}
    speed: Speed | None = None
    for name, path in names.items():
        config, tokenizer = local.load_config_and_tokenizer(path, asked.revision)
        dtype = pick_dtype(asked.load_dtype, device, config)
        mine = [lane for lane in grid.lanes if lane.model == name]
        shapes[name] = shape_of(path, config, mine, dtype, quantize=asked.quantize, revision=asked.revision)
        renderer = render_with(tokenizer, config, dataset, judge.needs, asked)
        task = Task(dataset.examples, renderer, judge, order=asked.order)
        notices += [f"{name}: {notice}" if name else notice for notice in renderer.notices]
        lengths[name] = {shots: length(task, shots) for shots in sorted({lane.shots for lane in mine})}
        speed = measure(
            here,
            dtype if here == device else None,
            shapes[name].width,
            tokens=round(max(x.mean for x in lengths[name].values())),
        )
        for lane in mine:
            cost[lane.name] = seeds * seconds(lane, len(task), shapes[name], lengths[name][lane.shots], speed)
    assert speed is not None
    n = len(dataset.examples)
    budget = asked.budget_seconds
    kept, run = grid, 1.0  # lanes, and how much of their steps
    if device == here and (asked.is_sized or asked.budget is not None):
        racing = replace(asked, race=asked.races(n) and not judge.is_deferred)
        kept, halvings, told = within_budget(racing, grid, cost, budget, n)
        notices += told
        if halvings:
            from fewfit.stats.race import share_run

            run = share_run(n, halvings)
    processes = max(1, min(processors(), seeds * len(kept.lanes))) if device == "cpu" else 1
    there = given if given is not None else speed.memory
    free = given if given is not None else free_here(device, speed.memory)
    spaces = {
        m: space(
            shapes[m],
            [lane for lane in kept.lanes if lane.model == m],
            lengths[m],
            seeds,
            cpu=device == "cpu",
            there=free,
            processes=processes,
            bf16=str(dtype) == "torch.bfloat16",
        )
        for m in names
    }
    lanes = tuple(
        lane_plan(lane, n, seeds, lengths[lane.model], cost[lane.name], lane.name in kept.names) for lane in grid.lanes
    )
    return Plan(
        data=dataset.source,
        n=n,
        metric=judge.name,
        choices=dataset.choices if judge.needs == "choices" else None,
        models=tuple(shapes.values()),
        device=device,
        dtype=str(dtype).removeprefix("torch."),
        speed=speed.operations,
        processes=processes,
        seeds=seeds,
        budget=budget if asked.is_sized and device == here else None,
        lanes=lanes,
        lengths={shapes[name].name: tuple(found.values()) for name, found in lengths.items()},
        memory=max(one.total for one in spaces.values()),
        memory_there=there,
        spaces={shapes[name].name: one for name, one in spaces.items()},
        disk=sum(disk(shapes[m], [x for x in kept.lanes if x.model == m], n, seeds) for m in names),
        fetch=sum(shape.fetch for shape in shapes.values()),
        seconds=run * sum(lane.seconds for lane in lanes if lane.kept) / processes,
        notices=tuple(dict.fromkeys(notices)),
    )


def devices(wanted: str, *, elsewhere: bool) -> tuple[str, str]:
    """The device that is planned for, and the one that is here to be measured."""
    kind = wanted.partition(":")[0]
    if elsewhere and kind in ("auto", "cuda", "mps"):
        try:
            here = pick_device(wanted)
            if here != "cpu":
                return here, here
        except UserError:
            pass
        return ("cuda" if kind == "auto" else wanted), "cpu"
    here = pick_device(wanted)
    return here, here


def named(asked: Settings) -> dict[str | None, str]:
    """By the name that lanes carry: None where there is one model only."""
    if any(not isinstance(one, str | Path) for one in asked.models):
        raise UserError("plan reads a model's config, not a model in memory", hint="give its name or folder")
    if len(asked.models) == 1:
        return {None: str(asked.models[0])}
    return {short_name(one): str(one) for one in asked.models}


# ---- time ------------------------------------------------------------------------------------------------------------


def seconds(lane: Lane, n: int, shape: ModelShape, length: Length, speed: Speed) -> float:
    """Of one lane under one seed: its products, what is done to each element between them, and the calls themselves."""
    made = list(steps(lane, n))
    predicted = sum(step.predicts for step in made)
    trained = sum(step.update > 0 for step in made) * lane.batch
    alone = predicted * lane.members - sum(step.predicts and step.update > 0 for step in made)  # without training
    forward = length.mean * alone + length.scoring * predicted  # tokens
    if lane.is_fixed:  # examples behind each of the sets that one is chosen among
        forward += reads_to_choose(lane, n) * length.mean / (lane.shots + 1)
    backward = length.mean * trained
    forward += backward if lane.kl else 0.0  # by the frozen model
    operations = shape.body * (2 * forward + (6 if lane.tune == "full" else 4) * backward)
    touched = shape.width * shape.layers * (TOUCHES * forward + TRAIN_TOUCHES * backward)
    calls = shape.layers * (CALLS * alone + TRAIN_CALLS * trained)
    written = MISS_SHARE * length.generated * predicted  # tokens that have to be generated, one after another
    token = 2 * shape.body / speed.single + shape.layers * CALLS * speed.call
    between = touched / speed.elements + calls * speed.call
    return operations / (EFFICIENCY * speed.operations) + between + written * token


def lane_plan(lane: Lane, n: int, seeds: int, lengths: Mapping[int, Length], seconds: float, kept: bool) -> LanePlan:
    made = list(steps(lane, n))
    tokens = lengths[lane.shots]
    return LanePlan(
        name=lane.name,
        model=lane.model,
        kind=lane.kind,
        shots=lane.shots,
        lr=lane.lr,
        updates=lane.updates,
        steps=seeds * len(made),
        tokens=round(seeds * tokens.mean * sum(lane.members if step.predicts else lane.batch for step in made)),
        longest=tokens.longest,
        seconds=round(seconds, 4),
        kept=kept,
    )
