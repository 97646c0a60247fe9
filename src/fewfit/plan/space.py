"""How much memory and disk a run takes, told beforehand.

Memory is the frozen model, what every tuning lane keeps (its weights and its optimizer's moments, in fp32), and a pass:
for each row what the layers keep for the backward, the logits of its answers, and a lane's matrices as they are used.
From these a run's passes and processes follow by the same arithmetic that the run itself uses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fewfit.engine import memory
from fewfit.engine.places import bucket
from fewfit.errors import UserError
from fewfit.grid import Lane
from fewfit.plan.lengths import Length
from fewfit.plan.shape import ModelShape
from fewfit.run.passes import COPIES, HELPER, SHARE, WIDTH, Need, Sizes, choose_sizes, usual_tokens

PREDICTION_BYTES, TRAINED_BYTES, ID_BYTES = 420, 110, 8  # of one row, as files of real runs have them
TOKENIZER_BYTES = 60  # an entry of the vocabulary in tokenizer.json
LOGITS = 3  # of an answer place: themselves, their softmax, its gradient; in fp32
GPU_SHARE, GPU_OWN = 0.95, 1 << 29  # of a card: what the allocator's gaps leave, and what the driver's context takes
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@dataclass(frozen=True)
class Space:
    """Bytes on one device. `pass_tokens` is 0 where nothing fits."""

    free: int | None  # what may be used
    model: int
    lanes: int  # what all tuning lanes keep
    step: int  # one lane's longest step; of documents, of which an update is one pass, the largest update
    lanes_fit: int  # how many tuning lanes could be kept beside one step
    pass_tokens: int
    processes: int
    again: bool  # layers are run again in the backward
    packed: bool  # --quantize
    total: int

    @property
    def fits(self) -> bool:
        return self.pass_tokens > 0


def space(
    shape: ModelShape,
    lanes: Sequence[Lane],
    lengths: Mapping[int, Length],
    seeds: int,
    *,
    cpu: bool,
    there: int | None,
    processes: int = 1,
    bf16: bool = False,
    together: int = 0,
) -> Space:
    """On a device with so many bytes `there` (None: unknown, and then as much as is wanted). So many rows go `together`
    in a pass, whatever their tokens; where that is 0, as many as are worth it."""
    whole = whole_bytes(shape, lanes)
    kept = lanes_bytes(shape, lanes, seeds) + whole
    base = HELPER + whole  # each process trains a whole model of its own
    free = float("inf") if there is None else SHARE * there if cpu else GPU_SHARE * there - GPU_OWN
    room = free - shape.weight_bytes - kept
    tokens = usual_tokens(cpu=cpu, bf16=bf16)
    found, need = None, need_of(shape, lanes, lengths, together=together)
    for again in (False, True):
        need = need_of(shape, lanes, lengths, again=again, together=together)
        most = need.length * rows_at_once(lanes, seeds)
        wanted = need.length * together or min(tokens, most)
        found = choose_sizes(need, room, tokens=wanted, helpers=processes - 1, base=base, least=max(1, together))
        if found is not None or not any(lane.trains for lane in lanes):
            break
    sizes = found or Sizes(0, 0)
    step = need.of(max(1, together))
    rows = max(1, together, sizes.tokens // need.length)
    lora = [lane for lane in lanes if lane.trains and lane.tune == "lora"]
    each = kept / (seeds * len(lora)) if lora else 0
    return Space(
        free=None if there is None else int(free),
        model=shape.weight_bytes,
        lanes=kept,
        step=step,
        lanes_fit=int(max(0.0, free - shape.weight_bytes - step) // each) if lora and there is not None else len(lanes),
        pass_tokens=sizes.tokens,
        processes=sizes.helpers + 1,
        again=found is not None and need.spared,
        packed=shape.unpacked > 0,
        total=shape.weight_bytes + kept + (sizes.helpers + 1) * need.of(rows) + sizes.helpers * base,
    )


def rows_at_once(lanes: Sequence[Lane], seeds: int) -> int:
    """A lane that trains makes one step at a time; a whole model is one lane's alone."""
    training = [lane for lane in lanes if lane.trains]
    if any(lane.tune == "full" for lane in training):
        return 1
    return min(WIDTH, seeds * sum(lane.batch for lane in training)) if training else WIDTH


def need_of(
    shape: ModelShape, lanes: Sequence[Lane], lengths: Mapping[int, Length], *, again: bool = False, together: int = 0
) -> Need:
    """Of the heaviest step: an update, or the prediction of a lane whose prompts are longer at use than in training."""
    if not lanes:
        return Need(0, 0, 1)
    made = [(lane, lane.shots, lane.trains) for lane in lanes]
    made += [(lane, lane.shots_at_use, False) for lane in lanes if lane.shots_at_use in lengths]
    needs = [need_of_step(shape, lane, lengths[k], trains, again, together) for lane, k, trains in made]
    return max(needs, key=lambda need: need.row)


def need_of_step(shape: ModelShape, lane: Lane, length: Length, trains: bool, again: bool, together: int = 0) -> Need:
    layer = shape.layer_bytes
    if not trains:  # one layer at a time, and what it hands on
        token = layer + shape.element * shape.width
    elif again:
        token = layer + shape.layers * shape.element * shape.width
    else:
        token = shape.layers * layer
    logits, once = LOGITS * 4 * shape.vocabulary * length.answers, shape.unpacked
    if together and shape.logits is not None:  # all of a document is answer: read a few places at a time
        logits, once = 0, once + LOGITS * 4 * shape.vocabulary * min(shape.logits, together * length.answers)
    # A lane's matrices of a pass: stacked in fp32, as the products take them, and their gradients in fp32.
    own = shape.adapters.get(lane.name, 0) * (4 + shape.element + 4)
    longest = bucket(length.longest)
    return Need(once, longest * token + logits + own, longest, again)


def lanes_bytes(shape: ModelShape, lanes: Sequence[Lane], seeds: int) -> int:
    return sum(
        seeds * shape.adapters[lane.name] * 4 * COPIES[lane.optimizer]
        for lane in lanes
        if lane.trains and lane.tune == "lora"
    )


def whole_bytes(shape: ModelShape, lanes: Sequence[Lane]) -> int:
    """Where all weights train, one lane at a time: a copy to go back to, gradients, and the moments."""
    whole = [lane for lane in lanes if lane.trains and lane.tune == "full"]
    return max((shape.weight_bytes * (1 + COPIES[lane.optimizer]) for lane in whole), default=0)


def free_here(device: str, there: int | None) -> int | None:
    """What a run that began now would find."""
    return memory.available() if device == "cpu" else there


def amount_of(text: str) -> int:
    """`24GB`, `512M`: a GB is 2**30 bytes, as everywhere here."""
    match = re.fullmatch(r"(\d{1,15}(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if match is None or float(match[1]) == 0:
        raise UserError(f"--memory {text!r} is no amount of memory", hint="write it like 24GB or 512MB")
    return int(float(match[1]) * UNITS[match[2].upper()])


def disk(shape: ModelShape, lanes: Sequence[Lane], n: int, seeds: int) -> int:
    """The evidence, the bundles (one for every kind), and the snapshots that are there while it runs."""
    total = 0
    for lane in lanes:
        total += seeds * n * (PREDICTION_BYTES + ID_BYTES * lane.shots_at_use)
        total += seeds * n * lane.updates * (TRAINED_BYTES + ID_BYTES * lane.shots)
        if lane.trains:
            own = shape.parameters if lane.tune == "full" else shape.adapters[lane.name]
            total += seeds * own * 4 * (3 if lane.optimizer == "adamw" else 1)  # weights, and what AdamW keeps
    kinds = {lane.kind: lane for lane in lanes}
    for lane in kinds.values():
        total += TOKENIZER_BYTES * shape.vocabulary
        if lane.trains:
            total += shape.weight_bytes if lane.tune == "full" else 4 * shape.adapters[lane.name]
    return total
