"""What a suite would cost, told beforehand: tokens counted in the worlds' own text, hours by what this machine does in
a second and by what a GPU is reckoned to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fewfit.augment import cumulative
from fewfit.engine.threads import processors
from fewfit.grid import Lane
from fewfit.models import local
from fewfit.models.device import pick_device, pick_dtype
from fewfit.plan.reading import ASKED, GROWTH, WRITTEN_TOGETHER
from fewfit.plan.shape import ModelShape, shape_of
from fewfit.plan.speed import measure
from fewfit.plan.work import EFFICIENCY, GPU
from fewfit.suites.generalization.conditions import INFERRED, Condition, told
from fewfit.suites.generalization.suite import LIKE, Asked, Cell, cells, world_of
from fewfit.suites.generalization.world import World

# Of a GPU of the H100's class, reckoned as its operations are: bytes that it reads in a second (3.35e12 by its sheet,
# of which long reads get some six tenths), and the least that a layer takes, whose some forty calls are launched one
# after the other.
GPU_BYTES = 2e12
GPU_LAYER = 4e-4


@dataclass(frozen=True)
class Work:
    """Tokens that pass through the model, by what is done with them."""

    trained: float = 0.0
    read: float = 0.0
    written: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(self.trained + other.trained, self.read + other.read, self.written + other.written)

    def operations(self, body: int) -> float:
        """In products of many tokens at once, which writing is not on this machine."""
        return body * (4 * self.trained + 2 * self.read)


def planned(asked: Asked, wanted: str = "auto") -> dict[str, Any]:
    """No weights are fetched."""
    config, tokenizer = local.load_config_and_tokenizer(asked.model, None)
    device = pick_device("auto")
    dtype = pick_dtype(wanted, device, config)
    shape = shape_of(asked.model, config, [Lane()], dtype, quantize=None, revision=None)
    speed = measure(device, dtype, shape.width, tokens=256)
    inferred: set[tuple[str, int, str]] = set()
    rows: list[dict[str, Any]] = []
    hours, gpu_hours = 0.0, 0.0
    for world_name in asked.worlds:
        world = world_of(asked, world_name, 0)  # another seed's is as long
        some = [one for one in cells(asked) if one.world == world_name and not one.condition.splits_nothing(world)]
        sizes = Sizes.of(world, tokenizer, shape.context)
        work = Work()
        for cell in some:
            work += work_of(cell, sizes, asked, inferred)
        operations = work.operations(shape.body)
        writing = 2 * shape.body * work.written / (WRITTEN_TOGETHER * speed.single)
        row_hours = (operations / (EFFICIENCY * speed.operations) + writing) / 3600
        row_gpu_hours = (operations / (EFFICIENCY * GPU) + work.written / WRITTEN_TOGETHER * gpu_step(shape)) / 3600
        hours, gpu_hours = hours + row_hours, gpu_hours + row_gpu_hours
        rows.append(
            {
                "world": world_name,
                "documents": len(world.documents),
                "questions": len(world.questions),
                "document_tokens": sizes.documents,
                "cells": len(some),
                "trained_tokens": round(work.trained),
                "read_tokens": round(work.read),
                "written_tokens": round(work.written),
                "hours": round(row_hours, 6),
                "gpu_hours": round(row_gpu_hours, 9),
            }
        )
    return {
        "model": asked.model,
        "parameters": shape.parameters,
        "device": device,
        "dtype": str(dtype).removeprefix("torch."),
        "processors": processors(),
        "rows": rows,
        "hours": round(hours, 6),
        "gpu_hours": round(gpu_hours, 9),
        "gpu_step_seconds": round(gpu_step(shape), 9),
        "written_together": WRITTEN_TOGETHER,
    }


def gpu_step(shape: ModelShape) -> float:
    """Seconds of a step of writing: a token of each of the texts that are written together. It waits for memory, not
    for products: all weights are read (in bf16), and the calls of every layer are made."""
    return max(2 * shape.parameters / GPU_BYTES, shape.layers * GPU_LAYER, 2 * shape.body * WRITTEN_TOGETHER / GPU)


@dataclass(frozen=True)
class Sizes:
    """Tokens of a world's parts."""

    documents: int
    cumulative: int  # each sentence behind those before it
    truth: int
    questions: int  # with all their options
    shown: int  # of the documents, what fits a prompt

    @staticmethod
    def of(world: World, tokenizer: Any, context: int | None) -> Sizes:
        def count(texts: Sequence[str]) -> int:
            return sum(map(len, tokenizer(list(texts), add_special_tokens=False)["input_ids"])) + len(texts)

        documents = count([one.text for one in world.documents])
        asked = count([f"{one.prompt} {option}" for one in world.questions for option in one.options])
        room = documents if context is None else min(documents, context)
        behind = count([f"{one.prompt} {one.completion}" for one in cumulative(told(world.documents))])
        return Sizes(documents, behind, count([one.text for one in world.inferences]), asked, room)


def work_of(cell: Cell, sizes: Sizes, asked: Asked, inferred: set[tuple[str, int, str]]) -> Work:
    """Of one cell; inferences that an earlier one made are not made again."""
    condition: Condition = cell.condition
    learnt = 0.0
    work = Work(read=sizes.questions + (sizes.shown if condition.shows else 0))
    for part in condition.learns:
        if part in ("truth", "diluted"):
            learnt += sizes.truth
        else:
            grown = GROWTH if part in INFERRED else 1.0
            learnt += sizes.cumulative if part == "cumulative" else grown * sizes.documents
        for made in LIKE if part == "diluted" else [part] if part in INFERRED else []:
            if (cell.world, cell.seed, made) not in inferred:
                inferred.add((cell.world, cell.seed, made))
                context = sizes.shown if made == "global" else 0
                work += Work(read=context + ASKED * sizes.documents, written=GROWTH * sizes.documents)
    return work + Work(trained=learnt * asked.passes)
