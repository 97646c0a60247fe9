"""`fewfit plan` of documents: the steps and tokens of the run that would follow."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import transformers as tf
from folders_made import byte_tokenizer, model_folder

from fewfit.cli.main import run
from fewfit.engine.learner import Track
from fewfit.engine.lessons import Course
from fewfit.engine.stack import StackLearner
from fewfit.examples.example import Example
from fewfit.grid import Lane
from fewfit.models import local
from fewfit.plan import Plan, plan, planning
from fewfit.plan.space import Space
from fewfit.plan.speed import Speed
from fewfit.render import Renderer
from fewfit.run.documents import longest_update
from fewfit.run.material import grid_of, read
from fewfit.run.passes import SHARE
from fewfit.run.prepare import render_with
from fewfit.run.reading import Reading
from fewfit.run.sizing import Counted
from fewfit.settings import Settings

N = 12
FIXED = Speed(operations=1e11, single=1e10, elements=1e10, call=1e-6, memory=8 << 30)


def test_documents_are_planned_as_they_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps and tokens are those of the course that a run would follow. Breaks seen to fail: rows counted without
    those that stand together; the documents in the prompt left out; inferences for nothing."""
    monkeypatch.setattr(planning, "measure", lambda *_, **__: FIXED)
    folder = model_folder(tmp_path / "tiny")
    documents, probe = tmp_path / "documents.jsonl", tmp_path / "probe.jsonl"
    texts = [f"the {('red', 'blue')[k % 2]} thing number {k} is warm" for k in range(N)]
    documents.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    asked = [{"prompt": f"thing {k}", "completion": "warm", "choices": ["warm", "cold"]} for k in range(5)]
    probe.write_text("".join(json.dumps(row) + "\n" for row in asked))
    settings = Settings(model=str(folder), device="cpu", probe=str(probe), lr=1e-3, updates=3, batch=8, augment="local")
    found = plan(str(documents), settings=settings)
    assert isinstance(found, Plan)
    assert (found.n, found.documents, found.data) == (5, N, "documents")

    material = read(settings, str(documents))
    config, tokenizer = local.load_config_and_tokenizer(str(folder), None)
    render = render_with(tokenizer, config, material.dataset, "choices", settings, material.documents)
    assert material.documents is not None
    reading = Reading(material.documents.examples, material.dataset.examples, render, material.judge)
    lanes = {lane.name: lane for lane in grid_of(settings, material.dataset, material.documents, (None,)).lanes}
    planned = {lane.name: lane for lane in found.lanes}
    assert planned.keys() == lanes.keys()
    questions = planned["zero-shot"].tokens
    assert questions == sum(
        len(prompt.ids) + sum(map(len, render.continuations(prompt, one.choices or ())))
        for one in material.dataset.examples
        for prompt in [render.prompt((), one)]
    )
    fitting = reading.delivered_sets(lanes[f"icl-{N}"], 0)[0]  # the model is a small one
    shown = len(render.prefix(fitting))
    assert 0 < len(fitting) <= N
    assert planned[f"icl-{N}"].tokens == questions + shown and planned[f"icl-{N}"].longest > shown
    for name, shown_at_use in (("ft-lr1e-3-u3-b8", 0), (f"icl7+ft-lr1e-3-u3-use{N}-fixed", shown)):
        course = reading.course(Track(name, 0), lanes[name])
        assert planned[name].steps == course.steps + 5
        assert planned[name].tokens == reading.trained_tokens(lanes[name]) + questions + shown_at_use
    assert planned["ft-lr1e-3-u3-local-b8"].tokens > 2 * planned["ft-lr1e-3-u3-b8"].tokens
    assert any("infers comes first" in notice for notice in found.notices)
    assert found.seconds > sum(lane.seconds for lane in found.lanes)

    assert run(["plan", str(documents), "--probe", str(probe), "--model", str(folder), "--methods", "icl,ft"]) == 0
    assert "documents: 5 questions about 12 documents" in capsys.readouterr().out


def test_an_update_of_documents_takes_the_memory_of_all_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the bytes counted in a real one. Breaks seen to fail: a pass of 1,024 tokens, of which a run on documents
    knows nothing; the logits of all places, which are read a few at a time."""
    monkeypatch.setattr(planning, "measure", lambda *_, **__: FIXED)
    folder = tmp_path / "small"
    config = tf.LlamaConfig(
        vocab_size=5000, hidden_size=96, intermediate_size=256, num_hidden_layers=6, num_attention_heads=4,
        bos_token_id=1, eos_token_id=2, max_position_embeddings=512,
    )  # fmt: skip
    model = tf.AutoModelForCausalLM.from_config(config).eval()
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    documents, probe = tmp_path / "documents.jsonl", tmp_path / "probe.jsonl"
    texts = [f"thing number {k} is warm. " * (2 + k) for k in range(8)]
    documents.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    asked = [{"prompt": f"thing {k}", "completion": "warm", "choices": ["warm", "cold"]} for k in range(4)]
    probe.write_text("".join(json.dumps(row) + "\n" for row in asked))
    wanted: dict[str, Any] = {
        "device": "cpu",
        "probe": str(probe),
        "lr": 1e-3,
        "updates": 1,
        "batch": 8,
        "methods": ["ft"],
    }

    def planned(memory: str | None = None) -> Space:
        found = plan(str(documents), memory=memory, settings=Settings(model=str(folder), **wanted))
        assert isinstance(found, Plan)
        (one,) = found.spaces.values()
        return one

    space = planned()
    lane = Lane(lr=1e-3, updates=1, batch=8)
    rendered = Renderer.resolve(byte_tokenizer(), [Example("d", "", text) for text in texts])
    course = Course(Track("x", 0), lane, tuple(Example(str(k), "", text) for k, text in enumerate(texts)))
    rows = longest_update(course, rendered)
    tokens = -(-len(rows[0].ids) // 16) * 16
    assert len(rows) == 8 and 8 * tokens > 1024
    assert (space.pass_tokens, space.again, space.processes) == (8 * tokens, False, 1)
    # As different documents would be: a row that comes twice is one.
    rows = [replace(row, ids=(*row.ids[:-1], 5 + k), scored=False) for k, row in enumerate(rows)]
    learner = StackLearner(model, end_ids=frozenset({2}))
    learner.open(Track("x", 0), lane)
    learner.update(rows)
    with Counted() as counted:
        learner.update(rows)
    learner.close()
    assert 0.75 < space.step / counted.most < 1.5

    less = planned(str(int((space.model + space.lanes + 0.7 * space.step) / SHARE)))
    assert less.again and less.pass_tokens == 8 * tokens
    none = planned("1MB")
    assert not none.fits and none.total == none.model + none.lanes + none.step
