"""What does a page that is open cost the run that it shows?

    OMP_NUM_THREADS=1 python -m benchmarks.watching --pairs 3 --json results/watching.json

The same run on `lab` (a prompting and four tuning lanes, 60 examples), in turn with a page that asks all the time, as
a browser's does, and without; each in a process of its own. Seconds of the processor are the run's alone: those of the
clock depend on what else the machine has to do.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.records import markdown, publish

DATA = Path(__file__).parents[1] / "src" / "fewfit" / "demo" / "data" / "kinds.jsonl"
GRID = ("--methods", "icl,ft,icl+ft", "--shots", "4", "--lr", "1e-3", "--updates", "1,2", "--no-race")


def one_run(folder: Path, watched: bool) -> dict[str, Any]:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "fewfit", "fit", str(DATA), "--model", "lab", "--out", str(folder), *GRID]
        + ["--watch"] * watched,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    pages = 0
    for line in process.stderr:
        if found := re.search(r"to be watched at (\S+)", line):
            pages = followed(found[1])
    if process.wait():
        raise RuntimeError("the run failed")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    record = {
        "watched": watched,
        "processor_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2),
        "seconds": round(time.monotonic() - began, 1),
        "pages": pages,
    }
    print(json.dumps(record), flush=True)
    return record


def followed(url: str) -> int:
    """To the end; how many pages came."""
    parts, tag, pages = urlsplit(url), None, 0
    while True:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        connection.request("GET", parts.path, headers={"If-None-Match": tag} if tag else {})
        answer = connection.getresponse()
        body, tag = answer.read(), answer.headers["ETag"]
        connection.close()
        pages += answer.status == 200
        if b'data-state="done"' in body:
            return pages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    records = []
    with tempfile.TemporaryDirectory() as made:
        for number in range(asked.pairs):
            for watched in (False, True) if number % 2 else (True, False):
                records.append(one_run(Path(made) / f"run-{number}-{watched}", watched))
    cost = {w: [one["processor_seconds"] for one in records if one["watched"] is w] for w in (True, False)}
    ratio = statistics.median(cost[True]) / statistics.median(cost[False])
    rows = [["", "processor seconds, each run", "median", "pages"]]
    for watched in (False, True):
        pages = [one["pages"] for one in records if one["watched"] is watched]
        middle = f"{statistics.median(cost[watched]):.1f}"
        rows.append(
            ["with a page" if watched else "without", ", ".join(map(str, cost[watched])), middle, str(max(pages))]
        )
    text = f"{markdown(rows)}\n\nWith a page against without: {ratio:.3f}."
    print(text)
    publish(asked.json, __doc__, text, ratio=round(ratio, 4), records=records)


if __name__ == "__main__":
    main()
