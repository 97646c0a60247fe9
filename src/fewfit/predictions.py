"""The evidence: one row per lane and example, and one per update of what was trained on.

While a run goes on, each track (a lane under a seed) appends to shards of its own under `lanes/`. The one file in
canonical order is their merge, published by rename. A row is one line of strict JSON whose bytes depend on the row
alone, so two runs are compared by comparing files. `audit` reads nothing but these files and the examples.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fewfit.audit import audit as audit
from fewfit.errors import EnvironmentProblem, UserError
from fewfit.files import one_line, publish, sync_folder

FIELDS = (
    "lane", "model", "seed", "i", "id", "shots", "demos", "nll", "tokens", "prompt_tokens", "score", "correct",
    "gold", "prediction", "cut", "probs", "margin",
)  # fmt: skip
OF_SEVERAL = (*FIELDS, "members")  # of an answer that is an average: the demonstrations of each prompt
TRAINED = ("lane", "model", "seed", "i", "update", "ids")
OF_INFERRED = (*TRAINED, "inferred")  # by id what each inference was made from, which is among the ids
LANES = "lanes"

Row = dict[str, Any]


def dumps(row: Row) -> str:
    """One line, without its end: the keys in order, floats as Python writes them, what is not finite as null."""
    fields: tuple[str, ...]
    if "update" in row:
        fields = OF_INFERRED if "inferred" in row else TRAINED
    else:
        fields = OF_SEVERAL if "members" in row else FIELDS
    if row.keys() != set(fields):
        raise ValueError(f"a row with the fields {sorted(row)}, not {sorted(fields)}")
    return one_line({field: _finite(row[field]) for field in fields})


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value


class Shard:
    """One writer's file, which grows by appending only.

    Opened with the length that a snapshot names, everything behind it is cut: it will be written again. Without one,
    only a last line that was torn by a crash is cut.
    """

    def __init__(self, path: Path, length: int | None = None):
        self.path = path
        is_new = not path.exists()
        self._file = open(path, "ab")  # noqa: SIM115  (held open until close)
        size = os.path.getsize(path)
        if length is None:
            length = path.read_bytes().rfind(b"\n") + 1
        if size < length:
            self._file.close()
            raise EnvironmentProblem(
                f"{size} bytes where its snapshot says {length}",
                where=str(path),
                hint="the folder was changed, or the disk lost data; begin this run anew",
            )
        if size > length:
            self._file.truncate(length)
        if is_new:
            sync_folder(path.parent)  # else a crash may lose the name, though not the bytes

    def append(self, row: Row) -> None:
        """Into the buffer; `sync` makes it last."""
        self._file.write(dumps(row).encode() + b"\n")

    def sync(self) -> int:
        """Everything appended so far is on disk; its length, for the snapshot that is written next."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return os.path.getsize(self.path)

    def close(self) -> None:
        self._file.close()


# ---- reading and merging ---------------------------------------------------------------------------------------------


def read(path: str | Path, name: str = "predictions") -> list[Row]:
    """The rows of a file, or of a run: of its merged file, or while it goes on, of what the shards hold so far.

    `name` is "predictions" or "trained"; it is asked only of folders.
    """
    path = Path(path)
    if path.is_dir():
        if not (path / f"{name}.jsonl").exists():
            return _read_shards(path, name)
        path = path / f"{name}.jsonl"
    return [json.loads(line) for line in _lines(path)]


def _read_shards(folder: Path, name: str) -> list[Row]:
    shards = sorted((folder / LANES).glob(f"**/{name}*.jsonl"))
    if not shards:
        hint = "name the folder of a run, or go on with it: fewfit resume"
        raise UserError(f"no {name} in it", where=str(folder), hint=hint)
    rows = [json.loads(line) for shard in shards for line in _lines(shard, torn=True)]
    lanes = list(dict.fromkeys(row["lane"] for row in rows))
    return [row for _, row in sorted(((_place(row, lanes), row) for row in rows), key=lambda pair: pair[0])]


def merge(
    shards: Iterable[Path],
    target: Path,
    lane_order: Sequence[str],
    until: Mapping[str, int] | None = None,
    change: Callable[[list[Row]], None] | None = None,
) -> None:
    """All rows in canonical order: seed, i, then lane as in the grid, then update. Lines are taken as they are, but for
    what `change` does to the rows.

    A row that stands twice is kept once; raises RuntimeError where the two differ, since one of them did not happen.
    `until` names the last example of lanes that left the race: what they wrote beyond it does not count.
    """
    last = until or {}
    placed: dict[tuple[int, ...], str] = {}
    for shard in shards:
        for line in _lines(shard):
            row = json.loads(line)
            if row["i"] > last.get(row["lane"], row["i"]):
                continue
            place = _place(row, lane_order)
            if placed.setdefault(place, line) != line:
                raise RuntimeError(f"{shard}: two different rows for one prediction: {placed[place]} and {line}")
    lines = [placed[place] for place in sorted(placed)]
    if change is not None:
        rows = [json.loads(line) for line in lines]
        change(rows)
        lines = [dumps(row) for row in rows]
    publish(target, "".join(f"{line}\n" for line in lines).encode())


def _place(row: Row, lane_order: Sequence[str]) -> tuple[int, ...]:
    return row["seed"], row["i"], lane_order.index(row["lane"]), row.get("update", 0)


def _lines(path: Path, torn: bool = False) -> list[str]:
    """The lines of a file; with `torn`, without a last one that is still being written."""
    try:
        *lines, rest = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        raise UserError("no such file", where=str(path), hint="name a run, or a predictions.jsonl") from None
    if rest and not torn:
        raise EnvironmentProblem("its last line is torn", where=str(path), hint="begin this run anew")
    return [line.decode() for line in lines]
