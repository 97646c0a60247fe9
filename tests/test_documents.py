"""Runs on documents: what lanes read, what they are asked, how they are chosen among, stopped and gone on with."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

import fewfit
from fewfit.engine.learner import Track
from fewfit.engine.lessons import Course, part_that_fits
from fewfit.engine.source import Inferred
from fewfit.engine.stack import StackLearner
from fewfit.errors import Interrupted, UserError
from fewfit.examples.example import Example
from fewfit.grid import Lane
from fewfit.metrics import metric
from fewfit.models.local import Loaded
from fewfit.predictions import read
from fewfit.render import Renderer
from fewfit.run import documents as on_documents
from fewfit.run.reading import Reading, lanes_on_documents
from fewfit.select import select
from fewfit.settings import Settings
from tests.folders_made import byte_tokenizer

PLACES = ("north", "south", "east", "west")
FACTS = [(name, PLACES[k % 4]) for k, name in enumerate(("abi", "bok", "cud", "dem", "efa", "fis", "gom", "hul"))]
DOCUMENTS = [{"id": name, "text": f"{name} lives {place}."} for name, place in FACTS]
PROBE = [
    {"prompt": f"{name} lives", "completion": f"{place}.", "choices": [f"{one}." for one in PLACES]}
    for name, place in FACTS
]
ASKED: dict[str, Any] = {"lr": 1e-2, "updates": 25, "batch": 2, "tune": None}


@pytest.fixture
def documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("probe.jsonl").write_text("".join(json.dumps(row) + "\n" for row in PROBE))
    path = tmp_path / "documents.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in DOCUMENTS))
    return path


def fit(documents: Path, loaded: Loaded, **wanted: Any) -> fewfit.Run:
    pair = (loaded.model, loaded.tokenizer)
    return fewfit.fit(documents, pair, **{"probe": "probe.jsonl", "out": "run", **ASKED, **wanted})


def rows_of(lane: str) -> list[dict[str, Any]]:
    return [row for row in read("run") if row["lane"] == lane]


# ---- start to finish -------------------------------------------------------------------------------------------------


def test_what_is_trained_on_is_known_and_what_answers_is_what_was_tested(documents: Path, loaded: Loaded) -> None:
    """A random model knows nothing, in whose prompt whatever stands; trained on the documents it does."""
    run = fit(documents, loaded)
    lanes = {lane["name"]: lane for lane in run.lanes}
    assert list(lanes) == ["zero-shot", "icl-8", "ft-lr1e-2-u25-b2", "icl1+ft-lr1e-2-u25-use8-fixed"]
    assert run.best == "ft-lr1e-2-u25-b2" and lanes[run.best]["prequential"] > 0.8
    assert lanes["zero-shot"]["prequential"] < 0.6
    answers = run.bundle.predict([{"prompt": row["prompt"], "choices": row["choices"]} for row in PROBE])
    tested = rows_of(run.best)
    assert [row["prediction"] for row in answers] == [row["prediction"] for row in tested]
    for served, row in zip(answers, tested, strict=True):
        assert served["probs"] == pytest.approx(row["probs"], abs=1e-4)
    assert [row["demos"] for row in rows_of("icl-8")] == [[name for name, _ in FACTS]] * 8
    seen = Counter(
        id
        for line in Path("run/trained.jsonl").read_text().splitlines()
        if (row := json.loads(line))["lane"] == run.best
        for id in row["ids"]
    )
    assert seen == Counter({name: 25 for name, _ in FACTS})


def test_the_bundle_holds_the_documents_that_stood_in_the_prompt(documents: Path, loaded: Loaded) -> None:
    run = fit(documents, loaded, methods="icl", shots=3)
    bundle = run.bundle.bundle
    shown = [one.id for one in bundle.sets[0]]
    assert len(shown) == 3 and shown == sorted(shown) and all(one.is_document for one in bundle.sets[0])
    assert [row["prediction"] for row in run.bundle.predict([{**row} for row in PROBE])] == [
        row["prediction"] for row in rows_of("icl-3")
    ]


def test_what_does_not_fit_is_a_part_drawn_by_hash() -> None:
    """The same part for every question. Break seen to fail: the length of the question not counted."""
    documents = [Example(str(k), "", f"number {k} lives here or there.") for k in range(60)]
    question = Example("q", "so where does number seven live today? " * 3, "here.")
    made = Renderer.resolve(byte_tokenizer(), [question, *documents], max_length=500)
    some = part_that_fits(made, documents, [question], 0)
    assert 5 < len(some) < 20
    assert made.prompt(some, question).demos == tuple(one.id for one in some)
    numbers = [int(one.id) for one in some]
    assert numbers == sorted(numbers) and numbers != list(range(numbers[0], numbers[0] + len(numbers)))
    assert part_that_fits(made, documents, [question], 1) != some


def test_free_text_is_written(documents: Path, loaded: Loaded) -> None:
    run = fit(documents, loaded, methods="ft", metric="match", choices="none")
    row = rows_of(run.best)[0]
    assert row["probs"] is None and row["score"] == float(row["prediction"] == row["gold"])
    assert run.lanes[0]["prequential"] > 0.8


class Stop(Exception):
    pass


class StopsAt:
    """A watch that ends the run when it hears of some phase: by a signal, or from within."""

    def __init__(self, phase: str, how: str) -> None:
        self.wanted, self.how = phase, how

    def begin(self, info: Any) -> None: ...

    def phase(self, text: str) -> None:
        if text != self.wanted:
            return
        if self.how == "error":
            raise Stop
        os.kill(os.getpid(), signal.SIGTERM)

    def row(self, lane: str, seed: int, row: dict[str, Any], done_share: float) -> None: ...

    def lane(self, lane: str, seed: int, status: str) -> None: ...

    def end(self, result: Any) -> None: ...


@pytest.mark.parametrize(
    ("phase", "how"),
    [
        ("ft-lr1e-2-u6-b2: step 11 of 24", "signal"),
        ("ft-lr1e-2-u6-b2: step 11 of 24", "error"),
        ("ft-lr1e-2-u6-b2: asking", "signal"),
        ("icl-8: asking", "error"),
        ("choosing", "error"),
    ],
)
def test_stopped_it_goes_on_to_the_same_end(
    documents: Path, loaded: Loaded, monkeypatch: pytest.MonkeyPatch, phase: str, how: str
) -> None:
    """Break seen to fail: lessons from the first one on again."""
    monkeypatch.setattr(on_documents, "SAY_SECONDS", 0.0)
    few = {"updates": 6, "methods": ["icl", "ft"]}
    fit(documents, loaded, **few)
    whole = {name: Path("run", name).read_bytes() for name in ("predictions.jsonl", "trained.jsonl")}
    Path("run").rename("whole")
    with pytest.raises(Stop if how == "error" else Interrupted):
        fit(documents, loaded, watch=StopsAt(phase, how), **few)
    fewfit.resume("run", model=(loaded.model, loaded.tokenizer))
    assert {name: Path("run", name).read_bytes() for name in whole} == whole


FEW: dict[str, Any] = {"updates": 6, "methods": ["icl", "ft"]}


def test_after_a_death_layers_are_run_again(documents: Path, loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which changes no number. Break seen to fail: the same step made as it was, which would die again."""
    fit(documents, loaded, **FEW)
    whole = {name: Path("run", name).read_bytes() for name in ("predictions.jsonl", "trained.jsonl")}
    Path("run").rename("whole")
    with pytest.raises(Stop):
        fit(documents, loaded, watch=StopsAt("ft-lr1e-2-u6-b2: step 1 of 24", "error"), **FEW)
    record = json.loads(Path("run/run.json").read_text())
    record["sittings"][-1]["ended"] = None  # as `kill -9` leaves it
    Path("run/run.json").write_text(json.dumps(record))
    spared = spared_learners(monkeypatch)
    fewfit.resume("run", model=(loaded.model, loaded.tokenizer))
    assert spared == [True]
    assert {name: Path("run", name).read_bytes() for name in whole} == whole


def test_an_update_that_exhausts_the_memory_is_made_once_more(
    documents: Path, loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With layers run again, from then on. Break seen to fail: the run at its end."""
    spared = spared_learners(monkeypatch)
    inner = StackLearner.update

    def update(self: StackLearner, rows: Any) -> list[bool]:
        if not spared:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return inner(self, rows)

    monkeypatch.setattr(on_documents, "size_update", lambda *of: None)
    monkeypatch.setattr(StackLearner, "update", update)
    assert fit(documents, loaded, **{**FEW, "methods": ["ft"]}).best
    assert spared == [True]


def test_an_update_is_measured_before_it_is_made(
    documents: Path, loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a batch, as long as it may become, and what is said is kept. Break seen to fail: not measured."""
    asked: list[list[int]] = []

    def size_update(learner: Any, model: Any, lane: Lane, rows: Any) -> str:
        asked.append([len(row.ids) for row in rows])
        return "little memory"

    monkeypatch.setattr(on_documents, "size_update", size_update)
    fit(documents, loaded, **{**FEW, "methods": ["ft"]})
    longest = max(len(renderer().documents(Example(row["id"], "", row["text"])).ids) for row in DOCUMENTS)
    assert asked == [[longest] * 2]
    assert json.loads(Path("run/run.json").read_text())["sittings"][-1]["told"] == ["little memory"]


def spared_learners(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What learners answered that were to use less memory."""
    answered: list[bool] = []
    inner = StackLearner.enable_recompute

    def enable(self: StackLearner) -> bool:
        answered.append(inner(self))
        return answered[-1]

    monkeypatch.setattr(StackLearner, "enable_recompute", enable)
    return answered


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"probe": None}, "--probe"),
        ({"probe": "documents.jsonl"}, "--probe holds documents"),
        ({"race": True}, "--race with documents"),
        ({"methods": ["icl", "fine-tuning"]}, "unknown method 'fine-tuning'"),
        ({"shots": "4,x"}, "shots"),
        ({"concurrency": 3}, "--concurrency without --base-url"),
        ({"demonstrations": "similar"}, "--demonstrations with documents"),
        ({"tune": "full"}, "tunes all weights"),
        ({"lr": None, "updates": None, "batch": None, "grid": [Lane(shots=3, deliver="per-query")]}, "same documents"),
        ({"final": "refit"}, "--final refit with documents"),
        ({"preset": "thorough"}, "--preset thorough with documents"),
        ({"chat": "on"}, "documents are no turns"),
    ],
)
def test_what_means_nothing_here_is_refused(
    documents: Path, loaded: Loaded, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError) as error:
        fit(documents, loaded, **change)
    assert words in error.value.line()


def test_choices_and_labels_are_of_the_probe(documents: Path, loaded: Loaded) -> None:
    """Break seen to fail: documents are none of the choices."""
    answers = sorted({one["completion"] for one in map(json.loads, Path("probe.jsonl").read_text().splitlines())})
    grid = [Lane()]
    assert fit(documents, loaded, **dict.fromkeys(ASKED), grid=grid, choices=answers).best == "zero-shot"


def test_a_probe_needs_documents(documents: Path, loaded: Loaded) -> None:
    with pytest.raises(UserError, match="without documents"):
        fewfit.fit("probe.jsonl", (loaded.model, loaded.tokenizer), probe="probe.jsonl")


# ---- lanes and lessons -----------------------------------------------------------------------------------------------


def test_lanes_with_inferences_stand_beside_those_without() -> None:
    asked = Settings(model="lab", lr=[1e-3], augment=["local", "local+global"], shots=[100])
    names = lanes_on_documents(asked, 20, (None,)).names
    assert names == (
        "zero-shot",
        "icl-20",
        "ft-lr1e-3-u8-b8",
        "ft-lr1e-3-u8-local-b8",
        "ft-lr1e-3-u8-local+global-b8",
        "icl7+ft-lr1e-3-u8-use20-fixed",
        "icl7+ft-lr1e-3-u8-use20-fixed-local",
        "icl7+ft-lr1e-3-u8-use20-fixed-local+global",
    )


def renderer() -> Renderer:
    questions = [Example(str(k), row["prompt"], row["completion"]) for k, row in enumerate(PROBE)]
    texts = [Example(row["id"], "", row["text"]) for row in DOCUMENTS]
    return Renderer.resolve(byte_tokenizer(), [*questions, *texts])


def course(**lane: Any) -> Course:
    documents = tuple(Example(row["id"], "", row["text"]) for row in DOCUMENTS)
    wanted = Lane(**{"lr": 1e-3, "updates": 3, "batch": 2, **lane})
    return Course(Track(wanted.name, 0), wanted, documents)


@pytest.mark.parametrize("shots", [0, 3])
def test_lessons_see_each_document_as_often(shots: int) -> None:
    """And none twice before all others once. Break seen to fail: every round in the same order."""
    some = course(shots=shots, batch=2)
    ids = [id for lesson in some.lessons(renderer()) for id in lesson.ids]
    assert Counter(ids) == Counter({name: 3 for name, _ in FACTS})
    rounds = [ids[start : start + 8] for start in range(0, 24, 8)]
    assert all(len(set(one)) == 8 for one in rounds) and rounds[0] != rounds[1]


def test_documents_that_do_not_fit_together_stand_in_rows_of_their_own() -> None:
    """Break seen to fail: all that were drawn in one row."""
    documents = [Example(str(k), "", f"number {k} lives here or there.") for k in range(6)]
    made = Renderer.resolve(byte_tokenizer(), [Example("q", "number 3 lives", "here."), *documents], max_length=120)
    some = Course(Track("x", 0), Lane(shots=5, lr=1e-3, updates=2), tuple(documents))
    lessons = list(some.lessons(made))
    assert len(lessons) == 2 and all(1 < len(lesson.rows) < 6 for lesson in lessons)
    assert all(len(row.ids) <= 120 for lesson in lessons for row in lesson.rows)
    assert [sorted(lesson.ids) for lesson in lessons] == [[str(k) for k in range(6)]] * 2


def test_lessons_go_on_where_they_were() -> None:
    some = course()
    assert list(some.lessons(renderer(), 5)) == list(some.lessons(renderer()))[5:]


def test_all_of_a_document_is_answer_but_its_first_token() -> None:
    made = renderer().documents(Example("1", "", "abi lives north."), Example("2", "", "bok lives south."))
    (first, stop), (start, end) = made.spans
    assert (first, stop, end) == (1, start, len(made.ids))
    tokenizer = byte_tokenizer()
    assert tokenizer.decode(made.ids[start:end]) == "bok lives south.\n\n"


def test_what_stands_before_a_part_of_a_document_carries_no_loss() -> None:
    made = renderer().documents(Example("1.2", "abi lives north.", "So does dem."))
    tokenizer = byte_tokenizer()
    ((start, end),) = made.spans
    assert tokenizer.decode(made.ids[:start]) == "abi lives north."
    assert tokenizer.decode(made.ids[start:end]) == " So does dem.\n\n"


def test_inferences_are_learnt_from_the_start() -> None:
    """No question is trained on, so nothing has to wait."""
    documents = tuple(Example(row["id"], "", row["text"]) for row in DOCUMENTS)
    said = Inferred({"abi": [Example("abi/local/1", "", "North is where abi lives.")]})
    reading = Reading(documents, (), renderer(), metric("match"), {(): Inferred(), ("local",): said})
    lane = Lane(lr=1e-3, updates=1, augment=("local",))
    assert len(reading.course(Track("x", 0), lane).documents) == 9
    assert len(reading.course(Track("x", 0), Lane(lr=1e-3, updates=1)).documents) == 8


# ---- the choice ------------------------------------------------------------------------------------------------------


def predictions(right: dict[str, list[bool]], options: int = 2) -> list[dict[str, Any]]:
    rows = []
    for lane, hits in right.items():
        for i, hit in enumerate(hits, start=1):
            names = [f"a{i}", *(f"b{i}-{k}" for k in range(1, options))]
            sure = {name: (3.0 if hit else 1.0) if k == 0 else (1.0 if hit else 1.2) for k, name in enumerate(names)}
            rows.append(
                {
                    "lane": lane, "model": None, "seed": 0, "i": i, "id": str(i), "shots": 0, "demos": [], "nll": 1.0,
                    "tokens": 3, "prompt_tokens": 9, "score": float(hit), "correct": hit, "gold": names[0],
                    "prediction": names[0 if hit else 1], "cut": False, "probs": sure, "margin": 1.0,
                }
            )  # fmt: skip
    return rows


def test_all_questions_tell_and_the_order_says_nothing() -> None:
    """A lane that trains was at its end when the first question came. Break seen to fail: the last half alone."""
    lanes = [Lane(), Lane(lr=1e-3, updates=8)]
    early = {lanes[0].name: [False] * 40, lanes[1].name: [True] * 20 + [False] * 20}
    late = {name: hits[::-1] for name, hits in early.items()}
    found = [select(predictions(hits, 4), lanes, metric="choice", flat=True) for hits in (early, late)]
    for one in found:
        assert one.lane(lanes[1].name).prequential == 0.5
        assert one.best.name == lanes[1].name and one.best.score == pytest.approx(0.5, abs=0.02)
        assert not one.best.rising and not any("order" in warning for warning in one.warnings)
    assert found[0].best.score == pytest.approx(found[1].best.score, abs=0.03)


def test_where_questions_have_options_of_their_own_the_rival_is_a_guess() -> None:
    """Break seen to fail: the commonest of the right answers, each of which is right once."""
    lanes = [Lane(), Lane(lr=1e-3, updates=8)]
    hits = [k % 4 == 0 for k in range(40)]
    found = select(predictions({lane.name: hits for lane in lanes}, options=4), lanes, metric="choice", flat=True)
    assert found.majority is not None and (found.majority.answer, found.majority.share) == (None, 0.25)
    assert found.nothing_learnt and "guessing among the options, which scores 25 of 100" in found.verdict
    assert "40 questions" in found.verdict
