"""A tiny model and a browser for whoever asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FIRST = ("llama", "gemma3")  # architectures that the quick tests look at: one plain, one with all that others have


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is asked of every architecture is asked of two before a commit, and of the rest in the slow tests."""
    from models_made import NAMES

    for item in items:
        told = getattr(item, "callspec", None)
        names = set() if told is None else {one for one in told.params.values() if one in NAMES}
        if names and not names.intersection(FIRST):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model's folder."""
    from folders_made import model_folder

    return model_folder(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def loaded(base: Path) -> Any:
    from fewfit.models import local

    return local.load(base, device="cpu")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from browser_made import launched

    with launched() as made:
        yield made
