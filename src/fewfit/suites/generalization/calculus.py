"""Terms as a text has them, read and worked out by the rules that the text states.

Part of the checker, and so apart from `terms.py`: terms are read from text here and never taken from a generator.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

Tree = str | tuple["Tree", ...]  # a word, or (mark, part, ...); a call is ("()", name, part)
TOKEN = re.compile(r"\s*(\w+|\^2|[-+*@()])")
VARIABLES = ("f", "g")


class NotATerm(ValueError):
    """What stands there is no term."""


@cache
def parse(text: str) -> Tree:
    tokens, at = [], 0
    text = text.strip()
    while at < len(text):
        found = TOKEN.match(text, at)
        if not found:
            raise NotATerm(text)
        tokens.append(found[1])
        at = found.end()
    tree, rest = read_sum(tokens)
    if rest:
        raise NotATerm(text)
    return tree


def read_sum(tokens: list[str]) -> tuple[Tree, list[str]]:
    """One builder, or none: deeper terms stand in brackets, so there is no question of which goes first."""
    left, tokens = read_part(tokens)
    if tokens and tokens[0] in ("+", "*", "@"):
        right, rest = read_part(tokens[1:])
        return (tokens[0], left, right), rest
    return left, tokens


def read_part(tokens: list[str]) -> tuple[Tree, list[str]]:
    if not tokens:
        raise NotATerm("nothing")
    head, rest = tokens[0], tokens[1:]
    if head == "-":
        part, rest = read_part(rest)
        return ("-", part), rest
    tree: Tree
    if head == "(":
        tree, rest = read_sum(rest)
        rest = closed(rest)
    elif re.fullmatch(r"\w+", head):
        tree = head
        if rest and rest[0] == "(":
            inner, rest = read_sum(rest[1:])
            tree, rest = ("()", head, inner), closed(rest)
    else:
        raise NotATerm(head)
    if rest and rest[0] == "^2":
        return ("^2", tree), rest[1:]
    return tree, rest


def closed(tokens: list[str]) -> list[str]:
    if not tokens or tokens[0] != ")":
        raise NotATerm("a bracket is open")
    return tokens[1:]


def words(tree: Tree) -> set[str]:
    if isinstance(tree, str):
        return {tree}
    return set().union(*(words(part) for part in tree[1:]))


def settle(tree: Tree) -> Tree:
    """Sums and products the other way round are the same."""
    if isinstance(tree, str):
        return tree
    parts = tuple(settle(part) for part in tree[1:])
    return (tree[0], *(sorted(parts, key=repr) if tree[0] in ("+", "*") else parts))


def builders(tree: Tree) -> tuple[str, ...]:
    """Outer before inner."""
    if isinstance(tree, str):
        return ()
    return (str(tree[0]), *(one for part in tree[1:] for one in builders(part)))


@dataclass
class Calculus:
    """What the operation makes of each builder (`rules`) and word (`basic`), as the text says; more than one, if it
    contradicts itself."""

    rules: dict[str, set[tuple[Tree, Tree]]] = field(default_factory=dict)
    basic: dict[str, set[Tree]] = field(default_factory=dict)

    @classmethod
    def of(cls, facts: Iterable[tuple[str, ...]]) -> Calculus:
        out = cls()
        for head, left, right in facts:
            if head == "rule":
                pattern = parse(left)
                assert pattern[0] == "()"
                out.rules.setdefault(str(pattern[2][0]), set()).add((pattern[2], parse(right)))
            elif re.fullmatch(r"\w+", left):
                out.basic.setdefault(left, set()).add(parse(right))
        return out

    def work_out(self, term: Tree) -> set[Tree]:
        """All that the operation may make of the term; empty where a rule or a word is not told."""
        if isinstance(term, str):
            return self.basic.get(term, set())
        results: set[Tree] = set()
        for pattern, result in self.rules.get(str(term[0]), ()):
            if len(pattern) == len(term):
                results |= self.fill(result, dict(zip((str(one) for one in pattern[1:]), term[1:])))
        return results

    def fill(self, tree: Tree, parts: Mapping[str, Tree]) -> set[Tree]:
        if isinstance(tree, str):
            return {parts[tree]} if tree in parts else {tree}
        if tree[0] == "()":
            return set().union(*(self.work_out(part) for part in self.fill(tree[2], parts)))
        results: set[tuple[Tree, ...]] = {(tree[0],)}
        for part in tree[1:]:
            results = {(*done, more) for done in results for more in self.fill(part, parts)}
        return set(results)
