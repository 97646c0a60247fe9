"""Queries: what may be asked of a bundle, and the rows that come back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple, TypeVar

from fewfit.errors import UserError
from fewfit.examples.cells import Notices, is_turns, label, row_choices
from fewfit.examples.cells import prompt as read_prompt
from fewfit.examples.example import Example
from fewfit.examples.shapes import PAIRS, columns, fold
from fewfit.render import Prompt

Query = str | Sequence[Mapping[str, str]] | Example | Mapping[str, Any]
T = TypeVar("T")

PROMPT_COLUMNS = ("prompt", "messages", *dict.fromkeys(first for first, _ in PAIRS if first != "prompt"))


class Asked(NamedTuple):
    """A query behind one set of demonstrations."""

    query: int
    example: Example
    set: int | None  # None where a chooser took them for this query alone
    prompt: Prompt


def grouped(asked: Sequence[Asked], values: Sequence[T]) -> Iterator[list[T]]:
    """The values of each query's prompts; prompts of one query stand next to each other."""
    for _, some in groupby(zip(asked, values, strict=True), key=lambda pair: pair[0].query):
        yield [value for _, value in some]


def row(example: Example, prediction: str, probs: dict[str, float] | None, nll: float | None) -> dict[str, Any]:
    return {"id": example.id, "prediction": prediction, "probs": probs, "nll": nll}


def as_example(
    query: Query, number: int, *, column: str | None = None, usual: str | None = None, where: str | None = None
) -> Example:
    """A query as an example without an answer. Rows may bring one along; it is not looked at. `column` is where the
    prompt has to stand, `usual` where it stands in rows that have such a column."""
    where, notices, id, choices = where or f"query {number}", Notices(), str(number), None
    if isinstance(query, Example):
        return query
    if isinstance(query, Mapping):
        if odd := next((name for name in query if not isinstance(name, str)), None):
            raise UserError(f"the column {odd!r} has no name", where=where, hint='write it as {"prompt": …}')
        names = columns(query)
        if column is None and usual is not None and fold(usual) in names:
            column = usual
        name = prompt_column(names, column, where)
        id = label(query[names["id"]], "the id", where) or id if "id" in names else id
        choices = row_choices(query[names["choices"]], where, notices) if "choices" in names else None
        value = query[names[name]]
        if name != "prompt" and is_turns(value) and value[-1].get("role") == "assistant":
            value = value[:-1]
    else:
        value = query
    return Example(id, read_prompt(value, where, notices), "", choices)


def prompt_column(names: Mapping[str, str], asked: str | None, where: str) -> str:
    """Folded name of the column that holds the prompt: the one asked for, else the only one of a usual name, else the
    only one."""
    if asked is not None:
        if fold(asked) in names:
            return fold(asked)
        problem = f"no column {asked!r}"
    else:
        there = [name for name in PROMPT_COLUMNS if name in names]
        if "prompt" in there:
            return "prompt"
        if len(there) == 1 or len(names) == 1:
            return there[0] if there else next(iter(names))
        problem = "which column holds the prompt is not clear"
    shown = ", ".join(names.values()) or "none"
    raise UserError(f"{problem}; the columns are: {shown}", where=where, hint="call it prompt, or name it: --input COL")
