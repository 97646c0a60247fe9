"""Layers that are run again in the backward: less memory, the very same numbers."""

from __future__ import annotations

import pytest
import torch
from models_made import MIXTURES, NAMES, tiny
from stack_rows import END, bytes_of_a_step, lane, rows_of, track_of

from fewfit.engine.learner import LaneState
from fewfit.engine.plain import PlainLearner
from fewfit.engine.stack import StackLearner
from fewfit.grid import Lane

torch.set_num_threads(1)
MANY = (lane(), lane(rank=4), lane(lr=1e-3, layers="upper-half"), Lane(shots=2), lane(optimizer="adafactor"))


def trained(name, lanes, kind=StackLearner, *, recompute: bool, steps: int = 6, dtype=torch.float32):
    """What was predicted, and every lane's last state."""
    learner = kind(tiny(name, dtype=dtype), end_ids=END)
    assert not recompute or learner.enable_recompute()
    for one in lanes:
        learner.open(track_of(one), one)
    told = []
    for rows in rows_of(lanes, steps):
        told += learner.score(rows)
        learner.update([row for row in rows if row.loss])
    states = {one.name: learner.state(track_of(one)) for one in lanes}
    learner.close()
    return told, states


def assert_same_bits(one: LaneState, other: LaneState) -> None:
    assert one.steps == other.steps and one.tensors.keys() == other.tensors.keys()
    for name, tensor in one.tensors.items():
        assert torch.equal(tensor, other.tensors[name]), name


@pytest.mark.parametrize("name", [name for name in NAMES if name not in MIXTURES])
def test_lanes_are_the_same_to_the_last_bit(name: str) -> None:
    """Over six steps with choices of one and several tokens, mixed ranks and layers, both optimizers, on every
    family. Breaks seen to fail: the second run without the pass's lanes; with its cache."""
    kept, again = (trained(name, MANY, recompute=recompute) for recompute in (False, True))
    assert kept[0] == again[0]
    for one in MANY:
        assert_same_bits(kept[1][one.name], again[1][one.name])


def test_lanes_are_the_same_in_bf16() -> None:
    """Whose attention is another one where it trains. Break seen to fail: the second run with torch's fused one."""
    kept, again = (trained("llama", MANY, recompute=recompute, dtype=torch.bfloat16) for recompute in (False, True))
    assert kept[0] == again[0]
    for one in MANY:
        assert_same_bits(kept[1][one.name], again[1][one.name])


@pytest.mark.parametrize("name", MIXTURES)
def test_mixtures_are_the_same_too(name: str) -> None:
    """Their rounding hangs on who shares a pass, and here that is the same. Break seen to fail: as above."""
    kept, again = (trained(name, MANY, recompute=recompute) for recompute in (False, True))
    for one in MANY:
        assert_same_bits(kept[1][one.name], again[1][one.name])


@pytest.mark.parametrize("tune", ["lora", "full"])
def test_one_lane_at_a_time_is_the_same_too(tune: str) -> None:
    """Gradients of the weights themselves, embeddings included. Break seen to fail: no gradient for the input."""
    lanes = (lane(tune=tune, lr=1e-3),)
    kept, again = (trained("qwen3", lanes, PlainLearner, recompute=recompute, steps=3) for recompute in (False, True))
    assert kept[0] == again[0]
    assert_same_bits(kept[1][lanes[0].name], again[1][lanes[0].name])


@pytest.mark.parametrize("kind", [StackLearner, PlainLearner])
def test_the_model_comes_back_as_it_was(kind) -> None:
    """Breaks seen to fail: the layers' forwards left in place; one mode for all submodules."""
    model = tiny("gpt2")
    model.transformer.h[0].train()
    learner = kind(model, end_ids=END)
    assert learner.enable_recompute()
    assert not learner.enable_recompute(), "there is no more to be had"
    learner.close()
    assert not any("forward" in module.__dict__ for module in model.modules())
    assert model.transformer.h[0].training and not model.training and not model.transformer.h[1].training


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_a_step_takes_less_memory(name: str) -> None:
    """Ten layers. Break seen to fail: a forward that keeps its graph."""
    took = []
    one = lane()
    (row,) = rows_of([one], 1, length=120)[0]
    for recompute in (False, True):
        model = deep(name)
        learner = StackLearner(model, end_ids=END)
        assert not recompute or learner.enable_recompute()
        took.append(bytes_of_a_step(learner, one, row))
    assert took[1] < 0.45 * took[0]


def deep(name: str):
    import transformers as tf

    settings = {"vocab_size": 300, "bos_token_id": 1, "eos_token_id": 2}
    config = {
        "llama": tf.LlamaConfig(hidden_size=48, intermediate_size=80, num_hidden_layers=10, num_attention_heads=4,
                                **settings),
        "gpt2": tf.GPT2Config(n_embd=48, n_layer=10, n_head=4, n_positions=256, **settings),
    }[name]  # fmt: skip
    return tf.AutoModelForCausalLM.from_config(config).eval()
