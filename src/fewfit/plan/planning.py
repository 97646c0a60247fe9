"""What `fit` would do, told beforehand: lanes, tokens, memory, disk, minutes. No weights are fetched.

    fewfit plan DATA --model M

Sequences are really rendered (a sample of them); the model is built from its config on the meta device, where it has
shapes and no weights; how fast this machine is, a short matrix product says.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fewfit.engine.task import Task
from fewfit.engine.threads import SMALL, processors
from fewfit.errors import UserError
from fewfit.grid import Lane
from fewfit.models import local
from fewfit.models.device import pick_device, pick_dtype
from fewfit.plan.lengths import Length, length
from fewfit.plan.reading import Sizes, inferring, lengths_of, work_of
from fewfit.plan.remote import EndpointPlan, plan_calls
from fewfit.plan.shape import ModelShape, shape_of
from fewfit.plan.space import Space, amount_of, disk, free_here, space
from fewfit.plan.speed import Speed, measure
from fewfit.plan.work import Work, seconds, stream_work
from fewfit.report.numbers import clock
from fewfit.run import shots
from fewfit.run.budget import within_budget
from fewfit.run.material import grid_of, read
from fewfit.run.prepare import render_with
from fewfit.run.reading import Reading
from fewfit.settings import Settings, settings_of, short_name, takes_settings

SCHEMA = 1


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
    documents: int | None = None  # that are read; `n` are then the questions about them

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
    if asked.base_url is not None:
        return plan_calls(asked, material, names)
    dataset, judge, seeds, documents = material.dataset, material.judge, material.seeds, material.documents
    grid, notices = grid_of(asked, dataset, documents, tuple(names)), list(dataset.notices)
    notices += documents.notices if documents else ()
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
    read_sizes: dict[str | None, Sizes] = {}  # of documents
    works: dict[str, Work] = {}
    cost: dict[str, float] = {}
    first = 0.0  # seconds that go by before any lane
    speed: Speed | None = None
    for name, path in names.items():
        config, tokenizer = local.load_config_and_tokenizer(path, asked.revision)
        dtype = pick_dtype(asked.load_dtype, device, config)
        mine = [lane for lane in grid.lanes if lane.model == name]
        shapes[name] = shape_of(path, config, mine, dtype, quantize=asked.quantize, revision=asked.revision)
        renderer = render_with(tokenizer, config, dataset, judge.needs, asked, documents)
        notices += [f"{name}: {notice}" if name else notice for notice in renderer.notices]
        if documents is None:
            task = Task(dataset.examples, renderer, judge, order=asked.order)
            every = {shots for lane in mine for shots in (lane.shots, lane.shots_at_use)}
            at = lengths[name] = {shots: length(task, shots) for shots in sorted(every)}
            works |= {lane.name: stream_work(lane, len(task), at[lane.shots], at[lane.shots_at_use]) for lane in mine}
            tokens = len(task) * lengths[name][min(lengths[name])].mean  # that may be inferred from
        else:
            sizes = read_sizes[name] = Sizes(Reading(documents.examples, dataset.examples, renderer, judge))
            works |= {lane.name: work_of(sizes, lane) for lane in mine}
            lengths[name] = lengths_of(sizes, {lane: works[lane.name] for lane in mine})
            tokens = sum(sizes.documents)
        speed = measure(
            here,
            dtype if here == device else None,
            shapes[name].width,
            tokens=round(max(x.mean for x in lengths[name].values())),
        )
        for lane in mine:
            whole = lane.tune == "full"
            cost[lane.name] = seeds * seconds(works[lane.name], shapes[name], speed, whole=whole)
        inferred = inferring(tokens, len(documents or dataset), mine)
        if inferred and (asked.augment_with or asked.augment_url):
            notices.append("another model infers first, and its time is not in this")
        elif inferred:
            first += seconds(inferred, shapes[name], speed)
    assert speed is not None
    n = len(dataset.examples)
    budget = asked.budget_seconds
    kept, run = grid, 1.0  # lanes, and how much of their steps
    sized = documents is None and asked.is_sized and device == here
    if sized or (asked.budget is not None and device == here):
        racing = replace(asked, race=asked.races(n) and not judge.is_deferred)
        at_once = 1 if max(one.parameters for one in shapes.values()) < SMALL else processors()  # as `fit` times them
        shared = {name: value / at_once for name, value in cost.items()}
        kept, halvings, told = within_budget(racing, grid, shared, budget, n)
        notices += told
        if halvings:
            from fewfit.stats.race import share_run

            run = share_run(n, halvings)
    there = given if given is not None else speed.memory
    free = given if given is not None else free_here(device, speed.memory)
    on: dict[str, Any] = {"cpu": device == "cpu", "there": free, "bf16": str(dtype) == "torch.bfloat16"}
    spaces: dict[str | None, Space] = {}
    for m in names:
        some = [lane for lane in kept.lanes if lane.model == m]
        if documents is None:
            processes = 1 if device != "cpu" else max(1, min(processors(), seeds * len(some)))
            spaces[m] = space(shapes[m], some, lengths[m], seeds, processes=processes, **on)
            continue
        # Documents are read by one lane after another: what the largest of them takes.
        each = [
            space(shapes[m], [lane], {lane.shots: lengths[m][lane.shots]}, 1, together=read_sizes[m].rows(lane), **on)
            for lane in some
        ]
        spaces[m] = max(each, key=lambda one: (not one.fits, one.total))
    slow = documents is not None and device == "cpu" and max(one.parameters for one in shapes.values()) >= SMALL
    if slow and processors() > 1:
        notices.append(f"minutes are those of one thread, and the run has {processors()}")
    lanes = tuple(
        lane_plan(lane, works[lane.name], seeds, cost[lane.name], lane.name in kept.names) for lane in grid.lanes
    )
    if first:
        notices.append(f"what the model infers comes first: about {clock(first)} of these")
    return Plan(
        data=(documents or dataset).source,
        n=n,
        metric=judge.name,
        choices=dataset.choices if judge.needs == "choices" else None,
        models=tuple(shapes.values()),
        device=device,
        dtype=str(dtype).removeprefix("torch."),
        speed=speed.operations,
        processes=max(one.processes for one in spaces.values()),
        seeds=seeds,
        budget=budget if sized else None,
        lanes=lanes,
        lengths={shapes[name].name: tuple(found.values()) for name, found in lengths.items()},
        memory=max(one.total for one in spaces.values()),
        memory_there=there,
        spaces={shapes[name].name: one for name, one in spaces.items()},
        disk=sum(
            disk(shapes[m], [x for x in kept.lanes if x.model == m], max(n, len(documents or ())), seeds) for m in names
        ),
        fetch=sum(shape.fetch for shape in shapes.values()),
        seconds=first + run * sum(lane.seconds / spaces[lane.model].processes for lane in lanes if lane.kept),
        notices=tuple(dict.fromkeys(notices)),
        documents=None if documents is None else len(documents),
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


def lane_plan(lane: Lane, work: Work, seeds: int, seconds: float, kept: bool) -> LanePlan:
    return LanePlan(
        name=lane.name,
        model=lane.model,
        kind=lane.kind,
        shots=lane.shots,
        lr=lane.lr,
        updates=lane.updates,
        steps=seeds * work.steps,
        tokens=round(seeds * work.tokens),
        longest=work.longest,
        seconds=round(seconds, 4),
        kept=kept,
    )
