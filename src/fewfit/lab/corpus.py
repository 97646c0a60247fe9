"""The corpus: documents as a pure function of (seed, index, phase), packed into rows of weighted tokens.

Phases are a curriculum: association first, then the whole mix, then meanings with short texts, then everything longer.
A change of the mix is a new phase at the end of the list, so that the recipe stays what it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from random import Random

from fewfit.lab import chats, families_labels, families_lists, families_lookup, families_reason, worlds
from fewfit.lab.document import CONTEXT, Encoder, Part, Source, Task, write_task
from fewfit.lab.words import digest

Family = Callable[[Source], Task]
Text = Callable[[Source, int], list[Part]]

_MODULES = (families_lists, families_labels, families_lookup, families_reason, worlds)
SEEN: dict[str, Family] = {name: family for module in _MODULES for name, family in module.SEEN.items()}
HELD_OUT: dict[str, Family] = {
    name: family for module in _MODULES if module is not families_lookup for name, family in module.HELD_OUT.items()
}
TEXTS: dict[str, Text] = {**families_lookup.TEXTS, **worlds.REVERSED_TEXTS, **chats.TEXTS}
# What the control model never sees: any consequence that reverses a relation.
REVERSALS = frozenset({*worlds.REVERSED, *worlds.REVERSED_TEXTS})

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


@dataclass(frozen=True)
class Phase:
    """Until how many million tokens, how long texts may get, and the share of each group, family or text."""

    name: str
    until: float
    reach: float
    shares: tuple[tuple[str, float], ...]
    label_reach: float | None = None  # the same for texts that get a label, where shorter ones come first
    long_every: int = 0  # every so many steps the rows are twice as long

    def row_length(self, step: int) -> int:
        return 512 if self.long_every and step % self.long_every == 0 else 256


def _shares(**shares: float) -> tuple[tuple[str, float], ...]:
    return tuple((name.replace("_", " "), share) for name, share in shares.items())


ASSOCIATION = _shares(mapping=20, pairs=10, membership=20, keyword=20, repetition=15, look_up_in_text=10, copy=5)
OLD_MIX = _shares(lists=34, lookups=16, pairs=4, keyword=10, simple_labels=18, repetition=6, lexicon=8, meanings=4)
LEXICON = _shares(
    lexicon=16, meanings=26, lists=14, lookups=6, pairs=1, keyword=8, simple_labels=9, repetition=1,
    worlds=9, consequences=2, relation_words=1, chats=3, orders=2, reason=2
)  # fmt: skip
MEANINGS = _shares(
    lexicon=14,
    meanings=37,
    lists=18,
    lookups=6,
    pairs=1,
    keyword=8,
    simple_labels=6,
    repetition=1,
    worlds=5,
    consequences=1,
    chats=2,
    orders=1,
)
BINDING = _shares(
    lexicon=5,
    attributes=3,
    labels_by_meaning=30,
    keyword=14,
    simple_labels=13,
    lists=15,
    lookups=6,
    worlds=7,
    chats=4,
    orders=2,
    reason=1,
)
ONE_WORD = _shares(
    lexicon=5,
    attributes=2,
    labels_by_kind=46,
    keyword=4,
    simple_labels=7,
    lists=15,
    lookups=9,
    worlds=6,
    chats=4,
    orders=1,
    reason=1,
)
EVERYTHING = _shares(
    lexicon=5,
    attributes=6,
    labels_by_meaning=26,
    lists=15,
    lookups=7,
    pairs=1,
    keyword=9,
    simple_labels=8,
    worlds=9,
    consequences=1,
    relation_words=0.5,
    chats=6,
    orders=3,
    reason=4,
)
FINAL = _shares(
    lexicon=3,
    attributes=3,
    labels_by_meaning=32,
    keyword=10,
    simple_labels=8,
    lists=14,
    lookups=8,
    worlds=9,
    consequences=1,
    chats=7,
    orders=2,
    reason=3,
)
LAST = tuple((name, {"lexicon": 10, "attributes": 1}.get(name, share)) for name, share in FINAL)

PHASES = (
    Phase("association", 2.5, 0.5, ASSOCIATION),
    Phase("lists", 7.0, 0.7, OLD_MIX),
    Phase("lexicon", 13.84448, 0.35, LEXICON),
    Phase("meanings", 20.0, 0.35, MEANINGS),
    Phase("binding", 27.5, 0.7, BINDING, label_reach=0.3),
    Phase("one word", 31.0, 0.9, ONE_WORD, label_reach=0.0),
    Phase("longer", 42.0, 0.9, EVERYTHING, label_reach=0.5),
    Phase("full length", 44.6, 1.0, FINAL, label_reach=0.8, long_every=4),
    Phase("meanings again", 49.6, 1.0, LAST, label_reach=0.8, long_every=4),
    Phase("repetition again", 1e9, 1.0, (*LAST, ("far repetition", 7)), label_reach=0.8, long_every=3),
)


def phase_at(tokens: float) -> int:
    """The phase in which the token number `tokens` falls."""
    return next(i for i, phase in enumerate(PHASES) if tokens < phase.until * 1e6)


@cache
def _wheel(phase: int) -> tuple[tuple[str, ...], tuple[float, ...]]:
    shares = PHASES[phase].shares
    return tuple(name for name, _ in shares), tuple(accumulate(share for _, share in shares))


def document(seed: int, index: int, phase: int, budget: int = 170, control: bool = False) -> list[Part]:
    """One training document as parts of text with loss weights; `control` leaves every reversal out."""
    rng = Random(digest(seed, index, phase))
    names, wheel = _wheel(phase)
    at = rng.random() * wheel[-1]
    name = next(n for n, edge in zip(names, wheel, strict=True) if at < edge)
    source = Source(rng, reach=PHASES[phase].reach)
    label_reach = PHASES[phase].label_reach
    if label_reach is not None and name in LABELLING:
        source.reach = label_reach
    if name in GROUPS:
        name = source.pick(GROUPS[name])
    if control and name in REVERSALS:
        name = source.pick(tuple(worlds.FORWARD))
    if name in TEXTS:
        return TEXTS[name](source, budget)
    return write_task(SEEN[name](source), source, budget)


class Rows:
    """Packed rows: row r of a phase is filled with documents until it is full, the last one cut."""

    def __init__(self, encoder: Encoder, seed: int, length: int, control: bool = False) -> None:
        self.encoder, self.seed, self.length, self.control = encoder, seed, length, control

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
            more, w = self.encoder.parts(document(self.seed, number * 64 + part, phase, budget, self.control))
            ids += more
            weights += w
            part += 1
        return ids[:need], weights[:need]


__all__ = ["CONTEXT", "GROUPS", "HELD_OUT", "PHASES", "Rows", "SEEN", "TEXTS", "document", "phase_at"]
