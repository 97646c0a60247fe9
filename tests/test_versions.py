"""What pyproject.toml allows, what the two locks pin and what is installed fit together."""

from __future__ import annotations

import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
LOCKS = {".venv": "requirements.lock", ".venv-oldest": "requirements-oldest.lock"}
EXTRAS = {"requirements.lock": ("gguf", "test", "dev"), "requirements-oldest.lock": ("test",)}
STEPPED = ("torch", "transformers", "peft")  # these end at a minor release
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def asked(*extras: str) -> list[Requirement]:
    texts = [*PROJECT["dependencies"], *(text for extra in extras for text in PROJECT["optional-dependencies"][extra])]
    return [Requirement(text) for text in texts]


def pins(lock: str) -> dict[str, Version]:
    """Of this Python and system."""
    lines = [line.partition("#")[0].strip() for line in (ROOT / lock).read_text().splitlines()]
    found = [Requirement(line) for line in lines if line]
    return {
        canonicalize_name(pin.name): Version(str(pin.specifier).removeprefix("=="))
        for pin in found
        if pin.marker is None or pin.marker.evaluate()
    }


def installed_with(extras: tuple[str, ...]) -> dict[str, Version]:
    """What fewfit's distribution needs, and what that needs in turn, as far as it is installed."""
    found: dict[str, Version] = {}
    walked: set[tuple[str, str]] = set()
    todo = [(requirement, "") for requirement in asked(*extras)]
    while todo:
        requirement, extra = todo.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        found[name] = Version(distribution.version)
        for inner in ("", *requirement.extras):
            if (name, inner) not in walked:
                walked.add((name, inner))
                todo += [(Requirement(text), inner) for text in distribution.requires or ()]
    return found


@pytest.mark.parametrize("requirement", asked("test"), ids=str)
def test_what_is_installed_lies_in_the_range(requirement: Requirement) -> None:
    version = Version(importlib.metadata.version(requirement.name))
    assert requirement.specifier.contains(version.public, prereleases=True)


@pytest.mark.parametrize("lock", EXTRAS)
def test_a_lock_pins_whatever_is_asked_for_within_its_range(lock: str) -> None:
    pinned = pins(lock)
    for requirement in asked(*EXTRAS[lock]):
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement


@pytest.mark.skipif(
    Path(sys.prefix).parent != ROOT or Path(sys.prefix).name not in LOCKS, reason="this environment is not of a lock"
)
def test_the_lock_pins_every_distribution_that_fewfit_depends_on() -> None:
    lock = LOCKS[Path(sys.prefix).name]
    pinned, found = pins(lock), installed_with(EXTRAS[lock])
    assert {"torch", "tokenizers", "huggingface-hub", "sympy"} <= set(found), "the walk did not go through"
    # A build of torch for the CPU says so in its version (2.13.0+cpu).
    unlike = {name: str(version) for name, version in found.items() if pinned.get(name) != Version(version.public)}
    assert not unlike


def test_the_oldest_lock_stands_at_the_lower_ends() -> None:
    pinned = pins("requirements-oldest.lock")
    for requirement in asked("test"):
        lower = [Version(one.version) for one in requirement.specifier if one.operator == ">="]
        assert [pinned[canonicalize_name(requirement.name)]] == lower, requirement


@pytest.mark.parametrize("name", STEPPED)
def test_a_range_by_minor_releases_ends_after_the_one_that_is_locked(name: str) -> None:
    (requirement,) = [one for one in asked() if one.name == name]
    (upper,) = [Version(one.version) for one in requirement.specifier if one.operator == "<"]
    locked = pins("requirements.lock")[name]
    assert (upper.major, upper.minor) == (locked.major, locked.minor + 1)


@pytest.mark.parametrize("lock", EXTRAS)
def test_a_lock_holds_versions_alone(lock: str) -> None:
    text = (ROOT / lock).read_text()
    for line in text.splitlines():
        assert line.startswith("#") or re.fullmatch(r"[a-z0-9-]+==[0-9][a-z0-9.]*( ; .+)?", line), line
    assert not re.search(r"://|file:|index-url|find-links|/(home|opt|root|tmp|usr|work)/", text)
