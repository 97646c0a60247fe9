"""Row shapes: which columns of a row are the prompt and the answer.

A new format is a line in one of the tables below, where its columns alone decide, and a branch in `cells.py` where its
cells have a form of their own. A row that fits two shapes is refused with both named: guessing would be silent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from fewfit.errors import UserError
from fewfit.examples.cells import empty, encodable

OPTIONAL = ("id", "choices", "group")
SAVED = "dataset"  # what save() writes beside the first example; no column of anybody's

# Columns that hold labels by their name: their values are choices although each be rare.
LABEL_COLUMNS = ("label", "labels", "category", "class", "intent", "sentiment")
_TEXTS = ("text", "sentence", "review", "comment", "tweet", "utterance")
PAIRS: tuple[tuple[str, str], ...] = (
    *((text, label) for text in _TEXTS for label in LABEL_COLUMNS),
    *((text, "target") for text in ("text", "input", "source", "sentence")),
    *((text, "output") for text in ("input", "prompt", "question")),
    *((text, "answer") for text in ("question", "query", "input", "prompt")),
    *((text, "response") for text in ("prompt", "query", "question")),
    *((text, "label") for text in ("input", "question", "query")),
    *((text, "summary") for text in ("text", "document", "article", "dialogue")),
)

# Known, and not read: (columns that tell them, what to say). Looked at before the pairs, some of which they contain.
UNREAD: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"instruction", "output"}), "rows of instruction, input and output (Alpaca) are not read yet"),
    (
        frozenset({"chosen", "rejected"}),
        "pairs of a chosen and a rejected answer are not read: one right answer is needed",
    ),
    (frozenset({"conversations"}), "rows of conversations (ShareGPT) are not read yet"),
)
DOCUMENT = "text"  # without an answer beside it, it is a document
BESIDE_DOCUMENTS = (DOCUMENT, *OPTIONAL, SAVED, "strategy", "made_from")  # what fewfit augment writes, too


@dataclass(frozen=True)
class Shape:
    """Where prompt and answer stand in a row. `output` None: in the turns of `input`, or it is a document."""

    input: str
    output: str | None
    guessed: bool = False
    is_document: bool = False

    @property
    def name(self) -> str:
        return self.input if self.output is None else f"{self.input}/{self.output}"

    @property
    def labels(self) -> bool:
        """True where the answer's column says that it holds labels."""
        return self.output is not None and fold(self.output) in LABEL_COLUMNS


def is_saved(column: str, value: Any) -> bool:
    """True for what `save` adds to the first example: a run's examples.jsonl is data like any other."""
    return column == SAVED and isinstance(value, Mapping) and "digest" in value


def fold(column: str) -> str:
    return column.strip().lower()


def columns(cells: Mapping[str, Any]) -> dict[str, str]:
    """Folded name → the column's own. A column that is written in lower case wins over others that fold to it."""
    names: dict[str, str] = {}
    for column in cells:
        if fold(column) not in names or column == fold(column):
            names[fold(column)] = column
    return names


def find(cells: Mapping[str, Any], where: str, input: str | None, output: str | None) -> Shape:
    """The shape of this row, with the columns as the row itself spells them."""
    for column in cells:
        encodable(column, "the name of a column", where)
    names = columns(cells)
    if input is not None:
        input = _named(input, cells, names, where, "--input")
    if output is not None:
        output = _named(output, cells, names, where, "--output")
    if input is not None and output is not None:
        if input == output:
            raise UserError(f"--input and --output both name {input!r}", where=where, hint="name two columns")
        return Shape(input, output)
    if input is None and output is None:
        for marks, reason in UNREAD:
            if marks <= names.keys():
                raise UserError(
                    reason, where=where, hint="give prompt and completion, or name columns: --input --output"
                )
        if {"prompt", "completion", "label"} <= names.keys() and cells[names["label"]] is False:
            message = "an answer whose label is false (unpaired preferences, KTO) is no right answer"
            raise UserError(message, where=where, hint="keep the rows with label true")
    fits = [shape for shape in _candidates(names) if input in (None, shape.input) and output in (None, shape.output)]
    if len(fits) > 1:
        # Tables with one column for every format leave the others empty.
        filled = [s for s in fits if not any(empty(cells[c]) for c in (s.input, s.output) if c is not None)]
        fits = filled if len(filled) == 1 else fits
    if not fits and (input, output) == (None, None) and DOCUMENT in names and names.keys() <= set(BESIDE_DOCUMENTS):
        return Shape(names[DOCUMENT], None, is_document=True)
    if len(fits) == 1:
        return fits[0]
    if fits:
        shown = " and ".join(dict.fromkeys(shape.name for shape in fits))
        raise UserError(f"the row fits two formats, {shown}", where=where, hint=_name_columns(fits[0], input, output))
    raise _unfit(names, where, input, output)


def _candidates(names: Mapping[str, str]) -> list[Shape]:
    shapes = []
    if "prompt" in names and "completion" in names:
        shapes.append(Shape(names["prompt"], names["completion"]))
    if "messages" in names:
        shapes.append(Shape(names["messages"], None))
    shapes += [Shape(names[a], names[b], guessed=True) for a, b in PAIRS if a in names and b in names]
    return shapes


def _named(column: str, cells: Mapping[str, Any], names: Mapping[str, str], where: str, flag: str) -> str:
    if column in cells:
        return column
    if fold(column) in names:
        return names[fold(column)]
    near = get_close_matches(column, list(cells), n=1)
    hint = f"did you mean {flag} {near[0]}?" if near else f"give {flag} one of them"
    raise UserError(f"no column {column!r}; the columns are: {_list(cells)}", where=where, hint=hint)


def _name_columns(shape: Shape, input: str | None, output: str | None) -> str:
    if shape.output is None:
        return "keep one of them in the file, or name the columns with --input COL --output COL"
    return f"say which, as in --input {input or shape.input} --output {output or shape.output}"


def _unfit(names: Mapping[str, str], where: str, input: str | None, output: str | None) -> UserError:
    given = list(names.values())
    if (input is None) != (output is None):
        missing, have = ("--output", input) if output is None else ("--input", output)
        message = f"which column goes with {have!r} is not clear; the columns are: {_list(given)}"
        return UserError(message, where=where, hint=f"name it too: {missing} COL")
    return UserError(
        f"no prompt and answer found; the columns are: {_list(given)}",
        where=where,
        hint="name them with --input COL --output COL, or call them prompt and completion; documents have `text` alone",
    )


def _list(columns: Any) -> str:
    return ", ".join(columns) or "none"
