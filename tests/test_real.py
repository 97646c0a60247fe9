"""The stacked engine on a real pretrained model: what it says, scores and writes is what stock PEFT does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from stack_rows import assert_alike, track_of

from fewfit.engine import keyvalue
from fewfit.engine.head import says_all
from fewfit.engine.learner import Learner, Row
from fewfit.engine.plain import PlainLearner
from fewfit.engine.stack import StackLearner
from fewfit.grid import Lane
from fewfit.models import installed, local

LANES = (
    Lane(),
    Lane(lr=1e-3, updates=1),
    Lane(lr=1e-3, updates=1, rank=4),
    Lane(lr=1e-3, updates=1, layers="upper-half"),
)
LABELS = (" very positive", " not so positive", " neither of the two")
TEXTS = (
    "Best dumplings in town!",
    "The soup was cold and so was the waiter.",
    "It was an ordinary Tuesday lunch, neither here nor there.",
)


@pytest.fixture(scope="module")
def smollm2() -> local.Loaded:
    if installed.parts(installed.find("smollm2").gguf) is None:
        pytest.skip("smollm2 is not installed: make models")
    pytest.importorskip("gguf")
    return local.load("smollm2", device="cpu", dtype="float32")


def rows_of_reviews(tokenizer: Any, lane: Lane) -> list[Row]:
    choices = tuple(tuple(tokenizer(label + "\n\n").input_ids) for label in LABELS)
    rows = []
    for text, answer in zip(TEXTS, choices, strict=True):
        prompt = tuple(tokenizer(f"Review: {text}\nSentiment:").input_ids)
        span = (len(prompt), len(prompt) + len(answer))
        rows.append(Row(track_of(lane), prompt + answer, (span,), (span,) if lane.trains else (), choices))
    return rows


def learner_of(kind: type, loaded: local.Loaded) -> Learner:
    return kind(loaded.model, end_ids=frozenset({loaded.tokenizer.eos_token_id}))


def trained(learner: Learner, rows: dict[Lane, list[Row]]) -> dict[Lane, list[Any]]:
    told: dict[Lane, list[Any]] = {lane: [] for lane in LANES}
    for lane in LANES:
        learner.open(track_of(lane), lane)
    for step in range(3):
        results = learner.score([rows[lane][step] for lane in LANES])
        learner.update([rows[lane][step] for lane in LANES if lane.trains])
        for lane, result in zip(LANES, results, strict=True):
            told[lane].append(result)
    return told


@pytest.mark.slow
def test_lanes_on_smollm2_are_what_stock_peft_gives(smollm2: local.Loaded) -> None:
    """Three updates, then text by the weights that came of them. Break seen to fail: the adapter scale 2 → 1."""
    torch.set_num_threads(1)
    assert keyvalue.usable(smollm2.model) and says_all(smollm2.model), "the short cuts hold here, so they are tested"
    rows = {lane: rows_of_reviews(smollm2.tokenizer, lane) for lane in LANES}
    stacked = learner_of(StackLearner, smollm2)
    ours = trained(stacked, rows)
    texts = {lane: stacked.generate(rows[lane], 8) for lane in LANES}
    states = {lane: stacked.state(track_of(lane)) for lane in LANES}
    stacked.close()
    plain = learner_of(PlainLearner, smollm2)
    theirs = trained(plain, rows)
    for lane in LANES:
        assert_alike(ours[lane], theirs[lane], 1e-3)
        plain.restore(track_of(lane), lane, states[lane])
        assert plain.generate(rows[lane], 8) == texts[lane]
    plain.close()
    moved = [a.nll - b.nll for a, b in zip(ours[LANES[1]], ours[LANES[0]], strict=True)]
    assert moved[0] == pytest.approx(0, abs=1e-3) and abs(moved[2]) > 0.1, "and training does something"
