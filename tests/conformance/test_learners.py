"""What every learner keeps to: who scores, writes and trains over one model (engine/learner.py)."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fewfit.engine.learner import Learner, Row, Track
from fewfit.engine.plain import PlainLearner
from fewfit.engine.stack import StackLearner
from fewfit.grid import Lane
from tests.models_made import tiny
from tests.stack_rows import END, assert_alike, lane, largest_gap, random_row, track_of
from tests.streams_made import examples, run_lanes, stacked_learner, task_of
from tests.tokenizers_made import byte_level

KINDS: dict[str, Callable[..., Learner]] = {"plain": PlainLearner, "stack": StackLearner}
FAST, SLOW = lane(lr=1e-2), lane(lr=1e-3, rank=4)
BARE = Track("zero-shot", 0)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Callable[..., Learner]:
    return KINDS[request.param]


def rows_for(track: Track, count: int = 4, **settings: Any) -> list[Row]:
    rng = random.Random(5)
    return [random_row(track, rng, **settings) for _ in range(count)]


def trained(learner: Learner, one: Lane, steps: int = 4) -> None:
    learner.open(track_of(one), one)
    for row in rows_for(track_of(one), steps):
        learner.score([row])
        assert learner.update([row]) == [True]


def test_a_track_that_was_never_opened_is_the_model_as_it_is(kind: Callable[..., Learner]) -> None:
    model = tiny("llama")
    learner = kind(model, end_ids=END)
    trained(learner, FAST)
    rows = rows_for(BARE, train=False)
    told = learner.score(rows)
    learner.close()
    with torch.no_grad():
        for row, one in zip(rows, told, strict=True):
            start, end = row.spans[-1]
            logp = model(input_ids=torch.tensor([row.ids])).logits[0].double().log_softmax(-1)
            nll = -sum(float(logp[p - 1, row.ids[p]]) for p in range(start, end))
            assert one is not None and one.nll == pytest.approx(nll, rel=1e-4) and one.tokens == end - start


@pytest.mark.parametrize("choices", ["", "one-apart", "several"])
def test_rows_score_alike_together_and_alone(kind: Callable[..., Learner], choices: str) -> None:
    learner = kind(tiny("llama"), end_ids=END)
    trained(learner, FAST)
    trained(learner, SLOW)
    rows = [
        row
        for track in (track_of(FAST), BARE, track_of(SLOW))
        for row in rows_for(track, 2, choices=choices, train=False)
    ]
    together = learner.score(rows)
    alone = [learner.score([row])[0] for row in rows]
    assert_alike(together, alone, 1e-4)  # type: ignore[arg-type]
    unscored = Row(rows[0].track, rows[0].ids, rows[0].spans, scored=False)
    assert learner.score([unscored, rows[1]])[0] is None
    learner.close()


def test_training_lowers_the_loss_and_touches_its_own_track_alone(kind: Callable[..., Learner]) -> None:
    learner = kind(tiny("llama"), end_ids=END)
    learner.open(track_of(FAST), FAST)
    (row,) = rows_for(track_of(FAST), 1)
    bare = rows_for(BARE, train=False)
    before, first = learner.score(bare), learner.score([row])[0]
    for _ in range(12):
        learner.update([row])
    last, after = learner.score([row])[0], learner.score(bare)
    assert first is not None and last is not None and last.nll < 0.9 * first.nll
    assert_alike(after, before, 1e-6)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="trains nothing"):
        learner.update([Row(BARE, row.ids, row.spans, row.loss)])
    learner.close()


def test_a_state_is_all_that_a_track_is(kind: Callable[..., Learner]) -> None:
    first, second = (kind(tiny("llama"), end_ids=END) for _ in range(2))
    trained(first, FAST)
    state = first.state(track_of(FAST))
    second.restore(track_of(FAST), FAST, state)
    rows = rows_for(track_of(FAST), 2)
    assert_alike(second.score(rows), first.score(rows), 1e-5)  # type: ignore[arg-type]
    for learner in (first, second):
        learner.update(rows)
    assert largest_gap(second.state(track_of(FAST)), first.state(track_of(FAST))) < 1e-5
    first.forget(track_of(FAST))
    assert not first.state(track_of(FAST)).tensors
    for learner in (first, second):
        learner.close()


def test_text_is_what_the_likeliest_tokens_are(kind: Callable[..., Learner]) -> None:
    learner = kind(tiny("llama"), end_ids=END)
    trained(learner, FAST)
    for track in (track_of(FAST), BARE):
        for row in rows_for(track, 3, train=False):
            (text,) = learner.generate([row], 5)
            assert 1 <= len(text) <= 5
            prompt = row.ids[: row.prompt_tokens]
            told = learner.score([Row(track, prompt + text, ((len(prompt), len(prompt) + len(text)),))])[0]
            assert told is not None and (told.hit or told.margin < 1e-3)
            assert learner.generate([row], 5, [text[:2]]) == [text]
    learner.close()


def test_a_track_that_diverges_is_frozen_and_harms_nobody(kind: Callable[..., Learner]) -> None:
    learner = kind(tiny("llama"), end_ids=END)
    wild = lane(lr=1e30)
    learner.open(track_of(wild), wild)
    trained(learner, SLOW, 1)
    went = [learner.update([row]) for row in rows_for(track_of(wild), 6)]
    assert went[-1] == [False] and learner.state(track_of(wild)).diverged
    told = learner.score(rows_for(track_of(SLOW), 2))
    assert all(one is not None and math.isfinite(one.nll) for one in told)
    learner.close()


def test_an_adapter_is_plain_pefts(kind: Callable[..., Learner], tmp_path: Path) -> None:
    from peft import PeftModel

    learner = kind(tiny("llama"), end_ids=END)
    trained(learner, FAST)
    (row,) = rows_for(track_of(FAST), 1, train=False)
    (told,) = learner.score([row])
    learner.export(track_of(FAST), tmp_path)
    learner.close()
    model = PeftModel.from_pretrained(tiny("llama"), tmp_path).eval()
    start, end = row.spans[-1]
    with torch.no_grad():
        logp = model(input_ids=torch.tensor([row.ids])).logits[0].double().log_softmax(-1)
    nll = -sum(float(logp[p - 1, row.ids[p]]) for p in range(start, end))
    assert told is not None and told.nll == pytest.approx(nll, rel=1e-4)


def test_the_model_comes_back_as_it_was(kind: Callable[..., Learner]) -> None:
    model = tiny("llama").train()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    wanted = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    learner = kind(model, end_ids=END)
    trained(learner, FAST)
    learner.drop_graphs()
    learner.close()
    assert model.training and {n: p.requires_grad for n, p in model.named_parameters()} == wanted
    assert list(model.state_dict()) == list(weights)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())


class Prompted:
    """A model that scores and writes, and can do nothing else: one behind an endpoint would be such."""

    def __init__(self, inner: Learner):
        self.score, self.generate = inner.score, inner.generate


@pytest.mark.parametrize("judge", ["match", "choice"])
def test_lanes_that_prompt_ask_for_a_scorer_and_a_generator_alone(judge: str) -> None:
    """Break seen to fail: every track opened."""
    task = task_of(examples(9), judge=judge)
    model = tiny("llama", vocab_size=len(byte_level()))
    learner = stacked_learner(model, task)
    lanes = [Lane(), Lane(shots=2)]
    alone = run_lanes(model, task, lanes, learner=Prompted(learner))
    whole = run_lanes(model, task, lanes, learner=learner)
    learner.close()
    assert len(alone.rows) == 18 and alone.rows == whole.rows
