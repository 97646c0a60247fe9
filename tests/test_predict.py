"""Predicting: what was tested is what is served, and a hit is what generation writes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf
from bundles_made import COLOURS, FULL, ICL, LETTERS, LORA, TRACK, ZERO_SHOT, Made, free, labelled, made, queries
from folders_made import byte_tokenizer, model_folder
from models_made import NAMES, tiny
from peft import AutoPeftModelForCausalLM

from fewfit import predict
from fewfit.engine import packed
from fewfit.engine.beginning import prefix
from fewfit.engine.forward import logits_at
from fewfit.engine.generate import greedy
from fewfit.engine.learner import Row
from fewfit.engine.prefix import logits_behind
from fewfit.engine.score import sum_logp
from fewfit.errors import UserError
from fewfit.examples.example import Example, Message
from fewfit.grid import Lane
from fewfit.models import local
from fewfit.predict import Predictor

torch.set_num_threads(1)


# ---- promise 6: what was tested is what is served --------------------------------------------------------------------

TASKS: dict[str, Any] = {
    "one token apart": ("choice", labelled(LETTERS), LETTERS),
    "choices of several tokens": ("choice", labelled(COLOURS), COLOURS),
    "free text": ("match", free(), None),
}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("lane", [ZERO_SHOT, ICL, LORA, FULL], ids=lambda lane: lane.name)
def test_the_predictor_gives_the_engines_answers(task: str, lane: Lane, loaded: local.Loaded, tmp_path: Path) -> None:
    """Break seen to fail: the adapter not put on; demonstrations in the opposite order; choices by their mean."""
    metric, examples, choices = TASKS[task]
    trained = made(loaded, lane, examples, metric=metric, choices=choices)
    trained.save(tmp_path / "bundle")
    asked = queries(metric)
    rows = Predictor(tmp_path / "bundle", device="cpu").predict(asked)
    assert [row["prediction"] for row in rows] == [trained.answer(query) for query in asked]
    if lane.trains:
        trained.lane = ICL  # the weights as they came, the prompts as they were
        trained.learner.open(TRACK, ICL)
        answers = [Example(query.id, query.prompt, row["prediction"]) for query, row in zip(asked, rows, strict=True)]
        apart = [abs(trained.scored(a).nll - row["nll"]) for a, row in zip(answers, rows, strict=True)]
        assert max(apart) > 0.1, "the training made no difference: the test has no power"


@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt2", "mixtral"])
def test_probabilities_and_nll_are_the_engines(name: str, tmp_path: Path) -> None:
    """Break seen to fail: nll without the end mark."""
    for choices in (LETTERS, COLOURS):
        at = model_folder(tmp_path / f"{name}{len(choices[1])}", name)
        trained = made(local.load(at, device="cpu"), LORA, labelled(choices), metric="choice", choices=choices)
        trained.save(tmp_path / "bundle")
        rows = Predictor(tmp_path / "bundle", device="cpu").predict(queries("choice"))
        for query, row in zip(queries("choice"), rows, strict=True):
            told = trained.scored(query)
            weights = [math.exp(value - max(told.choices)) for value in told.choices]
            wanted = dict(zip(choices, [weight / sum(weights) for weight in weights], strict=True))
            assert row["probs"] == pytest.approx(wanted, abs=1e-5)
            answered = Example(query.id, query.prompt, row["prediction"])
            assert row["nll"] == pytest.approx(trained.scored(answered).nll, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("lane", [LORA, FULL], ids=lambda lane: lane.name)
def test_plain_libraries_give_the_predictors_answers(lane: Lane, loaded: local.Loaded, tmp_path: Path) -> None:
    """The folder, the prompt's text, and nothing else of fewfit's: generation, and the arg-max over the choices.

    Break seen to fail: demonstrations in the opposite order in the predictor; the adapter not put on there.
    """
    kind: Any = AutoPeftModelForCausalLM if lane.tune == "lora" else tf.AutoModelForCausalLM
    for number, (metric, examples, choices) in enumerate(TASKS.values()):
        folder = tmp_path / f"bundle{number}"
        trained = made(
            local.load(loaded.ref.name, device="cpu"), lane, examples, metric=metric, choices=choices, passes=3
        )
        trained.save(folder)
        rows = Predictor(folder, device="cpu").predict(queries(metric))
        plain = kind.from_pretrained(folder, dtype=torch.float32).eval()
        tokenizer = tf.AutoTokenizer.from_pretrained(folder)
        settings = tf.GenerationConfig.from_pretrained(folder)
        record = json.loads((folder / "bundle.json").read_text())
        end = record["decoding"]["end_text"]
        for query, row in zip(queries(metric), rows, strict=True):
            text = plain_prompt(record, str(query.prompt))
            ids = tokenizer(text, return_tensors="pt").input_ids
            if metric == "choice":
                # Choices that are one token apart are told by that token; others by all of theirs and the end.
                behind = "" if choices == LETTERS else end
                likely = {one: plain_logp(plain, tokenizer, text, f" {one}{behind}") for one in record["choices"]}
                assert row["prediction"] == max(likely, key=likely.__getitem__)
                continue
            new = plain.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                generation_config=settings,
                stop_strings=[end],
                tokenizer=tokenizer,
            )[0, ids.shape[1] :]
            new = [int(token) for token in new if int(token) not in settings.eos_token_id]
            written = tokenizer.decode(new, skip_special_tokens=False).split(end)[0].strip()
            assert row["prediction"] == written


def plain_prompt(record: dict[str, Any], prompt: str) -> str:
    """By bundle.json alone: the template filled with each demonstration, then up to the answer."""
    template, separator = record["render"]["template"], record["render"]["separator"]
    items = [template.format(prompt=d["prompt"], completion=d["completion"]) for d in record["demonstrations"]]
    return separator.join([*items, template.split("{completion}")[0].format(prompt=prompt).rstrip(" ")])


def plain_logp(model: Any, tokenizer: Any, text: str, answer: str) -> float:
    start = len(tokenizer(text).input_ids)
    ids = tokenizer(text + answer, return_tensors="pt").input_ids
    with torch.no_grad():
        logp = torch.log_softmax(model(input_ids=ids).logits[0, start - 1 : -1].double(), dim=-1)
    return float(logp.gather(1, ids[0, start:, None]).sum())


# ---- promise 5: a hit is honest --------------------------------------------------------------------------------------


def overfitted(
    name: str, tmp_path: Path, *, dtype: str = "float32", lane: Lane | None = None
) -> tuple[Made, list[Example]]:
    """A lane that knows the codes of half of the examples by heart, and the other half not at all."""
    at = model_folder(tmp_path / name, name)
    found = local.load(at, device="cpu", dtype=dtype)
    # What a careless generation config would do to an answer.
    found.model.generation_config = tf.GenerationConfig(
        do_sample=True,
        temperature=2.0,
        repetition_penalty=3.0,
        eos_token_id=5,
        max_new_tokens=1,
        no_repeat_ngram_size=1,
    )
    examples = free(16)
    lane = lane or Lane(lr=5e-3, updates=1, tune="full")
    return made(found, lane, examples[:8], passes=12), examples


def hits_and_writings(trained: Made, examples: list[Example]) -> list[tuple[bool, bool, float]]:
    """Of each example: whether teacher forcing calls it a hit, whether generation writes the very answer and its end,
    and the smallest gap between the two top logits."""
    out = []
    for example in examples:
        row = trained.row(example)
        start, end = row.spans[-1]
        told = trained.scored(example)
        new = trained.learner.generate([Row(TRACK, row.ids, row.spans)], trained.renderer.settings.max_new_tokens)[0]
        text, ended = trained.renderer.answer_text(new)
        writes = new == row.ids[start:end]
        assert not writes or (ended and text == example.completion)
        out.append((told.hit, writes, told.margin))
    return out


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma2", "gpt2", "gpt-neox", "mistral"])
def test_a_hit_is_what_generation_writes(name: str, tmp_path: Path) -> None:
    """Break seen to fail: the last token of the answer (its end) left out of `hit`; the model's own generation_config
    left in force; `ended` ignored in generation."""
    trained, examples = overfitted(name, tmp_path)
    # Right as far as they go, and the model goes on: these are misses by their end alone.
    stumps = [replace(e, completion=e.completion[:-1]) for e in examples[:4] if len(e.completion) > 1]
    told = hits_and_writings(trained, [*examples, *stumps])
    hits = sum(hit for hit, _, _ in told) / len(told)
    assert 0.3 <= hits <= 0.7, f"{hits:.0%} hits: the test has no power"
    for hit, writes, margin in told:
        assert hit == writes or margin < 1e-3


def test_a_hit_is_what_generation_writes_in_bf16(tmp_path: Path) -> None:
    """In bf16 the two may part where the top logits are closer than arithmetic repeats itself: measured, counted."""
    lane = Lane(lr=5e-3, updates=1, rank=16)
    trained, examples = overfitted("llama", tmp_path, dtype="bfloat16", lane=lane)
    told = hits_and_writings(trained, examples)
    rows = [trained.row(example) for example in examples]
    shared = prefix(trained.loaded.model, rows[0].ids[:4])
    assert shared is not None
    same = [row.ids for row in rows if shared.begins(row.ids)]
    places = [list(range(8, len(ids))) for ids in same]
    with torch.no_grad():
        whole = logits_at(trained.loaded.model, same, places)
    gap = 2 * float((whole - logits_behind(trained.loaded.model, shared, same, places)).abs().max())
    assert gap < 1.0, "a gap that excuses everything"
    parted = [(hit, writes, margin) for hit, writes, margin in told if hit != writes]
    print(f"bf16: gap {gap:.3f}, {len(parted)} of {len(told)} part")
    assert all(margin <= gap for _, _, margin in parted)
    hits = sum(hit for hit, _, _ in told) / len(told)
    assert 0.3 <= hits <= 0.7, f"{hits:.0%} hits: the test has no power"


# ---- demonstrations are computed once --------------------------------------------------------------------------------


@contextmanager
def tokens_seen(model: Any) -> Iterator[list[tuple[int, int]]]:
    """Rows and tokens a row of each forward of the model."""
    seen: list[tuple[int, int]] = []
    table = model.get_input_embeddings()
    handle = table.register_forward_pre_hook(lambda _, args: seen.append(tuple(args[0].shape)))
    try:
        yield seen
    finally:
        handle.remove()


@pytest.mark.parametrize("metric", ["choice", "match"])
@pytest.mark.parametrize("name", NAMES)
def test_reuse_changes_no_answer(name: str, metric: str, tmp_path: Path) -> None:
    """On every architecture, windows shorter than the demonstrations included; padding and batches too.

    Break seen to fail: positions of what follows counted from 0; rows of unlike length generated together behind a
    window; the prefix computed with one token too few.
    """
    examples = labelled(COLOURS) if metric == "choice" else free()
    at = model_folder(tmp_path / "base", name)
    choices = COLOURS if metric == "choice" else None
    trained = made(local.load(at, device="cpu"), ICL, examples, metric=metric, choices=choices)
    trained.save(tmp_path / "bundle")
    asked = queries(metric, 16)
    with_it, without = (Predictor(tmp_path / "bundle", device="cpu", reuse=reuse) for reuse in (True, False))
    assert prefix(with_it._model, range(3, 12)) is not None  # what is reused has proved itself before we count
    assert packed.usable(with_it._model) and packed.usable(without._model)
    with tokens_seen(with_it._model) as few:
        rows = with_it.predict(asked)
    with tokens_seen(without._model) as many:
        whole = without.predict(asked)
    assert [row["prediction"] for row in rows] == [row["prediction"] for row in whole]
    for row, other in zip(rows, whole, strict=True):
        assert row["nll"] == pytest.approx(other["nll"], rel=1e-4)
        assert row["probs"] == (other["probs"] and pytest.approx(other["probs"], abs=1e-5))
    (kept,) = with_it._kept
    assert kept is not None
    assert without._kept == [None]
    assert few[0] == (1, len(kept.ids))
    assert few[0][1] > 40
    assert max(width for _, width in many) > 90, "whole prompts"
    assert sum(map(math.prod, few[1:])) < 0.6 * sum(map(math.prod, many)), "the demonstrations were computed again"
    with tokens_seen(with_it._model) as again:
        with_it.predict(asked[:1])
    assert max(width for _, width in again) < 60, "nor are they computed again for the next call"


@pytest.mark.parametrize("name", ["mistral", "gemma3"])
def test_text_behind_a_window_in_batches_of_unlike_lengths(name: str) -> None:
    """Break seen to fail: rows of unlike length generated together behind a window."""
    model = tiny(name)
    draw = torch.Generator().manual_seed(1)
    start = torch.randint(3, 300, (60,), generator=draw).tolist()
    prompts = [start + torch.randint(3, 300, (n,), generator=draw).tolist() for n in (1, 9, 30, 9, 17, 2)]
    kept = prefix(model, start)
    settings: dict[str, Any] = {"max_new_tokens": 12, "end_ids": frozenset([2])}
    alone = [greedy(model, [prompt], **settings)[0] for prompt in prompts]
    assert greedy(model, prompts, past=kept, **settings) == alone
    assert greedy(model, prompts, **settings) == alone


def test_what_cannot_be_kept_by_position_is_computed_whole() -> None:
    """Break seen to fail: the check of rope types taken out."""
    long = tf.LlamaConfig(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0},
    )
    assert prefix(tf.LlamaForCausalLM(long).eval(), [1, 2, 3]) is None
    state = tf.MambaConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1, state_size=4)
    assert prefix(tf.MambaForCausalLM(state).eval(), [1, 2, 3]) is None
    mixed = tf.Lfm2Config(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        layer_types=["conv", "full_attention"],
    )
    assert prefix(tf.Lfm2ForCausalLM(mixed).eval(), [1, 2, 3]) is None


def test_a_query_that_crowds_demonstrations_out_is_answered_as_the_engine_would(
    loaded: local.Loaded, tmp_path: Path
) -> None:
    """Break seen to fail: every prompt taken to begin with what is kept."""
    trained = made(loaded, ICL, labelled(COLOURS), metric="choice", choices=COLOURS, max_length=150)
    trained.save(tmp_path / "bundle")
    asked = [*queries("choice", 3), Example("long", "tell " * 12, "red"), Example("longer", "tell " * 20, "red")]
    predictor = Predictor(tmp_path / "bundle", device="cpu")
    rows = predictor.predict(asked)
    assert [row["prediction"] for row in rows] == [trained.answer(query) for query in asked]
    (kept,) = predictor._kept
    assert kept is not None
    assert [kept.begins(trained.row(query).ids) for query in asked] == [True, True, True, False, False]


# ---- queries and rows ------------------------------------------------------------------------------------------------


def test_rows_keep_their_order_and_say_four_things(loaded: local.Loaded, tmp_path: Path) -> None:
    """Break seen to fail: rows in order of their length."""
    made(loaded, ICL, labelled(LETTERS), metric="choice", choices=LETTERS).save(tmp_path / "run" / "bundle")
    predictor = predict.load(tmp_path / "run", device="cpu")
    texts = ["z" * 30, "a", "m" * 9, "a"]
    rows = predictor.predict(texts)
    assert [set(row) for row in rows] == [{"id", "prediction", "probs", "nll"}] * 4
    assert [row["id"] for row in rows] == ["1", "2", "3", "4"]
    for text, row in zip(texts, rows, strict=True):
        alone = predictor.predict([text])[0]
        assert row["probs"] == pytest.approx(alone["probs"], abs=1e-5)
        assert sum(row["probs"].values()) == pytest.approx(1)
        assert row["prediction"] == max(row["probs"], key=row["probs"].__getitem__)
    assert predictor.predict([]) == []
    json.dumps(rows, allow_nan=False)


def test_a_query_has_many_forms(loaded: local.Loaded, tmp_path: Path) -> None:
    made(loaded, ZERO_SHOT, free()).save(tmp_path / "bundle")
    predictor = Predictor(tmp_path / "bundle", device="cpu")
    turn = {"role": "user", "content": "code of kiwi"}
    forms: list[Any] = [
        "code of kiwi",
        [turn],
        Example("mine", "code of kiwi", ""),
        {"prompt": "code of kiwi", "id": 7, "text": "a note"},
        {"messages": [turn]},
        {"messages": [turn, {"role": "assistant", "content": "12"}]},
        {"Question": "code of kiwi", "answer": "12"},
        {"Review": "code of kiwi"},
        Example("turns", (Message("user", "code of kiwi"),), ""),
    ]
    rows = predictor.predict(forms)
    assert len({row["prediction"] for row in rows}) == 1
    assert [row["id"] for row in rows] == ["1", "2", "mine", "7", "5", "6", "7", "8", "turns"]
    assert all(row["probs"] is None for row in rows)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "query 1: the prompt is empty"),
        ({"colour": "red", "shape": "round"}, "query 1: which column holds the prompt is not clear"),
        ({"question": "a", "text": "b"}, "the columns are: question, text"),
        ({1: "a"}, "the column 1 has no name"),
        ({"prompt": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}, "assistant's turn"),
        ([{"role": "assistant", "content": "x"}], "ends with the assistant's turn"),
        (3.5, ""),
    ],
)
def test_queries_that_are_none_are_refused(query: Any, words: str) -> None:
    if words:
        with pytest.raises(UserError, match=words):
            predict.as_example(query, 1)
    else:
        assert predict.as_example(query, 1).prompt == "3.5"


def test_one_query_alone_is_no_list(loaded: local.Loaded, tmp_path: Path) -> None:
    made(loaded, ZERO_SHOT, free()).save(tmp_path / "bundle")
    with pytest.raises(UserError, match="give a list"):
        Predictor(tmp_path / "bundle", device="cpu").predict("code of kiwi")


def test_choices_of_a_rows_own(loaded: local.Loaded, tmp_path: Path) -> None:
    """Break seen to fail: those of the data set taken for every row."""
    examples = [Example(str(i), f"pick {i}", "red", choices=("red", "blue")) for i in range(12)]
    mine: Any = {"prompt": "pick", "choices": ["up", "down", "dark green"]}
    made(loaded, ICL, examples, metric="choice", choices=("red", "blue")).save(tmp_path / "set")
    rows = Predictor(tmp_path / "set", device="cpu").predict([mine, "pick"])
    assert [set(row["probs"]) for row in rows] == [{"up", "down", "dark green"}, {"red", "blue"}]
    made(loaded, ICL, examples, metric="choice").save(tmp_path / "bundle")
    predictor = Predictor(tmp_path / "bundle", device="cpu")
    assert predictor.predict([mine])[0].keys() == rows[0].keys()
    with pytest.raises(UserError, match="query 1: has no choices"):
        predictor.predict(["pick"])


# ---- as it was tested ------------------------------------------------------------------------------------------------


def test_a_chat_template_is_served_as_it_was_tested(base: Path, tmp_path: Path) -> None:
    template = (
        "{% for m in messages %}<bos>{{ m.role }}\n{{ m.content }}<eos>\n{% endfor %}"
        "{% if add_generation_prompt %}<bos>assistant\n{% endif %}"
    )
    byte_tokenizer(template).save_pretrained(model_folder(tmp_path / "chatty"))
    trained = made(local.load(tmp_path / "chatty", device="cpu"), LORA, free(), passes=2)
    assert trained.renderer.settings.chat
    trained.save(tmp_path / "bundle")
    rows = Predictor(tmp_path / "bundle", device="cpu").predict(queries("match", 6))
    assert [row["prediction"] for row in rows] == [trained.answer(query) for query in queries("match", 6)]


def test_nll_of_free_text_is_that_of_what_was_written(loaded: local.Loaded, tmp_path: Path) -> None:
    trained = made(loaded, FULL, free(), passes=3)
    trained.save(tmp_path / "bundle")
    rows = Predictor(tmp_path / "bundle", device="cpu").predict(queries("match", 6))
    for query, row in zip(queries("match", 6), rows, strict=True):
        asked = trained.row(query)
        new = trained.learner.generate([asked], trained.renderer.settings.max_new_tokens)[0]
        ids = asked.ids[: asked.prompt_tokens] + new
        with torch.no_grad():
            logits = logits_at(trained.loaded.model, [ids], [list(range(asked.prompt_tokens - 1, len(ids) - 1))])
        assert row["nll"] == pytest.approx(-sum_logp(logits, [new])[0], rel=1e-4)
