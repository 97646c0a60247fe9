"""Answers of our own making to every check, kept, broken and on the edge, and what the published checkers say of them.

`rules_answers.jsonl` has a line of general answers, which are put to every check, and a line for each check and its
arguments: answers, and by one character for each answer (general ones last) whether it held, 1 or 0, strictly and
loosely; - where the package could say nothing. It was written by `if-verifiable` 0.1.2, and is written anew by

    python -m tests.rules_made

where that package, NLTK's data and langdetect are installed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fewfit.judges import Check

FILE = Path(__file__).with_name("rules_answers.jsonl")
SAID = {"1": True, "0": False, "-": None}


class Item(NamedTuple):
    check: Check
    answer: str
    strict: bool | None
    loose: bool | None


def items() -> Iterator[Item]:
    general, *cases = _rows()
    for case in cases:
        for answer, strict, loose in zip(_answers(case, general), case["strict"], case["loose"], strict=True):
            yield Item(Check(case["check"], case["arguments"]), answer, SAID[strict], SAID[loose])


def published(check: Check, answers: Sequence[str]) -> list[tuple[bool | None, bool | None]]:
    """What the package says. langdetect draws at random unless its seed is set."""
    import langdetect
    from if_verifiable.common import evaluate_instructions
    from if_verifiable.ifbench.instructions_registry import INSTRUCTION_DICT as IFBENCH
    from if_verifiable.ifeval.instructions_registry import INSTRUCTION_DICT as IFEVAL

    langdetect.DetectorFactory.seed = 0
    said: list[tuple[bool | None, bool | None]] = []
    for answer in answers:
        try:
            found, _ = evaluate_instructions(answer, [check.name], [dict(check.arguments)], "", {**IFBENCH, **IFEVAL})
            said.append((found[0].strict_pass, found[0].loose_pass))
        except (LookupError, IndexError):  # no data for a tagger; a checker that takes the first of nothing
            said.append((None, None))
    return said


def _rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in FILE.read_text(encoding="utf-8").split("\n") if line]


def _answers(case: dict[str, Any], general: dict[str, Any]) -> list[str]:
    return [*case["answers"], *(general["general"] if case["general"] else ())]


def main() -> None:
    general, *cases = _rows()
    marks = {value: mark for mark, value in SAID.items()}
    for case in cases:
        said = published(Check(case["check"], case["arguments"]), _answers(case, general))
        case["strict"], case["loose"] = ("".join(marks[one[k]] for one in said) for k in (0, 1))
    lines = [json.dumps(row, ensure_ascii=False) for row in [general, *cases]]
    FILE.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
