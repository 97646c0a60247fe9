"""What benchmarks write: finished cells as lines of a file that a cut-off run goes on with, and on what machine."""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("fewfit", "torch", "transformers", "peft", "trl", "numpy", "scikit-learn", "alpaca-eval")


class Lines:
    """Cells in a JSONL file, told apart by some of their fields. A last line that was torn is made again."""

    def __init__(self, path: Path, key: tuple[str, ...]):
        self.path, self.key = path, key
        path.parent.mkdir(parents=True, exist_ok=True)
        self.cells: list[dict[str, Any]] = []
        for line in path.read_text().splitlines() if path.exists() else []:
            try:
                self.cells.append(json.loads(line))
            except ValueError:
                continue

    def has(self, **values: Any) -> bool:
        return any(all(cell.get(name) == values[name] for name in self.key) for cell in self.cells)

    def add(self, cell: dict[str, Any]) -> None:
        self.cells.append(cell)
        there = self.path.read_bytes() if self.path.exists() else b""
        torn = bool(there) and not there.endswith(b"\n")
        with self.path.open("a") as file:
            file.write("\n" * torn + json.dumps(cell) + "\n")
        told = {name: value for name, value in cell.items() if isinstance(value, int | float | str)}
        print(time.strftime("%H:%M:%S"), json.dumps(told), file=sys.stderr, flush=True)


def machine() -> dict[str, Any]:
    """Who ran it, on what, when."""
    names = [line.partition(":")[2].strip() for line in lines_of("/proc/cpuinfo") if line.startswith("model name")]
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "command": " ".join(["python -m", module_name(), *sys.argv[1:]]),
        "processor": names[0] if names else platform.machine(),
        "cores": os.cpu_count(),
        "load": [round(one, 2) for one in os.getloadavg()],
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": versions,
    }


def module_name() -> str:
    parts = Path(sys.argv[0]).with_suffix("").parts
    begin = max((k for k, part in enumerate(parts) if part == "benchmarks"), default=len(parts) - 1)
    return ".".join(parts[begin:]).removesuffix(".__main__")


def lines_of(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def processor_time() -> float:
    """Of this process and of the helpers that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def write(path: Path | None, report: dict[str, Any]) -> None:
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")


def publish(path: Path | None, doc: str, text: str, **found: Any) -> None:
    """The figures with what they were made on, and beside them the table, under the first line of `doc`."""
    if path is None:
        return
    made = machine()
    write(path, {**made, **found})
    path.with_suffix(".md").write_text(f"# {doc.splitlines()[0]}\n\n`{made['command']}`\n\n{text}\n")


def markdown(rows: list[list[str]]) -> str:
    """The first row is the head."""
    head, *body = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *body])
