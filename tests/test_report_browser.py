"""Reports in a real Chromium: nothing is asked for, nothing runs that is not ours, and what we wrote works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browser_made import opened
from report_made import HOSTILE, LANES, made_run, many_lanes, rewrite, two_classes
from test_report import clean

from fewfit.examples import Example
from fewfit.grid import Lane
from fewfit.predictions import read
from fewfit.report.comparing import compare, write_comparison
from fewfit.report.writing import write_report
from fewfit.run.folders import RECORD, result
from tests.tokenizers_made import byte_level

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("runs")
    hostile = [Example(f"{k}", f"{k} {text}", HOSTILE[k % 2]) for k, text in enumerate(clean(HOSTILE) * 5)]
    lanes = many_lanes(200)
    runs = {
        "usual": made_run(root / "usual", two_classes(60), statuses={LANES[2].name: "dropped"}),
        "one lane": made_run(root / "one", two_classes(12), [Lane()]),
        "200 lanes": made_run(root / "many", two_classes(60), lanes, statuses={lanes[9].name: "dropped"}),
        "hostile": made_run(
            root / "hostile", hostile, answer=lambda lane, one, i: clean(HOSTILE)[i % 7], choices=HOSTILE[:2],
            notices=clean(HOSTILE), source=HOSTILE[0],
        ),
    }  # fmt: skip
    made = {name: write_report(run, tokenizers={None: byte_level()}) for name, run in runs.items()}
    made["compared"] = write_comparison(compare([runs["usual"], runs["hostile"]]), root / "compared.html")
    return made


NAMES = ("usual", "one lane", "200 lanes", "hostile", "compared")


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_asked_for_and_nothing_complains(browser: Any, pages: dict[str, Path], name: str) -> None:
    """Break seen to fail: our script changed behind its digest; an image in the page."""
    page, seen = opened(browser, pages[name])
    page.wait_for_timeout(200)
    assert seen == []
    assert page.title().startswith("fewfit: ")
    assert page.evaluate("document.documentElement.className") == "scripted"  # ours ran
    assert page.evaluate("document.querySelectorAll('img, iframe, [onerror], [onmouseover]').length") == 0


def test_what_is_written_into_the_page_later_does_not_run(browser: Any, pages: dict[str, Path]) -> None:
    """The policy holds, whatever gets in. Break seen to fail: 'unsafe-inline' in it."""
    page, seen = opened(browser, pages["usual"])
    refused: list[str] = []
    page.on("requestfailed", lambda request: refused.append(request.failure))
    page.evaluate("""() => {
        const script = document.createElement("script");
        script.textContent = "document.title = 'ran'";
        document.body.append(script);
        document.body.insertAdjacentHTML("beforeend", "<img src='http://127.0.0.1:9/x' onerror='document.title = 1'>");
    }""")
    page.wait_for_timeout(200)
    assert page.title().startswith("fewfit: ")
    assert refused == ["csp"] and sum("Content Security Policy" in one for one in seen) >= 3


@pytest.mark.parametrize("name", ("usual", "200 lanes"))
def test_tables_sort_by_number_and_by_keyboard(browser: Any, pages: dict[str, Path], name: str) -> None:
    """Break seen to fail: cells compared as texts."""
    page, seen = opened(browser, pages[name])
    heads = [text.split()[0] for text in page.locator("#lanes thead th").all_inner_texts()]
    at = heads.index("tokens") + 1
    button = page.locator(f"#lanes thead th:nth-child({at}) button")
    cells = f"#lanes tbody tr td:nth-child({at})"

    def values() -> list[float]:
        return [float(text) for text in page.locator(cells).all_inner_texts() if text != "–"]

    button.click()
    assert values() == sorted(values(), reverse=True) and len(set(values())) > 1
    button.focus()
    page.keyboard.press("Enter")
    assert values() == sorted(values())
    assert page.locator(f"#lanes thead th:nth-child({at})").get_attribute("aria-sort") == "ascending"
    at = heads.index("kind") + 1  # texts begin at A; break seen to fail: told to descend
    for order, turn in (("ascending", 1), ("descending", -1)):
        page.locator(f"#lanes thead th:nth-child({at}) button").click()
        told = page.locator(f"#lanes tbody tr td:nth-child({at})").all_inner_texts()
        compared = f"(some) => some.toSorted((a, b) => {turn} * a.localeCompare(b))"
        assert told == page.evaluate(compared, told) and len(set(told)) > 1
        assert page.locator(f"#lanes thead th:nth-child({at})").get_attribute("aria-sort") == order
    assert seen == []


@pytest.mark.parametrize("name", ("usual", "hostile"))
def test_mistakes_can_be_searched_and_opened(browser: Any, pages: dict[str, Path], name: str) -> None:
    """Break seen to fail: `one.hidden` turned round."""
    page, seen = opened(browser, pages[name])
    every = page.locator("details.mistake")
    whole = every.count()
    page.locator(".mistakes select").select_option("none")
    alone = page.locator("details.mistake:visible").count()
    page.locator(".mistakes select").select_option("all")
    assert 0 < alone <= whole and page.locator("details.mistake:visible").count() == whole
    first = every.first
    first.locator("summary").first.focus()
    page.keyboard.press("Enter")
    assert first.locator("table").is_visible()
    id = first.locator("h3").inner_text().removeprefix("Example ")
    page.locator(".mistakes input").fill(f"Example {id}")
    shown = page.locator("details.mistake:visible")
    assert 1 <= shown.count() < whole
    assert f"{shown.count()} of {whole} shown" in page.locator(".mistakes output").inner_text()
    assert seen == []


def test_mistakes_of_lanes_with_spaces_in_their_names(browser: Any, tmp_path: Path) -> None:
    """Those of a model's folder, for one. Break seen to fail: names joined and split by spaces."""
    lanes = [Lane(shots=k, model="my model") for k in (0, 1, 2)]
    folder = made_run(tmp_path / "run", two_classes(30), lanes)
    rewrite(folder, RECORD, lambda record: record["models"][0].update(lane="my model"))
    by_lane = {lane.name: [row["correct"] for row in read(folder) if row["lane"] == lane.name] for lane in lanes}
    best = result(folder)["best"]
    page, _ = opened(browser, write_report(folder, tokenizers={"my model": byte_level()}))
    for name in by_lane.keys() - {best}:
        page.locator(".mistakes select").select_option(name)
        right = sum(theirs and not ours for ours, theirs in zip(by_lane[best], by_lane[name], strict=True))
        assert page.locator("details.mistake:visible").count() == right > 0


@pytest.mark.parametrize("scheme", ("light", "dark"))
@pytest.mark.parametrize("name", ("usual", "hostile", "compared"))
def test_no_serious_finding_of_axe(browser: Any, pages: dict[str, Path], name: str, scheme: str) -> None:
    """Break seen to fail: `--quiet` as pale as the rules; a region that scrolls without a tabindex."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs pip install '.[browser]'")
    page, _ = opened(browser, pages[name], color_scheme=scheme, viewport={"width": 380, "height": 900}, bypass_csp=True)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    found = axe.Axe().run(page).response["violations"]
    grave = [one for one in found if one["impact"] in ("serious", "critical")]
    assert grave == [], [(one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in grave]


@pytest.mark.parametrize("width", (360, 1400))
@pytest.mark.parametrize("name", NAMES)
def test_nothing_hangs_over_the_side(browser: Any, pages: dict[str, Path], name: str, width: int) -> None:
    """Wide tables scroll by themselves. Break seen to fail: `overflow-wrap` of the body taken away."""
    page, _ = opened(browser, pages[name], viewport={"width": width, "height": 800})
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_charts_can_be_read_on_a_phone(browser: Any, pages: dict[str, Path]) -> None:
    """Wide ones scroll rather than shrink. Break seen to fail: no least width."""
    page, _ = opened(browser, pages["usual"], viewport={"width": 360, "height": 800})
    letters = "all => all.map(one => 12 * one.getBoundingClientRect().width / one.viewBox.baseVal.width)"
    sizes = page.locator("svg.chart").evaluate_all(letters)
    assert len(sizes) >= 3 and min(sizes) > 6.5


def test_paper_shows_what_is_folded(browser: Any, pages: dict[str, Path], tmp_path: Path) -> None:
    """Break seen to fail: no listener for `beforeprint`."""
    page, seen = opened(browser, pages["usual"])
    assert page.locator("details[open]").count() == 0
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0
    assert len(page.pdf(path=tmp_path / "page.pdf")) > 10_000 and seen == []
