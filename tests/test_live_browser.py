"""The live page in a real Chromium: it keeps up to date, asks nobody else, and loses neither numbers nor place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browser_made import opened
from live_made import TOKEN, Going, served
from report_made import HOSTILE, LANES
from test_report import clean

from fewfit.examples import Example
from fewfit.live import server as serving
from fewfit.live import view as viewing
from fewfit.live.view import View
from fewfit.run import folders

pytestmark = pytest.mark.slow
LEADING = "#lanes tbody tr:first-child td:nth-child(3)"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewing, "AT_MOST_EVERY", 0.0)
    monkeypatch.setattr(serving, "LOOK", 0.05)


@pytest.fixture
def going(tmp_path: Path) -> Going:
    run = Going(tmp_path / "run")
    run.predict(10)
    return run


@pytest.fixture
def view(going: Going) -> View:
    made = View()
    made.begin(going.info)
    return made


def comes(page: Any, place: str, text: str) -> None:
    """The policy lets no script be made of text, so the page is asked again and again from here."""
    for _ in range(600):
        if text in page.locator(place).inner_text():
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{text!r} did not come; there is {page.locator(place).inner_text()!r}")


def test_numbers_advance_by_themselves_and_outlast_a_reload(browser: Any, going: Going, view: View) -> None:
    """To the end, which is shown with the place of the report. Breaks seen to fail: the script's digest of another
    script; no `connect-src`; sections exchanged by place where the end has others."""
    with served(view) as server:
        page, seen = opened(browser, server.url)
        comes(page, LEADING, "10 of 40")
        going.predict(17)
        comes(page, LEADING, "17 of 40")
        page.reload()
        assert "17 of 40" in page.locator(LEADING).inner_text()
        going.leave(LANES[2].name, 15)
        comes(page, "#verdict", "One of 6 lanes dropped out, surely behind")
        assert page.locator("#race circle.left").count() == 1 and "%: made: 40 examples" in page.title()
        going.predict(40)
        going.finish()
        view.end(folders.result(going.folder))
        comes(page, "#report", f"{going.folder}/report.html")
        comes(page, "#verdict", folders.result(going.folder)["verdict"])
        assert page.title().startswith("done: ")
    page.wait_for_timeout(500)  # nobody is asked any more once it is over
    assert page.locator("#link").inner_text() == "" and seen == []


def test_a_lost_connection_is_told_and_found_again(browser: Any, going: Going, view: View) -> None:
    """As after `kill -9` and `resume`, which serves at the same address. Break seen to fail: the loop left on an
    error."""
    with served(view) as server:
        port = server.port
        page, _ = opened(browser, server.url)
        comes(page, LEADING, "10 of 40")
    comes(page, "#link", "The connection is lost")
    assert "10 of 40" in page.locator(LEADING).inner_text(), "what is known stays"
    going.predict(12)
    again = View()
    again.begin(going.info)
    with served(again, port):
        comes(page, LEADING, "12 of 40")
        assert page.locator("#link").inner_text() == ""


def test_focus_and_the_reader_of_the_screen_are_left_in_peace(browser: Any, going: Going, view: View) -> None:
    """Breaks seen to fail: focus not given back; nor the place scrolled to; words said again with each page."""
    with served(view) as server:
        page, _ = opened(browser, server.url, viewport={"width": 360, "height": 800})
        comes(page, "#said", "leads so far")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "scroll"
        page.evaluate("document.activeElement.scrollLeft = 40")
        page.evaluate("document.activeElement.dataset.old = '1'")
        page.evaluate("""() => {
            window.spoken = [];
            new MutationObserver(() => window.spoken.push(said.textContent)).observe(said, {childList: true});
        }""")
        for upto in range(11, 21):
            going.predict(upto)
            comes(page, LEADING, f"{upto} of 40")
        there = "(one) => [one.className, one.dataset.old, one.scrollLeft]"
        assert page.evaluate(f"({there})(document.activeElement)") == ["scroll", None, 40]
        assert page.evaluate("window.spoken.length") <= 1
        assert page.locator("#said").get_attribute("role") == "status"


@pytest.mark.parametrize("scheme", ("light", "dark"))
@pytest.mark.parametrize("name", ("usual", "hostile"))
def test_no_serious_finding_of_axe(browser: Any, tmp_path: Path, name: str, scheme: str) -> None:
    """Break seen to fail: the chart without a name."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs pip install '.[browser]'")
    texts = clean(HOSTILE)
    hostile = [Example(f"{k}", f"{k} {text}", HOSTILE[k % 2]) for k, text in enumerate(texts * 3)]
    run = (
        Going(tmp_path / "run")
        if name == "usual"
        else Going(
            tmp_path / "run", hostile, answer=lambda lane, one, i: texts[i % 7], choices=HOSTILE[:2], source=texts[0]
        )
    )
    run.predict(12)
    run.leave(LANES[1].name, 8)
    view = View()
    view.phase(texts[1])
    view.begin(run.info)
    with served(view) as server:
        for end in (False, True):
            if end:
                run.finish()
                view.end(folders.result(run.folder))
            size = {"width": 380, "height": 900}
            page, seen = opened(browser, server.url, color_scheme=scheme, viewport=size, bypass_csp=True)
            comes(page, "main", "dropped" if not end else "The run is done")
            found = axe.Axe().run(page).response["violations"]
            grave = [one for one in found if one["impact"] in ("serious", "critical")]
            assert grave == [], [(one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in grave]
            assert page.evaluate("document.documentElement.scrollWidth") <= 380
            assert page.evaluate("document.querySelectorAll('img, iframe, [onerror], [onmouseover]').length") == 0
            assert not [one for one in seen if one.startswith(("error", "request"))]
            page.close()


def test_without_a_script_a_reload_does(browser: Any, going: Going, view: View) -> None:
    with served(view) as server:
        page, seen = opened(browser, server.url, java_script_enabled=False)
        assert "10 of 40" in page.locator(LEADING).inner_text() and TOKEN in page.url
        going.predict(11)
        page.reload()
        assert "11 of 40" in page.locator(LEADING).inner_text() and seen == []
