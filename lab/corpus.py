"""The corpus: documents as a pure function of (seed, index, phase), packed into rows of weighted tokens."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import accumulate
from random import Random

from lab import chats, families_labels, families_lists, families_lookup, families_reason, texts, worlds
from lab.document import CONTEXT, Encoder, Part, Source, Task, write_task
from lab.phases import PHASES, phase_at
from lab.words import digest

Family = Callable[[Source], Task]
Text = Callable[[Source, int], list[Part]]

_MODULES = (families_lists, families_labels, families_lookup, families_reason, worlds)
SEEN: dict[str, Family] = {name: family for module in _MODULES for name, family in module.SEEN.items()}
HELD_OUT: dict[str, Family] = {
    name: family for module in _MODULES if module is not families_lookup for name, family in module.HELD_OUT.items()
}
TEXTS: dict[str, Text] = {**texts.TEXTS, **worlds.TEXTS, **chats.TEXTS}
# Easy or narrow versions of families, for training alone.
TEXT_TASKS: dict[str, Family] = {
    "short keyword": families_labels.short_keyword,
    "label words": families_lookup.to_label_words,
}

GROUPS: dict[str, tuple[str, ...]] = {
    "lists": tuple(families_lists.SEEN),
    "lookups": tuple(families_lookup.SEEN),
    "meanings": ("kinds", "kinds", "kinds", "topic", "size", "age", "mood", "sentiment"),
    "worlds": ("reversal", "reversal", "reversal", *worlds.SEEN),
    "reason": tuple(families_reason.SEEN),
    "labels by meaning": (*(("kinds",) * 5), "topic", "topic", "sentiment", "mood", "mood", "size", "age"),
    "labels by kind": ("kinds",),
    "simple labels": ("membership", "given list", "count", "same", "repeated", "compare"),
}


LABELLING = frozenset({"meanings", "labels by meaning", "labels by kind", "keyword", "simple labels"})


@cache
def _wheel(phase: int) -> tuple[tuple[str, ...], tuple[float, ...]]:
    shares = PHASES[phase].shares
    return tuple(name for name, _ in shares), tuple(accumulate(share for _, share in shares))


def document(seed: int, index: int, phase: int, budget: int = 170) -> list[Part]:
    """One training document as parts of text with loss weights."""
    rng = Random(digest(seed, index, phase))
    names, wheel = _wheel(phase)
    at = rng.random() * wheel[-1]
    name = next(n for n, edge in zip(names, wheel, strict=True) if at < edge)
    source = Source(rng, reach=PHASES[phase].reach)
    if budget > 500 and PHASES[phase].far and source.chance(PHASES[phase].far):
        return TEXTS["distant repetition"](source, budget)
    label_reach = PHASES[phase].label_reach
    if label_reach is not None and name in LABELLING:
        source.reach = label_reach
    if name in GROUPS:
        name = source.pick(GROUPS[name])
    if name in TEXT_TASKS:
        return write_task(TEXT_TASKS[name](source), source, budget)
    if name in TEXTS:
        return TEXTS[name](source, budget)
    return write_task(SEEN[name](source), source, budget)


class Rows:
    """Packed rows: row r of a phase is filled with documents until it is full, the last one cut."""

    def __init__(self, encoder: Encoder, seed: int, length: int) -> None:
        self.encoder, self.seed, self.length = encoder, seed, length

    def row(self, number: int, phase: int) -> tuple[list[int], list[float]]:
        ids: list[int] = []
        weights: list[float] = []
        part = 0
        need = self.length + 1
        while len(ids) < need:
            room = need - len(ids)
            if part and room < 24:
                # Too little for a task: the row ends here, in padding that carries no loss.
                ids += [0] * room
                weights += [0.0] * room
                break
            budget = max(40, int(room * 0.95))
            if self.length > 512:  # several documents stand in a long row as often as one
                budget = min(budget, Random(digest("budget", number, part)).choice((200, 400, 2048, 2048)))
            more, w = self.encoder.parts(document(self.seed, number * 64 + part, phase, budget))
            ids += more
            weights += w
            part += 1
        return ids[:need], weights[:need]


__all__ = ["CONTEXT", "GROUPS", "HELD_OUT", "PHASES", "Rows", "SEEN", "TEXTS", "document", "phase_at"]
