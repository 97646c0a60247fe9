"""The playground in a real browser: it runs under its own policy, asks this server alone, and shows text as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")
from serve_made import bundles, questions, served

from fewfit.serve.serving import Address

pytestmark = pytest.mark.slow


def filled(page: Any, place: str) -> str:
    """The text of a place, once there is any. The page's policy lets no script be made of text, so it is polled."""
    for _ in range(400):
        if text := page.inner_text(place):
            return str(text)
        page.wait_for_timeout(50)
    raise AssertionError(f"nothing came to stand in {place}")


def test_the_page_asks_and_shows(browser: Any, tmp_path: Path) -> None:
    """Breaks seen to fail: the hash of the script is another's; streamed text not shown."""
    said: list[str] = []
    asked: list[str] = []
    with served(bundles(tmp_path), at=Address(port=0, key="k")) as server:
        page = browser.new_page()
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("console", lambda message: said.append(message.text))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(server.url)
        page.fill("#key", "k")  # asked for after the first answer, a 401
        page.press("#key", "Tab")
        page.wait_for_selector("#model option", state="attached")
        (label,) = server.predicted("labels", questions("labels", 1))
        (text,) = server.predicted("tuned", questions("tuned", 1))
        page.fill("#query", questions("labels", 1)[0])
        page.click("#ask")
        assert filled(page, "#answer") == label["prediction"]
        ranked = sorted(label["probs"], key=lambda name: -label["probs"][name])
        assert [line.split("\t")[0] for line in filled(page, "#rows").splitlines()] == ranked
        page.select_option("#model", "tuned")
        page.fill("#query", questions("tuned", 1)[0])
        page.click("#ask")
        filled(page, "#cost")
        assert page.inner_text("#answer") == text["prediction"]
        page.select_option("#model", "base")
        page.fill("#query", "<img src=x onerror=alert(1)> " * 600)
        page.click("#ask")
        assert "the length is" in filled(page, "#error")
    assert {url.removeprefix(server.url).strip("/") for url in asked} == {
        "", "v1/models", "v1/label", "v1/chat/completions",
    }  # fmt: skip
    assert all("401" in line or "400" in line for line in said), said
