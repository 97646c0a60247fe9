"""Tasks of "Function Vectors in Large Language Models" as published: a file each, [{"input": …, "output": …}, …]."""

from __future__ import annotations

import json
from pathlib import Path

from fewfit.errors import UserError
from fewfit.examples import choices
from fewfit.suites.tasks.reading import beginning_of, text_of
from fewfit.suites.tasks.task import Asking, Published, numbered


def read(path: Path) -> list[tuple[str, str]]:
    try:
        items = json.loads(text_of(path))
        return [(str(one["input"]).strip(), str(one["output"]).strip()) for one in items]
    except (ValueError, LookupError, TypeError) as error:
        hint = 'published files are [{"input": …, "output": …}]'
        raise UserError(f"no list of pairs ({type(error).__name__}: {error})", where=str(path), hint=hint) from None


def is_pairs(path: Path) -> bool:
    if path.suffix != ".json":
        return False
    return "".join(beginning_of(path, 60).split()).startswith('[{"input":')


def load(path: Path) -> Published:
    """Few answers that repeat are labels, as `fit` sees them."""
    examples = numbered(read(path))
    labels = choices.find([one.completion for one in examples], False)
    return Published(path.stem, examples, Asking("choice", choices=labels) if labels else Asking("match"))
