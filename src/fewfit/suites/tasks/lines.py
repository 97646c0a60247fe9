"""SST-2, SUBJ and TREC as they are shared: a line is a label's number, then the text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fewfit.errors import UserError
from fewfit.suites.tasks.task import Asking, Published, numbered

LABELS = {
    "sst2": {"0": "negative", "1": "positive"},
    "subj": {"0": "subjective", "1": "objective"},
    "trec": {"0": "description", "1": "entity", "2": "abbreviation", "3": "human", "4": "location", "5": "number"},
}
# Names of files by task, with or without .txt: what is learnt from, and what is tested on where that is a file.
FILES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "sst2": (("stsa.binary.train", "stsa.binary.dev"), ("stsa.binary.test",)),
    "subj": (("subj.all", "subj.2000"), ()),
    "trec": (("TREC.train.all", "TREC.train.2000"), ("TREC.test.all", "TREC.test")),
}


def read(path: Path, labels: dict[str, str]) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        label, _, text = decoded(line).partition(" ")
        if not text.strip():
            continue
        if label not in labels:
            raise UserError(f"the label {label!r}", where=f"{path}:{number}", hint=f"one of {', '.join(labels)}")
        yield text.strip(), labels[label]


def decoded(line: bytes) -> str:
    """SUBJ and TREC were published before everything was UTF-8."""
    for encoding in ("utf-8", "cp1252"):
        try:
            return line.decode(encoding)
        except UnicodeDecodeError:
            continue
    return line.decode("latin-1")


def tasks_in(folder: Path) -> dict[str, Path]:
    """Which of them a folder holds, and the file that each is learnt from."""
    files = {name: first_of(folder, learnt) for name, (learnt, _) in FILES.items()}
    return {name: path for name, path in files.items() if path}


def first_of(folder: Path, names: tuple[str, ...]) -> Path | None:
    paths = (folder / f"{name}{ending}" for name in names for ending in (".txt", ""))
    return next((path for path in paths if path.is_file()), None)


def load(folder: Path, name: str) -> Published:
    learnt, tested = (first_of(folder, names) for names in FILES[name])
    assert learnt is not None
    labels = LABELS[name]
    asking = Asking("choice", choices=tuple(sorted(labels.values())))
    test = numbered(read(tested, labels), "test-") if tested else ()
    return Published(name, numbered(read(learnt, labels)), asking, test)
