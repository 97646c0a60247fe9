"""What a search chooses from: candidates by id, and which of them may not stand together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fewfit import draw

Added = tuple[str, ...]  # ids of the candidates that were added, the first of them first; () is the start alone


@dataclass(frozen=True)
class Pool:
    """`unit` names what a candidate belongs to (a group, a prompt); of one unit one may be added, no more."""

    ids: tuple[str, ...]
    unit: Mapping[str, str] = field(default_factory=dict)

    def in_order(self, seed: int) -> list[str]:
        """Shuffled by hash: among equals the first is taken, and that must not be the first of a file."""
        return draw.shuffled(self.ids, str, seed=seed, purpose="candidates")

    def beside(self, added: Added, some: Sequence[str]) -> list[str]:
        """Those of some that may be added to what was added."""
        taken = {self.unit_of(one) for one in added}
        return [one for one in some if self.unit_of(one) not in taken]

    def enough(self, added: Added, ranked: Sequence[str], size: int, needed: int) -> list[str]:
        """The first `size`; or more, so that `needed` of them may be added, and stand together."""
        while size < len(ranked) and len({self.unit_of(one) for one in self.beside(added, ranked[:size])}) < needed:
            size += 1
        return list(ranked[:size])

    def unit_of(self, candidate: str) -> str:
        return self.unit.get(candidate, candidate)

    def drawn(self, k: int, seed: int, purpose: str) -> Added:
        """Any k that may stand together."""
        added: Added = ()
        for one in draw.shuffled(self.ids, str, seed=seed, purpose=purpose):
            if len(added) < k and self.unit_of(one) not in {self.unit_of(other) for other in added}:
                added = (*added, one)
        return added
