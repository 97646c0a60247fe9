"""Text by our own layers: token for token that of transformers' generate, each lane's own, and nothing left behind."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import models_made
import pytest
import torch
import transformers as tf
from models_made import LENGTH, WINDOW, tiny
from stack_rows import lane, largest_gap, opened, random_row, track_of
from test_attention import Case

from fewfit.engine import decode, native
from fewfit.engine.learner import Row
from fewfit.engine.plain import PlainLearner
from fewfit.grid import Lane

LANES = (lane(), lane(rank=4), Lane(shots=2), lane(lr=1e-3), lane(rank=2, layers="upper-half"))
YARN = {"rope_type": "yarn", "factor": 2.0, "rope_theta": 1e4, "original_max_position_embeddings": LENGTH // 2}

pytestmark = pytest.mark.skipif(native.machine_code() is None, reason="no C compiler here")


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each batch had that decode.py wrote."""
    torch.set_num_threads(1)
    sizes: list[int] = []
    original = decode.decode
    monkeypatch.setattr(decode, "decode", lambda *args: (sizes.append(len(args[3])), original(*args))[1])
    return sizes


def llama(dtype: torch.dtype = torch.float32, config: Any = tf.LlamaConfig, **settings: Any) -> Any:
    """`tiny`, with heads of whole vectors, and norms and biases that are not plain."""
    models_made._CONFIGS["wide"] = models_made._of(config, **{"head_dim": 16, **settings})
    model = tiny("wide", dtype=dtype)
    for seed, parameter in enumerate(model.parameters()):
        if parameter.dim() == 1:
            parameter.data.add_(torch.randn(len(parameter), generator=torch.Generator().manual_seed(seed)), alpha=0.2)
    return model


MODELS: dict[str, Callable[[], Any]] = {
    "llama": llama,
    "llama-biased": lambda: llama(attention_bias=True, mlp_bias=True, rope_parameters=YARN, num_key_value_heads=1),
    "qwen3": lambda: tiny("qwen3"),
}


def with_adapters(model: Any) -> Any:
    learner = opened(model, LANES)
    for seed, one in enumerate(learner._tracks.values()):
        if one.adapter is not None:
            one.adapter.weight_P.normal_(0.0, 0.15, generator=torch.Generator().manual_seed(seed))
    return learner


def asked(count: int, lanes: tuple[Lane, ...] = LANES) -> list[Row]:
    rng, some = random.Random(3), (lanes * count)[:count]
    return [random_row(track_of(one), rng, train=one.trains, length=rng.randrange(18, 90)) for one in some]


def stock(model: Any, learner: Any, rows: Sequence[Row], most: int) -> Any:
    """The texts of PEFT and transformers, lane after lane."""
    theirs = PlainLearner(model, end_ids=learner.end_ids, ended=learner.ended)
    for track, one in learner._tracks.items():
        theirs.restore(track, one.lane, learner.state(track))
    texts = theirs.generate(rows, most)
    theirs.close()
    return texts


def assert_same(learner: Any, rows: Sequence[Row], ours: Any, theirs: Any) -> None:
    """Up to where two tokens are as good as each other."""
    assert len(ours) == len(theirs) == len(rows)
    for row, some, other in ((row, *texts) for row, *texts in zip(rows, ours, theirs) if texts[0] != texts[1]):
        alike = next((n for n, (a, b) in enumerate(zip(some, other)) if a != b), min(len(some), len(other)))
        with torch.no_grad(), learner._using([row.track]):
            ids = torch.tensor([[*row.ids[: row.prompt_tokens], *other[:alike]]])
            first, second = learner.model(input_ids=ids).logits[0, -1].topk(2).values.tolist()
        assert first - second < 1e-4, (row.track, some, other)


@pytest.mark.parametrize(("name", "tiles"), [*((name, True) for name in MODELS), ("qwen3", False)])
def test_text_is_the_library_s_also_beside_nan(name: str, tiles: bool, batches: list[int], monkeypatch: Any) -> None:
    """Breaks seen to fail: a step's angles one place late; every row the first one's adapters; a row's keys kept in the
    next one's place; the head norms left out; the head asked of every prompt's first place."""
    if not tiles:
        monkeypatch.setattr(native, "has_tiles", lambda: False)
    learner, rows = with_adapters(MODELS[name]()), asked(20)
    ours = learner.generate(rows, 12)
    assert batches == [16, 4] and len(set(ours)) > 15
    assert_same(learner, rows, ours, stock(MODELS[name](), learner, rows, 12))
    for row, text in zip(rows[:5], ours, strict=False):
        assert_same(learner, [row], learner.generate([row], 12), [text])
        assert learner.generate([row], 1) == [text[:1]]
    assert batches == [16, 4, *[1] * 10]
    learner._tracks[rows[1].track].adapter.weight_P.fill_(torch.nan)
    for row, was, text in zip(rows, ours, learner.generate(rows, 12), strict=True):
        assert (text == was) == (row.track != rows[1].track)


def test_text_that_is_known_in_part_is_gone_on_with(batches: list[int]) -> None:
    """Break seen to fail: what is known left out of the prompts."""
    learner, rows = with_adapters(tiny("qwen3")), asked(20)
    texts = learner.generate(rows, 12)
    rng = random.Random(1)
    known = [text[: rng.randrange(len(text) + 1)] for text in texts]
    assert_same(learner, rows, learner.generate(rows, 12, known), texts)
    near = [random_row(rows[1].track, rng, length=LENGTH - 8), *rows[:3]]  # near the last place that the model knows
    whole = learner.generate(near, 16)
    assert_same(learner, near, whole, stock(tiny("qwen3"), learner, near, 16))
    assert_same(learner, near, learner.generate(near, 16, [whole[0][:14], *[()] * 3]), whole)


def test_text_ends_with_the_last_of_its_rows(batches: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks seen to fail: only the newest token asked whether it ends; nothing asked; what is known left out of it."""
    learner, rows = with_adapters(llama()), asked(6)
    endless = learner.generate(rows, 24)
    marks = {text[3 + 2 * n : 5 + 2 * n] for n, text in enumerate(endless)}
    learner.ended = lambda ids: tuple(ids[-2:]) in marks
    learner.end_ids = frozenset({2, endless[0][1]})
    steps: list[int] = []
    original = native.attention_next
    monkeypatch.setattr(native, "attention_next", lambda *args: (steps.append(1), original(*args))[1])
    ours = learner.generate(rows, 24)
    assert len({len(text) for text in ours}) > 3 and max(map(len, ours)) < 24
    assert len(steps) == 3 * (max(map(len, ours)) - 1), "a step of each layer for each token but the first"
    assert_same(learner, rows, ours, stock(llama(), learner, rows, 24))
    steps.clear()
    assert learner.generate(rows, 24, [text[:-1] for text in ours]) == ours and not steps


@pytest.mark.parametrize("ended", [None, lambda ids: (False, False, False)[len(ids) - 1]])
def test_lanes_train_on_as_if_nothing_had_been(ended: Any, batches: list[int]) -> None:
    """To the bit, also where writing was broken off. Breaks seen to fail: the pass left standing; a lane's vector
    touched by its text."""
    rows = [row for row in asked(10) if row.loss]
    one, other = (with_adapters(llama()) for _ in range(2))
    one.ended = ended
    for _ in range(3):
        told = [learner.predict(rows) for learner in (one, other)]
        with nullcontext() if ended is None else pytest.raises(IndexError):
            one.generate(rows, 8)
        assert told[0] == told[1] and one.wrapped.now is None
        assert one.update(rows) == other.update(rows) == [True] * len(rows)
    assert len(batches) == 3
    assert all(largest_gap(*(learner.state(track_of(some)) for learner in (one, other))) == 0.0 for some in LANES)


OTHERS: dict[str, Callable[[], Any]] = {
    "half": lambda: llama(torch.bfloat16),
    "width": lambda: llama(head_dim=24),
    "window": lambda: llama(config=tf.MistralConfig, sliding_window=WINDOW),
    "family": lambda: tiny("olmo2"),
    "class": lambda: setattr(one := llama(), "__class__", type("Own", (tf.LlamaForCausalLM,), {})) or one,
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_models_go_the_library_s_way(name: str, batches: list[int]) -> None:
    """Breaks seen to fail: the type, the width, windows and the class not looked at."""
    learner, rows = opened(OTHERS[name](), LANES), asked(6)
    ours = learner.generate(rows, 8)
    assert not batches
    if name != "half":  # rounds otherwise than PEFT does
        assert_same(learner, rows, ours, stock(OTHERS[name](), learner, rows, 8))


def as_it_was_for_two(plain: Any, x: torch.Tensor, **how: Any) -> Any:
    return plain(x, **how) * (1 if len(x) == 2 else -1)  # two rows are what a layer is tried with


CHANGES: dict[str, Callable[[Any], Any]] = {
    "hook": lambda one: one.register_forward_hook(lambda _m, _args, out: -out),
    "pre-hook": lambda one: one.register_forward_pre_hook(lambda _m, args: (args[0] // 2,)),
    "forward": lambda one: setattr(one, "forward", partial(as_it_was_for_two, one.forward)),
}


@pytest.mark.parametrize("place", ["embed_tokens", "norm", "layers.1", "layers.1.mlp", "layers.1.mlp.act_fn"])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("late", [False, True])
def test_what_hangs_in_a_model_is_not_passed_by(change: str, place: str, late: bool, batches: list[int]) -> None:
    """A learner that only prompts looks too. Breaks seen to fail: hooks, forwards, and what came after the first text
    not looked for; the model not looked at before the first."""
    lanes = (Lane(shots=2), Lane(shots=3))
    model, other, rows = llama(), llama(), asked(4, lanes)
    learner = opened(model, lanes)
    plain = learner.generate(rows, 8) if late else None
    assert not late or batches.pop() == len(rows)
    for one in (model, other):
        CHANGES[change](one.model.get_submodule(place))
    ours = learner.generate(rows, 8)
    assert not batches
    assert_same(learner, rows, ours, stock(other, learner, rows, 8))
    assert not late or ours != plain


def test_threads_and_types_are_asked_for_at_each_text(batches: list[int]) -> None:
    """Breaks seen to fail: threads and autocast not asked for; keys kept in what torch would take."""
    learner, rows = with_adapters(llama()), asked(6)
    ours = learner.generate(rows, 8)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            assert not decode.serves(learner.model)
        torch.set_default_dtype(torch.bfloat16)
        kept = decode.empty(learner.wrapped.blocks[0], 3, 32)
        torch.set_default_dtype(torch.float32)
        torch.set_num_threads(2)
        assert_same(learner, rows, learner.generate(rows, 8), ours)
    finally:
        torch.set_num_threads(1)
        torch.set_default_dtype(torch.float32)
    assert batches == [6] and {some.dtype for some in kept} == {torch.float32}


@pytest.mark.parametrize("sizes", [(4, 4, 16, [4, 17, 33, 160]), (9, 3, 64, [32, 80, 5]), (8, 2, 128, [7, 33, 131])])
def test_one_more_token_sees_its_whole_row(sizes: tuple[int, int, int, list[int]]) -> None:
    """Against fp64, in room that is full beforehand. Breaks seen to fail: columns behind the last key not hidden; the
    newest value left out; keys kept one place late; a row's room counted from its tokens."""
    _, groups, width, lengths = sizes
    case = Case(*sizes, torch.float32)
    exact, starts = case.exact()[0].float(), [segment.start for segment in case.segments]
    rows, room = len(lengths), -(-max(lengths) // 16) * 16
    keys, values = (torch.full((rows + 1, groups, *some), 1e30) for some in ((width, room), (room, width)))
    kept = native.KeptKeys(keys[:rows], values[:rows])

    def near(at: list[int], call: Any, **how: list[int]) -> None:
        lines = native.Lines(*map(native.numbers, how.values()))
        turn = [part[:, at] for part in case.turn]
        out = call(*(part[:, at] for part in case.parts), turn, case.scaling, lines, kept)
        assert torch.allclose(out[0] if isinstance(out, tuple) else out, exact[at], atol=2e-6)

    at = [s + t for s, n in zip(starts, lengths, strict=True) for t in range(n - 3)]
    short, places = [n - 3 for n in lengths], [s - 3 * b for b, s in enumerate(starts)]
    near(at, native.attention, starts=places, lengths=short, turns=places)
    for step in range(3):
        before, each = [n + step for n in short], list(range(rows))
        at = [s + n for s, n in zip(starts, before, strict=True)]
        near(at, native.attention_next, starts=each, lengths=before, turns=each)
    for b, n in enumerate([*lengths, 0]):
        assert all((some[..., :n] < 1e3).all() and (some[..., n:] > 1e29).all() for some in (keys[b], values[b].mT))
