"""The whole suite: every condition asked every set of questions and judged, finished cells kept in a file."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from fewfit.bundle.record import Bundle
from fewfit.engine.rates import SHARE
from fewfit.errors import UserError
from fewfit.judges import Answered, Comparer, Judge, Question
from fewfit.judges.rules import RulesJudge
from fewfit.models.lent import as_it_was, put_adapter_on, take_adapter_off
from fewfit.models.remote.trouble import TOO_LONG
from fewfit.prompts import Conversation, Prompter, Turn
from fewfit.suites.instruct import references, saving, studies, tuning
from fewfit.suites.instruct.agreement import WIN_RATE
from fewfit.suites.instruct.answering import answers
from fewfit.suites.instruct.conditions import Condition, condition
from fewfit.suites.instruct.examples import Material, drawn, prompter
from fewfit.suites.instruct.judging import judged, preferred
from fewfit.suites.instruct.questions import QuestionSet
from fewfit.suites.instruct.studies import READ, Cell
from fewfit.suites.instruct.subject import NOT_TUNED, Asked, Subject
from fewfit.suites.results import ROWS, Results, held, machine
from fewfit.writing import Decoding, LocalWriter, Writer

KEY = (
    "model", "digest", "dtype", "chat", "study", "condition", "seed", "questions", "judge", "temperature", "top_p",
    "repetition_penalty", "max_new_tokens", "lr", "material",
)  # fmt: skip
# `material` is a digest of all that has no column of its own: what stands before a query, what was trained on, the
# questions with their checks, who judges by which prompts.
DIVERGENCE, BASE = "divergence", "base"
TEMPLATE = "chat-template"  # the code of an error: it refuses some turns
DIVERGING, DIVERGING_TOKENS = 16, 64  # conversations, and of each answer
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    rows: list[dict[str, Any]]
    left_out: list[dict[str, str]]  # {"study", "condition", "why"}
    saved: Bundle | None = None


def run(
    asked: Asked,
    subject: Subject,
    material: Material,
    sets: Sequence[QuestionSet],
    judges: Mapping[str, Sequence[Judge]],
    folder: Path,
    tell: Tell = lambda what: None,
    comparers: Sequence[Comparer] = (),
    save: Path | None = None,
) -> Outcome:
    """`judges` by set; `comparers` tell how often answers are preferred to those of `base`. The rows of every cell that
    was asked for, those that were there already among them. `save`: where the best goes, as a bundle."""
    if save is not None:
        saving.refuse(save, subject.loaded)
    with held(folder):
        made = Run(asked, subject, material, sets, judges, folder, tell, comparers)
        outcome = made.outcome()
        return outcome if save is None else replace(outcome, saved=made.save(outcome.rows, save))


def usual_judges(one: QuestionSet) -> list[Judge]:
    """Share of checks that hold, strictly and by the published loose variants."""
    return [RulesJudge("rules"), RulesJudge("rules-loose", strict=False)] if one.has_checks else []


class Run:
    def __init__(
        self,
        asked: Asked,
        subject: Subject,
        material: Material,
        sets: Sequence[QuestionSet],
        judges: Mapping[str, Sequence[Judge]],
        folder: Path,
        tell: Tell,
        comparers: Sequence[Comparer] = (),
    ):
        self.comparers = comparers
        self.asked, self.subject, self.material = asked, subject, material
        self.judges, self.folder, self.tell = judges, folder, tell
        self.results = Results(folder / ROWS, KEY)
        self.cells = [
            cell
            for study in asked.studies
            for cell in studies.cells(study, asked.conditions, asked.sampling, asked.seeds)
        ]
        self.sets = [self.within(one) for one in sets]

    def within(self, one: QuestionSet) -> QuestionSet:
        """The same questions for all conditions: those that fit the context with all answers as long as they may be,
        behind any condition's rules and no example."""
        some = (self.prompter(cell) for cell in self.cells if not self.material.refuse(cell.condition))
        bare = {str(asking.asked((), "")): asking for one in some for asking in [one.last(0)]}
        kept = tuple(
            question
            for question in one.questions
            if all(fits(self.subject.writer, asking, question, self.asked.max_new_tokens) for asking in bare.values())
        )
        if gone := len(one.questions) - len(kept):
            self.tell(f"{one.name}: {gone} of {len(one.questions)} questions do not fit the model's context")
        return replace(one, questions=kept)

    def outcome(self) -> Outcome:
        rows: list[dict[str, Any]] = []
        left_out: dict[tuple[str, str], str] = {}
        every = self.cells
        for number, cell in enumerate(every, start=1):
            name = f"{cell.study}: {cell.condition.name}, seed {cell.seed} ({number} of {len(every)})"
            why = self.refusal(cell)
            try:
                if not why:
                    for some in self.reading(cell, name) if cell.study in READ else self.asking(cell, name):
                        rows += some
            except (tuning.Diverged, UserError) as error:
                if isinstance(error, UserError) and error.code != TOO_LONG:
                    raise
                why = str(error)
            place = (cell.study, cell.condition.name)
            if why and left_out.get(place) != why:
                self.tell(f"{cell.study}: {cell.condition.name} is left out: {why}")
                left_out[place] = why
        told = [{"study": study, "condition": one, "why": why} for (study, one), why in left_out.items()]
        return Outcome(rows, told)

    def refusal(self, cell: Cell) -> str:
        if self.subject.loaded is None and (cell.condition.weights or cell.study in READ):
            return NOT_TUNED
        if cell.condition.tag and self.subject.chat:
            return "chat templates have no line between conversations"
        why = self.material.refuse(cell.condition)
        if not why and cell.condition.weights and self.subject.loaded:
            why = tuning.refuse(self.subject.loaded, self.learnt(cell), cell.condition.weights)
        if not why and cell.study == DIVERGENCE and len(self.held_out(cell)) < DIVERGING:
            needed = self.seen() + DIVERGING
            why = f"divergence takes {needed} examples and there are {len(self.material.pool)} (--demonstrations)"
        try:
            return why or self.too_long(cell)
        except UserError as error:
            if error.code != TEMPLATE:
                raise
            return str(error)

    def too_long(self, cell: Cell) -> str:
        """Examples that do not fit would be left out, and the condition would not be what its name says."""
        writer, asking = self.subject.writer, self.prompter(cell)
        if cell.study == DIVERGENCE:
            query = max((one.turns[0].query for one in self.held_out(cell)), key=len)
            needed = writer.count(asking.asked((), query)) + DIVERGING_TOKENS
        elif cell.study in READ:
            one = references.longest(self.material.references)
            needed = writer.count(asking.asked(one.history, one.query)) + writer.count(one.answer)
        else:
            each = [
                needs(writer, asking, one, self.asked.max_new_tokens) for some in self.sets for one in some.questions
            ]
            needed = max(each, default=0)
        fit = writer.limit is None or needed <= writer.limit
        return "" if fit else f"prompt and answers take {needed} tokens and the model {writer.limit}"

    # ---- one cell ----------------------------------------------------------------------------------------------------

    def asking(self, cell: Cell, name: str) -> Iterator[list[dict[str, Any]]]:
        """Rows of a set of questions after the other: one that turns out to be too long leaves those before it."""
        for one in self.sets:
            judging = {judge.name: partial(judged, judge=judge) for judge in self.judges.get(one.name, ())}
            if cell.condition.name != BASE and all(len(question.turns) <= 2 for question in one.questions):
                judging |= {f"{WIN_RATE}{by.name}": partial(self.over_base, cell, one, by) for by in self.comparers}
            there = {judge: self.results.of(self.key(cell, one.name, judge)) for judge in judging}
            yield [row for rows in there.values() for row in rows]
            if all(there.values()):
                continue
            self.tell(f"{name}: {one.name}")
            began = time.monotonic()
            answered = self.answered(cell, one)
            seconds = round(time.monotonic() - began, 1)
            for judge, rows_of in judging.items():
                if there[judge]:
                    continue
                some = rows_of(answered)
                usual = {"splits": len(some), "seconds": seconds, "machine": machine()}
                made = [self.key(cell, one.name, judge) | row | usual for row in some]
                self.results.add(made)
                yield made
                scores = ", ".join(f"turn {row['turn']} {100 * row['score']:.0f}" for row in made if row["n"])
                self.tell(f"{name}: {one.name} by {judge}: {scores or 'nothing could be judged'}")

    def answered(self, cell: Cell, one: QuestionSet) -> list[Answered]:
        asking = self.prompter(cell)
        decoding = Decoding(self.asked.max_new_tokens, **asdict(cell.sampling), seed=cell.seed)
        parts = (self.subject.name, self.subject.digest, self.subject.dtype, self.shown(asking), one.name)
        trained = self.adapter(cell)
        by = "/".join((*parts, str(asdict(decoding)), trained.name if trained else ""))
        path = self.folder / "answers" / f"{hashlib.sha256(by.encode()).hexdigest()[:24]}.jsonl"
        with self.weights(trained):
            return answers(self.subject.writer, asking, decoding, one.questions, path, by)

    def over_base(
        self, cell: Cell, one: QuestionSet, comparer: Comparer, answered: Sequence[Answered]
    ) -> list[dict[str, Any]]:
        same = Cell(cell.study, condition(BASE), cell.sampling, cell.seed if cell.sampling.temperature else 0)
        return preferred(answered, self.answered(same, one), comparer)

    def reading(self, cell: Cell, name: str) -> Iterator[list[dict[str, Any]]]:
        """Nothing is written: what the model makes of answers that are there."""
        diverges = cell.study == DIVERGENCE
        key = self.key(cell, *(("examples", DIVERGENCE) if diverges else (references.QUESTIONS, references.JUDGE)))
        if there := self.results.of(key):
            yield there
            return
        self.tell(name)
        began = time.monotonic()
        some = self.diverging(cell) if diverges else self.likely(cell)
        usual = {"splits": len(some), "seconds": round(time.monotonic() - began, 1), "machine": machine()}
        rows = [key | row | usual for row in some]
        self.results.add(rows)
        self.tell(f"{name}: " + ", ".join(f"turn {row['turn']} {row['score']:.3f} nats a token" for row in rows))
        yield rows

    def diverging(self, cell: Cell) -> list[dict[str, Any]]:
        """Of the next token, from the model as it came, on examples that no condition was shown or trained on."""
        from fewfit.suites.instruct.divergence import distributions, row

        loaded, some = self.subject.loaded, self.held_out(cell)
        assert loaded is not None
        base = prompter(self.material, condition(BASE), cell.seed, self.subject.chat)
        with as_it_was(loaded.model):
            first = distributions(loaded.model, loaded.tokenizer, base, some, DIVERGING_TOKENS)
        trained = self.adapter(cell)
        with self.weights(trained):
            second = distributions(loaded.model, loaded.tokenizer, self.prompter(cell), some, DIVERGING_TOKENS)
        return [row(first, second)]

    def likely(self, cell: Cell) -> list[dict[str, Any]]:
        trained = self.adapter(cell)
        assert self.subject.loaded is not None and isinstance(self.subject.writer, LocalWriter)
        with as_it_was(self.subject.loaded.model), self.weights(trained):
            return references.rows(self.subject.writer, self.prompter(cell), self.material.references)

    def save(self, rows: Sequence[Mapping[str, Any]], folder: Path) -> Bundle:
        assert self.subject.loaded is not None  # saving.refuse
        row = saving.best(rows)
        one = condition(row["condition"])
        cell = Cell(row["study"], one, self.asked.sampling, row["seed"])
        probe = self.subject.writer.ids(self.prompter(cell).asked((), saving.PROBE))  # type: ignore[attr-defined]
        return saving.save(row, self.subject.loaded, self.material, self.adapter(cell), folder, probe)

    def held_out(self, cell: Cell) -> list[Conversation]:
        """Examples that no condition of this study was shown or trained on."""
        shown = {told.id for one in self.of_divergence() for told in drawn(self.material, one, cell.seed)}
        return [one for one in self.material.order(cell.seed)[self.seen() :] if one.id not in shown][:DIVERGING]

    def seen(self) -> int:
        """How many examples some condition of the study of divergence takes."""
        return max((one.needs_pool for one in self.of_divergence()), default=0)

    def of_divergence(self) -> set[Condition]:
        some = {one.condition for one in self.cells if one.study == DIVERGENCE}
        return {one for one in some if not self.material.refuse(one)}

    # ---- its parts ---------------------------------------------------------------------------------------------------

    def prompter(self, cell: Cell) -> Prompter:
        return prompter(self.material, cell.condition, cell.seed, self.subject.chat)

    def shown(self, asking: Prompter) -> str:
        """Whatever stands before a query, as one text."""
        return digest(str(asking.asked((), "?")))

    def adapter(self, cell: Cell) -> Path | None:
        """Where the condition's weights are, trained if they are not there."""
        weights = cell.condition.weights
        if weights is None:
            return None
        assert self.subject.loaded is not None
        loaded, lr, some = self.subject.loaded, self.asked.lr, self.learnt(cell)
        frame = None if self.subject.chat else self.material.urial.frame
        folder = self.folder / "weights" / tuning.adapter_name(loaded, weights, cell.seed, some, lr, frame)
        return tuning.train(loaded, some, weights, cell.seed, folder, frame=frame, lr=lr, tell=self.tell)

    def learnt(self, cell: Cell) -> list[Conversation]:
        return self.material.order(cell.seed)[: cell.condition.weights.learnt if cell.condition.weights else 0]

    @contextmanager
    def weights(self, trained: Path | None) -> Iterator[None]:
        if trained is None or self.subject.loaded is None:
            yield
            return
        model, writer = self.subject.loaded.model, self.subject.writer
        with as_it_was(model):
            peft = put_adapter_on(model, trained)
            forget(writer)
            try:
                yield
            finally:
                take_adapter_off(model, peft)
                forget(writer)

    def key(self, cell: Cell, questions: str, judge: str) -> dict[str, Any]:
        asked: Sequence[Any] = next((one.questions for one in self.sets if one.name == questions), ())
        if cell.study in READ:
            asked = self.held_out(cell) if cell.study == DIVERGENCE else self.material.references
        frame = None if self.subject.chat else self.material.urial.frame
        judging: list[Judge | Comparer] = [*self.judges.get(questions, ()), *self.comparers]
        by = next((key_of(one) for one in judging if judge.endswith(one.name)), "")
        trained = (SHARE,) if cell.condition.weights else ()
        whole = (self.shown(self.prompter(cell)), self.learnt(cell), asked, frame, by, *trained)
        return {
            "model": self.asked.model,
            "digest": self.subject.digest,
            "dtype": self.subject.dtype,
            "chat": self.subject.chat,
            "study": cell.study,
            "condition": cell.condition.name,
            "seed": cell.seed,
            "questions": questions,
            "number": len(asked),
            "judge": judge,
            **asdict(cell.sampling),
            "max_new_tokens": 0 if cell.study == DIVERGENCE else self.asked.max_new_tokens,
            "lr": self.asked.lr if cell.condition.weights else 0,
            "material": digest(repr(whole)),
        }


def key_of(judge: Judge | Comparer) -> str:
    """What its verdicts hang on beside the answers."""
    return str(getattr(judge, "key", judge.name))


def needs(writer: Writer, asking: Prompter, one: Question, tokens: int) -> int:
    """Tokens of the whole conversation, with all answers as long as they may be."""
    said = [Turn(query, "") for query in one.turns[:-1]]
    return writer.count(asking.asked(said, one.turns[-1])) + len(one.turns) * tokens


def fits(writer: Writer, asking: Prompter, one: Question, tokens: int) -> bool:
    try:
        return writer.limit is None or needs(writer, asking, one, tokens) <= writer.limit
    except UserError as error:
        if error.code != TEMPLATE:
            raise
        return True  # whatever the template refuses is left out as a condition


def forget(writer: Writer) -> None:
    """What it has kept is of other weights."""
    if isinstance(writer, LocalWriter):
        writer.forget()


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
