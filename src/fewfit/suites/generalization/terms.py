"""Terms, and a made-up operation on them in the manner of differentiation: one rule for each way to build a term.

A term is a basic word, or a tuple of a builder and its parts: ("+", "glon", ("-", "femp")) is written glon + (-femp).
The operation is written as a call, zorp(glon). Each builder has several possible rules, of which a world has one; the
first of each is what one would guess, and no world has that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# A basic word, or (builder, part) or (builder, part, part). "D" stands for the operation, "f" and "g" for any term.
Term = Any

RULES: dict[str, tuple[Term, ...]] = {
    "+": (
        ("+", ("D", "f"), ("D", "g")),
        ("*", ("D", "f"), ("D", "g")),
        ("+", "f", ("D", "g")),
        ("+", ("D", "f"), "g"),
        ("@", ("D", "f"), ("D", "g")),
    ),
    "*": (
        ("*", ("D", "f"), ("D", "g")),
        ("+", ("D", "f"), ("D", "g")),
        ("*", "f", ("D", "g")),
        ("*", ("D", "f"), "g"),
        ("@", ("D", "g"), ("D", "f")),
    ),
    "@": (
        ("@", ("D", "f"), ("D", "g")),
        ("@", ("D", "g"), ("D", "f")),
        ("@", "f", ("D", "g")),
        ("@", ("D", "g"), "f"),
        ("+", ("D", "f"), ("D", "g")),
    ),
    "-": (("-", ("D", "f")), ("+", ("D", "f"), "f"), ("^", ("D", "f")), ("@", "f", ("D", "f"))),
    "^": (("^", ("D", "f")), ("*", "f", ("D", "f")), ("-", ("D", "f")), ("@", ("D", "f"), "f")),
}
UNARY = ("-", "^")


@dataclass(frozen=True)
class Operation:
    """Its name, what it makes of each basic word, and its rule for each builder."""

    name: str
    basic: Mapping[str, str]
    rules: Mapping[str, Term]

    def apply(self, term: Term) -> Term:
        if isinstance(term, str):
            return self.basic[term]
        parts = dict(zip("fg", term[1:]))
        return self._fill(self.rules[term[0]], parts)

    def _fill(self, rule: Term, parts: Mapping[str, Term]) -> Term:
        if isinstance(rule, str):
            return parts[rule]
        if rule[0] == "D":
            return self.apply(parts[rule[1]])
        return (rule[0], *(self._fill(part, parts) for part in rule[1:]))


def build(builder: str, *parts: Term) -> Term:
    return (builder, parts[0]) if builder in UNARY else (builder, *parts)


def write_term(term: Term, operation: str = "", *, inside: bool = False) -> str:
    """As one writes it, with brackets around every term inside another."""
    if isinstance(term, str):
        return term
    if term[0] == "D":
        return f"{operation}({write_term(term[1], operation)})"
    first, *rest = (write_term(part, operation, inside=True) for part in term[1:])
    if term[0] == "-":
        text = f"-{first}"
    elif term[0] == "^":
        text = f"{first}^2"
    else:
        text = f"{first} {term[0]} {rest[0]}"
    return f"({text})" if inside else text


def settle(term: Term) -> Term:
    """The term with the parts of sums and products in one order: who swaps them has not said anything else."""
    if isinstance(term, str):
        return term
    parts = [settle(part) for part in term[1:]]
    return (term[0], *(sorted(parts, key=repr) if term[0] in "+*" else parts))
