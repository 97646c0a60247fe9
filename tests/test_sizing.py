"""How large passes may be: counted beforehand, and refused where nothing would fit."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
import torch
from models_made import tiny
from stack_rows import END
from streams_made import examples, task_of
from tokenizers_made import byte_level

from fewfit.demonstrations.delivery import reads_to_choose
from fewfit.engine.learner import Row, Track
from fewfit.engine.stack import StackLearner
from fewfit.errors import EnvironmentProblem
from fewfit.grid import Lane
from fewfit.run import sizing, timing
from fewfit.run.passes import SHARE, Need, Sizes, choose_sizes, size
from fewfit.run.sizing import Counted, size_passes
from fewfit.run.teams import teams

torch.set_num_threads(1)
GB = 1 << 30
VOCABULARY = len(byte_level())
LANES = [Lane(), Lane(shots=2), *(Lane(shots=k, lr=3e-3, updates=u) for k, u in ((0, 2), (2, 2), (2, 3)))]


def test_the_count_of_bytes_is_that_of_tensors() -> None:
    """Three of a megabyte, two at a time; views and what was there before count nothing. Break seen to fail: views
    counted; what is gone counted on."""
    there = torch.ones(1 << 18)
    with Counted() as counted:
        one = there + 1
        view = one[2:].view(-1)
        two = there * 2
        del one, view
        three = two + 1
        there.t().add_(1)
    assert counted.most == 2 << 20
    assert three.numel() == 1 << 18


@pytest.mark.slow
def test_the_count_comes_near_what_the_process_takes() -> None:
    """Resident memory of the same step in a process of its own, within a third. Break seen to fail: a backward that is
    not counted."""
    import subprocess
    import sys

    # Tensors as mappings of their own: how many gaps a heap leaves depends on the machine (SHARE is for that).
    settings = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(1 << 16)}
    done = subprocess.run(
        [sys.executable, "-c", RESIDENT], capture_output=True, text=True, cwd=Path(__file__).parent, env=settings
    )
    assert done.returncode == 0, done.stderr
    grown, counted = map(float, done.stdout.split())
    assert 0.7 * grown < counted < 1.5 * grown


RESIDENT = """
import random, sys
sys.path.insert(0, ".")
import torch
torch.set_num_threads(1)
import transformers as tf
from stack_rows import END, lane, random_row, track_of
from fewfit.run.sizing import Counted
from fewfit.engine.stack import StackLearner

def most():
    return next(int(l.split()[1]) / 1024 for l in open("/proc/self/status") if l.startswith("VmHWM"))

config = tf.LlamaConfig(vocab_size=300, hidden_size=192, intermediate_size=512, num_hidden_layers=8,
                        num_attention_heads=4, bos_token_id=1, eos_token_id=2)
learner = StackLearner(tf.AutoModelForCausalLM.from_config(config).eval(), end_ids=END)
lanes = [lane(lr=1e-3 * k) for k in range(1, 9)]
rng = random.Random(0)
for one in lanes:
    learner.open(track_of(one), one)
rows = [random_row(track_of(one), rng, length=240) for one in lanes]
learner.score(rows[:1])
learner.update(rows[:1])
before = most()
learner.score(rows)
learner.update(rows)
grown = most() - before
with Counted() as counted:
    learner.score(rows)
    learner.update(rows)
print(grown + 0.0, counted.most / 2**20)
"""


def test_smaller_passes_come_before_fewer_processes() -> None:
    """By hand: 100 bytes once and 10 a row of 64 tokens; 1,024 tokens are 16 rows, so 260 bytes a process, beside 50
    for each helper. Breaks seen to fail: helpers given up first; a helper's own weights forgotten."""
    need = Need(once=100, row=10, length=64)

    def found(room: float, helpers: int = 1) -> Sizes | None:
        return choose_sizes(need, room, tokens=1024, helpers=helpers, base=50)

    assert found(570) == Sizes(1024, 1)  # 2 × 260 + 50
    assert found(569) == Sizes(960, 1)  # 259.5 each: 15 rows
    assert found(330) == Sizes(256, 1)  # 140 each: 4 rows, the fewest that are worth a process
    assert found(329) == Sizes(1024, 0)  # alone: 22 rows
    assert found(110) == Sizes(64, 0)
    assert found(109) is None
    assert found(2000, helpers=3) == Sizes(1024, 3)
    assert found(700, helpers=3) == Sizes(640, 2)  # 600 for three processes are 200 each: 10 rows


def test_each_lane_of_a_pass_has_matrices_of_its_own() -> None:
    """20 bytes a lane, of three lanes; a pass of one longest row has room for four of the shortest. By hand: 100 + 10 +
    3 * 20 for one row, 100 + 20 + 60 for two. Break seen to fail: counted as if rows were long ones only."""
    need = Need(once=100, row=10, length=64, own=20, lanes=3, shortest=16)
    assert [need.of(1), need.of(2)] == [170, 180]
    assert [need.rows(room) for room in (129, 130, 169, 170, 179, 180)] == [0, 1, 1, 1, 1, 2]


def test_sittings_that_died_halve_passes_and_then_helpers() -> None:
    """Break seen to fail: helpers halved at once, which would cost whoever uses kill -9 half of the machine."""
    usual = Sizes(1024, 7)
    assert [usual.halved(k) for k in range(4)] == [usual, Sizes(512, 7), Sizes(256, 3), Sizes(128, 1)]
    assert usual.halved(16) == Sizes(1, 0)


def with_free(monkeypatch, free: float):
    monkeypatch.setattr(sizing, "available", lambda: free)


def measured(model, task, lanes, helpers=1) -> tuple[Sizes, StackLearner]:
    team = teams(lanes)[0]
    learner = team.learner(model, task.renderer, len(task))
    return size_passes(learner, team, model, task, lanes, helpers=helpers), learner


@pytest.fixture(scope="module")
def small():
    return tiny("llama", vocab_size=VOCABULARY), task_of(examples(12, uneven=True))


def test_where_there_is_plenty_passes_are_as_large_as_ever(small) -> None:
    """Break seen to fail: a note where nothing is less than usual."""
    found, learner = measured(*small, LANES)
    assert found == Sizes(1024, 1)
    assert not learner._tracks, "what was tried is forgotten"


def test_less_memory_means_smaller_passes_and_a_word(small, monkeypatch) -> None:
    """Break seen to fail: lanes' own weights and moments not taken off first."""
    model, task = small
    lanes = [Lane(lr=lr, updates=1, rank=32) for lr in (1e-3, 2e-3, 3e-3, 4e-3)]
    kept = sum(sizing.kept_bytes(model, lane) for lane in lanes)
    one = StackLearner(model, end_ids=END)._layout(lanes[0]).size
    assert kept == 4 * 3 * 4 * one, "weights and two moments in fp32"
    with_free(monkeypatch, 1e12)
    need = sizing.measure_need(StackLearner(model, end_ids=END), model, task, lanes, 1e12)
    assert kept > 2 * need.row
    with_free(monkeypatch, (kept + need.of(3) + 100) / SHARE + sum(p.numel() * 4 for p in model.parameters()))
    monkeypatch.setattr(sizing, "is_mapped", lambda model: True)
    found, _ = measured(model, task, lanes)
    assert (found.tokens, found.helpers, found.recompute) == (3 * need.length, 0, False)
    assert found.notice == f"{size((kept + need.of(3) + 100) / SHARE)} of memory are free: passes of " \
        f"{3 * need.length} tokens in 1 of 2 processes"  # fmt: skip


def test_a_state_that_does_not_grow_takes_nothing_for_what_is_written() -> None:
    """Break seen to fail: a model without heads was an AttributeError."""
    import transformers as tf

    config = tf.MambaConfig(hidden_size=16, num_hidden_layers=2, vocab_size=50, state_size=4)
    assert sizing.cache_bytes(tf.MambaForCausalLM(config)) == 0


def test_written_answers_need_their_keys_and_values(monkeypatch) -> None:
    """Two of 24 numbers for each of three layers and two heads, four bytes each. Break seen to fail: forgotten."""
    model, lanes = tiny("llama", vocab_size=VOCABULARY), [Lane(shots=2)]
    assert sizing.cache_bytes(model) == 2 * 3 * 2 * (48 // 4) * 4
    task = task_of(examples(12), judge="match")
    monkeypatch.setattr(sizing, "is_mapped", lambda model: False)
    need = Need(once=0, row=10_000, length=64)
    monkeypatch.setattr(sizing, "measure_need", lambda *args, **kwargs: need)
    extra = sizing.cache_bytes(model) * (64 + task.renderer.settings.max_new_tokens)
    with_free(monkeypatch, (4 * (10_000 + extra) + 1) / SHARE)
    assert measured(model, task, lanes, helpers=0)[0].tokens == 4 * 64


def test_a_step_that_does_not_fit_runs_layers_again(monkeypatch) -> None:
    """Of a deep model, where that helps. Break seen to fail: refused at once."""
    import transformers as tf

    config = tf.LlamaConfig(vocab_size=VOCABULARY, hidden_size=48, intermediate_size=200, num_hidden_layers=12,
                            num_attention_heads=4, bos_token_id=1, eos_token_id=2)  # fmt: skip
    model, task = tf.AutoModelForCausalLM.from_config(config).eval(), task_of(examples(12))
    one = Lane(shots=4, lr=1e-3, updates=1, rank=1)
    learners = [StackLearner(model, end_ids=END) for _ in range(2)]
    whole = sizing.peak(learners[0], one, [longest(task, one)])
    learners[1].enable_recompute()
    again = sizing.peak(learners[1], one, [longest(task, one)])
    for learner in reversed(learners):
        learner.close()
    assert again < 0.6 * whole
    room = 0.9 * whole + sizing.kept_bytes(model, one)
    monkeypatch.setattr(sizing, "is_mapped", lambda model: False)
    with_free(monkeypatch, room / SHARE)
    found, learner = measured(model, task, [one], helpers=0)
    learner.close()
    assert found.recompute and "layers run again in the backward" in found.notice


@pytest.mark.slow
@pytest.mark.parametrize(("free", "found"), [(1e12, None), (0.5, "again"), (0.05, "refused")])
def test_an_update_of_documents_is_sized_as_a_whole(monkeypatch, free: float, found: str | None) -> None:
    """Rows of one batch are in memory at once. Breaks seen to fail: one row measured for all; nothing done about it."""
    import transformers as tf

    config = tf.LlamaConfig(vocab_size=300, hidden_size=48, intermediate_size=200, num_hidden_layers=12,
                            num_attention_heads=4, bos_token_id=1, eos_token_id=2)  # fmt: skip
    model, one = tf.AutoModelForCausalLM.from_config(config).eval(), Lane(lr=1e-3, updates=1, rank=1, batch=6)
    track, rng = Track("documents", 0), random.Random(0)
    rows = [
        Row(track, tuple(rng.randrange(3, 300) for _ in range(length)), ((1, length),), ((1, length),), scored=False)
        for length in (300, 410, 160, 90, 400, 420)
    ]
    learner = StackLearner(model, end_ids=END)
    learner.open(track, one)
    learner.update(rows)
    with Counted() as counted:
        learner.update(rows)
    learner.forget(track)
    monkeypatch.setattr(sizing, "is_mapped", lambda model: False)
    with_free(monkeypatch, (sizing.kept_bytes(model, one) + free * counted.most) / SHARE)
    if found == "refused":
        with pytest.raises(
            EnvironmentProblem, match=r"one update of \d+ tokens takes about .* a smaller --batch"
        ) as told:
            sizing.size_update(learner, model, one, rows)
        assert told.value.code == "memory"
    else:
        notice = sizing.size_update(learner, model, one, rows)
        assert (notice is not None and "layers are run again" in notice) == learner._recomputes == (found == "again")
    learner.close()
    for factor, spared in ((1.3, False), (0.8, True)):  # the estimate comes near
        with_free(monkeypatch, (sizing.kept_bytes(model, one) + factor * counted.most) / SHARE)
        again = StackLearner(model, end_ids=END)
        assert (sizing.size_update(again, model, one, rows) is not None) == spared
        again.close()


def test_what_an_update_of_short_documents_has_once_is_counted_once(small, monkeypatch) -> None:
    """Sixty rows of one bucket, beside large adapters. Break seen to fail: their matrices counted for every row."""
    model, one = small[0], Lane(lr=1e-3, updates=1, rank=64, batch=60)
    rows = [Row(Track("x", 0), (*range(3, 14), 20 + k), ((1, 12),), ((1, 12),), scored=False) for k in range(60)]
    learner = StackLearner(model, end_ids=END)
    learner.open(Track("x", 0), one)
    learner.update(rows)
    with Counted() as counted:
        learner.update(rows)
    learner.forget(Track("x", 0))
    monkeypatch.setattr(sizing, "is_mapped", lambda model: False)
    with_free(monkeypatch, (sizing.kept_bytes(model, one) + 4 * counted.most) / SHARE)
    assert sizing.size_update(learner, model, one, rows) is None
    learner.close()


def longest(task, lane):
    rows = [task.scored_row(Track("longest", 0), lane, i, train=True).row for i in range(1, len(task) + 1)]
    return max(rows, key=lambda row: len(row.ids))


@pytest.mark.parametrize(("shots", "use_shots"), [(8, 0), (0, 8), (8, None)])
def test_what_is_measured_is_the_longer_of_training_and_use(small, shots, use_shots) -> None:
    """Break seen to fail: prompts at use alone, though training steps had eight times as much in them."""
    model, task = small
    one = Lane(shots=shots, use_shots=use_shots, lr=1e-3, updates=1)
    fewer = Lane(shots=2, lr=1e-3, updates=1)
    need = sizing.measure_need(StackLearner(model, end_ids=END), model, task, [fewer, one], 1e12)
    rendered = max(len(task.render(0, i, 1, 8, i).ids) for i in range(1, len(task) + 1))
    assert need.length == -(-rendered // 16) * 16
    found = longest(task, Lane(shots=8, lr=1e-3, updates=1))
    row = sizing.longest_row(task, one, len(task))
    assert row.loss and row.scored and len(row.ids) <= len(found.ids)


def test_time_goes_with_the_shots_of_what_is_done(small, monkeypatch) -> None:
    """A second for an example of a prediction's prompt, ten for one of an update's. Break seen to fail: predictions
    without a demonstration for as long as the training prompts."""
    model, task = small
    n = len(task)
    timed: list[Lane] = []

    def step(self, lane):
        timed.append(lane)
        return lane.shots_at_use + 1.0, 10.0 * (lane.shots + 1)

    monkeypatch.setattr(timing.Clock, "step", step)
    lanes = [
        Lane(lr=1e-3, updates=2, use_shots=2),
        Lane(shots=4, lr=1e-3, updates=1, use_shots=0),
        Lane(shots=8, lr=1e-3, updates=1, use_shots=2, deliver="fixed"),
    ]
    found = timing.lane_seconds(model, task, lanes, 1)
    choosing = reads_to_choose(lanes[2], n) * 3 / 3
    assert list(found.values()) == [n * (3 + 2 * 10), n * (1 + 50), pytest.approx(choosing + n * (3 + 90))]
    assert len(timed) == len(set(timed)), "each is timed once"


def test_what_does_not_fit_is_refused_with_what_would(small, monkeypatch) -> None:
    """Lanes that are too many, with the rank at which they fit; a step that is too long. Break seen to fail: the run
    begun all the same."""
    model, task = small
    monkeypatch.setattr(sizing, "is_mapped", lambda model: False)
    many = [Lane(lr=lr, updates=1, rank=8) for lr in (1e-4, 2e-4, 3e-4, 4e-4)]
    one = sizing.kept_bytes(model, many[0])
    with_free(monkeypatch, 2.5 * one / SHARE)
    with pytest.raises(EnvironmentProblem, match=r"of 4 lanes take .* 2 of them fit; --rank 5, fewer --lr") as told:
        measured(model, task, many)
    assert (told.value.exit_code, told.value.code) == (3, "memory")
    assert sum(sizing.kept_bytes(model, Lane(lr=1e-3, updates=1, rank=5)) for _ in many) <= 2.5 * one
    with_free(monkeypatch, (one + 1000) / SHARE)
    with pytest.raises(EnvironmentProblem, match=r"one step of \d+ tokens takes about \d+ .* fewer --shots"):
        measured(model, task, many[:1])


def test_a_whole_model_wants_its_copies(small, monkeypatch) -> None:
    """A copy to go back to, gradients, two moments: once, since such lanes go in turn. Break seen to fail: for every
    lane at once."""
    model, task = small
    weights = sum(p.numel() * 4 for p in model.parameters())
    monkeypatch.setattr(sizing, "is_mapped", lambda model: False)
    full = [Lane(lr=k * 1e-4, updates=1, tune="full") for k in range(1, 31)]
    with_free(monkeypatch, 6 * weights / SHARE + (4 << 20))
    found, learner = measured(model, task, full, helpers=0)
    learner.close()
    assert found.tokens > 0
    with_free(monkeypatch, 3.9 * weights / SHARE)
    with pytest.raises(
        EnvironmentProblem, match=r"training the whole model takes .* --tune lora, --optimizer adafactor"
    ):
        measured(model, task, full, helpers=0)


def test_weights_in_a_files_pages_are_seen(tmp_path) -> None:
    """They are shared among processes. Break seen to fail: anonymous memory taken for a file's."""
    model = tiny("llama")
    assert not sizing.is_mapped(model)
    model.save_pretrained(tmp_path)
    from transformers import AutoModelForCausalLM

    assert sizing.is_mapped(AutoModelForCausalLM.from_pretrained(tmp_path))
