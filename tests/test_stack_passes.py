"""What shares a pass: lanes gone to NaN, batches of rows, text, and the same lane alone, bit by bit."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from models_made import MIXTURES, NAMES, WINDOWED, tiny
from stack_rows import END, assert_alike, lane, largest_gap, opened, plain_run, random_row, rows_of, stack_run, track_of
from transformers import LlamaConfig, LlamaForCausalLM

from fewfit.engine import keyvalue, sharing
from fewfit.engine.generate import greedy
from fewfit.engine.learner import Row
from fewfit.engine.places import alike
from fewfit.engine.plain import PlainLearner
from fewfit.engine.stack import StackLearner
from fewfit.grid import Lane
from fewfit.models.library import proven


@pytest.mark.parametrize("name", NAMES)
def test_a_lane_in_a_batch_is_bit_equal_to_the_lane_alone(name: str) -> None:
    """Promise 3, one thread. Break seen to fail: answer places not filled up to 16; each row's weight
    divided by the number of lanes in the pass."""
    torch.set_num_threads(1)
    lanes = (lane(), lane(rank=4, lr=1e-3), lane(optimizer="adafactor"), lane(layers="upper-half"))
    rng = random.Random(6)
    kinds = ("", "one-apart", "several")
    steps = []
    for step in range(7):
        longest = 16 * rng.randrange(2, 5)  # a pass holds rows of one bucket of lengths
        lengths = [longest - rng.randrange(16) for _ in lanes]
        steps.append([random_row(track_of(one), rng, choices=kinds[step % 3], length=length)
                      for one, length in zip(lanes, lengths, strict=True)])  # fmt: skip
    together = stack_run(tiny(name), lanes, steps)
    for index, one in enumerate(lanes):
        alone = stack_run(tiny(name), [one], [[rows[index]] for rows in steps])
        if name in MIXTURES:  # tokens are sorted by expert, and how many share a product decides its rounding
            assert_alike(together[track_of(one)][0], alone[track_of(one)][0], 1e-5)
            continue
        assert together[track_of(one)][0] == alone[track_of(one)][0]
        assert largest_gap(together[track_of(one)][1], alone[track_of(one)][1]) == 0.0


@pytest.mark.parametrize("vocabulary", [1024, 4096])
def test_a_lane_is_bit_equal_to_itself_however_many_answers_share_a_pass(vocabulary: int) -> None:
    """The head's gradients are sums over the vocabulary, which MKL makes otherwise from 192 rows on.

    Break seen to fail: the head's backward as one product over all answer places.
    """
    torch.set_num_threads(1)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=256, intermediate_size=256, num_hidden_layers=1, num_attention_heads=4
    )
    lanes = [lane(rank=2 + k) for k in range(6)]
    rng = random.Random(9)

    def row(one: Lane) -> Row:
        ids = tuple(rng.randrange(3, vocabulary) for _ in range(48))
        return Row(track_of(one), ids, ((4, 44), (44, 48)), ((4, 44), (44, 48)))

    def model() -> Any:
        torch.manual_seed(0)
        return LlamaForCausalLM(config).eval()

    steps = [[row(one) for one in lanes] for _ in range(2)]
    together = stack_run(model(), lanes, steps)
    for index, one in enumerate(lanes):
        alone = stack_run(model(), [one], [[rows[index]] for rows in steps])
        assert together[track_of(one)][0] == alone[track_of(one)][0]
        assert largest_gap(together[track_of(one)][1], alone[track_of(one)][1]) == 0.0


def test_a_lane_that_goes_to_nan_is_frozen_and_harms_nobody() -> None:
    """Promise 2. Break seen to fail: one norm over the gradients of all lanes; finiteness not checked."""
    wild = lane(lr=1e30, rank=2)
    lanes = (lane(), wild, lane(rank=4))
    steps = rows_of(lanes, 6, length=32)
    learner = opened(tiny("llama"), lanes)
    kept = []
    for rows in steps:
        kept.append(learner.score(rows))
        alive = learner.update(rows)
        assert alive[0] and alive[2]
    assert not alive[1] and learner.state(track_of(wild)).diverged
    assert not math.isfinite(kept[-1][1].nll)
    # The same without the wild one, bit by bit.
    calm = stack_run(tiny("llama"), (lanes[0], lanes[2]), [[rows[0], rows[2]] for rows in steps])
    for index in (0, 2):
        assert calm[track_of(lanes[index])][0] == [results[index] for results in kept]


def test_a_frozen_lane_still_predicts_with_its_last_good_weights() -> None:
    one = lane()
    learner = opened(tiny("llama"), [one])
    (row,) = rows_of([one], 1)[0]
    learner.score([row])
    learner._graphs[0].loss_N = learner._graphs[0].loss_N * float("nan")  # what an overflow would do
    assert learner.update([row]) == [False]
    state = learner.state(track_of(one))
    assert state.diverged and state.steps == 0
    (result,) = learner.score([row])
    assert math.isfinite(result.nll)
    assert learner.update([row]) == [False]


@pytest.mark.parametrize("predicted", [0, 1, 3])
def test_rows_of_one_lane_are_one_batch_wherever_they_were_predicted(predicted: int) -> None:
    """Break seen to fail: the sum of the row losses in place of their mean."""
    one, other = lane(), lane(rank=4)
    rng = random.Random(1)
    rows = [random_row(track_of(one), rng, answers=1 + k) for k in range(3)]
    beside = [random_row(track_of(other), rng) for _ in range(2)]
    ours = opened(tiny("qwen3", dtype=torch.float64), [one, other])
    theirs = opened(tiny("qwen3", dtype=torch.float64), [one, other], PlainLearner)
    for _ in range(2):
        ours.score([*rows[:predicted], *beside[:1]])
        ours.update([rows[0], beside[0], *rows[1:], beside[1]])
        theirs.update(rows)
        theirs.update(beside)
    for some in (one, other):
        assert largest_gap(ours.state(track_of(some)), theirs.state(track_of(some))) < 1e-12


def test_rows_of_many_lengths_are_one_batch() -> None:
    """They go in passes of about one length, and a lane's step is that of all of them.

    Break seen to fail: the first of the passes alone.
    """
    one, rng = lane(batch=6), random.Random(3)
    lengths = (14, 90, 15, 33, 91, 16)
    rows = [random_row(track_of(one), rng, length=length) for length in lengths]
    rows = [replace(row, scored=False) for row in rows]
    assert [sorted(len(row.ids) for row in part) for part in alike(rows)] == [[14, 15, 16], [33, 90, 91]]
    assert alike(rows[:1] * 2) == [rows[:1] * 2] and alike([]) == []
    states = []
    for kind in (StackLearner, PlainLearner):
        learner = opened(tiny("llama", dtype=torch.float64), [one], kind)
        for _ in range(3):
            assert all(learner.update(rows))
        states.append(learner.state(track_of(one)))
        learner.close()
    assert largest_gap(*states) < 1e-12


def test_only_rows_of_the_update_are_trained_on() -> None:
    """Break seen to fail: a backward over all rows that were predicted."""
    one = lane()
    rng = random.Random(2)
    rows = [random_row(track_of(one), rng) for _ in range(3)]
    ours = opened(tiny("llama", dtype=torch.float64), [one])
    theirs = opened(tiny("llama", dtype=torch.float64), [one], PlainLearner)
    ours.score(rows)
    ours.update(rows[1:2])
    theirs.update(rows[1:2])
    assert largest_gap(ours.state(track_of(one)), theirs.state(track_of(one))) < 1e-12


@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt2", "phi3"])
def test_text_of_many_lanes_is_the_text_of_each(name: str) -> None:
    """Break seen to fail: the first rows' lanes taken for every sorted chunk."""
    lanes = (lane(lr=3e-2), lane(rank=4, lr=3e-2), Lane(shots=2))
    steps = rows_of(lanes, 4)
    texts = []
    for kind in (StackLearner, PlainLearner):
        learner = opened(tiny(name), lanes, kind)
        for index in range(len(lanes)):
            for rows in steps:
                if rows[index].loss:
                    learner.update([rows[index]])
        rng = random.Random(3)
        asked = [random_row(track_of(lanes[k % 3]), rng) for k in range(20)]
        texts.append(learner.generate(asked, 8))
        # From what is known of each: nothing, some of it, all of it.
        known = [text[: rng.randrange(len(text) + 1)] for text in texts[-1]]
        assert learner.generate(asked, 8, known) == texts[-1]
        learner.close()
    assert texts[0] == texts[1]
    assert len(set(texts[0])) > 10


def test_text_that_is_known_in_part_ends_where_the_whole_would() -> None:
    """An end mark of three tokens that begins in the known part, one that lies in it, and a text as long as it may be.

    Break seen to fail: the mark looked for in what is new only; the limit counted from what is new.
    """
    model = tiny("llama")
    prompt = (5, 6, 7, 8)
    (whole,) = greedy(model, [prompt], max_new_tokens=12, end_ids=frozenset())
    assert len(whole) == 12

    def ended(ids: Sequence[int]) -> bool:
        return tuple(ids[-3:]) == whole[4:7]

    (cut,) = greedy(model, [prompt], max_new_tokens=12, end_ids=frozenset(), ended=ended)
    for known in range(13):
        for limit, mark, text in ((12, None, whole), (12, ended, cut), (9, None, whole[:9])):
            got = greedy(
                model, [prompt, (9, 9)], max_new_tokens=limit, end_ids=frozenset(), ended=mark,
                begun=[whole[:known], ()],
            )  # fmt: skip
            assert got[0] == text
            assert got[1] == greedy(model, [(9, 9)], max_new_tokens=limit, end_ids=frozenset(), ended=mark)[0]
    (stopped,) = greedy(model, [prompt], max_new_tokens=12, end_ids=frozenset({whole[2]}), begun=[whole[:8]])
    assert stopped == whole[: whole.index(whole[2]) + 1]


def test_text_that_is_known_in_part_stays_within_the_context() -> None:
    """One row is far ahead, the other rambles on: a table of positions has an end.

    Break seen to fail: every row led on for as long as the slowest.
    """
    model = tiny("gpt2")
    room = model.config.max_position_embeddings
    long, short = tuple(5 + k % 7 for k in range(room - 12)), (9, 9, 8)
    whole, other = greedy(model, [long, short], max_new_tokens=12, end_ids=frozenset())
    begun = [whole[:10], other[:1]]
    assert greedy(model, [long, short], max_new_tokens=12, end_ids=frozenset(), begun=begun) == [whole, other]


@pytest.mark.parametrize("name", ["llama", *WINDOWED, "gpt2", "phi3"])
def test_choices_over_kept_keys_equal_choices_over_full_rows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Break seen to fail: prompts left-aligned in the cache, which moves sliding windows."""
    lanes = (lane(), lane(rank=4), Lane(shots=1))
    rng = random.Random(4)
    rows = [random_row(track_of(one), rng, choices="several", train=one.trains, length=n)
            for one, n in zip(lanes, (60, 33, 18), strict=True)]  # fmt: skip
    learner = opened(tiny(name, dtype=torch.float64), lanes)
    learner.update([row for row in rows if row.loss])
    assert keyvalue.usable(learner.model)
    kept = learner.score(rows)
    monkeypatch.setattr(keyvalue, "usable", lambda model: False)
    whole = learner.score(rows)
    assert_alike(kept, whole, 1e-6 if name == "gemma2" else 1e-10)
    assert all(abs(sum(result.choices[0:1]) + result.nll) < 1e-4 for result in kept)


def test_a_model_with_recurrent_state_is_scored_over_full_rows() -> None:
    from transformers import FalconMambaConfig, FalconMambaForCausalLM

    config = FalconMambaConfig(vocab_size=300, hidden_size=32, num_hidden_layers=2, state_size=4, time_step_rank=4)
    assert not keyvalue.usable(FalconMambaForCausalLM(config))


def test_padding_of_longer_neighbours_changes_nothing() -> None:
    """A short row beside a long one, in fp64: no mask is passed, causality is enough."""
    one, other = lane(), lane(rank=4)
    rng = random.Random(5)
    short, long = random_row(track_of(one), rng, length=18), random_row(track_of(other), rng, length=90)
    learner = opened(tiny("mistral", dtype=torch.float64), [one, other])
    beside = learner.score([short, long])
    assert_alike(beside[:1], learner.score([short]), 1e-12)


def test_the_trace_of_a_step_is_gone_after_it() -> None:
    """ENGINE rule 14: no graph outlives a step."""
    one = lane()
    learner = opened(tiny("llama"), [one])
    (row,) = rows_of([one], 1)[0]
    learner.score([row])
    assert learner._graphs
    learner.update([row])
    assert not learner._graphs and learner._wrapped.now is None


def test_a_full_tuning_lane_is_refused() -> None:
    with pytest.raises(ValueError, match="whole model"):
        opened(tiny("llama"), [lane(tune="full")])


def test_equal_rows_count_twice() -> None:
    one = lane()
    (row,) = rows_of([one], 1)[0]
    same = Row(row.track, row.ids, row.spans, row.loss)
    ours = opened(tiny("llama", dtype=torch.float64), [one])
    theirs = opened(tiny("llama", dtype=torch.float64), [one])
    ours.update([row, same])
    theirs.update([row])
    assert largest_gap(ours.state(track_of(one)), theirs.state(track_of(one))) < 1e-14
    assert END


@pytest.mark.parametrize("name", ["llama", "gemma3", "mistral", "gpt2", "gpt-neox"])
def test_lower_layers_are_shared_by_rows_of_equal_tokens(name: str) -> None:
    """Break seen to fail: every row given the first unique row's states; masks left as they were;
    the lower layers' keys picked by the row's place above."""
    half = {"layers": "upper-half"}
    lanes = (lane(**half), lane(rank=4, **half), lane(lr=1e-3, **half), lane(lr=2e-3, **half))
    rng = random.Random(7)
    steps = []
    for kind in ("several", "", "one-apart"):
        one, other = (random_row(track_of(lanes[0]), rng, choices=kind, length=40) for _ in range(2))
        steps.append([replace(row, track=track_of(some)) for row, some in zip((one, other, other, one), lanes)])
    tokens = []
    model = tiny(name, dtype=torch.float64)
    model.get_input_embeddings().register_forward_hook(lambda _m, args, _out: tokens.append(args[0].shape))
    ours = stack_run(model, lanes, steps)
    assert {shape[0] for shape in tokens if shape[1] == 48} == {2}
    theirs = plain_run(tiny(name, dtype=torch.float64), lanes, steps)
    for some in lanes:
        assert_alike(ours[track_of(some)][0], theirs[track_of(some)][0], 1e-10)
        assert largest_gap(ours[track_of(some)][1], theirs[track_of(some)][1]) <= 1e-9


def test_rows_share_the_lower_layers_where_that_is_proved() -> None:
    """Break seen to fail: Bloom's slopes, a row for each head and row below, met other rows above."""
    import transformers as tf

    bloom = tf.AutoModelForCausalLM.from_config(tf.BloomConfig(hidden_size=32, n_layer=4, n_head=4, vocab_size=64))
    assert not proven(bloom.eval(), "sharing", sharing.proof, aloud=False)
    assert all(proven(tiny(name), "sharing", sharing.proof) for name in NAMES)
