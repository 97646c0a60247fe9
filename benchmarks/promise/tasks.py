"""Tasks of ../shared/data, each as examples to learn from (other ones in every order) and examples to test on."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from fewfit.examples import Example
from fewfit.suites.tasks import lines, pairs
from fewfit.suites.tasks.lines import LABELS

LEARNT, TESTED = 60, 300
FILES = {"sst2": "stsa.binary.test.txt", "subj": "subj.2000.txt", "trec": "TREC.train.2000.txt"}
WORDS = 14  # of a sentence, at most: a run on short ones costs half as much
CLOSED = ("person-instrument", "sentiment", *LABELS)  # answers are chosen among labels
TASKS = (
    "sst2",
    "present-past",
    "trec",
    "antonym",
    "person-instrument",
    "english-french",
    "subj",
    "animal_v_object_3",
    "sentiment",
    "park-country",
)


class Task(NamedTuple):
    name: str
    learnt: tuple[Example, ...]  # in the order of the stream
    tested: tuple[Example, ...]
    choices: tuple[str, ...] | None


def task(name: str, order: int, data: Path) -> Task:
    """Test examples are the same in all orders; where a task is small, orders share some of what they learn from."""
    answers = dict(rows(name, data))
    prompts = sorted(answers, key=lambda prompt: number("test", prompt))
    cut = min(TESTED, len(prompts) - 2 * LEARNT)
    rest = sorted(prompts[cut:], key=lambda prompt: number(f"order {order}", prompt))
    both = (*rest[:LEARNT], *prompts[:cut])
    made = [Example(f"{number('id', prompt):016x}", prompt, answers[prompt]) for prompt in both]
    choices = tuple(sorted(set(answers.values()))) if name in CLOSED else None
    return Task(name, tuple(made[:LEARNT]), tuple(made[LEARNT:]), choices)


def empty(task: Task, order: int) -> Task:
    """The same with labels that carry nothing: dealt out anew among the examples."""
    assert task.choices is not None
    places = sorted(range(len(task.learnt)), key=lambda k: number(f"empty {order}", task.learnt[k].id))
    learnt = tuple(
        Example(one.id, one.prompt, task.learnt[place].completion)
        for one, place in zip(task.learnt, places, strict=True)
    )
    return task._replace(learnt=learnt)


def rows(name: str, data: Path) -> Iterator[tuple[str, str]]:
    if name in LABELS:
        for text, label in lines.read(data / "nlp" / name / FILES[name], LABELS[name]):
            if len(text.split()) <= WORDS:
                yield text, label
    else:
        yield from pairs.read(data / "function_vectors" / f"{name}.json")


def number(purpose: str, text: str) -> int:
    return int.from_bytes(sha256(f"{purpose}\0{text}".encode()).digest()[:8], "big")
