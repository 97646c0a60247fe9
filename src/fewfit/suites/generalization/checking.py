"""Is a world what it says? An independent check, from the text of its documents and questions alone.

Sentences are read into facts by `reading.py`, and closed under the rules of inference of `deriving.py`; neither shares
code with what generates the worlds, and `Document.facts` are not trusted but verified.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Container, Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal

from fewfit.suites.generalization.calculus import builders, parse
from fewfit.suites.generalization.deriving import CLOSE, close_quantified
from fewfit.suites.generalization.reader import Reader
from fewfit.suites.generalization.reading import make_reader
from fewfit.suites.generalization.world import Fact, Question, World

Verdict = Literal["true", "false", "unread"]
# What is wrong, in the order of the report.
FAULTS = ("misread", "not derivable", "wrong option follows", "leaked", "not stated", "malformed", "untrue inference")


@dataclass(frozen=True)
class Fault:
    """`of` is the id of a document or a question."""

    kind: str
    of: str
    why: str


@dataclass(frozen=True)
class Report:
    """`documents`, `questions` and `inferences` count what was checked; nothing is wrong if there are no faults."""

    documents: int
    questions: int
    inferences: int
    faults: tuple[Fault, ...]

    @property
    def ok(self) -> bool:
        return not self.faults

    def count(self, kind: str) -> int:
        return sum(fault.kind == kind for fault in self.faults)

    def __str__(self) -> str:
        counts = ", ".join(f"{self.count(kind)} {kind}" for kind in FAULTS)
        shown = "".join(f"\n  {fault.of}: {fault.kind}: {fault.why}" for fault in self.faults[:20])
        return f"{self.questions} questions, {self.documents} documents, {self.inferences} inferences: {counts}{shown}"


def check(world: World) -> Report:
    reader = make_reader(world)
    faults: list[Fault] = []
    stated: dict[Fact, set[str]] = defaultdict(set)
    for document in world.documents:
        read = reader.read(document.text)
        faults += check_document(document.id, document.facts, read, reader)
        for _, facts in read:
            for fact in facts:
                stated[fact].add(document.id)
    closure = CLOSE[world.name](stated)
    texts = " ¶ ".join(plain(document.text) for document in world.documents)
    for question in world.questions:
        faults += check_question(question, world, reader, stated, closure, texts)
    told = set()
    for inference in world.inferences:
        read = reader.read(inference.text)
        faults += check_document(inference.id, inference.facts, read, reader)
        facts = [fact for _, found in read for fact in found]
        told.update(facts)
        faults += [Fault("untrue inference", inference.id, str(fact)) for fact in facts if fact not in closure]
    faults += [
        Fault("untrue inference", question.id, "no inference tells what is asked")
        for question in world.questions
        if question.split != "rephrasing" and not told & {question.fact, *mirrored(question.fact, world)}
    ]
    ids = [document.id for document in (*world.documents, *world.inferences)]
    repeated = Counter(ids + [question.id for question in world.questions])
    faults += [Fault("malformed", one, "two with this id") for one, count in repeated.items() if count > 1]
    return Report(len(world.documents), len(world.questions), len(world.inferences), tuple(faults))


def check_document(of: str, facts: Iterable[Fact], read: list[tuple[str, list[Fact]]], reader: Reader) -> list[Fault]:
    """What a document says that it states, it states, and nothing else."""
    found = {fact for _, some in read for fact in some}
    faults = [Fault("misread", of, f"does not state {fact}") for fact in set(facts) - found]
    faults += [Fault("misread", of, f"states {fact} and does not say so") for fact in found - set(facts)]
    # What no pattern fits might state something all the same, if it names two things.
    for sentence, some in read:
        if not some and not sentence.endswith("?") and len(named(without_lists(sentence), reader)) > 1:
            faults.append(Fault("misread", of, f"cannot be read: {sentence}"))
    return faults


def without_lists(sentence: str) -> str:
    """Names one after the other, as in "Consider glon, femp and zax", state nothing."""
    return re.sub(r"\w+(?:, \w+)* and \w+", "", sentence)


def named(sentence: str, reader: Reader) -> set[str]:
    found = set(re.findall(r"[a-z]+", sentence.lower())) & reader.nouns
    return found | {one for one in (*reader.names, *reader.descriptions) if one in sentence}


def check_question(
    question: Question,
    world: World,
    reader: Reader,
    stated: dict[Fact, set[str]],
    closure: Container[Fact],
    texts: str,
) -> list[Fault]:
    of = question.id
    faults = []
    if len(set(question.options)) != len(question.options) or not set(question.right) <= set(question.options):
        faults.append(Fault("malformed", of, "options"))
    if question.answer in question.also_right:
        faults.append(Fault("malformed", of, "the answer is also_right"))
    for option in question.options:
        sentence = f"{question.prompt} {option}"
        # A question and its answer may be two sentences that say something together only.
        facts = reader.facts(sentence) or reader.read_sentence(reader, sentence)
        if len(facts) != 1:
            faults.append(Fault("malformed", of, f"cannot be read: {sentence}"))
            continue
        fact = facts[0]
        right = option in question.right
        if option == question.answer and fact != question.fact:
            faults.append(Fault("malformed", of, f"states {fact} and not {question.fact}"))
        if right and fact not in closure:
            faults.append(Fault("not derivable", of, str(fact)))
        if not right and fact in closure:
            faults.append(Fault("wrong option follows", of, str(fact)))
        if not right:
            continue
        if plain(sentence) in texts:
            faults.append(Fault("leaked", of, sentence))
        if question.split == "rephrasing":
            if option == question.answer and fact not in stated:
                faults.append(Fault("not stated", of, str(fact)))
        elif fact in stated:
            faults.append(Fault("leaked", of, f"{fact} in {min(stated[fact])}"))
    missing = [fact for fact in question.made_from if fact not in stated]
    faults += [Fault("not derivable", of, f"{fact} is nowhere stated") for fact in missing]
    if not missing and question.fact not in CLOSE[world.name](question.made_from):
        faults.append(Fault("not derivable", of, "not from what it is made from"))
    return faults + check_split(question, world, stated)


def check_split(question: Question, world: World, stated: dict[Fact, set[str]]) -> list[Fault]:
    """What a split promises of the documents."""
    if question.split == "holdout":
        held = question.made_from[0][1]
        facts = [fact for fact in stated if held in fact]
        if facts != [question.made_from[0]] or facts[0][0] != "is a":
            return [Fault("leaked", question.id, f"more than its parent is told of {held}: {facts}")]
    if question.split == "chain":
        # Nothing on the way is told that would shorten it.
        one, value = question.fact[-2:]
        near = {fact[2] for fact in stated if fact[0] == "is a" and fact[1] == one}
        short = [fact for fact in stated if fact[0] == question.fact[0] and fact[1] in near and fact[2] == value]
        return [Fault("leaked", question.id, f"{fact} makes the chain shorter") for fact in short]
    if question.split == "combination":
        asked = builders(parse(question.fact[1]))
        if any(fact[0] != "rule" and builders(parse(fact[1])) == asked for fact in stated):
            return [Fault("leaked", question.id, f"an example combines {asked}")]
    return []


def plain(text: str) -> str:
    """Letters and marks of terms only: capitals and stops do not tell sentences apart."""
    return " ".join(re.findall(r"[a-z0-9]+|[-+*@^()=]", text.lower()))


def mirrored(fact: Fact, world: World) -> list[Fact]:
    """The same said the other way round, where a world has right options of both kinds."""
    return [(fact[0], fact[2], fact[1])] if world.name == "syllogisms" and fact[0] != "all" else []


# What a model says of a world


@dataclass(frozen=True)
class Judge:
    """Judges sentences on a world. As people do, it takes "all" to say "some"."""

    reader: Reader
    truths: Container[Fact]

    def judge(self, text: str) -> list[tuple[str, Verdict]]:
        out: list[tuple[str, Verdict]] = []
        for sentence, facts in self.reader.read(text):
            out.append((sentence, "unread" if not facts else "true" if self.all_true(facts) else "false"))
        return out

    def all_true(self, facts: list[Fact]) -> bool:
        return all(fact in self.truths for fact in facts)


@lru_cache(maxsize=8)
def make_judge(world: World) -> Judge:
    reader = make_reader(world)
    stated = {fact for document in world.documents for fact in reader.facts(document.text)}
    close = partial(close_quantified, there_are_some=True) if world.name == "syllogisms" else CLOSE[world.name]
    return Judge(make_reader(world, of_model=True), close(stated))


def judge(world: World, text: str) -> list[tuple[str, Verdict]]:
    """Each sentence of the text with whether what it states follows from the world's documents; "unread" is what states
    nothing that could be read."""
    return make_judge(world).judge(text)


def recall(world: World, text: str) -> float:
    """The share of what the questions ask for (rephrasings apart) that the text states, in any wording."""
    stated = set(make_judge(world).reader.facts(text))
    asked = {question.fact for question in world.questions if question.split != "rephrasing"}
    return sum(bool(stated & {fact, *mirrored(fact, world)}) for fact in asked) / len(asked) if asked else 0.0
