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
from fewfit.errors import UserError
from fewfit.judges import Answered, Comparer, Judge, Question, noise, tally
from fewfit.judges.rules import RulesJudge
from fewfit.judges.win_rate import win_rates
from fewfit.models.lent import as_it_was, put_adapter_on, take_adapter_off
from fewfit.prompts import Prompter
from fewfit.suites.instruct import saving, studies, tuning
from fewfit.suites.instruct.agreement import figure
from fewfit.suites.instruct.answering import answers
from fewfit.suites.instruct.conditions import condition
from fewfit.suites.instruct.examples import Material, prompter
from fewfit.suites.instruct.questions import QuestionSet
from fewfit.suites.instruct.studies import Cell
from fewfit.suites.instruct.subject import Asked, Subject
from fewfit.suites.results import ROWS, Results, held, machine
from fewfit.writing import Decoding, LocalWriter, Writer

KEY = (
    "model", "digest", "dtype", "chat", "study", "condition", "seed", "questions", "number", "judge", "temperature",
    "top_p", "repetition_penalty", "max_new_tokens", "lr", "material",
)  # fmt: skip
DIVERGENCE, BASE = "divergence", "base"
Z = 1.96
DIVERGING = 16  # conversations
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    rows: list[dict[str, Any]]
    left_out: list[dict[str, str]]  # {"condition", "why"}
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
        self.sets, self.judges, self.folder, self.tell = sets, judges, folder, tell
        self.results = Results(folder / ROWS, KEY)
        self._base: list[Any] | None = None

    def outcome(self) -> Outcome:
        rows: list[dict[str, Any]] = []
        left_out: dict[str, str] = {}
        every = [
            cell
            for study in self.asked.studies
            for cell in studies.cells(study, self.asked.conditions, self.asked.sampling, self.asked.seeds)
        ]
        for number, cell in enumerate(every, start=1):
            name = f"{cell.study}: {cell.condition.name}, seed {cell.seed} ({number} of {len(every)})"
            if why := self.refusal(cell):
                if cell.condition.name not in left_out:
                    self.tell(f"{cell.condition.name} is left out: {why}")
                left_out[cell.condition.name] = why
                continue
            rows += self.diverging(cell, name) if cell.study == DIVERGENCE else self.asking(cell, name)
        return Outcome(rows, [{"condition": one, "why": why} for one, why in left_out.items()])

    def refusal(self, cell: Cell) -> str:
        if self.subject.loaded is None and (cell.condition.weights or cell.study == DIVERGENCE):
            return "a model behind an endpoint is not tuned, nor does it tell its probabilities"
        if cell.condition.tag and self.subject.chat:
            return "chat templates have no line between conversations"
        return self.material.refuse(cell.condition) or self.too_long(cell)

    def too_long(self, cell: Cell) -> str:
        """Examples that do not fit would be left out, and the condition would not be what its name says."""
        writer = self.subject.writer
        if writer.limit is None or cell.study == DIVERGENCE:
            return ""
        asking = self.prompter(cell)
        needed = max(
            writer.count(asking.asked((), "\n".join(one.turns))) + len(one.turns) * self.asked.max_new_tokens
            for some in self.sets
            for one in within(writer, asking, some.questions, self.asked.max_new_tokens)
        )
        return f"prompt and answers take {needed} tokens and the model {writer.limit}" if needed > writer.limit else ""

    # ---- one cell ----------------------------------------------------------------------------------------------------

    def asking(self, cell: Cell, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for one in self.sets:
            judging = {judge.name: partial(self.judged, judge=judge) for judge in self.judges.get(one.name, ())}
            if cell.condition.name != BASE:
                judging |= {f"win-rate:{by.name}": partial(self.preferred, comparer=by) for by in self.comparers}
            there = {judge: self.results.of(self.key(cell, one.name, judge)) for judge in judging}
            found += [row for rows in there.values() for row in rows]
            if all(there.values()):
                continue
            self.tell(f"{name}: {one.name}")
            began = time.monotonic()
            answered = self.answered(cell, one)
            seconds = round(time.monotonic() - began, 1)
            for judge, rows_of in judging.items():
                if there[judge]:
                    continue
                some = rows_of(cell, one, answered)
                usual = {"splits": len(some), "seconds": seconds, "machine": machine()}
                made = [self.key(cell, one.name, judge) | row | usual for row in some]
                self.results.add(made)
                found += made
                scores = ", ".join(f"turn {row['turn']} {100 * row['score']:.0f}" for row in made if row["n"])
                self.tell(f"{name}: {one.name} by {judge}: {scores or 'nothing could be judged'}")
        return found

    def answered(self, cell: Cell, one: QuestionSet) -> list[Answered]:
        asking = self.prompter(cell)
        decoding = Decoding(self.asked.max_new_tokens, **asdict(cell.sampling), seed=cell.seed)
        parts = (self.subject.name, self.subject.digest, self.subject.dtype, self.shown(asking), one.name)
        trained = self.adapter(cell)
        by = "/".join((*parts, str(asdict(decoding)), trained.name if trained else ""))
        path = self.folder / "answers" / f"{hashlib.sha256(by.encode()).hexdigest()[:24]}.jsonl"
        questions = within(self.subject.writer, asking, one.questions, self.asked.max_new_tokens)
        with self.weights(trained):
            return answers(self.subject.writer, asking, decoding, questions, path, cell.condition.name)

    def judged(
        self, cell: Cell, one: QuestionSet, answered: Sequence[Answered], *, judge: Judge
    ) -> list[dict[str, Any]]:
        """By turn. `length` is the correlation of score and length, over all turns."""
        verdicts = judge.judge(answered)
        length = noise.length_correlation(answered, verdicts)
        lengths = [[len(text.split()) for text in some.answers] for some in answered]
        return [
            {
                "turn": told.turn,
                "score": 0.0 if told.score is None else round(told.score, 4),
                "stderr": 0.0 if told.stderr is None else round(told.stderr, 4),
                "n": told.n,
                "unread": told.unread,
                "scores": [some[turn].score if len(some) > turn else None for some in verdicts],
                "words": mean([some[turn] for some in lengths if len(some) > turn]),
                "length": figure(length),
            }
            for turn, told in enumerate(tally(verdicts)[:-1])
        ]

    def preferred(
        self, cell: Cell, one: QuestionSet, answered: Sequence[Answered], *, comparer: Comparer
    ) -> list[dict[str, Any]]:
        """Length-controlled win rates over the answers of `base`, of 1, by turn."""
        same = Cell(cell.study, condition(BASE), cell.sampling, cell.seed if cell.sampling.temperature else 0)
        others = self.answered(same, one)
        verdicts = comparer.compare(answered, others)
        place = noise.position(verdicts)
        usual = {"turned": figure(place.turned), "first": figure(place.first)}
        rows = []
        for turn, rate in enumerate(win_rates(verdicts, answered, others)):
            scores = [some[turn].score if len(some) > turn else None for some in verdicts]
            row = {"turn": turn + 1, "scores": scores, **usual}
            if rate is None:
                rows.append(row | {"score": 0.0, "stderr": 0.0, "n": 0, "unread": sum(len(v) > turn for v in verdicts)})
                continue
            low, high = (end / 100 for end in rate.interval)
            rows.append(
                row
                | {
                    "score": round(rate.rate / 100, 4),
                    "stderr": round((high - low) / (2 * Z), 4),
                    "n": rate.n,
                    "unread": rate.unread,
                    "interval": [round(low, 4), round(high, 4)],
                    "raw": round(rate.raw / 100, 4),
                }
            )
        return rows

    def diverging(self, cell: Cell, name: str) -> list[dict[str, Any]]:
        """Of the next token, from the model as it came, on examples that no condition was shown or trained on."""
        from fewfit.suites.instruct.divergence import distributions, divergence

        key = self.key(cell, "examples", DIVERGENCE)
        if there := self.results.of(key):
            return there
        assert self.subject.loaded is not None
        loaded = self.subject.loaded
        some = self.material.order(cell.seed)[::-1][:DIVERGING]
        most = max((studies.condition(one).needs_pool for one in studies.DIVERGING), default=0)
        if len(self.material.pool) < most + DIVERGING:
            raise UserError(
                f"{len(self.material.pool)} examples", hint=f"the study of divergence takes {most + DIVERGING}"
            )
        self.tell(name)
        began = time.monotonic()
        base = prompter(self.material, condition(BASE), cell.seed, self.subject.chat)
        with as_it_was(loaded.model):
            first = distributions(loaded.model, loaded.tokenizer, base, some)
        trained = self.adapter(cell)
        with self.weights(trained):
            second = distributions(loaded.model, loaded.tokenizer, self.prompter(cell), some)
        by_answer = divergence(first, second)
        longest = max(map(len, by_answer))
        by_token = [mean([one[k] for one in by_answer if len(one) > k], 4) for k in range(longest)]
        means = [sum(one) / len(one) for one in by_answer]
        centre = mean(means, 4)
        spread = (sum((one - centre) ** 2 for one in means) / max(1, len(means) - 1)) ** 0.5 / len(means) ** 0.5
        row = key | {
            "turn": 1, "score": centre, "stderr": round(spread, 4), "n": len(means), "unread": 0, "splits": 1,
            "scores": [round(one, 4) for one in means], "by_token": by_token,
            "seconds": round(time.monotonic() - began, 1), "machine": machine(),
        }  # fmt: skip
        self.results.add([row])
        self.tell(f"{name}: {centre:.2f} nats a token, {by_token[0]:.2f} at the first")
        return [row]

    def save(self, rows: Sequence[Mapping[str, Any]], folder: Path) -> Bundle:
        if self.subject.loaded is None:
            raise UserError(
                "--save with a model behind an endpoint", hint="what is served there cannot be put in a bundle"
            )
        row = saving.best([row for row in rows if row["study"] != DIVERGENCE])
        one = condition(row["condition"])
        cell = Cell(row["study"], one, self.asked.sampling, row["seed"])
        return saving.save(row, self.subject.loaded, self.material, self.adapter(cell), folder)

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
        loaded, lr, chat = self.subject.loaded, self.asked.lr, self.subject.chat
        some = self.material.order(cell.seed)[: weights.learnt]
        folder = self.folder / "weights" / tuning.adapter_name(loaded, weights, cell.seed, some, lr, chat)
        frame = None if chat else self.material.urial.frame
        return tuning.train(loaded, some, weights, cell.seed, folder, frame=frame, lr=lr, tell=self.tell)

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
        return {
            "model": self.asked.model,
            "digest": self.subject.digest,
            "dtype": self.subject.dtype,
            "chat": self.subject.chat,
            "study": cell.study,
            "condition": cell.condition.name,
            "seed": cell.seed,
            "questions": questions,
            "number": self.asked.number,
            "judge": judge,
            **asdict(cell.sampling),
            "max_new_tokens": self.asked.max_new_tokens,
            "lr": self.asked.lr if cell.condition.weights else 0,
            "material": digest(str((self.shown(self.prompter(cell)), len(self.material.pool)))),
        }


def forget(writer: Writer) -> None:
    """What it has kept is of other weights."""
    if isinstance(writer, LocalWriter):
        writer.forget()


def within(writer: Writer, asking: Prompter, questions: Sequence[Question], tokens: int) -> list[Question]:
    """Those whose turns fit the context, with all answers as long as they may be and no example before them."""
    if writer.limit is None:
        return list(questions)
    bare = asking.last(0)
    return [
        one
        for one in questions
        if writer.count(bare.asked((), "\n".join(one.turns))) + len(one.turns) * tokens <= writer.limit
    ]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def mean(values: Sequence[float], digits: int = 1) -> float:
    return round(sum(values) / len(values), digits) if values else 0.0
