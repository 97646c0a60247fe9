"""All randomness, by hash: the order of the examples, the demonstrations of each, and what is replayed.

A number is drawn by hashing (seed, example, update, purpose) and nothing else: no generator's state, so a resumed run
needs none saved, and never the lane, so that lanes of equal shots, seed and update hold identical tokens.

Positions are counted from 1, as in predictions.jsonl. `seen` below is always the examples 1..i in stream order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Literal, TypeVar

from fewfit.examples.example import Example

Replay = Literal["balanced", "uniform", "newest", "passes"]
T = TypeVar("T")


def number(*key: int | str) -> int:
    """64 bits from the key. Parts are length-prefixed, so that ("ab", "c") and ("a", "bc") differ."""
    digest = blake2b(digest_size=8)
    for part in key:
        text = str(part).encode()
        digest.update(len(text).to_bytes(4, "big"))
        digest.update(text)
    return int.from_bytes(digest.digest(), "big")


def unit(*key: int | str) -> float:
    """A number in [0, 1) from the key (53 bits, as a float holds)."""
    return (number(*key) >> 11) / (1 << 53)


def order(examples: Sequence[Example], seed: int) -> list[Example]:
    """A plain seeded shuffle. It sees ids only: an order that knew the answers would make them predictable."""
    return sorted(examples, key=lambda e: (number(seed, "order", e.id), e.id))


def demonstrations(
    candidates: Sequence[Example],
    target: Example,
    shots: int,
    *,
    seed: int,
    i: int,
    update: int,
    purpose: str = "demos",
) -> list[Example]:
    """Up to `shots` of the candidates for the target, in prompt order: the last stands next to the target.

    Sorted by hash and taken from the end, so the 4-shot prompt is the tail of the 8-shot prompt.
    """
    if shots <= 0:
        return []
    ranked = sorted(candidates, key=lambda e: (number(seed, i, update, purpose, e.id), e.id))
    taken: list[Example] = []
    for candidate in reversed(ranked):
        if candidate.conflicts_with(target) or any(candidate.conflicts_with(other) for other in taken):
            continue
        taken.append(candidate)
        if len(taken) == shots:
            break
    taken.reverse()
    return taken


def replayed(i: int, update: int, *, seed: int, replay: Replay, slot: int = 0, among: int | None = None) -> int:
    """Which of what may be learnt from update `update` (2..E) of example i trains on: of the predicted examples 1..i,
    or of `among` things in the order of their release.

    balanced: the newest with probability one half, else j with probability proportional to j. The examples come to
    about 1.5 (E-1) replays for the first and 0.5 (E-1) for the last, so late ones are not neglected and early ones
    return. uniform: each alike. newest: always i, as Algorithm 1's pseudocode has it. passes: none a second time before
    each had its turn, in shuffled orders; the first is update 1's own, so with i updates each has been left out once.
    `slot` tells the rows of one batch apart (studies with batch > 1; slot 0 is the first).
    """
    n = i if among is None else among
    if replay == "newest" and slot == 0:
        return n
    if replay == "passes":
        turn, place = divmod(update - 1, n)
        shuffled = sorted(range(1, n + 1), key=lambda j: (not turn and j < n, number(seed, i, "pass", turn, slot, j)))
        return shuffled[place]
    key = (seed, i, update, "target") if slot == 0 else (seed, i, update, "target", slot)
    u = unit(*key)
    if replay == "balanced":
        if u < 0.5:
            return n
        rest = (u - 0.5) * 2.0
        total = n * (n + 1) / 2
        # smallest j with j (j + 1) / 2 > rest * total
        j = int(((8 * rest * total + 1) ** 0.5 - 1) / 2)
        while j * (j + 1) / 2 <= rest * total:
            j += 1
        while j > 1 and (j - 1) * j / 2 > rest * total:
            j -= 1
        return min(j, n)
    return min(int(u * n) + 1, n)


def init_seed(seed: int, module: str) -> int:
    """The seed for one module's adapter weights: the same for every lane, so that lanes differ by what they do."""
    return number(seed, "init", module) >> 1  # torch wants it below 2**63


def shuffled(items: Sequence[T], key: Callable[[T], str], *, seed: int, purpose: str) -> list[T]:
    """A seeded shuffle for other purposes (i.i.d. epochs, test subsets)."""
    return sorted(items, key=lambda item: (number(seed, purpose, key(item)), key(item)))
