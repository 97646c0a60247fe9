"""How fast is a sweep over LoRA lanes? fewfit's stack, a plain PEFT loop and TRL's SFTTrainer, in one run.

    python -m benchmarks.sweep [--shape smollm2|gemma3-270m|5m|135m|0.6b] [--old SOURCE] [--lanes 32] [--tokens 128]
        [--rounds 5] [--json PATH]

All train the same rows: random tokens, five answers each, loss on the answers; LoRA rank 8 on all linear layers, AdamW,
clipping at 1. The unit is the lane-step: forward and backward of one row and its share of the update. Every contender
runs in fp32 and in bf16 (adapters stay fp32, as PEFT has them), as one process of two threads and as two processes of
one thread; fewfit at several sizes of a pass, the rivals at batch 1, 4 and 8 (which makes fewer updates than the sweep
asks for, and is counted in their favour), in bf16 with both of the library's attentions, with the output head on answer
places only: the plain loop by the same hook that fewfit uses, TRL as it does by itself. All get the same allocator
settings. Building a model or a trainer is never counted.

First every way of running each contender makes one round; the `--qualify` best of each contender and dtype then take
turns, round after round, in processes that stay alive, so that a busy machine is busy for all of them. What is compared
is the median of the rounds' ratios. The share is 4 · parameters · tokens operations a lane-step against the best matrix
product of the same dtype that two such processes reach in the same run.

On a machine that others use, leave out 1x2 (threads that wait for each other burn the time that they wait) and compare
the processor time: the `cpu ratio` below the table.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

SETTINGS = ("1x2", "2x1")  # processes x threads
BATCHES = (1, 4, 8)
KINDS = ("fewfit", "old", "peft", "trl")
OURS = ("fewfit", "old")
DTYPES = ("fp32", "bf16")
KEPT = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}  # memory; fewfit's workers do so


class Way(NamedTuple):
    """One way of running one contender. `size` is a batch of rows, for fewfit the tokens of a pass."""

    kind: str
    dtype: str
    attention: str
    setting: str
    size: int

    def __str__(self) -> str:
        return f"{self.kind:6} {self.dtype} {self.attention:5} {self.setting} {self.size:4}"


@dataclass
class Crew:
    """The processes of one contender in one setting; they start a round together."""

    kind: str
    dtype: str
    attention: str
    setting: str
    arguments: argparse.Namespace
    members: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        processes, threads = map(int, self.setting.split("x"))
        for index in range(processes):
            lanes = len(range(index, self.arguments.lanes, processes))
            task = {**vars(self.arguments), "kind": self.kind, "threads": threads, "lanes": lanes, "index": index}
            task |= {"dtype": self.dtype, "attention": self.attention}
            self.members.append(
                subprocess.Popen(
                    [sys.executable, "-m", "benchmarks.sweep_worker", json.dumps(task, default=str)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=None if self.arguments.verbose else subprocess.DEVNULL,
                    text=True,
                    env={**os.environ, **threads_of(threads), **KEPT, **self.source()},
                )
            )
        for member in self.members:
            self._hear(member)

    def source(self) -> dict[str, str]:
        """The old contender is fewfit as it lies in another checkout."""
        return {"PYTHONPATH": str(self.arguments.old / "src")} if self.kind == "old" else {}

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


def ways(arguments: argparse.Namespace) -> list[Way]:
    out = []
    for kind in arguments.kinds:
        for dtype in arguments.dtypes:
            # torch's attention is slow at bf16's backward on a CPU, so the rivals may have the library's other one.
            both = kind not in OURS and dtype == "bf16"
            for attention in ("sdpa", "eager") if both else ("sdpa",):
                sizes = arguments.pass_tokens if kind in OURS else arguments.batches
                out += [Way(kind, dtype, attention, s, size) for s in arguments.settings for size in sizes]
    return out


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """One record for each way of each contender."""
    found: dict[Way, list[dict[str, float]]] = {way: [] for way in ways(arguments)}
    peaks: dict[str, list[float]] = {dtype: [] for dtype in arguments.dtypes}
    crews: dict[tuple[str, ...], Crew] = {}

    def crew(kind: str, dtype: str, attention: str, setting: str) -> Crew:
        which = (kind, dtype, attention, setting)
        if which not in crews:
            crews[which] = Crew(*which, arguments)
        return crews[which]

    def turn(number: int, some: Sequence[Way]) -> None:
        for dtype, rates in peaks.items():
            rates.append(crew("peak", dtype, "", "2x1").round(size=0)["rate"])
        for way in some:
            team = crew(*way[:4])
            if not found[way]:
                team.round(size=way.size)  # warms up
            told = team.round(size=way.size)
            found[way].append(told)
            print(
                f"round {number}  {way}  {told['rate']:.2f}/s  {told['cpu_ms']:.1f} ms CPU", file=sys.stderr, flush=True
            )
            if number == 0:
                wanted = {w[:4] for w in some[some.index(way) + 1 :]}
                for which in [w for w in crews if w[0] != "peak" and w not in wanted]:
                    crews.pop(which).dismiss()  # memory for the next

    try:
        turn(0, list(found))
        best = qualified(found, arguments.qualify)
        for way in best:
            found[way].clear()
        for number in range(1, arguments.rounds + 1):
            turn(number, best)
    finally:
        for one in crews.values():
            one.dismiss()
    operations = 4 * arguments.parameters * arguments.tokens
    return [
        {
            **way._asdict(),
            "rates": [one["rate"] for one in rounds],
            "cpu_ms": [one["cpu_ms"] for one in rounds],
            "qualified": way in best,
            "lane_steps_per_second": median(one["rate"] for one in rounds),
            "fastest": max(one["rate"] for one in rounds),
            "cpu_ms_per_lane_step": median(one["cpu_ms"] for one in rounds),
            "peak_share": median(one["rate"] for one in rounds) * operations / max(peaks[way.dtype]),
            "peak_gflops": max(peaks[way.dtype]) / 1e9,
        }
        for way, rounds in found.items()
    ]


def qualified(found: dict[Way, list[dict[str, float]]], count: int) -> list[Way]:
    """Of each contender and dtype the fastest, by rate and by processor time: a busy machine blurs either."""
    out: list[Way] = []
    for group in dict.fromkeys(way[:2] for way in found):
        some = [way for way in found if way[:2] == group]
        by_rate = sorted(some, key=lambda way: -found[way][0]["rate"])[:count]
        by_cpu = sorted(some, key=lambda way: found[way][0]["cpu_ms"])[:count]
        out += dict.fromkeys([*by_rate, *by_cpu])
    return out


def table(records: list[dict[str, Any]]) -> str:
    lines = [
        "| contender | dtype | attention | processes × threads | size | lane-steps a second | CPU ms a lane-step "
        "| share of peak |",
        "|---|---|---|---|---|---|---|---|",
    ]
    finals = [r for r in records if r["qualified"]]
    for r in finals:
        lines.append(
            f"| {r['kind']} | {r['dtype']} | {r['attention']} | {r['setting'].replace('x', ' × ')} | {r['size']} "
            f"| {r['lane_steps_per_second']:.2f} | {r['cpu_ms_per_lane_step']:.1f} | {r['peak_share']:.0%} |"
        )
    lines.append("")
    for rival in ("old", "peft", "trl"):
        for mine, theirs in (*((dtype, dtype) for dtype in DTYPES), ("", "")):
            ours = [r for r in finals if r["kind"] == "fewfit" and mine in r["dtype"]]
            others = [r for r in finals if r["kind"] == rival and theirs in r["dtype"]]
            if ours and others:
                rate, cpu = (in_turn(ours, others, key, best) for key, best in (("rates", max), ("cpu_ms", min)))
                lines.append(
                    f"{mine or 'best'} fewfit against {theirs or 'best'} {rival}: {rate:.2f}x, cpu ratio {1 / cpu:.2f}"
                )
    return "\n".join(lines)


def in_turn(ours: list[dict[str, Any]], others: list[dict[str, Any]], key: str, best: Callable[..., float]) -> float:
    """The best of ours against the best of theirs in each round, and of these the median: load changes in between."""
    turns = zip(*(zip(*(r[key] for r in some), strict=True) for some in (ours, others)), strict=True)
    return median(best(mine) / best(theirs) for mine, theirs in turns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="smollm2", help="an installed model, or 5m, 135m, 0.6b with random weights")
    parser.add_argument("--old", type=Path, help="a checkout of fewfit to compare with")
    parser.add_argument("--lanes", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="rows a process trains on in a round, at least")
    parser.add_argument("--pass-tokens", nargs="+", type=int, default=[1024, 4096], help="of fewfit")
    parser.add_argument("--dtypes", nargs="+", default=list(DTYPES), choices=DTYPES)
    parser.add_argument("--qualify", type=int, default=2, help="ways of each contender and dtype that are measured on")
    parser.add_argument("--layers", default="all", choices=["all", "upper-half"], help="for all contenders alike")
    parser.add_argument("--shared", action="store_true", help="all lanes hold identical tokens, as those of a grid do")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES))
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), help="processes x threads")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    if arguments.old is None and "old" in arguments.kinds:
        arguments.kinds.remove("old")

    from benchmarks.shapes import SHAPES, base_parameters, shaped
    from fewfit.models import local

    if arguments.shape not in SHAPES:
        arguments.shape = str(local.resolve(arguments.shape, None, weights=True)[1])
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
