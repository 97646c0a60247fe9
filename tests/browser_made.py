"""A real Chromium. Needs `pip install '.[browser]'` and a Chromium, such as Debian's package of that name."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def launched() -> Iterator[Any]:
    at = next(filter(None, map(shutil.which, NAMES)), None)
    if at is None:
        pytest.skip("no Chromium here")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs pip install '.[browser]'")
    with playwright.sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=at, args=["--no-sandbox"])
        yield made
        made.close()


def opened(browser: Any, at: str | Path, **wanted: Any) -> tuple[Any, list[str]]:
    """The page, and all that went wrong or out."""
    url = at.as_uri() if isinstance(at, Path) else at
    page, seen = browser.new_context(**wanted).new_page(), []
    if isinstance(at, str):
        page.set_default_timeout(60_000)  # a server answers, beside which a run may be going
    page.on("console", lambda message: seen.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: seen.append(f"error: {error}"))
    page.on("request", lambda request: seen.append(f"request: {request.url}") if request.url != url else None)
    page.on("dialog", lambda dialog: seen.append(f"dialog: {dialog.message}"))
    page.goto(url)
    return page, seen
