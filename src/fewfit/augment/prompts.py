"""The prompts of augmentation: plain texts with named slots, ours in prompts/, or those of a folder of the user's own.

A file may hold several prompts, parted by a line of `====`; each is put to every target. Lines that begin with `##` are
remarks. Slots: {text} (the sentence or document), {prompt} and {completion} (of a pair), {context} (all documents or
pairs, a line each), {claim} (what is to be checked). What stands before the first slot of the target is the same for
all targets, so it is computed once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from fewfit.errors import UserError
from fewfit.writing import Asked

SHIPPED = resources.files("fewfit.augment") / "prompts"
_SLOT = re.compile(r"\{(text|prompt|completion|context|claim)\}")
_PARTED = re.compile(r"^=+[ \t]*\n", re.MULTILINE)
_REMARK = re.compile(r"^##.*\n", re.MULTILINE)
# By file: the slots that a prompt of it must have.
SLOTS: dict[str, frozenset[str]] = {
    "local": frozenset({"text"}),
    "document": frozenset({"text"}),
    "global": frozenset({"context", "text"}),
    "local-pairs": frozenset({"prompt", "completion"}),
    "global-pairs": frozenset({"context", "prompt", "completion"}),
    "check": frozenset({"context", "claim"}),
}


@dataclass(frozen=True)
class Template:
    """`name` is the file's, `text` one prompt of it."""

    name: str
    text: str

    def filled(self, context: str, **target: str) -> Asked:
        """In one go, since data may hold what looks like a slot."""
        values = {"context": context, **target}
        first = min(match.start() for match in _SLOT.finditer(self.text) if match[1] in target)

        def put(text: str) -> str:
            return _SLOT.sub(lambda match: values.get(match[1], match[0]), text)

        return Asked(put(self.text[:first]), put(self.text[first:]))


def read(name: str, folder: Path | None = None) -> tuple[Template, ...]:
    """The prompts of one file: those of the folder where it has the file, else ours."""
    own = folder / f"{name}.txt" if folder is not None else None
    if own is not None and own.is_file():
        where, text = str(own), own.read_text(encoding="utf-8")
    else:
        where, text = f"prompts/{name}.txt", (SHIPPED / f"{name}.txt").read_text(encoding="utf-8")
    parts = [part.rstrip() for part in _PARTED.split(_REMARK.sub("", text)) if part.strip()]
    if not parts:
        raise UserError("holds no prompt", where=where, hint="write one that ends where the model is to go on")
    for part in parts:
        if missing := SLOTS[name] - {match[1] for match in _SLOT.finditer(part)}:
            shown = " and ".join(f"{{{slot}}}" for slot in sorted(missing))
            raise UserError(f"a prompt without {shown}", where=where, hint="put it where the data are to stand")
    return tuple(Template(name, part) for part in parts)


def check_folder(folder: Path) -> None:
    """A folder of prompts that holds none of the known files has been named by mistake."""
    if not any((folder / f"{name}.txt").is_file() for name in SLOTS):
        known = ", ".join(f"{name}.txt" for name in SLOTS)
        raise UserError(
            "holds none of the prompts' files", where=str(folder), hint=f"name a folder with one of {known}"
        )
