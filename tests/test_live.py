"""The page of a running run: its numbers are the files', its words the race's, and text stays text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from live_made import Going
from report_made import HOSTILE, LANES, Parsed, rewrite, two_classes
from test_report import SAFE_ATTRIBUTES, clean

from fewfit.engine.learner import LaneState
from fewfit.examples import Example
from fewfit.grid import Lane
from fewfit.live import page, view
from fewfit.live.standing import board_of, so_far
from fewfit.live.tracks import readers
from fewfit.live.view import View
from fewfit.run import folders
from fewfit.run.board import Board


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "AT_MOST_EVERY", 0.0)


@pytest.fixture
def going(tmp_path: Path) -> Going:
    return Going(tmp_path / "run")


def begun(run: Going) -> View:
    made = View()
    made.begin(run.info)
    return made


def shown(made: View) -> str:
    return made.shown().html.decode()


def table(html: str) -> dict[str, tuple[str, str]]:
    """Lane, how many it has predicted, its mean."""
    found = re.findall(r'<span class="name">([^<]*)</span></th>(.*?)</tr>', html)
    cells = {name: re.findall(r'class="number">([^<]*)<', rest) for name, rest in found}
    return {name: (one[0], one[1]) for name, one in cells.items()}


def board(run: Going) -> Board:
    tracks = readers(run.info)
    for track in tracks.values():
        track.read()
    return board_of(run.info, tracks)


# ---- numbers ---------------------------------------------------------------------------------------------------------


def test_the_page_counts_what_a_snapshot_names(going: Going) -> None:
    """What is beyond it a killed run makes again. Break seen to fail: shards read to their end."""
    made = begun(going)
    going.predict(10)
    assert {cells[0] for cells in table(shown(made)).values()} == {"10 of 40"}
    going.predict(14, snapshot=False)
    for one in (made, begun(going)):
        assert {cells[0] for cells in table(shown(one)).values()} == {"10 of 40"}
    going.predict(14)
    assert {cells[0] for cells in table(shown(made)).values()} == {"14 of 40"}


def test_the_numbers_are_those_of_the_board_on_the_terminal(going: Going) -> None:
    """That one is told every row as it comes. Break seen to fail: only the rows that are new since the last look."""
    told, made = Board(going.info), begun(going)
    for upto in (5, 23):
        going.predict(upto)
        html = shown(made)
    for name, rows in going.rows.items():
        for row in rows[:23]:
            told.row(name, 0, row, 23 / 40)
    ours = board(going)
    assert ours.share() == pytest.approx(told.share()) and ours.best() == told.best()
    assert {name: state.mean for name, state in ours.lanes.items()} == {n: s.mean for n, s in told.lanes.items()}
    means = {name: f"{100 * (state.mean or 0):.1f}" for name, state in told.lanes.items()}
    assert {name: cells[1] for name, cells in table(html).items()} == means
    assert list(table(html)) == sorted(means, key=lambda name: -told.lanes[name].rank), "the best mean first"


def test_a_lane_that_left_counts_up_to_where_it_did(going: Going) -> None:
    """Break seen to fail: `left_at` not looked at."""
    name = LANES[2].name
    going.predict(20)
    going.leave(name, 12)
    ours = board(going)
    rights = [row["score"] for row in going.rows[name][:12]]
    assert (ours.lanes[name].counted, ours.lanes[name].mean) == (12, sum(rights) / 12)
    assert ours.status(name) == "dropped"


def test_another_session_shows_what_the_last_one_did(going: Going) -> None:
    going.predict(18)
    before = table(shown(begun(going)))
    going.store.close()
    assert table(shown(begun(going))) == before


def test_answers_that_are_judged_later_have_no_score_yet(tmp_path: Path) -> None:
    """Break seen to fail: rows without a score drawn as wrong ones."""
    run = Going(tmp_path / "run")
    for rows in run.rows.values():
        for row in rows:
            row["score"] = row["correct"] = None
    run.predict(10)
    html = shown(begun(run))
    assert "scores come at the end" in html and "<svg" not in html
    assert set(table(html).values()) == {("10 of 40", "–")}


def test_where_all_have_diverged_no_lane_leads(tmp_path: Path) -> None:
    """Break seen to fail: a traceback for every look at the page."""
    run = Going(tmp_path / "run")
    run.predict(10)
    for progress in run.tracks.values():
        progress.status = "diverged"
        run.store.snapshot(progress, LaneState)
    assert "No lane leads yet" in shown(begun(run))


# ---- words -----------------------------------------------------------------------------------------------------------


def test_the_verdict_says_who_leads_and_what_the_race_made_sure_of(going: Going) -> None:
    """Break seen to fail: the best mean of all, dropped lanes among them."""
    record = folders.record(going.folder)
    assert so_far(board(going), record) == "No lane has predicted anything yet."
    going.predict(20)
    first = board(going).best()
    assert first is not None
    early = so_far(board(going), record)
    assert first in early and "over 20 of 40 examples" in early and "No lane is surely behind yet" in early
    going.leave(first, 18)
    later = so_far(board(going), record)
    assert first not in later and "One of 6 lanes dropped out, surely behind" in later
    assert "surely" not in so_far(board(going), {**record, "halvings": [20]}), "halving promises nothing"
    assert "All lanes run to the end" in so_far(board(going), {**record, "race": False})


def test_a_run_is_followed_from_before_its_folder_is_there_to_its_end(going: Going) -> None:
    made = View()
    made.phase("loading tiny")
    assert "loading tiny" in shown(made) and 'data-state="starting"' in shown(made)
    made.begin(going.info)
    assert "No lane has predicted anything yet." in shown(made) and 'data-state="running"' in shown(made)
    made.phase("choosing demonstrations")
    assert "choosing demonstrations" in shown(made)
    going.predict(40)
    made.row(LANES[0].name, 0, going.rows[LANES[0].name][0], 0.1)
    assert "choosing demonstrations" not in shown(made)
    assert "The race" in shown(made)
    going.finish()
    assert 'data-state="running"' in shown(made), "it is done when the run says so"
    made.end(folders.result(going.folder))
    going.clear()
    end = shown(made)
    verdict = folders.result(going.folder)["verdict"]
    assert 'data-state="done"' in end and verdict in Parsed(end).text and f"{going.folder}/report.html" in end
    assert "recommended" in end.lower() and "The race" in end
    assert "<button" not in end, "nothing sorts here"


def test_a_run_that_was_stopped_says_how_to_go_on(going: Going) -> None:
    made = begun(going)
    going.predict(9)
    made.end(None)
    html = shown(made)
    assert 'data-state="stopped"' in html and f"fewfit resume {going.folder} --watch" in html
    assert {cells[0] for cells in table(html).values()} == {"9 of 40"}


def test_lanes_cleared_away_while_they_are_read_are_no_trouble(going: Going) -> None:
    """The run puts its files together between two looks. Break seen to fail: FileNotFoundError of a shard."""
    made = begun(going)
    going.predict(30)
    before = table(shown(made))
    going.predict(31)
    for shard in (going.folder / folders.LANES).glob("*/predictions.jsonl"):
        shard.unlink()
    assert table(shown(made)) == before


def test_the_page_is_another_one_only_where_something_changed(going: Going) -> None:
    """Break seen to fail: the seconds gone among what is shown."""
    made = begun(going)
    going.predict(10)
    first = made.shown()
    assert made.shown() is first
    going.predict(11)
    assert made.shown().tag != first.tag


# ---- text ------------------------------------------------------------------------------------------------------------


def check_safe(html: str) -> Parsed:
    parsed = Parsed(html.replace('<link rel="icon" href="data:,"></link>', ""))
    names = [name for name, _ in parsed.elements]
    assert names.count("script") == names.count("style") == 1
    assert not set(names) & {"img", "iframe", "a", "object", "embed", "form", "base", "image", "use", "video", "link"}
    strange = {key for _, there in parsed.elements for key in there} - SAFE_ATTRIBUTES
    assert strange <= {"data-state", "data-said", "max"}, strange
    return parsed


@pytest.mark.parametrize("text", clean(HOSTILE))
def test_text_stays_text(tmp_path: Path, text: str) -> None:
    """Break seen to fail: the source's name as Markup in `heading`."""
    examples = [Example(str(k), f"{k} {text}", text if k % 2 else "b") for k in range(12)]
    lanes = [Lane(model="m" + "".join(text.split("/"))[:60]), Lane(shots=2, deliver="per-query")]
    run = Going(tmp_path / "run", examples, lanes, choices=(text, "b"), source=text, answer=lambda lane, one, i: text)
    made = View()
    made.phase(text)
    pages = [shown(made)]
    made.begin(run.info)
    run.predict(8)
    made.phase(text)
    pages.append(shown(made))
    run.finish()
    made.end(folders.result(run.folder))
    pages.append(shown(made))
    for html in pages:
        assert page.script() not in "".join(check_safe(html).texts.get("title", []))


def test_examples_are_left_out_where_that_was_asked(tmp_path: Path) -> None:
    """Break seen to fail: the whole path shown; the commonest answer in the verdict."""
    secret = "the secret of the house"
    examples = [Example(str(k), f"{secret} {k}", secret if k % 3 else "other") for k in range(12)]
    run = Going(tmp_path / "run", examples, choices=None, metric="match", answer=lambda lane, one, i: one.completion)

    def without(record: dict) -> None:
        record["asked"]["no_text"] = {"value": True, "source": "given"}

    def pages() -> list[str]:
        made = begun(run)
        found = [shown(made)]
        for result in (None, folders.result(run.folder)):  # stopped, done
            made.end(result)
            found.append(shown(made))
        return found

    run.predict(12)
    run.finish()
    assert any(secret in html for html in pages()) and any(str(run.folder) in html for html in pages())
    rewrite(run.folder, folders.RECORD, without)
    assert not any(secret in html or str(run.folder) in html for html in pages())


def test_many_lanes_and_a_single_one(tmp_path: Path) -> None:
    from report_made import many_lanes

    run = Going(tmp_path / "many", two_classes(30), many_lanes(60))
    run.predict(20)
    html = shown(begun(run))
    assert len(table(html)) == 60 and len(html) < 300_000
    check_safe(html)
    run = Going(tmp_path / "one", two_classes(12), [Lane()])
    run.predict(6)
    assert "zero-shot scores" in shown(begun(run))
