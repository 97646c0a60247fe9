"""How fast is a sweep over LoRA lanes? fewfit's stack, a plain PEFT loop and TRL's SFTTrainer, in one run.

    python -m benchmarks.sweep [--shape 5m|135m|0.6b] [--lanes 32] [--tokens 128] [--rounds 5] [--json PATH]

All train the same rows: random tokens, five answers each, loss on the answers; LoRA rank 8 on all linear layers, AdamW,
clipping at 1. The unit is the lane-step: forward and backward of one row and its share of the update. Every contender
runs as one process of two threads and as two processes of one thread, the rivals at batch 1, 4 and 8 (which makes fewer
updates than the sweep asks for, and is counted in their favour), with the output head on answer places only: the plain
loop by the same hook that fewfit uses, TRL as it does by itself. Building a model or a trainer is never counted.

On a machine that others use, leave out 1x2 (threads that wait for each other burn the time that they wait) and compare
the processor time: the `cpu ratio` below the table.

Contenders take turns, round after round, in processes that stay alive, so that a busy machine is busy for all of them;
what is compared are medians of one run. The share is 4 · parameters · tokens operations a lane-step against the best
matrix product that the same two processes reach in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

SETTINGS = ("1x2", "2x1")  # processes x threads
BATCHES = (1, 4, 8)
KINDS = ("fewfit", "peft", "trl")


@dataclass
class Crew:
    """The processes of one contender in one setting; they start a round together."""

    kind: str
    processes: int
    threads: int
    arguments: argparse.Namespace
    members: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for index in range(self.processes):
            lanes = len(range(index, self.arguments.lanes, self.processes))
            task = {**vars(self.arguments), "kind": self.kind, "threads": self.threads, "lanes": lanes, "index": index}
            environment = {**os.environ, **threads_of(self.threads)}
            if self.kind == "fewfit":
                environment |= {
                    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
                    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
                }  # as fit does
            self.members.append(
                subprocess.Popen(
                    [sys.executable, "-m", "benchmarks.sweep_worker", json.dumps(task, default=str)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=None if self.arguments.verbose else subprocess.DEVNULL,
                    text=True,
                    env=environment,
                )
            )
        for member in self.members:
            self._hear(member)

    def round(self, **order: Any) -> dict[str, float]:
        """All members do the same; wall time is that of the slowest."""
        for member in self.members:
            assert member.stdin is not None
            member.stdin.write(json.dumps(order) + "\n")
            member.stdin.flush()
        told = [self._hear(member) for member in self.members]
        wall, work = max(one["wall"] for one in told), sum(one["work"] for one in told)
        return {"rate": work / wall, "cpu_ms": 1e3 * sum(one["cpu"] for one in told) / work}

    @staticmethod
    def _hear(member: subprocess.Popen[str]) -> dict[str, float]:
        assert member.stdout is not None
        for line in member.stdout:
            if line.startswith('{"'):  # libraries print, too
                return json.loads(line)
        raise RuntimeError("a worker died; run again with --verbose to see why")

    def dismiss(self) -> None:
        for member in self.members:
            assert member.stdin is not None
            member.stdin.close()
            member.wait()


def threads_of(count: int) -> dict[str, str]:
    return {name: str(count) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """One record for each contender, setting and batch."""
    crews: list[Crew] = []
    try:
        crews += [
            Crew(kind, *map(int, s.split("x")), arguments) for kind in arguments.kinds for s in arguments.settings
        ]
        peak = Crew("peak", 2, 1, arguments)
        crews.append(peak)
        plan = [
            (crew, batch) for crew in crews[:-1] for batch in ((0,) if crew.kind == "fewfit" else arguments.batches)
        ]
        results: dict[int, list[dict[str, float]]] = {k: [] for k in range(len(plan))}
        peaks = []
        for number in range(arguments.rounds + 1):
            peaks.append(peak.round(batch=0)["rate"])
            for k, (crew, batch) in enumerate(plan):
                found = crew.round(batch=batch)
                if number:  # the first round warms up
                    results[k].append(found)
                print(f"round {number}  {crew.kind:7} {crew.processes}x{crew.threads} batch {batch or '-'}  "
                      f"{found['rate']:.2f}/s  {found['cpu_ms']:.1f} ms CPU", file=sys.stderr, flush=True)  # fmt: skip
    finally:
        for crew in crews:
            crew.dismiss()
    best = max(peaks)
    operations = 4 * arguments.parameters * arguments.tokens
    return [
        {
            "contender": crew.kind,
            "processes": crew.processes,
            "threads": crew.threads,
            "batch": batch or None,
            "lane_steps_per_second": median(one["rate"] for one in results[k]),
            "fastest": max(one["rate"] for one in results[k]),
            "cpu_ms_per_lane_step": median(one["cpu_ms"] for one in results[k]),
            "peak_share": median(one["rate"] for one in results[k]) * operations / best,
            "peak_gflops": best / 1e9,
        }
        for k, (crew, batch) in enumerate(plan)
    ]


def table(records: list[dict[str, Any]]) -> str:
    lines = [
        "| contender | processes × threads | batch | lane-steps a second | CPU ms a lane-step | share of peak |",
        "|---|---|---|---|---|---|",
    ]
    for r in records:
        lines.append(
            f"| {r['contender']} | {r['processes']} × {r['threads']} | {r['batch'] or '–'} "
            f"| {r['lane_steps_per_second']:.2f} | {r['cpu_ms_per_lane_step']:.1f} | {r['peak_share']:.0%} |"
        )
    for rival in ("peft", "trl"):
        ours, theirs = ([r for r in records if r["contender"] == kind] for kind in ("fewfit", rival))
        if ours and theirs:
            rate = max(r["lane_steps_per_second"] for r in ours) / max(r["lane_steps_per_second"] for r in theirs)
            cpu = min(r["cpu_ms_per_lane_step"] for r in theirs) / min(r["cpu_ms_per_lane_step"] for r in ours)
            lines.append(f"\nbest fewfit against best {rival}: {rate:.2f}x the rate, cpu ratio {cpu:.2f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="5m", choices=["5m", "135m", "0.6b"])
    parser.add_argument("--lanes", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="rows a process trains on in a round, at least")
    parser.add_argument("--pass-tokens", type=int, default=512, help="tokens that fewfit puts into one pass")
    parser.add_argument("--layers", default="all", choices=["all", "upper-half"], help="for all contenders alike")
    parser.add_argument("--shared", action="store_true", help="all lanes hold identical tokens, as those of a grid do")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES))
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), help="processes x threads")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()

    from benchmarks.shapes import base_parameters, shaped

    arguments.parameters = base_parameters(shaped(arguments.shape, meta=True))
    records = measure(arguments)
    print(table(records))
    if arguments.json is not None:
        import torch
        import transformers

        head = {
            "command": "python -m benchmarks.sweep " + " ".join(sys.argv[1:]),
            "machine": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "load": os.getloadavg(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps({**head, "records": records}, indent=1) + "\n")


if __name__ == "__main__":
    main()
