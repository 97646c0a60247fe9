"""Rules and results of an operation on terms."""

from __future__ import annotations

import re

from fewfit.suites.generalization.calculus import VARIABLES, NotATerm, parse, words
from fewfit.suites.generalization.reader import Reader
from fewfit.suites.generalization.world import Fact

TERM = r"(?P<term>.+?)"
EQUATION = re.compile(r"(?P<name>[a-z]+)\((?P<term>[^=]+)\) = (?P<result>[^=]+?)[.]?$")
WORKED = tuple(
    re.compile(pattern)
    for pattern in (
        rf"^If you (?P<name>[a-z]+) {TERM}, you get (?P<result>.+?)[.]?$",
        rf"^The (?P<name>[a-z]+) of {TERM} is (?P<result>.+?)[.]?$",
        rf"^Apply (?P<name>[a-z]+) to {TERM}, and what comes out is (?P<result>.+?)[.]?$",
        rf"^{TERM}, once it has gone through (?P<name>[a-z]+), turns into (?P<result>.+?)[.]?$",
    )
)


def read_worked(reader: Reader, sentence: str) -> list[Fact]:
    found = EQUATION.search(sentence) or next((m for one in WORKED if (m := one.search(sentence))), None)
    if not found:
        return []
    try:
        term, _ = parse(found["term"]), parse(found["result"])
    except NotATerm:
        return []
    if words(term) <= set(VARIABLES):
        return [("rule", f"{found['name']}({found['term']})", found["result"])]
    return [(found["name"], unbracket(found["term"]), unbracket(found["result"]))]


def unbracket(text: str) -> str:
    """Without brackets around the whole."""
    if text.startswith("(") and text.endswith(")"):
        depth = 0
        for n, mark in enumerate(text):
            depth += {"(": 1, ")": -1}.get(mark, 0)
            if depth == 0 and n < len(text) - 1:
                return text
        return text[1:-1]
    return text
