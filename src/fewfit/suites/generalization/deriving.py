"""What follows from facts, by the rules of inference of each kind of world.

Part of the checker: it knows the rules of the language (brighter and dimmer, all and no, what holds of a kind holds of
its kinds) and nothing of how a world was made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterable

from fewfit.suites.generalization.calculus import Calculus, NotATerm, parse, settle
from fewfit.suites.generalization.reads_logic import OPPOSITE
from fewfit.suites.generalization.world import Fact


def close_comparisons(facts: Iterable[Fact]) -> set[Fact]:
    """Whoever is brighter than another has that other dimmer; brighter than brighter is brighter."""
    out = set(facts)
    while True:
        more = {(OPPOSITE[relation], y, x) for relation, x, y in out}
        after: dict[tuple[str, str], set[str]] = defaultdict(set)
        for relation, x, y in out:
            after[relation, x].add(y)
        more |= {(relation, x, z) for relation, x, y in out for z in after.get((relation, y), ()) if z != x}
        if more <= out:
            return out
        out |= more


def close_quantified(facts: Iterable[Fact], *, there_are_some: bool = False) -> set[Fact]:
    """Syllogisms. `there_are_some` lets "all" say "some", as people do and the logic books do not."""
    out = set(facts)
    while True:
        more = {(kind, y, x) for kind, x, y in out if kind != "all"}
        wider: dict[str, set[str]] = defaultdict(set)
        for kind, x, y in out:
            if kind == "all":
                wider[x].add(y)
                if there_are_some:
                    more.add(("some", x, y))
        for kind, x, y in out:
            if kind in ("all", "some"):
                more |= {(kind, x, z) for z in wider.get(y, ()) if z != x}
            if kind == "no":
                # No y are x: whatever is all y is no x either.
                more |= {("no", z, y) for z in [z for z in wider if x in wider[z]] if z != y}
        if more <= out:
            return out
        out |= more


def close_names(facts: Iterable[Fact]) -> set[Fact]:
    """Who is the inventor is whom the inventor is."""
    out = set(facts)
    return out | {("is named" if relation == "is" else "is", y, x) for relation, x, y in out}


def close_hierarchy(facts: Iterable[Fact]) -> set[Fact]:
    """Kinds of kinds are kinds; what holds of a kind holds of its kinds; and all of it seen from the other side."""
    above: dict[str, set[str]] = defaultdict(set)
    held: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for fact in facts:
        if fact[0] == "is a":
            above[fact[1]].add(fact[2])
        elif fact[0] == "includes":
            above[fact[2]].add(fact[1])
        elif fact[0] == "by":
            held[fact[3]].add((fact[1], fact[2]))
        else:
            held[fact[1]].add((fact[0], fact[2]))
    out: set[Fact] = set()
    for one in list(above) + [one for one in held if one not in above]:
        kinds: set[str] = set()
        ahead = [one]
        while ahead:
            for kind in above.get(ahead.pop(), ()):
                if kind not in kinds:
                    kinds.add(kind)
                    ahead.append(kind)
        out |= {fact for kind in kinds for fact in (("is a", one, kind), ("includes", kind, one))}
        for relation, other in set().union(*(held.get(kind, set()) for kind in (one, *kinds))):
            out.add((relation, one, other))
            if relation not in ("is", "has", "can"):
                out.add(("by", relation, other, one))
    return out


class Worked:
    """What an operation makes of terms. There is no end of terms, so a result is worked out when it is asked for."""

    def __init__(self, facts: Iterable[Fact]):
        self.stated = set(facts)
        self.calculus = Calculus.of(self.stated)

    def __contains__(self, fact: object) -> bool:
        """True only of the one result that the rules lead to: rules that contradict each other lead to none. Without
        rules, what is stated is all there is."""
        if not isinstance(fact, tuple) or fact[0] == "rule":
            return fact in self.stated
        try:
            term, result = parse(fact[1]), parse(fact[2])
            results = {settle(one) for one in self.calculus.work_out(term)}
        except NotATerm:
            return False
        return results == {settle(result)} if results else fact in self.stated


CLOSE: dict[str, Callable[[Iterable[Fact]], Container[Fact]]] = {
    "reversals": close_comparisons,
    "syllogisms": close_quantified,
    "curse": close_names,
    "published": close_names,
    "structure": close_hierarchy,
    "processes": Worked,
}
