"""How large a pass may be, and how many processes may make them: arithmetic on bytes, measured (sizing.py) or estimated
(what `plan` tells).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

# Products saturate at some hundred rows on a CPU, in bf16 at some thousand, and small passes keep memory nearly
# independent of the lanes.
CPU_TOKENS, CPU_TOKENS_BF16, GPU_TOKENS = 1024, 4096, 16384
WIDTH = 64  # rows
SHARE = 0.6  # of what is free: the allocator's gaps (seen: 1.6 times what small tensors take), and whoever else comes
LEAST_TOKENS = 256  # products of fewer rows are slower: below it another process is worth less than larger passes
HELPER = 400 << 20  # bytes of a process with torch and tokenizers, without a model
COPIES = {"adamw": 3, "adafactor": 1}  # of a lane's weights: themselves and moments, of which Adafactor keeps sums only


def usual_tokens(*, cpu: bool, bf16: bool) -> int:
    """Of a pass, where memory does not say otherwise."""
    return GPU_TOKENS if not cpu else CPU_TOKENS_BF16 if bf16 else CPU_TOKENS


@dataclass(frozen=True)
class Need:
    """Bytes of a pass: whatever its size, and for each of its rows at their longest. Beside that each lane of a pass
    has matrices and gradients of its `own`: as many `lanes` as there are, or as have room among rows of the `shortest`.
    """

    once: int
    row: int
    length: int
    spared: bool = False  # by running layers again
    own: int = 0
    lanes: int = 1
    shortest: int = 16

    def of(self, rows: int) -> int:
        return self.once + rows * self.row + self.own * min(self.lanes, -(-rows * self.length // self.shortest))

    def rows(self, room: float) -> int:
        """As many as fit by either bound on the lanes; one, where it fits alone."""
        room -= self.once
        among = (room - self.own * self.lanes) // max(1, self.row)
        between = room // max(1, self.row + self.own * -(-self.length // self.shortest))
        return int(max(among, between, room >= self.row + self.own))


@dataclass(frozen=True)
class Sizes:
    """Tokens of a pass, and helper processes. `notice` is a line for the user, where that is less than usual."""

    tokens: int
    helpers: int
    recompute: bool = False  # layers are run again in the backward
    notice: str | None = None

    def halved(self, times: int) -> Sizes:
        """After sessions that died: each halves the passes, and from the second on the helpers."""
        return replace(self, tokens=max(1, self.tokens >> times), helpers=self.helpers >> max(0, times - 1))


def choose_sizes(need: Need, room: float, *, tokens: int, helpers: int, base: int, least: int = 1) -> Sizes | None:
    """The most processes that can make passes of a fair size, then the largest passes; None where nothing fits."""
    for count in range(helpers, -1, -1):
        rows = need.rows((room - count * base) / (count + 1))
        fair = min(tokens, LEAST_TOKENS) if count else 1
        if rows >= least and rows * need.length >= fair:
            return Sizes(min(tokens, rows * need.length), count, need.spared)
    return None


def size(value: float) -> str:
    return f"{value / (1 << 30):.1f} GB" if value >= 1 << 30 else f"{value / (1 << 20):.0f} MB"
