"""Files of what was made so far."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fewfit.errors import UserError
from fewfit.kept import ended_lines, kept, kept_as_asked

ASKED = {"data": "a", "k": 3}


def test_what_was_added_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "made.jsonl"
    with kept(path, "is no file of ours") as book:
        book.add({"text": "two\u2028lines"})
        assert ended_lines(path) == book.lines  # on the disk before the file is closed
        book.add([1, 2])
    with kept(path, "is no file of ours") as book:
        assert book.lines == [{"text": "two\u2028lines"}, [1, 2]]


@pytest.mark.parametrize("torn", ["{", '{"text": "on', "[1, 2, 3]"])
def test_half_a_line_is_cut_off_by_who_writes(torn: str, tmp_path: Path) -> None:
    path = tmp_path / "made.jsonl"
    path.write_text('{"whole": 1}\n' + torn)
    assert ended_lines(path) == [{"whole": 1}] and path.read_text().endswith(torn)
    with kept(path, "is no file of ours") as book:
        book.add("next")
    assert path.read_text() == '{"whole": 1}\n"next"\n'


def test_another_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("dear all\nhalf")
    with pytest.raises(UserError, match="is no file of ours"), kept(path, "is no file of ours"):
        pass
    assert path.read_text() == "dear all\nhalf"


def test_what_was_begun_with_something_else_is_refused(tmp_path: Path) -> None:
    path, out = tmp_path / "made.jsonl", tmp_path / "out.jsonl"
    with kept_as_asked(path, ASKED, "") as book:
        book.add("made")
    with kept_as_asked(path, ASKED, "") as book:
        assert book.lines == [ASKED, "made"]
    with (
        pytest.raises(UserError, match="begun with another k") as said,
        kept_as_asked(path, {**ASKED, "k": 4}, "", out),
    ):
        pass
    assert said.value.where == str(out)


def test_what_nothing_came_of_is_begun_anew(tmp_path: Path) -> None:
    """Break seen to fail: one line of somebody else's written over."""
    path, other = tmp_path / "made.jsonl", tmp_path / "others.jsonl"
    for asked in (ASKED, {**ASKED, "k": 4}):
        with kept_as_asked(path, asked, "") as book:
            assert book.lines == [asked]
    assert ended_lines(path) == [{**ASKED, "k": 4}]
    other.write_text('{"mine": 1}\n')
    with pytest.raises(UserError, match="begun with another"), kept_as_asked(other, ASKED, ""):
        pass
    assert other.read_text() == '{"mine": 1}\n'


def test_one_process_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "made.jsonl"
    code = "import sys; from pathlib import Path; from fewfit.kept import kept\nwith kept(Path(sys.argv[1]), ''): pass"
    with kept(path, ""):
        other = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert other.returncode != 0 and "another process writes it" in other.stderr
    assert subprocess.run([sys.executable, "-c", code, path]).returncode == 0
