"""TweetEval as published: texts and the numbers of their labels in files of their own, a line each; mapping.txt says
what the numbers mean. Stance has a folder for each target, below the one with the mapping."""

from __future__ import annotations

from pathlib import Path

from fewfit.errors import UserError
from fewfit.suites.tasks.reading import text_of
from fewfit.suites.tasks.task import Asking, Published, numbered

MAPPING = "mapping.txt"
PARTS = ("train", "val", "test")
OTHERWISE = {"sentiment": "tweet-sentiment"}  # what function vectors have under that name is another task


def is_tweeteval(folder: Path) -> bool:
    return mapping_of(folder) is not None and any((folder / f"{part}_labels.txt").is_file() for part in PARTS)


def mapping_of(folder: Path) -> Path | None:
    return next((one / MAPPING for one in (folder, folder.parent) if (one / MAPPING).is_file()), None)


def name_of(folder: Path) -> str:
    if (folder / MAPPING).is_file():
        return OTHERWISE.get(folder.name, folder.name)
    return f"{folder.parent.name}-{folder.name}"


def load(folder: Path) -> Published:
    """Learnt from what is there but the test part, tested on that where it is there."""
    mapping = mapping_of(folder)
    assert mapping is not None
    rows = [line.split("\t") for line in text_of(mapping).split("\n") if line.strip()]
    words = {number.strip(): word.strip() for number, word, *_ in rows}  # of emoji a name and more stand behind
    learnt = [pair for part in ("train", "val") for pair in read(folder, part, words)]
    tested = read(folder, "test", words)
    asking = Asking("choice", choices=tuple(sorted(words.values())))
    return Published(name_of(folder), numbered(learnt or tested), asking, numbered(tested, "test-") if learnt else ())


def read(folder: Path, part: str, words: dict[str, str]) -> list[tuple[str, str]]:
    labels, texts = folder / f"{part}_labels.txt", folder / f"{part}_text.txt"
    if not labels.is_file():
        return []
    numbers = text_of(labels).split()
    lines = text_of(texts).rstrip("\n").split("\n")
    if len(lines) != len(numbers):
        hint = "take both as published: a line each"
        raise UserError(f"{len(lines)} texts and {len(numbers)} labels", where=str(texts), hint=hint)
    if unknown := next((number for number in numbers if number not in words), None):
        raise UserError(f"the label {unknown}", where=str(labels), hint=f"{MAPPING} has {', '.join(words)}")
    return [(text, words[number]) for text, number in zip(lines, numbers, strict=True)]
