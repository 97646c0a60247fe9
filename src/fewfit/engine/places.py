"""Which places of a row's tokens carry a loss or a score, and where they stand among those of all rows of a pass."""

from __future__ import annotations

from collections.abc import Sequence

from fewfit.engine.learner import Row

WORTH_A_PASS = 64  # tokens of padding
BUCKET = 16  # lengths are padded to a multiple: rows of one bucket share a pass


def bucket(tokens: int) -> int:
    """Sums over tokens are rounded by their number: a lane's padding must not depend on who shares the pass."""
    return -(-tokens // BUCKET) * BUCKET


def spans_of(row: Row, train: bool) -> dict[tuple[int, int], None]:
    """The spans whose losses are wanted."""
    return dict.fromkeys([*(row.loss if train else ()), *([row.spans[-1]] if row.scored else ())])


def offsets(lists: Sequence[Sequence[int]]) -> list[int]:
    out, start = [], 0
    for some in lists:
        out.append(start)
        start += len(some)
    return out


def within(spans: dict[tuple[int, int], None], wanted: Sequence[tuple[int, int]], start: int = 0) -> list[int]:
    """Places, in the concatenation of `spans` that begins at `start`, of the tokens of those wanted."""
    out: list[int] = []
    for s, e in spans:
        if (s, e) in wanted:
            out += range(start, start + e - s)
        start += e - s
    return out


def alike(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows of about one length together: a pass costs some time by itself, and every token of padding does, too."""
    if not rows:
        return []
    lengths: dict[int, list[Row]] = {}
    for row in rows:
        lengths.setdefault(bucket(len(row.ids)), []).append(row)
    out: list[list[Row]] = []
    waiting: list[Row] = []
    for length, longer in zip(sorted(lengths), [*sorted(lengths)[1:], 0], strict=True):
        waiting += lengths[length]
        if not longer or sum(longer - bucket(len(row.ids)) for row in waiting) > WORTH_A_PASS:
            out.append(waiting)
            waiting = []
    return out
