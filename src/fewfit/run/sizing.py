"""How large passes may be and how many processes may work, before the first of them: on a CPU nothing is raised where
memory ends, the system kills.

One lane's longest step is made, then two lanes' at once, and the bytes of their tensors are counted: the difference is
what each further row of a pass takes. Smaller passes come before fewer processes, and where a single row does not fit,
layers are run again in the backward. None of it changes a number.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fewfit.engine.learner import Learner, Row, Track
from fewfit.engine.memory import CODE, HINT, available, lines
from fewfit.engine.places import BUCKET, bucket
from fewfit.engine.rowmap import width_in_out
from fewfit.engine.targets import adapted_modules
from fewfit.engine.task import Task
from fewfit.errors import EnvironmentProblem
from fewfit.grid import Lane
from fewfit.run.passes import COPIES, HELPER, SHARE, WIDTH, Need, Sizes, choose_sizes, size
from fewfit.run.teams import Team

PROBE, PLENTY = 256, 4  # tokens of a document to begin with, and how much less than there is needs no closer look


class Counted(TorchDispatchMode):
    """Bytes of the tensors that are made inside: `most` is the largest sum that there was at any moment."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = {storage._cdata for storage in storages((args, kwargs))}
        for storage in storages(out):
            key = storage._cdata
            if key not in given and key not in self._known:
                self._known.add(key)
                self.now += storage.nbytes()
                self.most = max(self.most, self.now)
                weakref.finalize(storage, self._gone, key, storage.nbytes())
        return out

    def _gone(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def storages(tree: Any) -> Iterable[Any]:
    return [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def size_passes(
    learner: Learner,
    team: Team,
    model: Any,
    task: Task,
    lanes: Sequence[Lane],
    *,
    helpers: int = 0,
    free: int | None = None,
) -> Sizes:
    """For these lanes (one named twice where it has two seeds), with `helpers` processes beside this one at the most,
    where so much was `free` before they began. Refused where nothing would do. On a GPU passes are as large as they may
    be, and halved when that is too much."""
    tokens = team.tokens(model)
    usual = Sizes(tokens, helpers)
    if not lanes or next(model.parameters()).device.type != "cpu":
        return usual
    weights = weights_of(model)
    mapped = is_mapped(model)
    free = (available() if free is None else free) - (weights if mapped else 0)
    room = SHARE * free
    kept = [kept_bytes(model, lane) for lane in lanes]
    held = sum(kept) if team.stacked else max(kept)  # whole models are trained one after another
    if held > max(room, 0):
        raise too_many(lanes, kept, room) if team.stacked else too_large(held, room)
    room -= held
    base = HELPER + (0 if mapped else weights)
    least = max((max(lane.batch * lane.trains, lane.members) for lane in lanes), default=1) if team.stacked else 1

    def deal(need: Need) -> Sizes | None:
        if task.judge.needs == "text":  # written while the pass is still held
            cache = cache_bytes(model) * (need.length + task.renderer.settings.max_new_tokens)
            need = replace(need, row=need.row + cache)
        own = 0 if team.stacked else held
        return choose_sizes(need, room, tokens=tokens, helpers=helpers, base=base + own, least=least)

    need = measure_need(learner, model, task, lanes, room, lambda need: deal(need) == usual, wide=team.stacked)
    found = deal(need)
    if found is None:
        raise EnvironmentProblem(
            f"one step of {need.length} tokens takes about {size(need.of(least))} of memory beside the model, and "
            f"{size(max(0, room))} can be had",
            hint=HINT,
            code=CODE,
        )
    if found == usual:
        return usual
    processes = f" in {found.helpers + 1} of {helpers + 1} processes" if found.helpers < helpers else ""
    again = ", layers run again in the backward" if found.recompute else ""
    return replace(found, notice=f"{size(free)} of memory are free: passes of {found.tokens} tokens{processes}{again}")


def measure_need(
    learner: Learner,
    model: Any,
    task: Task,
    lanes: Sequence[Lane],
    room: float,
    is_plenty: Callable[[Need], bool] = lambda need: False,
    *,
    wide: bool = True,
) -> Need:
    """What one lane takes and, where passes are `wide`, what two take, at the longest step of the heaviest lane. The
    shortest step comes first: if its like at full length would not fit, layers keep their input only, and if that would
    not do, nothing is tried. Nor where there `is_plenty` by that guess, which counts what lanes share for every row."""
    lane = heaviest(lanes)
    order = sorted(range(1, len(task) + 1), key=lambda i: len(task.render(0, i, 1, most_shots(lane), i).ids))
    short, long = (longest_row(task, lane, i) for i in (order[0], order[-1]))
    length = padded(long)
    own = 2 * kept_bytes(model, lane) // COPIES[lane.optimizer] if wide else 0  # a copy and gradients, at any length

    def guess() -> int:
        return own + max(0, peak(learner, lane, [short]) - own) * length // padded(short)

    likely, spared = guess(), False
    if likely > room and lane.trains and learner.enable_recompute():
        likely, spared = guess(), True
    if likely > room or (not spared and is_plenty(Need(0, likely, length))):
        return Need(0, likely, length, spared)
    one = peak(learner, lane, [long])
    if not wide or likely + one > room:
        return Need(0, one, length, spared)
    two = peak(learner, lane, [long, Row(Track("probe", 1), long.ids, long.spans, long.loss, long.choices)])
    return Need(
        max(0, 2 * one - two),
        max(1, two - one - own),
        length,
        spared,
        own=own,
        lanes=min(WIDTH, sum(lane.trains for lane in lanes)),
        shortest=BUCKET,
    )


def size_update(
    learner: Learner, model: Any, lane: Lane, rows: Sequence[Row], *, free: int | None = None
) -> str | None:
    """For updates no larger than these rows, which are all in memory at once: a batch has one gradient. Where they
    would not fit, layers are run again in the backward, and that is said; where not even that does, it is refused. On a
    GPU it is seen when it comes to it."""
    if next(model.parameters()).device.type != "cpu":
        return None
    free = (available() if free is None else free) - (weights_of(model) if is_mapped(model) else 0)
    room = SHARE * free - kept_bytes(model, lane)
    long = max(rows, key=lambda row: len(row.ids))
    tokens, again = sum(map(padded, rows)), False

    def need(probes: tuple[list[Row], list[Row]]) -> int:
        """In a straight line through the bytes of two of them."""
        (low, less), (high, more) = ((sum(map(padded, some)), peak(learner, lane, some)) for some in probes)
        return int(more + max(0, more - less) / (high - low) * max(0, tokens - high))

    for probes in probes_of(long):
        found = need(probes)
        if found > room and not again and learner.enable_recompute():
            again, found = True, need(probes)
        if found > room:
            raise EnvironmentProblem(
                f"one update of {tokens} tokens takes about {size(found)} of memory beside the model, and "
                f"{size(max(0, room))} can be had",
                hint=f"a smaller --batch, {HINT}",
                code=CODE,
            )
        if PLENTY * found <= room:
            break
    told = f"{size(free)} of memory are free: layers are run again in the backward of updates of {tokens} tokens"
    return told if again else None


def probes_of(long: Row) -> list[tuple[list[Row], list[Row]]]:
    """Pairs of steps, the second the larger one, as long documents or as many short ones as make a fair size; at last
    the longest whole."""
    length, many = len(long.ids), PROBE // 2 // padded(long)
    if many:
        rows = [beginning(long, length, k) for k in range(2 * many)]
        return [(rows[:many], rows)]
    probed = min(PROBE, length)
    pairs = [(probed // 2, probed), (probed, length)] if length > probed else [(probed // 2, probed)]
    return [([beginning(long, less)], [beginning(long, more)]) for less, more in pairs]


def beginning(row: Row, length: int, number: int = 0) -> Row:
    """Its first tokens, all of which carry loss, for a track that nobody else has. No two numbers are the same row."""
    return Row(Track("probe", 0), (number, *row.ids[1:length]), ((1, length),), ((1, length),))


def most_shots(lane: Lane) -> int:
    """In training or at use."""
    return max(lane.shots, lane.shots_at_use)


def heaviest(lanes: Sequence[Lane]) -> Lane:
    return max(lanes, key=lambda lane: (lane.trains, most_shots(lane), lane.rank))


def longest_row(task: Task, lane: Lane, i: int) -> Row:
    """Of example i: as it is predicted or, where those of training have more shots, as it is trained on."""
    track = Track("probe", 0)
    if lane.trains and lane.shots > lane.shots_at_use:
        return replace(task.trained_rows(track, lane, i, 1)[0].row, scored=True)
    return task.scored_row(track, lane, i, train=lane.trains).row


def padded(row: Row) -> int:
    return bucket(len(row.ids))


def peak(learner: Learner, lane: Lane, rows: Sequence[Row]) -> int:
    """Bytes of a step of these rows, each its own track's. A whole model is not stepped: what its optimizer keeps is
    counted without trying."""
    tracks = dict.fromkeys(row.track for row in rows)
    for track in tracks:
        learner.open(track, lane)
    try:
        learner.score([replace(row, loss=()) for row in rows[:1]])  # what is made once, and a whole model's copy
        with Counted() as counted:
            learner.score(rows)
            if lane.trains and lane.tune == "lora":
                learner.update(rows)
            learner.drop_graphs()
    finally:
        for track in tracks:
            learner.forget(track)
    return counted.most


def kept_bytes(model: Any, lane: Lane) -> int:
    """Of one lane as long as it runs: its own weights and what its optimizer keeps. Of a whole model also a copy to go
    back to, and gradients."""
    if not lane.trains:
        return 0
    if lane.tune == "full":
        return (1 + COPIES[lane.optimizer]) * weights_of(model)
    modules = dict(model.named_modules())
    own = sum(lane.rank * sum(width_in_out(modules[name])) for name in adapted_modules(model, lane))
    return COPIES[lane.optimizer] * own * (8 if model.dtype == torch.float64 else 4)


def weights_of(model: Any) -> int:
    """Bytes."""
    return sum(p.numel() * p.element_size() for p in model.parameters())


def cache_bytes(model: Any) -> int:
    """Keys and values of one token, in all layers."""
    config = model.config.get_text_config(decoder=True)
    every = getattr(config, "num_attention_heads", None)
    if not every:  # a state that does not grow
        return 0
    heads = getattr(config, "num_key_value_heads", None) or every
    wide = getattr(config, "head_dim", None) or config.hidden_size // every
    return 2 * config.num_hidden_layers * heads * wide * model.dtype.itemsize


def too_many(lanes: Sequence[Lane], kept: Sequence[int], room: float) -> EnvironmentProblem:
    own = sorted(one for one in kept if one)
    fit = sum(sum(own[: k + 1]) <= room for k in range(len(own)))
    rank = int(min(lane.rank for lane in lanes if lane.trains) * room / sum(own))
    lower = f"--rank {rank}, " if rank >= 1 else ""
    return EnvironmentProblem(
        f"the weights and optimizer states of {len(own)} lanes take {size(sum(own))} of memory, and "
        f"{size(max(0, room))} can be had: {fit} of them fit",
        hint=f"{lower}fewer --lr, --updates or --seeds, or --optimizer adafactor",
        code=CODE,
    )


def too_large(held: float, room: float) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"training the whole model takes {size(held)} beside it, and {size(max(0, room))} can be had",
        hint="--tune lora, --optimizer adafactor, or a smaller model",
        code=CODE,
    )


def is_mapped(model: Any) -> bool:
    """Whether the weights lie in a file's pages, which processes share."""
    at = max(model.parameters(), key=lambda p: p.numel()).data_ptr()
    for line in lines(Path("/proc/self/maps")):
        span, _, rest = line.partition(" ")
        start, _, end = span.partition("-")
        if int(start, 16) <= at < int(end, 16):
            return rest.split()[3] != "0"  # the inode
    return False
