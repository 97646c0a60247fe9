"""How a bundle comes by the demonstrations of a query: one of many draws, one set, or several whose answers are
averaged; and that the stream's score is that of the policy."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from bundles_made import COLOURS, LETTERS, LORA, Made, free, labelled, made, queries
from folders_made import model_folder

import fewfit
from fewfit import bundle
from fewfit.audit import audit
from fewfit.demonstrations import CHOOSERS, Moment
from fewfit.demonstrations.delivery import SETS, drawn_sets, first_of, likeliest, sets_of_query, sets_to_choose_among
from fewfit.demonstrations.similar import most_similar
from fewfit.engine.learner import Row, Track
from fewfit.engine.likelihood import A_PASS, in_passes, set_likelihoods
from fewfit.engine.task import SetKey, Task, mean_nll, softmax
from fewfit.errors import UserError
from fewfit.examples.example import Example
from fewfit.grid import DRAWS, Grid, Lane
from fewfit.metrics import metric
from fewfit.models import local
from fewfit.predict import Predictor
from fewfit.predictions import read
from fewfit.render import Renderer
from fewfit.run.inspection import sequence
from tests.models_made import tiny
from tests.streams_made import examples as examples_of_streams
from tests.streams_made import plain_learner, run_lanes, task_of
from tests.tokenizers_made import byte_level

torch.set_num_threads(1)
KINDS: dict[str, Any] = {
    "one token apart": ("choice", labelled(LETTERS), LETTERS),
    "several tokens": ("choice", labelled(COLOURS), COLOURS),
    "text": ("match", free(), None),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("base") / "tiny-base")


@pytest.fixture
def loaded(base: Path) -> local.Loaded:
    return local.load(base, device="cpu")


def saved(trained: Made, examples: list[Example], deliver: str, at: Path, sets: Any = None) -> bundle.Bundle:
    lane = replace(LORA, deliver=deliver)
    sets = sets or drawn_sets(CHOOSERS["random"], examples, lane, 0)
    return trained.save(at, lane=lane, sets=sets, pool=examples if len(sets) > 1 else ())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reuse", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_query_is_answered_behind_the_set_that_its_hash_picks(
    kind: str, reuse: bool, loaded: local.Loaded, tmp_path: Path
) -> None:
    """Breaks seen to fail: the first set for every query; what is kept of one set taken for another's."""
    metric, examples, choices = KINDS[kind]
    trained = made(loaded, LORA, examples, metric=metric, choices=choices)
    whole = saved(trained, examples, "per-query", tmp_path / "bundle")
    assert len(whole.sets) == DRAWS and bundle.load(tmp_path / "bundle") == whole
    record = json.loads((tmp_path / "bundle" / "bundle.json").read_text())
    assert [row["id"] for row in record["demonstrations"]] == record["sets"][0]
    asked = queries(metric, 14)
    predictor = Predictor(tmp_path / "bundle", device="cpu", reuse=reuse)
    rows = predictor.predict(asked)
    picked = Counter()
    for query, row in zip(asked, rows, strict=True):
        (k,) = sets_of_query(LORA, query, DRAWS)
        picked[k] += 1
        saved(trained, examples, "fixed", tmp_path / f"alone-{k}", [whole.sets[k]])
        alone = Predictor(tmp_path / f"alone-{k}", device="cpu").predict([query])[0]
        assert row["prediction"] == alone["prediction"]
        assert row["nll"] == pytest.approx(alone["nll"], rel=1e-4)
    assert len(picked) > 5
    assert [row["prediction"] for row in predictor.predict(asked[::-1])] == [row["prediction"] for row in rows[::-1]]


@pytest.mark.parametrize("kind", KINDS)
def test_an_ensemble_averages_what_its_sets_say(kind: str, loaded: local.Loaded, tmp_path: Path) -> None:
    """Breaks seen to fail: log-probabilities averaged; the first set alone."""
    metric, examples, choices = KINDS[kind]
    trained = made(loaded, LORA, examples, metric=metric, choices=choices)
    whole = saved(trained, examples, "ensemble:3", tmp_path / "bundle")
    asked = queries(metric, 8)
    rows = Predictor(tmp_path / "bundle", device="cpu").predict(asked)
    alone = []
    for k, one in enumerate(whole.sets):
        saved(trained, examples, "fixed", tmp_path / f"alone-{k}", [one])
        alone.append(Predictor(tmp_path / f"alone-{k}", device="cpu").predict(asked))
    for n, row in enumerate(rows):
        said = [some[n] for some in alone]
        if metric == "choice":
            mean = {name: sum(one["probs"][name] for one in said) / 3 for name in choices}
            assert row["probs"] == pytest.approx(mean, abs=1e-5)
            assert row["prediction"] == max(mean, key=lambda name: mean[name])
        else:
            times = Counter(one["prediction"] for one in said)
            assert times[row["prediction"]] == max(times.values())
        if all(one["prediction"] == row["prediction"] for one in said):
            likely = sum(math.exp(-one["nll"]) for one in said) / 3
            assert row["nll"] == pytest.approx(-math.log(likely), rel=1e-3)


@pytest.mark.parametrize("text", ["ensemble", "ensemble:1", "ensemble:x", "ensemble:100", "queries", ""])
def test_what_it_is_not(text: str) -> None:
    with pytest.raises(UserError, match="--deliver"):
        Lane(shots=2, deliver=text)


def test_lanes_say_it_where_they_have_demonstrations() -> None:
    names = Grid.of(shots=[4], lr=[1e-3], updates=[1], deliver="ensemble:3").names
    assert names == ("zero-shot", "icl-4-ensemble3", "ft-lr1e-3-u1", "icl4+ft-lr1e-3-u1-ensemble3")
    with pytest.raises(UserError, match="without demonstrations"):
        Lane(deliver="fixed")


def test_similar_ones_are_similar_and_mixed_ones_are_half() -> None:
    """Break seen to fail: the least similar first."""
    rows = [Example(str(k), text, "x") for k, text in enumerate(("red fox", "red box", "old sea", "a tree", "red ox"))]
    at = Moment(0, 6, 1)
    target = Example("t", "red foxes", "x")
    found = [one.prompt for one in most_similar(rows, target, 5, at)]
    assert found[0] == "red fox" and set(found[:3]) == {"red fox", "red box", "red ox"}
    assert [one.prompt for one in CHOOSERS["similar"].choose(rows, target, 2, at)][-1] == "red fox"
    many = [replace(one, id=f"{k}-{one.id}", prompt=f"{one.prompt} {k}") for k in range(9) for one in rows]
    foxes, any_ = 0, Counter()
    for i in range(40):
        taken = CHOOSERS["mixed"].choose(many, target, 4, Moment(0, i, 1))
        like = [one for one in taken if "fox" in one.prompt]
        assert len(taken) == 4 and len(like) >= 2
        foxes += len(like)
        any_.update(one.prompt.split()[1] for one in taken if one not in like)
    assert foxes < 120 and len(any_) == 4, "the others are any"


def test_a_query_does_not_stand_in_its_own_prompt(loaded: local.Loaded, tmp_path: Path) -> None:
    """In a bundle as in the stream. Break seen to fail: sets as they are."""
    examples = labelled(LETTERS)
    trained = made(loaded, LORA, examples, metric="choice", choices=LETTERS)
    twin = examples[0].prompt
    rows = []
    for k, demos in enumerate(([examples[0], examples[1]], [examples[1]])):
        saved(trained, examples, "fixed", tmp_path / str(k), [demos])
        rows.append(Predictor(tmp_path / str(k), device="cpu").predict([twin])[0])
    assert rows[0]["probs"] == pytest.approx(rows[1]["probs"], abs=1e-6)


def test_likeness_is_the_same_in_every_process() -> None:
    """Sets of strings are walked in another order in each. Break seen to fail: a plain sum."""
    code = """
from fewfit.demonstrations import CHOOSERS, Moment
from fewfit.examples.example import Example
words = [f"{a}{b}{c}" for a in "bdfgk" for b in "aeiou" for c in "lmnr"]
some = [[words[(k * 13 + j * (3 + k % 4)) % 100] for j in range(30)] for k in range(12)]
turned = [" ".join(one[t:] + one[:t]) for one in some for t in range(0, 30, 4)]
rows = [Example(str(k), text, "x") for k, text in enumerate(turned)]
for k in range(60):
    target = Example("t", " ".join(words[k : k + 40][::-1]), "x")
    taken = CHOOSERS["similar"].choose(rows, target, 5, Moment(0, k, 1))
    print([one.id for one in taken])
"""
    said = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in "1234"
    }
    assert len(said) == 1


def test_what_chose_a_set_has_to_be_there(tmp_path, monkeypatch) -> None:
    """`inspect` shows no prompt that never was. Break seen to fail: the first set where nothing is known."""
    monkeypatch.chdir(tmp_path)
    rows = [(one.prompt, one.completion) for one in labelled(LETTERS, 16)]
    fewfit.fit(rows, "lab", grid=[Lane(shots=2)], out="run")
    assert sequence("run", "icl-2", 16)[0].demos == tuple(read("run")[-1]["demos"])
    Path("run/sets.json").unlink()
    with pytest.raises(UserError, match="lacks what icl-2 chose its demonstrations by"):
        sequence("run", "icl-2", 16)


@pytest.mark.slow
def test_a_run_delivers_what_it_scored(tmp_path, monkeypatch) -> None:
    """Three ways in one grid: what stood in the prompts, what stands in the bundle, and that nothing leaked.

    Breaks seen to fail: predictions of a fixed lane behind draws of their own; one member's answer for the ensemble's;
    the first set delivered."""
    monkeypatch.chdir(tmp_path)
    examples = labelled(LETTERS, 26)
    rows = [(one.prompt, one.completion) for one in examples]
    ways = ("per-query", "fixed", "ensemble:3")
    lanes = [Lane(shots=2, deliver=way) for way in ways]
    lanes += [Lane(shots=2, lr=1e-3, updates=2, deliver=way) for way in ways]
    prompted = {way: lane.name for way, lane in zip(ways, lanes, strict=False)}
    trained = {way: lane.name for way, lane in zip(ways, lanes[3:], strict=True)}
    fewfit.fit(rows, "lab", grid=lanes, out="run")
    numbered = [replace(one, id=str(k)) for k, one in enumerate(examples, 1)]
    assert audit(numbered, read("run"), read("run", "trained")) == []
    by_lane = {lane.name: [row for row in read("run") if row["lane"] == lane.name] for lane in lanes}
    assert prompted == {"per-query": "icl-2-per-query", "fixed": "icl-2", "ensemble:3": "icl-2-ensemble3"}
    first, kept = first_of(26, 2), json.loads(Path("run/sets.json").read_text())
    (known,) = kept
    assert known["shots"] == 2 and len(known["sets"]) == len(known["nll"]) <= SETS
    for name in (prompted["fixed"], trained["fixed"]):
        late = [row for row in by_lane[name] if row["i"] > first]
        assert [row["demos"] for row in late] == [known["sets"][likeliest(known["nll"], row["i"])] for row in late]
    for name in (prompted["per-query"], trained["per-query"], prompted["ensemble:3"]):
        assert len({tuple(row["demos"]) for row in by_lane[name]}) > 10
        assert all(len(row.get("members", ())) == (3 if "ensemble" in name else 0) for row in by_lane[name])
    one, mean = by_lane[prompted["per-query"]], by_lane[prompted["ensemble:3"]]
    assert [row["demos"] for row in one] == [row["demos"] for row in mean]
    assert [row["probs"] for row in one[6:]] != [row["probs"] for row in mean[6:]]
    for way, count in (("per-query", DRAWS), ("fixed", 1), ("ensemble:3", 3)):
        (lane,) = [lane for lane in lanes if lane.name == prompted[way]]
        held = fewfit.fit(rows, "lab", grid=[lane], out=f"alone-{count}").bundle.bundle
        assert len(held.sets) == count and held.lane == lane
        if way == "fixed":
            best = known["sets"][likeliest(known["nll"], 27)]
            assert [example.id for example in held.demonstrations] == best != known["sets"][0]


def test_the_likeliest_set_is_that_of_the_examples_so_far() -> None:
    """Breaks seen to fail: place i itself looked at; plain means, which differ by the examples that a set lacks."""
    nll = [[1.0, 5.0, None, 0.0], [2.0, 1.0, 1.0, 9.0], [None, None, None, 0.1]]
    assert [likeliest(nll, i) for i in range(1, 6)] == [0, 0, 1, 1, 2]
    hard = [[1.1, None], [1.0, 3.0], [None, 3.1]]  # the first set holds the hard example and is no better for that
    assert likeliest(hard, 3) == 1
    examples = labelled(LETTERS, 24)
    sets = sets_to_choose_among(CHOOSERS["random"], examples, 3, 0)
    assert len(sets) == SETS and all(int(one.id) <= first_of(24, 3) for demos in sets for one in demos)
    assert [first_of(n, 4) for n in (3, 5, 10, 20, 60)] == [3, 4, 5, 8, 15]


def test_what_a_set_is_worth_is_what_the_model_says_behind_it(loaded: local.Loaded) -> None:
    """Choices of one token, of several, and text: against rows scored one by one. Breaks seen to fail: the nats of the
    answer, not of the choice among all; the set's own examples counted."""
    for judge, examples, choices in KINDS.values():
        renderer = Renderer.resolve(loaded.tokenizer, examples, choices=choices, no_instruction=True)
        task = Task(examples, renderer, metric(judge), order="file")
        key = SetKey(0, 2, "random")
        found = set_likelihoods(loaded.model, task, key)
        learner = plain_learner(loaded.model, task)
        for demos, told in zip(task.sets(key), found, strict=True):
            ids = {one.id for one in demos}
            assert [value is None for value in told] == [one.id in ids for one in examples]
            for example, value in zip(examples, told, strict=True):
                if value is None:
                    continue
                rendered = renderer.render(demos, example)
                names = task.choices(example)
                asked = renderer.continuations(renderer.prompt(demos, example), names) if names else ()
                (scored,) = learner.score([Row(Track("x", 0), rendered.ids, rendered.spans, (), tuple(asked))])
                nats = scored.nll / scored.tokens
                if names:
                    nats = -math.log(softmax(names, scored.choices)[example.completion])
                assert value == pytest.approx(min(nats, 5.0), rel=1e-4, abs=1e-5)
        learner.close()


@pytest.mark.parametrize("judge", ["choice", "match"])
def test_the_average_of_a_stream_is_the_average_of_its_members(judge: str) -> None:
    """Row by row against lanes that see one member each. Break seen to fail: the second member left out."""
    task = task_of(examples_of_streams(14), judge=judge)
    model = tiny("llama", vocab_size=len(byte_level()))
    told = run_lanes(model, task, [Lane(shots=2, deliver="ensemble:2")]).rows
    for row in told:
        parts = []
        for k in range(2):
            seen = task.scored_row(Track("x", 0), Lane(shots=2, deliver="per-query"), row["i"], train=False, draw=k)
            learner = plain_learner(model, task)
            (scored,) = learner.score([seen.row])
            text = learner.generate([seen.row], task.renderer.settings.max_new_tokens)[0] if judge == "match" else None
            learner.close()
            parts.append(task.prediction(seen, scored, text))
        assert row["members"] == [one["demos"] for one in parts]
        assert row["nll"] == pytest.approx(mean_nll([one["nll"] for one in parts]), rel=1e-5)
        if judge == "choice":
            mean = {name: sum(one["probs"][name] for one in parts) / 2 for name in row["probs"]}
            assert row["probs"] == pytest.approx(mean, abs=1e-6)
            assert row["prediction"] == max(mean, key=lambda name: mean[name])
        else:
            assert row["prediction"] in [one["prediction"] for one in parts]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UserError, match="--metric exact with --deliver ensemble:2"):
        rows = [("a", "b"), ("c", "d"), ("e", "f")]
        fewfit.fit(rows, "lab", metric="exact", grid=[Lane(shots=1, deliver="ensemble:2")])
    with pytest.raises(UserError, match="--demos similar --deliver fixed"):
        fewfit.fit(
            [("a", "b"), ("c", "d"), ("e", "f")], "lab", grid=[Lane(shots=1, demonstrations="similar", deliver="fixed")]
        )


def test_rows_are_read_in_passes_of_a_bounded_size() -> None:
    """Padded to the longest of a pass. Break seen to fail: all in one."""
    lengths = [1500, 1500, 1500, 10, 10, 3000, 9000, 5]
    parts = [lengths[part] for part in in_passes(lengths)]
    assert [one for part in parts for one in part] == lengths
    assert all(len(part) == 1 or len(part) * max(part) <= A_PASS for part in parts) and len(parts) < len(lengths)
