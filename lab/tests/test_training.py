"""Training: our forward pass is the stock model's, Muon is torch's, and a resumed run is a run that never stopped."""

from __future__ import annotations

import json

import pytest
import torch

from lab import initial, muon, store, tokens
from lab.net import LAB, Shape, hidden_states, parameter_shapes, rope, weighted_loss

TINY = Shape(layers=2, width=64, heads=4, hidden=96, vocab=3200)


@pytest.fixture
def eager(monkeypatch):
    monkeypatch.setenv("FEWFIT_LAB_COMPILE", "0")
    torch.set_num_threads(1)


def test_our_forward_is_the_stock_models(tmp_path):
    from transformers import AutoModelForCausalLM

    tokenizer = tokens.train()
    params = initial.structured(LAB, tokens.twins(tokenizer))
    store.write_model(tmp_path / "m", params, LAB, tokenizer)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "m", dtype=torch.float32)
    assert set(model.state_dict()) - {"lm_head.weight"} == set(parameter_shapes(LAB))
    params = store.read_weights(tmp_path / "m")
    ids = torch.randint(5, 3000, (2, 256), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours = hidden_states(params, ids, LAB, *rope(LAB, 256), torch.float32)
        ours = ours @ params["model.embed_tokens.weight"].T
        assert (ours - model(ids).logits).abs().max() < 1e-3


def test_structured_weights_repeat_what_they_saw_without_any_training():
    params = initial.structured(LAB, tokens.twins(tokens.train()))
    generator = torch.Generator().manual_seed(1)
    stretch = torch.randperm(2000, generator=generator)[:40] + 1000
    ids = stretch.repeat(4)[None, :128]
    with torch.no_grad():
        h = hidden_states(params, ids, LAB, *rope(LAB, 128), torch.float32)
        best = (h @ params["model.embed_tokens.weight"].T).argmax(-1)
    assert (best[0, 44:-1] == ids[0, 45:]).float().mean() > 0.5


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon to compare with")
def test_muon_steps_as_torchs_does():
    torch.manual_seed(0)
    ours = {f"layer{i}_proj": torch.randn(32, 48).requires_grad_() for i in range(2)}
    theirs = {n: p.detach().clone().requires_grad_() for n, p in ours.items()}
    one = muon.Optimizer(ours, muon=0.01)
    other = torch.optim.Muon(theirs.values(), lr=0.01, momentum=0.95, weight_decay=0.0)
    for _ in range(3):
        for n in ours:
            gradient = torch.randn(32, 48)
            ours[n].grad, theirs[n].grad = gradient.clone(), gradient.clone()
        one.step(1.0)
        other.step()
    for n in ours:
        moved = (theirs[n] - ours[n]).detach().abs().max()
        assert moved < 2e-3, moved  # both orthogonalise in bf16


def test_the_loss_is_the_weighted_mean():
    params = initial.structured(TINY, [])
    ids = torch.randint(0, 3200, (2, 128), generator=torch.Generator().manual_seed(0))
    at, weights = torch.tensor([5, 128 + 7]), torch.tensor([2.0, 1.0])
    targets = torch.stack([ids[0, 6], ids[1, 8]])
    cos, sin = rope(TINY, 128)
    loss = weighted_loss(params, ids, at, targets, weights, TINY, cos, sin, torch.float32)
    logp = torch.log_softmax(
        hidden_states(params, ids, TINY, cos, sin, torch.float32) @ params["model.embed_tokens.weight"].T, -1
    )
    by_hand = -(2 * logp[0, 5, ids[0, 6]] + logp[1, 7, ids[1, 8]]) / 3
    assert torch.allclose(loss, by_hand, atol=1e-5)


def test_a_resumed_run_equals_one_that_never_stopped(tmp_path, monkeypatch, eager):
    from lab import train

    monkeypatch.setattr(train, "BATCH_TOKENS", 512)
    monkeypatch.setattr(train, "LOSS_TOKENS", 200)
    whole = train.Training(tmp_path / "a", TINY)
    losses = [whole.step() for _ in range(4)]
    first = train.Training(tmp_path / "b", TINY)
    again = [first.step(), first.step()]
    first.save()
    second = train.Training(tmp_path / "b", TINY)
    again += [second.step(), second.step()]
    assert again == losses
    for n, p in whole.params.items():
        assert torch.equal(p, second.params[n])


def test_a_resumed_run_keeps_its_seed_and_refuses_another(tmp_path, monkeypatch, eager):
    """Break seen to fail: rows by the seed that was asked, half a run of each."""
    from fewfit.errors import UserError
    from lab import train

    monkeypatch.setattr(train, "BATCH_TOKENS", 256)
    monkeypatch.setattr(train, "LOSS_TOKENS", 100)
    first = train.Training(tmp_path, TINY, seed=7)
    first.step()
    first.save()
    ids = first.rows(256)[0]
    for same in (None, 7):
        again = train.Training(tmp_path, TINY, seed=same)
        assert again.seed == 7
        assert torch.equal(again.rows(256)[0], ids)
    with pytest.raises(UserError, match="began with seed 7, not 0; leave --seed out"):
        train.Training(tmp_path, TINY, seed=0)

    state = torch.load(tmp_path / "state.pt", weights_only=True)
    del state["seed"]  # as it was saved before the seed was kept
    torch.save(state, tmp_path / "state.pt")
    assert train.Training(tmp_path, TINY).seed == 0
    assert train.Training(tmp_path, TINY, seed=7).seed == 7


def test_a_run_stops_on_time_decays_and_leaves_a_model(tmp_path, monkeypatch, eager):
    from lab import skills, train

    monkeypatch.setattr(train, "BATCH_TOKENS", 256)
    monkeypatch.setattr(train, "LOSS_TOKENS", 100)
    monkeypatch.setattr(skills, "watch", lambda *a, **k: {"copy": "0"})
    run = train.Training(tmp_path / "run", TINY)
    run.progress.decay_from, run.progress.decay_steps = 2, 4
    run.run(minutes=5, current=tmp_path / "model")
    assert run.progress.step == 6
    assert run.rate() == 0.0
    assert (tmp_path / "model" / "model.safetensors").exists()
    lines = [json.loads(line) for line in (tmp_path / "run" / "journal.jsonl").read_text().splitlines()]
    assert lines[0]["phase"] == "association"
    assert lines[0]["seed"] == 0
    assert "skills" in lines[-1]
    assert run.progress.tokens == 6 * 256


@pytest.mark.slow
def test_a_run_whose_time_is_over_goes_on_at_the_full_rate(tmp_path, monkeypatch, eager):
    from lab import skills, train

    monkeypatch.setattr(train, "BATCH_TOKENS", 256)
    monkeypatch.setattr(train, "LOSS_TOKENS", 100)
    monkeypatch.setattr(skills, "watch", lambda *a, **k: {"copy": "0"})
    run = train.Training(tmp_path / "run", TINY)
    run.progress.step, run.progress.seconds = 500, 600.0
    run.progress.decay_from, run.progress.decay_steps = 400, 200
    run.run(minutes=0.05)
    assert run.progress.window_from == 600.0
    assert run.progress.warm_from == 500
    assert run.progress.step > 500
