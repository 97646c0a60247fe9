"""A tiny model and a browser for whoever asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


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
