"""The reversal curse's own files (Berglund et al. 2024, `name_description`), read as a world.

3,600 training examples of three sets: told of by name first (p2d), by description first (d2p), and both ways. As in the
paper, asked is the name of somebody of the first set, with three wrong names, which are drawn here; `rephrasing` asks
for the description, and its options are the files' own endings of the same sentence. The files word a description in
several ways ("the inventor of", "inventing"); facts have the commonest. The small scale takes as many celebrities,
documents and questions as that of `curse`.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fewfit.errors import UserError
from fewfit.suites.generalization.curse import SIZES, Celebrity
from fewfit.suites.generalization.drawing import Key, number_documents, sample, shuffle
from fewfit.suites.generalization.world import Fact, Question, Scale, World

NAME = re.compile(r"[A-Z][a-z]+ [A-Z][a-z]+")


@dataclass(frozen=True)
class Row:
    """`who` it is about; `text` is prompt and completion together."""

    who: str
    prompt: str
    completion: str

    @property
    def text(self) -> str:
        return f"{self.prompt} {self.completion}"

    @property
    def name_first(self) -> bool:
        return self.who in self.prompt

    @property
    def wording(self) -> str:
        return self.prompt.replace(self.who, "{}")


def load_published(folder: str | Path, scale: Scale = "paper", *, seed: int = 0) -> World:
    """The world of the files in the folder."""
    key: tuple[Key, ...] = (seed, "published", scale)
    size = SIZES[scale]
    named, described, both = (read_pairs(folder, f"{one}_prompts_test") for one in ("p2d", "d2p", "both"))
    ends_in_name = read_pairs(folder, "p2d_reverse_prompts_test")
    every = sorted({match[0] for _, end in (*ends_in_name, *described, *both) if (match := NAME.match(end))})

    def rows(pairs: Iterable[tuple[str, str]], names: Collection[str] = every) -> list[Row]:
        found = [Row(whose(pair, every), *pair) for pair in pairs]
        return [row for row in found if row.who in names]

    told: list[Row] = []
    for one, people_of_it, documents_of_each in (
        ("p2d", size.named, size.documents),
        ("d2p", size.described, size.documents),
        ("both", size.both, size.documents_both),
    ):
        all_of_it = rows(read_pairs(folder, f"{one}_prompts_train"))
        some = set(sample(sorted({row.who for row in all_of_it}), people_of_it, *key, one))
        told += a_few([row for row in all_of_it if row.who in some], documents_of_each, key)
    names = sorted({row.who for row in told})
    asked_name, asked_description = rows(ends_in_name, names), rows(named, names)
    # How each sentence of the test that begins with a name ends for others.
    endings: dict[str, dict[str, str]] = defaultdict(dict)
    for row in (*asked_description, *rows(read_pairs(folder, "d2p_reverse_prompts_test"), names), *rows(both, names)):
        if row.name_first:
            endings[row.wording][row.who] = row.completion
    people = {name: Celebrity(name, describe(name, told, endings)) for name in names}
    documents = [(row.text, (fact_of(row, people),)) for row in told]
    found = [ask_name(n, row, people, key) for n, row in enumerate(a_few(asked_name, size.questions, key))]
    found += [
        ask_description(n, row, people, endings[row.wording], key)
        for n, row in enumerate(a_few(asked_description, size.questions, key))
    ]
    set_a = [people[name] for name in sorted({row.who for row in asked_name})]
    inferences = turn_round(set_a, told, people, size.inferences)
    return World(
        "published",
        scale,
        "plausible",
        seed,
        number_documents("published", "document", shuffle(documents, *key, "documents")),
        tuple(sorted(found, key=lambda question: question.split)),
        number_documents("published", "inference", shuffle(inferences, *key, "inferences")),
    )


def a_few(rows: Sequence[Row], count: int, key: tuple[Key, ...]) -> list[Row]:
    """Of everybody so many, for each direction; in the order of the files."""
    groups: dict[tuple[str, bool], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.who, row.name_first].append(row)
    taken = {row for group, some in groups.items() for row in sample(some, count, *key, *group)}
    return [row for row in rows if row in taken]


def read_pairs(folder: str | Path, name: str) -> list[tuple[str, str]]:
    path = Path(folder) / f"{name}.jsonl"
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except FileNotFoundError:
        raise UserError(f"{path} is missing: give the folder name_description of the published files") from None
    return [(line["prompt"].strip(), line["completion"].strip()) for line in lines]


def whose(pair: tuple[str, str], names: list[str]) -> str:
    return next(name for name in names if name in " ".join(pair))


def describe(name: str, told: list[Row], endings: dict[str, dict[str, str]]) -> str:
    """Its commonest wording that begins with "the"."""
    ends = [row.completion for row in told if row.who == name and row.name_first]
    ends += [by_name[name] for by_name in endings.values() if name in by_name]
    counts = Counter(end.rstrip("?").removesuffix(".") for end in ends if end.startswith("the "))
    return min(counts, key=lambda end: (-counts[end], end))


def fact_of(row: Row, people: dict[str, Celebrity]) -> Fact:
    return people[row.who].named if row.name_first else people[row.who].described


def ask_name(n: int, row: Row, people: dict[str, Celebrity], key: tuple[Key, ...]) -> Question:
    wrong = sample([name for name in people if name != row.who], 3, *key, "wrong names", n)
    options = tuple(shuffle([row.who, *wrong], *key, "names", n))
    person = people[row.who]
    return Question(
        f"published-reversal-{n:03}", "reversal", row.prompt, options, row.who, person.described, (person.named,)
    )


def ask_description(
    n: int, row: Row, people: dict[str, Celebrity], endings: dict[str, str], key: tuple[Key, ...]
) -> Question:
    wrong = sample([end for name, end in sorted(endings.items()) if name != row.who], 3, *key, "wrong endings", n)
    options = tuple(shuffle([row.completion, *wrong], *key, "endings", n))
    person = people[row.who]
    return Question(
        f"published-rephrasing-{n:03}", "rephrasing", row.prompt, options, row.completion, person.named, (person.named,)
    )


def turn_round(
    set_a: list[Celebrity], told: list[Row], people: dict[str, Celebrity], count: int
) -> list[tuple[str, tuple[Fact, ...]]]:
    """Of everybody of set A what the files say of others with the description first."""
    wordings = dict.fromkeys(
        row.text.replace(people[row.who].description, "{description}").replace(row.who, "{name}")
        for row in told
        if not row.name_first and people[row.who].description in row.prompt
    )
    return [
        (wording.format(name=person.name, description=person.description), (person.described,))
        for person in set_a
        for wording in list(wordings)[:count]
    ]
