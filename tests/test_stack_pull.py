"""Lanes that are held to the frozen model, and lanes that adapt value matrices alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from models_made import NAMES, tiny
from stack_rows import END, assert_alike, lane, largest_gap, plain_run, rows_of, stack_run, track_of

from fewfit.engine.head import Pull, read, read_logits
from fewfit.engine.stack import StackLearner
from fewfit.engine.targets import adapted_modules
from fewfit.errors import UserError
from fewfit.grid import Lane

PULLED = (lane(kl=0.5), lane(), lane(kl=2.0, layers="upper-half"), lane(kl=1.0, optimizer="adafactor"), Lane(shots=4))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_held_to_the_frozen_model_equals_plain_peft(name: str) -> None:
    """Beside a lane that is not. Breaks seen to fail: the frozen model's forward with the lanes' adapters on; the
    first lane's weight for all; the pull in what is told of the answer."""
    steps = rows_of(PULLED, 6)
    ours = stack_run(tiny(name, dtype=torch.float64), PULLED, steps, total=6)
    theirs = plain_run(tiny(name, dtype=torch.float64), PULLED, steps, total=6)
    tolerance = 1e-6 if name == "gemma2" else 1e-10
    for one in PULLED:
        assert_alike(ours[track_of(one)][0], theirs[track_of(one)][0], tolerance)
        assert largest_gap(ours[track_of(one)][1], theirs[track_of(one)][1]) <= tolerance * 10


def test_the_head_and_whole_logits_pull_alike() -> None:
    """Loss and gradient against autograd's own. Breaks seen to fail: KL(lane ‖ frozen); the weight left out of the
    gradient."""
    torch.manual_seed(0)
    head = torch.nn.Linear(8, 31, dtype=torch.float64)
    x_ND, frozen_ND = torch.randn(2, 200, 8, dtype=torch.float64)
    wanted_N, weight_N = torch.randint(31, (200,)), torch.rand(200, dtype=torch.float64) * 3
    told = []
    for alone in (True, False):
        leaf_ND = x_ND.clone().requires_grad_()
        if alone:
            said = read(head, leaf_ND, wanted_N, [3], [5], Pull(frozen_ND, weight_N))
        else:
            said = read_logits(head(leaf_ND), wanted_N, [3], [5], Pull(head(frozen_ND).detach(), weight_N))
        (gradient_ND,) = torch.autograd.grad([said.trained_N], [leaf_ND], [torch.arange(200) / 200.0])
        told.append((said.loss_N.detach(), said.trained_N.detach(), gradient_ND))
    for one, other in zip(*told, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
    frozen, own = (torch.distributions.Categorical(logits=head(some)) for some in (frozen_ND, x_ND))
    expected_N = told[0][0] + weight_N * torch.distributions.kl_divergence(frozen, own)
    torch.testing.assert_close(told[0][1], expected_N.detach())
    same = read(head, x_ND, wanted_N, [], [], Pull(x_ND, weight_N))
    torch.testing.assert_close(same.trained_N, same.loss_N)  # no divergence from itself


def test_the_harder_it_is_held_the_less_it_learns() -> None:
    """Break seen to fail: the pull's sign."""
    told = []
    for one in (lane(lr=1e-2), lane(lr=1e-2, kl=30.0)):
        scored, _ = stack_run(tiny("llama"), [one], rows_of([one], 1) * 12, total=12)[track_of(one)]
        told.append([one.nll for one in scored])
    free, held = told
    assert free[0] == pytest.approx(held[0]) and free[-1] < 0.5 * free[0] < held[-1] < held[0]


def test_value_matrices_alone(tmp_path: Path) -> None:
    """In the engine as in the adapter that PEFT is given. Breaks seen to fail: the query matrices; all modules in the
    adapter's config."""
    from peft import PeftModel

    one, other = lane(layers="values"), lane()
    model = tiny("llama")
    names = [f"model.layers.{k}.self_attn.v_proj" for k in range(3)]
    assert adapted_modules(model, one) == names
    learner = StackLearner(model, end_ids=END)
    steps = rows_of((one, other), 4)
    for some in (one, other):
        learner.open(track_of(some), some)
    for rows in steps:
        learner.score(rows)
        learner.update(rows)
    row = replace(steps[-1][0], loss=())
    (scored,) = learner.score([row])
    learner.export(track_of(one), tmp_path)
    learner.close()
    assert scored is not None
    put = PeftModel.from_pretrained(model, str(tmp_path)).eval()
    assert {name.partition(".lora_")[0] for name, _ in put.named_parameters() if ".lora_" in name} == {
        f"base_model.model.{name}" for name in names
    }
    with torch.no_grad():
        logp_TV = put(input_ids=torch.tensor([row.ids])).logits[0].log_softmax(-1)
    start, end = row.spans[-1]
    nll = -sum(float(logp_TV[p - 1, row.ids[p]]) for p in range(start, end))
    assert nll == pytest.approx(scored.nll, rel=1e-4)


def test_what_peft_refuses_is_not_adapted() -> None:
    """Break seen to fail: a lane trained to its end whose adapter no PEFT would put on."""
    import peft
    import transformers as tf

    shape = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
             "num_key_value_heads": 2, "vocab_size": 64}  # fmt: skip
    mamba = {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1}
    model = tf.AutoModelForCausalLM.from_config(tf.FalconH1Config(**shape, **mamba))
    names = adapted_modules(model, lane())
    assert any(name.endswith("in_proj") for name in names)
    peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=names))


def test_blocks_of_two_kinds_are_one_decoder() -> None:
    """Break seen to fail: "no linear layer to adapt" in a model that mixes attention and state spaces."""
    import transformers as tf

    shape = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4,
             "num_key_value_heads": 2, "vocab_size": 64}  # fmt: skip
    mamba = {"mamba_dt_rank": 4, "mamba_d_state": 4, "attn_layer_period": 2, "attn_layer_offset": 1}
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "num_experts": 8}
    model = tf.AutoModelForCausalLM.from_config(tf.JambaConfig(**shape, **mamba, **special))
    assert adapted_modules(model, lane(layers="values")) == [f"model.layers.{k}.self_attn.v_proj" for k in (1, 3)]
    assert adapted_modules(model, lane(layers="upper-half")) == [
        f"model.layers.3.self_attn.{one}_proj" for one in ("q", "k", "v", "o")
    ]


@pytest.mark.parametrize(("name", "count"), [("gemma2", 3), ("gpt2", 0), ("phi3", 0), ("mixtral", 3)])
def test_models_without_value_matrices_are_refused(name: str, count: int) -> None:
    """Where they are one with keys and queries."""
    if not count:
        with pytest.raises(UserError, match="no value matrices"):
            adapted_modules(tiny(name), lane(layers="values"))
        return
    assert len(adapted_modules(tiny(name), lane(layers="values"))) == count


def test_value_lanes_equal_plain_peft() -> None:
    lanes = (lane(layers="values"), lane(), lane(layers="values", kl=1.0))
    steps = rows_of(lanes, 4)
    ours = stack_run(tiny("qwen3", dtype=torch.float64), lanes, steps, total=4)
    theirs = plain_run(tiny("qwen3", dtype=torch.float64), lanes, steps, total=4)
    for one in lanes:
        assert_alike(ours[track_of(one)][0], theirs[track_of(one)][0], 1e-10)
        assert largest_gap(ours[track_of(one)][1], theirs[track_of(one)][1]) <= 1e-9


def test_a_lane_that_tunes_the_whole_model_has_nothing_to_be_held_to() -> None:
    with pytest.raises(UserError, match="kl"):
        lane(kl=1.0, tune="full")
    assert lane(kl=0.5).name == "ft-lr3e-3-u1-kl5e-1" and lane(layers="values").name == "ft-lr3e-3-u1-values"
