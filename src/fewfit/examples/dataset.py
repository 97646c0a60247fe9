"""The checked examples of one source, and what was done to them on the way in."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewfit.errors import UserError
from fewfit.examples import cells, shapes
from fewfit.examples import choices as options
from fewfit.examples.cells import Notices
from fewfit.examples.example import Example, Message, as_dict, from_dict
from fewfit.examples.sources import read
from fewfit.examples.table import Row, Table
from fewfit.examples.text import shorten
from fewfit.files import one_line, publish

FEWEST = 3  # below it there is nothing to learn from, let alone to compare


@dataclass(frozen=True)
class Dataset:
    """Examples in the order of their source.

    `choices` are the labels of the whole set, where it has any; a row's own stand in the example.
    `notices` say what was guessed, changed or left out. `source` is a short name for run folders.
    """

    examples: tuple[Example, ...]
    choices: tuple[str, ...] | None
    notices: tuple[str, ...]
    source: str
    digest: str

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def are_documents(self) -> bool:
        return self.examples[0].is_document


def load(
    source: Any,
    *,
    input: str | None = None,
    output: str | None = None,
    labels: str | Mapping[Any, str] | None = None,
    choices: str | Sequence[str] = "auto",
    skip_bad: bool | None = None,
    keep_duplicates: bool = False,
    fewest: int = FEWEST,
) -> Dataset:
    """Read and check: a file (JSONL, JSON, CSV, TSV, Parquet), rows in a list, a DataFrame, or a datasets.Dataset.

    `input` and `output` name the columns, where their names do not say it. `labels` says what the values of the answer
    column mean, as in "0=negative,1=positive". `choices` is "auto" (those of the rows, else found in the answers),
    "rows" (those of the rows alone), "none" (not even those), "a,b", "@file" or a list. `skip_bad` leaves bad rows out;
    False tells who offers that and was not asked for it, and an error then names the flag.
    """
    table = read(source)
    checker = _Checker(table, input, output, None if labels is None else options.parse_labels(labels), choices)
    kept: list[tuple[Example, str]] = []
    refused: list[UserError] = []
    for row in table.rows:
        try:
            kept.append((checker.example(row), row.where))
        except UserError as error:
            if not skip_bad:
                if skip_bad is False and kept:  # where already the first is bad, all may be
                    error.add_hint("or leave bad rows out with --skip-bad")
                raise
            refused.append(error)
    kept = _without_duplicates(kept, keep_duplicates, checker.notices)
    _check_ids(kept)
    if len(kept) < (1 if kept and kept[0][0].is_document else fewest):
        found = f"{len(kept)} usable {'example' if len(kept) == 1 else 'examples'}"
        why = f" ({len(refused)} bad, the first: {refused[0].line()})" if refused else ""
        raise UserError(f"{found}{why}", where=table.where, hint=f"at least {fewest} are needed")
    examples = tuple(example for example, _ in kept)
    found_choices = checker.data_choices([example for example in examples if example.choices is None])
    notices = [*table.notices, *checker.summary(found_choices, examples)]
    if refused:
        rows = "1 bad row" if len(refused) == 1 else f"{len(refused)} bad rows"
        notices.append(f"{rows} left out, first {refused[0].line()}")
    return Dataset(examples, found_choices, tuple(notices), short_name(table.source), digest(examples))


class _Checker:
    """What is held to from the first good row on, and what was noticed since."""

    def __init__(
        self,
        table: Table,
        input: str | None,
        output: str | None,
        labels: dict[str, str] | None,
        choices: str | Sequence[str],
    ) -> None:
        self.table, self.input, self.output, self.labels = table, input, output, labels
        self.free_text = choices == "none"
        self.found = choices == "auto"
        self.given = None if choices in ("auto", "rows", "none") else options.parse(choices)
        self.notices = Notices()
        self.shape: shapes.Shape | None = None
        self.first_format: tuple[str, str] | None = None
        self.unused: dict[str, None] = {}
        self.labels_seen: set[str] = set()

    def example(self, row: Row) -> Example:
        if row.error is not None or row.cells is None:
            raise row.error or UserError("an empty row", where=row.where)
        where, values = row.where, row.cells
        shape = shapes.find(values, where, self.input, self.output)
        prompt: str | tuple[Message, ...]
        if shape.is_document:
            prompt, answer = "", cells.text(values[shape.input], "the document", where, self.notices)
        elif shape.output is None:
            prompt, answer = cells.conversation(values[shape.input], where, self.notices)
        else:
            prompt = cells.prompt(values[shape.input], where, self.notices)
            answer = self._answer(values[shape.output], shape.output, where)
        answer = cells.trimmed(answer, self.notices, "documents" if shape.is_document else "answers", where)
        if self.labels is not None:
            answer = self._labelled(answer, where)
        names = shapes.columns(values)
        optional = {name: values[names[name]] for name in shapes.OPTIONAL if name in names}
        example = Example(
            id=cells.label(optional.get("id"), "the id", where) or str(row.number),
            prompt=prompt,
            completion=answer,
            choices=None if self.free_text else cells.row_choices(optional.get("choices"), where, self.notices),
            group=cells.label(optional.get("group"), "the group", where),
        )
        self._check_choice(example, where)
        self._hold_to_one_format(shape, prompt, where)
        used = (shape.input, shape.output)
        self.unused |= dict.fromkeys(
            name
            for folded, name in names.items()
            if name not in used and folded not in shapes.OPTIONAL and not shapes.is_saved(name, values[name])
        )
        return example

    def _answer(self, value: Any, column: str, where: str) -> str:
        if self.labels is not None and not cells.missing(value) and (written := cells.scalar(value)) is not None:
            return written  # the labels say what a number means: no notice is due
        names = self.table.class_names.get(column)
        if names and isinstance(value, int):
            if not 0 <= value < len(names):  # -1, as test splits have it whose labels are kept secret
                message = f"the answer is {value}, and the data set has names for 0 to {len(names) - 1}"
                raise UserError(message, where=where, hint="take a split with labels")
            self.notices.add(f"numbers in {column!r} were given the names that the data set has for them", where)
            return names[value]
        return cells.completion(value, where, self.notices)

    def _labelled(self, answer: str, where: str) -> str:
        assert self.labels is not None
        if answer not in self.labels:
            message = f"no label is given for {shorten(answer)!r}"
            raise UserError(message, where=where, hint=f"add {shorten(answer, 20)}=… to --labels")
        self.labels_seen.add(answer)
        return self.labels[answer]

    def _check_choice(self, example: Example, where: str) -> None:
        known = example.choices or self.given
        if known is not None and example.completion not in known:
            shown = ", ".join(map(shorten, known[:6])) + (", …" if len(known) > 6 else "")
            message = f"the answer {shorten(example.completion)!r} is none of the choices {shown}"
            raise UserError(message, where=where, hint="write the answer as the choice's own text, or fix the choices")

    def _hold_to_one_format(self, shape: shapes.Shape, prompt: str | tuple[Message, ...], where: str) -> None:
        """A file that changes its format half way has been put together by mistake, as often as not."""
        kind = "documents" if shape.is_document else "text" if isinstance(prompt, str) else "messages"
        here = (shapes.fold(shape.name), kind)
        if self.first_format is None:
            self.first_format, self.shape = here, shape
        elif here != self.first_format:
            now, before = (f"{name} of {kind}" for name, kind in (here, self.first_format))
            message = f"the row is {now}, and the rows before it are {before}"
            raise UserError(message, where=where, hint="write all rows in one format")

    def data_choices(self, examples: Sequence[Example]) -> tuple[str, ...] | None:
        """For the examples that bring no choices of their own."""
        if self.given is not None or not (self.found and examples) or examples[0].is_document:
            return self.given
        shape = self.shape
        named = shape is not None and (shape.labels or shape.output in self.table.class_names)
        label_column = named or self.labels is not None
        return options.find([example.completion for example in examples], label_column)

    def summary(self, found: tuple[str, ...] | None, examples: Sequence[Example]) -> list[str]:
        lines = []
        shape = self.shape
        if shape is not None and shape.guessed:
            lines.append(f"prompts are read from {shape.input!r}, answers from {shape.output!r}")
        if "made_from" in self.unused:  # rows of fewfit augment
            del self.unused["made_from"]
            self.unused.pop("strategy", None)
            if any(example.prompt for example in examples):  # of documents, questions tell what they are worth
                lines.append(
                    "rows that were made from others look better than they are: fit makes its own, --augment local"
                )
        if self.unused:
            names = (name or "one without a name" for name in self.unused)
            lines.append(f"columns that are not used: {', '.join(names)}")
        lines += self.notices.lines()
        if self.labels is not None and (unseen := [key for key in self.labels if key not in self.labels_seen]):
            lines.append(f"labels that no row has: {', '.join(unseen)}")
        if found is not None:
            completions = [example.completion for example in examples if example.choices is None]
            lines += [f"two choices that differ in case alone: {twins}" for twins in options.near_twins(completions)]
            if completions and all(completion.isdigit() for completion in completions) and self.labels is None:
                lines.append("the labels are bare numbers; words tell a model more: --labels 0=…,1=…")
        groups = Counter(example.group for example in examples if example.group is not None)
        if any(count > 1 for count in groups.values()):
            many = "1 group" if len(groups) == 1 else f"{len(groups)} groups"
            lines.append(f"rows that share a `group` never stand in one prompt: {many}")
        if len({example.completion for example in examples}) == 1:
            lines.append("all answers are the same")
        return lines


def _without_duplicates(
    kept: list[tuple[Example, str]], keep_duplicates: bool, notices: Notices
) -> list[tuple[Example, str]]:
    seen: set[tuple[Any, ...]] = set()
    answers: dict[Any, str] = {}
    result = []
    for example, where in kept:
        content = (example.asked, example.completion, example.choices, example.group)
        if content in seen and not keep_duplicates:
            notices.add("exact duplicates were dropped", where)
            continue
        seen.add(content)
        if not example.is_document and answers.setdefault(example.asked, example.completion) != example.completion:
            notices.add("a prompt stands there again with another answer", where)
        result.append((example, where))
    return result


def _check_ids(kept: Sequence[tuple[Example, str]]) -> None:
    first: dict[str, str] = {}
    for example, where in kept:
        if example.id in first:
            message = f"the id {shorten(example.id)!r} is taken by {first[example.id]}"
            hint = "give each row an id of its own, or none; rows that belong together share a `group`"
            raise UserError(message, where=where, hint=hint)
        first[example.id] = where


def short_name(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "data"


def digest(examples: Sequence[Example]) -> str:
    """sha256 of the examples in canonical JSON: what a resumed run compares."""
    rows = [as_dict(example) for example in examples]
    canonical = json.dumps(rows, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def save(dataset: Dataset, path: str | Path) -> None:
    """One example a line, for any reader, `load` included; the first carries what belongs to the whole set too."""
    rows = [as_dict(example) for example in dataset.examples]
    rows[0][shapes.SAVED] = {
        "source": dataset.source,
        "digest": dataset.digest,
        "choices": None if dataset.choices is None else list(dataset.choices),
        "notices": list(dataset.notices),
    }
    publish(Path(path), "".join(one_line(row) + "\n" for row in rows).encode())


def restore(path: str | Path) -> Dataset:
    """What `save` wrote, exactly. Raises UserError when the file was changed since."""
    try:
        rows = [json.loads(line) for line in Path(path).read_bytes().decode().split("\n") if line]
        examples = tuple(from_dict(row) for row in rows)
        whole = rows[0][shapes.SAVED]
        choices = None if whole["choices"] is None else tuple(whole["choices"])
        dataset = Dataset(examples, choices, tuple(whole["notices"]), whole["source"], whole["digest"])
    except FileNotFoundError:
        raise UserError("the run has no examples", where=str(path), hint="start it anew with fewfit fit") from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        hint = "start a new run from the data"
        raise UserError(f"not the examples of a run ({error})", where=str(path), hint=hint) from None
    if digest(examples) != dataset.digest:
        raise UserError("the examples were changed since the run began", where=str(path), hint="start a new run")
    return dataset
