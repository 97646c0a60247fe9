"""docs/reading.md sends its reader to files and functions: they are there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GUIDE = (ROOT / "docs" / "reading.md").read_text(encoding="utf-8")
# A stop says: - Open [`PATH`](LINK): `name`, `Class.method`
OPEN = re.compile(r"^- Open \[`([^`]+)`\]\(([^)]+)\): (.+)$", re.MULTILINE)
STOPS = [(path, re.findall(r"`([^`]+)`", names)) for path, _, names in OPEN.findall(GUIDE)]


@cache
def names_in(path: str) -> frozenset[str]:
    """Functions, classes and their methods that a file defines."""
    found = set()
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
    return frozenset(found)


def test_there_are_ten_stops_and_each_opens_a_file() -> None:
    """Break seen to fail: a stop whose "Open" line is written otherwise, so that nothing of it is checked."""
    stops = GUIDE.split("\n## ")[1:]
    numbered = [stop for stop in stops if stop[0].isdigit()]
    assert [int(stop.split(".")[0]) for stop in numbered] == list(range(1, 11))
    assert all(OPEN.search(stop) for stop in numbered)
    assert len(STOPS) == len(re.findall(r"^- Open ", GUIDE, re.MULTILINE))


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:src|examples|tests|docs)/[^`*…]+)`", GUIDE))))
def test_every_file_named_is_there(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", GUIDE))))
def test_every_link_leads_somewhere(link: str) -> None:
    assert (ROOT / "docs" / link).exists()


@pytest.mark.parametrize(("path", "names"), STOPS, ids=[path for path, _ in STOPS])
def test_every_function_named_is_there(path: str, names: list[str]) -> None:
    """Break seen to fail: a function renamed in the guide alone."""
    assert names
    assert set(names) <= names_in(path)
