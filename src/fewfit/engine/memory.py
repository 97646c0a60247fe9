"""Memory: how much there is, and what is done when a pass finds that it does not suffice.

On a CPU the system kills whoever takes too much, so passes are sized beforehand (run/sizing.py). A GPU raises: the pass
is given up, and made again in halves. Which lanes share a pass changes no number (in bf16 none beyond rounding), so
nothing but time is lost.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from fewfit.engine.learner import Prompter, Row
from fewfit.errors import EnvironmentProblem

CODE = "memory"
ASSUMED = 8 << 30  # bytes, where the system does not say
HINT = "fewer --shots, a smaller --max-length, --layers upper-half, --dtype bfloat16 or a smaller model"
EXHAUSTED = (  # of errors that have no type of their own
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
Result = TypeVar("Result")

# ---- how much there is -----------------------------------------------------------------------------------------------


def available(root: Path = Path("/")) -> int:
    """Bytes that this process may still take: what the machine has, what each of its control groups leaves it, and its
    own limit."""
    found = [*machine(root), *groups(root), *limit(root)]
    return max(0, min(found)) if found else ASSUMED


def machine(root: Path) -> Iterator[int]:
    for line in lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) * 1024


def limit(root: Path) -> Iterator[int]:
    """`ulimit -v`, as batch systems set it: of addresses, whether there is anything behind them or not."""
    import resource

    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    for line in lines(root / "proc/self/statm"):
        if most != resource.RLIM_INFINITY:
            yield most - int(line.split()[0]) * resource.getpagesize()


def groups(root: Path) -> Iterator[int]:
    """A limit may stand at any level above the process. Both versions may be mounted, each knowing some controllers."""
    mount = root / "sys/fs/cgroup"
    for line in lines(root / "proc/self/cgroup"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            for top in (mount, mount / "unified"):
                for folder in upwards(top, path):
                    yield from room(folder, ("memory.max", "memory.high"), "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            for folder in upwards(mount / "memory", path):
                yield from room(folder, ("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file")


def upwards(top: Path, path: str) -> Iterator[Path]:
    """From a group to the top. Inside a container the path may be the host's, and only the top is there to see."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for count in range(len(parts), -1, -1):
        folder = top.joinpath(*parts[:count])
        if folder.is_dir():
            yield folder


def room(folder: Path, limits: Sequence[str], usage: str, reclaimable: str) -> Iterator[int]:
    used = number(folder / usage)
    if used is None:
        return
    for line in lines(folder / "memory.stat"):
        name, _, value = line.partition(" ")
        if name == reclaimable:  # files that were read once: given up before anything is killed
            used -= int(value)
    for name in limits:
        limit = number(folder / name)
        if limit is not None and limit < 1 << 60:  # version 1 writes no limit as a very large one
            yield limit - max(0, used)


def number(path: Path) -> int | None:
    for line in lines(path):
        if line.strip().isdigit():
            return int(line)
    return None


def lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


# ---- where it did not suffice ----------------------------------------------------------------------------------------


def is_exhausted(error: BaseException) -> bool:
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in EXHAUSTED)


@contextmanager
def report_exhaustion(where: str | None = None, hint: str = HINT) -> Iterator[None]:
    """Exhaustion as what it is for the user: nothing is lost, and the run can go on."""
    try:
        yield
    except Exception as error:
        if not is_exhausted(error):
            raise
        told = f"there is not enough memory: {str(error).strip().splitlines()[0] if str(error) else 'MemoryError'}"
        raise EnvironmentProblem(told, where=where, hint=hint, code=CODE) from None


def in_parts(
    call: Callable[[Sequence[Row]], Sequence[Result]],
    rows: Sequence[Row],
    learner: Prompter,
    smaller: Callable[[Sequence[Row]], None],
    *,
    tracks_whole: bool = False,
) -> list[Result]:
    """`call(rows)`, in halves where it runs out of memory; `smaller` hears of which rows the first half was.

    A single row that does not fit is made once more with recomputation. With `tracks_whole` the rows of one track,
    which stand next to each other, stay together.
    """
    try:
        return list(call(rows))
    except Exception as error:
        if not is_exhausted(error):
            raise
        told = str(error).strip().partition("\n")[0]
    # Only here, with the error, are the frames of its traceback gone, and with them the tensors that they held.
    learner.drop_graphs()
    give_back()
    at = middle(rows, tracks_whole)
    if at:
        smaller(rows[:at])
        parts = (rows[:at], rows[at:])
        return [one for some in parts for one in in_parts(call, some, learner, smaller, tracks_whole=tracks_whole)]
    if not learner.enable_recompute():
        longest = max((len(row.ids) for row in rows), default=0)
        raise EnvironmentProblem(f"one step of {longest} tokens does not fit the memory ({told})", hint=HINT, code=CODE)
    return in_parts(call, rows, learner, smaller, tracks_whole=tracks_whole)


def middle(rows: Sequence[Row], tracks_whole: bool) -> int:
    """Where to cut; 0 where nothing can be cut."""
    cuts = [k for k in range(1, len(rows)) if not tracks_whole or rows[k].track != rows[k - 1].track]
    return min(cuts, key=lambda k: abs(2 * k - len(rows)), default=0)


@contextmanager
def no_second_try() -> Iterator[None]:
    """Around what cannot be made a second time (an optimizer's step, half made): exhaustion ends the session here, and
    the last snapshot is where it goes on."""
    with report_exhaustion():
        yield


def give_back() -> None:
    """What is not needed any more goes back to the device."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
