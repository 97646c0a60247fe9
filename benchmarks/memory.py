"""How much memory do many lanes take, and how much time does each?

    python -m benchmarks.memory [--shape 135m] [--lanes 1,8,32,128] [--tokens 256] [--json FILE]

A fresh process of one thread for every number of lanes, random weights in fp32, LoRA rank 8 on all linear layers,
AdamW. Every lane makes an update on a short row, so that its weights and both of its moments are there; then passes of
full rows, as the stream puts them together, are timed. Resident memory is read from the kernel: with the model alone,
and at its highest. `a lane` is what a lane added to that of one lane.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.records import lines_of, markdown, publish

SHORT = 16


def resident(name: str) -> float:
    """MiB: VmRSS now, VmHWM at its highest."""
    line = next(line for line in lines_of("/proc/self/status") if line.startswith(name))
    return int(line.split()[1]) / 1024


def point(shape: str, lanes: int, tokens: int, rounds: int) -> dict[str, Any]:
    """In this process, which should be a fresh one."""
    import torch

    from benchmarks.scoring import model_of, rows_of
    from fewfit.engine.stack import StackLearner
    from fewfit.grid import Lane
    from fewfit.run.passes import CPU_TOKENS

    torch.set_num_threads(1)
    model = model_of(shape)
    vocabulary = model.config.vocab_size
    alone = resident("VmRSS")
    learner = StackLearner(model, end_ids=frozenset())
    short, full = rows_of(lanes, SHORT, vocabulary), rows_of(lanes, tokens, vocabulary)
    for row in full:
        learner.open(row.track, Lane(lr=1e-5, updates=1))
    width = CPU_TOKENS // SHORT
    for start in range(0, lanes, width):
        learner.score(short[start : start + width])
        learner.update(short[start : start + width])
    width = max(1, CPU_TOKENS // tokens)
    cpu, wall, done = [], [], 0
    for number in range(rounds + 1):
        some = [full[(done + k) % lanes] for k in range(min(width, lanes))]
        done += len(some)
        at = time.perf_counter(), time.process_time()
        learner.score(some)
        learner.update(some)
        if number:
            wall.append((time.perf_counter() - at[0]) / len(some))
            cpu.append((time.process_time() - at[1]) / len(some))
    return {
        "shape": shape,
        "lanes": lanes,
        "tokens": tokens,
        "model_mib": round(alone),
        "peak_mib": round(resident("VmHWM")),
        "settled_mib": round(resident("VmRSS")),
        "cpu_ms_per_lane_step": round(1e3 * median(cpu), 1),
        "ms_per_lane_step": round(1e3 * median(wall), 1),
        "adapter_and_moments_mib": round(state_bytes(learner, full[0].track) / 2**20, 2),
    }


def state_bytes(learner: Any, track: Any) -> int:
    return sum(t.numel() * t.element_size() for t in learner.state(track).tensors.values())


def with_a_lane(points: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    first = points[0]
    out = []
    for one in points:
        more = one["lanes"] - first["lanes"]
        added = (one["peak_mib"] - first["peak_mib"]) / more if more else None
        out.append({**one, "mib_a_lane": None if added is None else round(added, 2)})
    return out


def table(points: Sequence[dict[str, Any]]) -> str:
    rows = [["shape", "lanes", "model alone, MiB", "peak, MiB", "a lane, MiB", "CPU ms a lane-step", "ms"]]
    for one in points:
        a_lane = "" if one["mib_a_lane"] is None else f"{one['mib_a_lane']:.1f}"
        rows.append(
            [one["shape"], str(one["lanes"]), f"{one['model_mib']:,}", f"{one['peak_mib']:,}", a_lane,
             f"{one['cpu_ms_per_lane_step']:.0f}", f"{one['ms_per_lane_step']:.0f}"]
        )  # fmt: skip
    return markdown(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="135m")
    parser.add_argument("--lanes", default="1,8,32,128")
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--point", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.point:
        print(json.dumps(point(asked.shape, int(asked.lanes), asked.tokens, asked.rounds)))
        return
    from fewfit.run.executor import QUICK_MEMORY

    points = []
    for lanes in asked.lanes.split(","):
        told = subprocess.run(
            [sys.executable, "-m", "benchmarks.memory", "--point", "--shape", asked.shape, "--lanes", lanes,
             "--tokens", str(asked.tokens), "--rounds", str(asked.rounds)],
            env={**os.environ, **QUICK_MEMORY}, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        points.append(json.loads(told.stdout.splitlines()[-1]))
        print(points[-1], file=sys.stderr, flush=True)
    points = with_a_lane(points)
    text = table(points)
    print(text)
    publish(asked.json, __doc__, text, points=points)


if __name__ == "__main__":
    main()
