"""How a bundle comes by the demonstrations of a query: one of many draws, one set, or several whose answers are
averaged; and that the stream's score is that of the policy."""

from __future__ import annotations

import json
import math
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
from fewfit.demonstrations import CHOOSERS, Moment
from fewfit.demonstrations.delivery import DRAWS, Delivery
from fewfit.demonstrations.similar import most_similar
from fewfit.errors import UserError
from fewfit.examples.example import Example
from fewfit.grid import Lane
from fewfit.models import local
from fewfit.predict import Predictor

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
    sets = sets or Delivery.of(deliver).sets(CHOOSERS["random"], examples, 2, 0, len(examples) + 1)
    return trained.save(at, sets=sets, pool=examples if len(sets) > 1 else (), deliver=deliver)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reuse", [True, False])
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
        (k,) = Delivery.of("per-query").of_query(query)
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
        Delivery.of(text)


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


def test_a_run_says_how_its_bundle_is_delivered(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [(one.prompt, one.completion) for one in labelled(LETTERS)]
    for deliver, sets in (("per-query", DRAWS), ("fixed", 1), ("ensemble:2", 2)):
        run = fewfit.fit(rows, "lab", grid=[Lane(shots=2)], deliver=deliver, out=deliver.replace(":", "-"))
        assert len(run.bundle.bundle.sets) == sets and run.bundle.bundle.deliver == deliver
        assert json.loads((run.folder / "run.json").read_text())["deliver"] == deliver
    with pytest.raises(UserError, match="--deliver often"):
        fewfit.fit(rows, "lab", deliver="often")
