"""`fit --watch` and `resume --watch` as processes of their own, watched with the standard library's client."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from folders_made import model_folder
from report_made import Parsed
from test_live import table

from fewfit.run import folders

pytestmark = pytest.mark.slow
# A run of one process, whose rows take their time (of the clock, not of the processor) and are told of at once.
FIT = """
import os, sys, time
os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])
from fewfit.live import server, view
from fewfit.run import execute
from fewfit.run.snapshots import Store
execute.SNAPSHOT_SECONDS, server.LOOK, view.AT_MOST_EVERY = 0.05, 0.02, 0.02
told = Store.prediction
Store.prediction = lambda *row: (time.sleep(0.1), told(*row))
from fewfit.cli.main import run
sys.exit(run(sys.argv[1:]))
"""
GRID = ["--methods", "zero-shot,ft", "--lr", "3e-3", "--updates", "2", "--no-race"]
PART = r"ft-lr3e-3-u2</span></th>.*?class=\"number\">[3-9] of 16"


def made(at: Path) -> None:
    model_folder(at / "model")
    rows = [{"prompt": f"thing number {k}", "completion": ("red", "blue")[k % 2]} for k in range(16)]
    (at / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def start(at: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FIT, *words, "--watch", "--json"]
    return subprocess.Popen(command, cwd=at, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def address(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"to be watched at (\S+)", line):
            return found[1]
    raise AssertionError(f"no address; it ended with {process.wait()}")


def ask(url: str, tag: str | None = None) -> tuple[int, str, str | None]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    try:
        connection.request("GET", parts.path, headers={"If-None-Match": tag} if tag else {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers["ETag"]
    finally:
        connection.close()


def follow(url: str, until: str, counts: list[int]) -> str:
    """As the page's script does; keeps how many rows each page counts."""
    tag, deadline = None, time.monotonic() + 300
    while time.monotonic() < deadline:
        status, html, tag = ask(url, tag)
        if status == 200:
            if 'data-state="running"' in html:
                counts.append(sum(int(cells[0].split()[0]) for cells in table(html).values()))
            if re.search(until, html):
                return html
    raise AssertionError(f"{until} did not come")


def test_a_run_is_watched_through_a_kill_to_its_end(tmp_path: Path) -> None:
    """Breaks seen to fail: a new token each time; the report not told of --no-text."""
    made(tmp_path)
    out, counts = tmp_path / "run", []  # type: tuple[Path, list[int]]
    process = start(tmp_path, "fit", "data.jsonl", "--model", "model", "--out", "run", "--no-text", *GRID)
    try:
        url = address(process)
        before = follow(url, PART, counts)
        process.kill()
        process.wait()
        with pytest.raises(OSError):  # refused or reset
            ask(url)
        process = start(tmp_path, "resume", "run")
        assert address(process) == url
        after = follow(url, "data-state=.running", later := [])
        assert later[-1] >= counts[-1] and set(table(after)) == set(table(before))
        end = follow(url, "data-state=.done", later)
        assert later == sorted(later) and len(set(later)) > 1, "numbers only grow"
        assert process.wait(timeout=120) == 0
    finally:
        process.kill()
    result = folders.result(out)
    assert result["verdict"] in Parsed(end).text
    assert {lane["n"] for lane in result["lanes"]} == {16}
    assert not (out / ".watch").exists()
    for page in (before, end, (out / "report.html").read_text()):  # the second session knows of --no-text, too
        assert "thing number" not in page and str(tmp_path) not in page


def test_a_stopped_run_says_so_to_those_who_watch(tmp_path: Path) -> None:
    """Break seen to fail: `end` of the view left empty."""
    made(tmp_path)
    process = start(tmp_path, "fit", "data.jsonl", "--model", "model", "--out", "run", *GRID)
    try:
        url = address(process)
        follow(url, PART, [])
        os.kill(process.pid, signal.SIGTERM)
        html = follow(url, "data-state=.stopped", [])
        assert "fewfit resume run --watch" in html
        assert process.wait(timeout=60) == 143
    finally:
        process.kill()
