"""The Python face, end to end on a tiny model: what `fit` gives, and that what is served is what was tested."""

from __future__ import annotations

import json
import os
import signal

import pytest
import torch

import fewfit
from fewfit import api
from fewfit.audit import audit
from fewfit.engine.stack import StackLearner
from fewfit.errors import Interrupted, NoUsableLane, UserError
from fewfit.examples import restore
from fewfit.grid import Lane
from fewfit.predict import Predictor
from fewfit.predictions import read
from fewfit.run import deliver, folders, journal, material
from fewfit.settings import Settings
from tests.models_made import tiny
from tests.streams_made import examples
from tests.tokenizers_made import byte_level

RESULT = ["schema", "run", "best", "kind", "leader", "n", "seeds", "criterion", "flat", "metric", "score", "interval",
          "prequential", "prequential_interval", "majority", "majority_answer", "verdict", "settled",
          "nothing_learnt", "rising", "best_of_kind", "comparisons", "lanes", "test", "costs", "break_even",
          "labels", "seconds"]  # fmt: skip
LANE = ["name", "model", "kind", "shots", "shots_at_use", "lr", "updates", "n", "prequential", "score", "interval",
        "accuracy", "nll", "tokens", "rising", "counted_from", "status"]  # fmt: skip
SMALL = {"methods": ["zero-shot", "icl", "ft", "icl+ft"], "shots": [2], "lr": [3e-3], "updates": [2]}


@pytest.fixture
def model():
    return tiny("llama", vocab_size=len(byte_level()))


def pairs(n):
    return [(e.prompt, e.completion) for e in examples(n)]


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def fit(data, model, **settings):
    return fewfit.fit(data, model=model, tokenizer=byte_level(), **{**SMALL, **settings})


def test_a_run_has_what_was_promised(model):
    rows, lanes = [], []
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    run = fit(
        pairs(16), model, on_row=rows.append, on_lane=lambda *told: lanes.append(told), test=pairs(40)[16:], seeds=2
    )
    result = json.loads(json.dumps(run.result, allow_nan=False))
    assert list(result)[: len(RESULT)] == RESULT
    assert all(list(lane) == LANE for lane in result["lanes"])
    assert {lane["kind"] for lane in result["lanes"]} == {"zero-shot", "icl", "ft", "icl+ft"}
    assert all(0 <= value <= 1 for value in (*run.interval, run.score))
    assert len(rows) == 2 * 4 * 16 and len(lanes) == 2 * 4
    assert [one["n"] for one in result["test"]] == [24] * 4
    assert audit(restore(run.folder / "examples.jsonl").examples, read(run.folder), read(run.folder, "trained")) == []
    assert not (run.folder / "lanes").exists()
    assert (run.folder.stat().st_mode & 0o777) == 0o700
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert fewfit.resume("last").result == run.result


@pytest.mark.parametrize("methods", (["icl"], ["icl+ft"], ["ft"]))
def test_the_bundle_is_prediction_n_plus_1(model, methods):
    """Break seen to fail: demonstrations drawn for i = n."""
    data = pairs(13)
    settings = {"methods": methods, "order": "file", "choices": "left,right", "race": False, "deliver": "fixed"}
    whole = fit(data, model, **settings)
    part = fit(data[:12], model, **settings)
    (last,) = [row for row in read(whole.folder) if row["i"] == 13]
    (served,) = part.bundle.predict([data[12][0]])
    assert served["prediction"] == last["prediction"]
    assert served["probs"] == pytest.approx(last["probs"], abs=1e-5)


def test_refit_trains_the_winner_again(model):
    stream = fit(pairs(12), model, methods=["ft"])
    again = fit(pairs(12), model, methods=["ft"], final="refit")
    assert stream.score == again.score
    weights = [(run.folder / "bundle" / "adapter_model.safetensors").read_bytes() for run in (stream, again)]
    assert weights[0] != weights[1]


@pytest.mark.parametrize("why", ("measured", "died", "exhausted"))
def test_a_refit_spares_memory_as_the_stream_did(model, monkeypatch, why):
    """Layers are run again, which changes no number. Breaks seen to fail: a fresh learner without it; no second try."""
    usual = fit(pairs(12), model, methods=["ft"], final="refit")
    spared, retrain, enable = [], deliver.train_again, StackLearner.enable_recompute

    def enabled(self):
        spared.append(enable(self))
        return spared[-1]

    def measured(learner, team, model, task, lanes):
        assert [lane.name for lane in lanes] == [usual.best]
        return why == "measured" and learner.enable_recompute()

    def tight(task, lane, learner, *more):
        def update(rows):
            if why == "exhausted" and not spared:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return StackLearner.update(learner, rows)

        learner.update = update
        return retrain(task, lane, learner, *more)

    monkeypatch.setattr(StackLearner, "enable_recompute", enabled)
    monkeypatch.setattr(deliver, "size_passes", measured)
    monkeypatch.setattr(deliver, "train_again", tight)
    if why == "died":
        monkeypatch.setattr(journal, "halvings", lambda folder: 1)
    again = fit(pairs(12), model, methods=["ft"], final="refit")
    assert spared == [True]
    weights = [(run.folder / "bundle" / "adapter_model.safetensors").read_bytes() for run in (usual, again)]
    assert weights[0] == weights[1]


def test_a_refit_that_diverges_is_not_delivered(model, monkeypatch):
    """Break seen to fail: weights that were half trained, and no word of it."""
    monkeypatch.setattr(deliver, "train_again", lambda *of: False)
    stream, again = (fit(pairs(12), model, methods=["ft"], final=final) for final in ("stream", "refit"))
    weights = [(run.folder / "bundle" / "adapter_model.safetensors").read_bytes() for run in (stream, again)]
    assert weights[0] == weights[1]
    told = json.loads((again.folder / "result.json").read_text())["warnings"]
    assert any("diverged: its weights are those of the stream" in one for one in told)


def test_a_batch_stays_a_batch_when_it_is_trained_again(model, monkeypatch):
    """Break seen to fail: one row an update."""
    rows = []
    update = StackLearner.update
    monkeypatch.setattr(StackLearner, "update", lambda self, some: rows.append(len(some)) or update(self, some))
    grid = [Lane(lr=3e-3, updates=2, batch=3)]
    fewfit.fit(pairs(8), model=model, tokenizer=byte_level(), grid=grid, final="refit")
    assert rows[-16:] == [3] * 16


def test_several_models_are_compared_in_one_grid(model, tmp_path):
    for name, architecture in (("one", "llama"), ("two", "gpt2")):
        tiny(architecture, vocab_size=len(byte_level())).save_pretrained(tmp_path / name)
        byte_level().save_pretrained(tmp_path / name)
    run = fewfit.fit(
        pairs(10), model=[str(tmp_path / "one"), str(tmp_path / "two")], **{**SMALL, "methods": ["icl", "ft"]}
    )
    names = {lane["name"] for lane in run.lanes}
    assert names == {"icl-2@one", "icl-2@two", "ft-lr3e-3-u2@one", "ft-lr3e-3-u2@two"}
    for name in ("predictions", "trained"):  # break seen to fail: null in all rows of training
        assert {row["model"] for row in read(run.folder, name)} == {"one", "two"}
    assert run.bundle.predict(["river 3"])[0]["prediction"] in ("left", "right")


def test_the_quick_grid_is_cut_to_the_budget_and_a_grid_spelled_out_is_not(model, monkeypatch):
    """A lane is said to take a second, on any machine. Break seen to fail: a budget that does nothing."""
    from fewfit.run import timing

    monkeypatch.setattr(timing, "lane_seconds", lambda model, task, lanes, seeds: {lane.name: 1.0 for lane in lanes})
    short = fewfit.fit(pairs(12), model=model, tokenizer=byte_level(), budget="5s")
    kinds = [lane["kind"] for lane in short.lanes]
    assert sorted(set(kinds)) == ["ft", "icl", "icl+ft", "zero-shot"]
    assert len(kinds) < 15
    assert any("fit a budget" in notice for notice in json.loads((short.folder / "run.json").read_text())["notices"])
    assert len(fit(pairs(8), model, budget="1s").lanes) == 4


def test_full_tuning_and_adapters_in_one_grid(model):
    run = fit(pairs(10), model, methods=["ft"], tune="full", optimizer="adafactor", lr=[1e-3])
    assert [lane["name"] for lane in run.lanes] == ["ft-lr1e-3-u2-full-adafactor"]
    assert len(run.bundle.predict(["river 3", "stone 9"])) == 2


def test_free_text_by_match(model):
    data = [(f"say {e.prompt.split()[0]}", e.prompt.split()[0]) for e in examples(14)]
    run = fit(data, model, keep_duplicates=True, metric="match", choices="none")
    assert run.result["metric"] == "match" and run.result["majority"] > 0
    other = fit(data, model, keep_duplicates=True, metric="token-f1", choices="none", methods=["icl"])
    assert other.result["metric"] == "token-f1" and other.result["majority"] is None  # no answer to give always
    row = run.bundle.predict(["say river"])[0]
    assert row["probs"] is None and isinstance(row["prediction"], str)


def test_every_lane_diverging_leaves_nothing_to_deliver(model):
    with pytest.raises(NoUsableLane):
        fit(pairs(12), model, methods=["ft"], lr=[1e30])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"model": None}, "--model lab"),
        ({"preset": "best"}, "--preset best; choose among quick, thorough, paper"),
        ({"methods": ["prompt"]}, "unknown method"),
        ({"shots": [0]}, "shots"),
        ({"select": "luck"}, "--select luck"),
        ({"budget": "soon"}, "no duration"),
        ({"shots": "4,few"}, "shots 'few'"),
        ({"model": []}, "no model"),
        ({"metric": lambda prediction, example: 1.0, "answer_pattern": ["x"]}, "a function of your own"),
        ({"shots": [1.5]}, "shots 1.5"),
        ({"metric": "json"}, "example 1: the answer 'left' is no JSON"),
    ],
)
def test_what_is_asked_wrongly_is_refused_with_a_mend(model, settings, says):
    with pytest.raises(UserError, match=says):
        fewfit.fit(pairs(8), **{"model": model, "tokenizer": byte_level(), **SMALL, **settings})


def test_data_are_refused_before_a_model_is_loaded(tmp_path):
    """Break seen to fail: loading the model first."""
    with pytest.raises(UserError, match=r"nowhere\.csv"):
        fewfit.fit("nowhere.csv", model="no-such-model")
    with pytest.raises(UserError, match="give 1 or more"):
        fewfit.fit(pairs(8), model="no-such-model", rank=0)


def test_a_file_of_ones_home_folder_is_found(tmp_path, monkeypatch):
    """Break seen to fail: the digest taken of a path with `~` in it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "data.csv").write_text("text,label\n" + "".join(f"p{k},{'ab'[k % 2]}\n" for k in range(8)))
    read = material.read(Settings(model="lab"), "~/data.csv")
    assert read.path == str(tmp_path / "data.csv") and len(read.file_digest) == 64


def test_a_run_is_not_written_over_a_file(tmp_path):
    """Break seen to fail: the file asked for what lies in it."""
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(UserError, match="is a file"):
        folders.create(tmp_path / "notes", "data", "lab")


def test_two_runs_of_one_second_have_two_folders(tmp_path, monkeypatch):
    """Break seen to fail: the second one given the folder that the first had just made."""
    monkeypatch.setattr(folders.time, "strftime", lambda form: "now")
    monkeypatch.setattr(folders.Path, "exists", lambda path: False)  # both have looked before either made it
    assert [folders.create(None, "data", "lab").name for _ in range(2)] == ["data-lab-now", "data-lab-now-2"]


def test_labels_of_the_test_file_matter_where_one_is_chosen_only():
    """Break seen to fail: the labels found among the examples held against a test file that is judged by its text."""
    train, test = [(f"p{k}", "ab"[k % 2]) for k in range(8)], [(f"q{k}", "abc"[k]) for k in range(3)]
    with pytest.raises(UserError, match="'c' is none of the choices a, b"):
        material.read(Settings(model="lab", test=test), train)
    assert len(material.read(Settings(model="lab", test=test, metric="match"), train).test) == 3


def test_a_test_row_that_does_not_fit_is_told_beforehand(model, tmp_path):
    """Break seen to fail: told when all was streamed and delivered, and again at every resume."""
    test = [*pairs(4), ("long " * 4000, pairs(1)[0][1])]
    with pytest.raises(UserError, match=r"does not fit.*--test: leave it out"):
        fit(pairs(10), model, methods=["zero-shot"], test=test)
    assert not list(tmp_path.rglob("run.json"))


def test_a_metric_of_ones_own_is_not_taken_for_another(model):
    """Breaks seen to fail: recording a function called `match` as `match`; going on with another of the same name."""

    def match(prediction, example):
        return 1.0

    seen = []

    def stop(row):
        seen.append(row)
        if len(seen) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(pairs(10), model, methods=["ft"], metric=match, choices="none", on_row=stop)
    with pytest.raises(UserError, match="function of your own, 'match'"):
        fewfit.resume("last", model=model, tokenizer=byte_level())
    with pytest.raises(UserError, match="scored by own:match"):
        fewfit.resume("last", model=model, tokenizer=byte_level(), metric=lambda p, e: 0.0)
    first = match

    def match(prediction, example):
        return 0.5

    with pytest.raises(UserError, match="own:match does something else than when the run began"):
        fewfit.resume("last", model=model, tokenizer=byte_level(), metric=match)
    run = fewfit.resume("last", model=model, tokenizer=byte_level(), metric=first)
    assert run.result["metric"] == "own:match" and run.score == 1.0


def test_one_of_a_kind_is_as_good_as_a_list(model):
    run = fewfit.fit(pairs(8), model=model, tokenizer=byte_level(), methods="icl", shots="2")
    assert [lane["name"] for lane in run.lanes] == ["icl-2"]
    assert fewfit.load("last", model=model).bundle.folder == run.bundle.bundle.folder
    assert "LlamaForCausalLM(" not in run.folder.name


def test_a_signal_while_bundles_are_written_is_heeded_and_nothing_is_lost(model, monkeypatch):
    """Break seen to fail: signals looked at between lanes' steps only."""
    written, whole = [], deliver.write_bundle

    def write_bundle(*args, **kwargs):
        written.append(1)
        whole(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(deliver, "write_bundle", write_bundle)
    with pytest.raises(Interrupted) as told:
        fit(pairs(8), model, out="run")
    assert told.value.exit_code == 143 and written == [1]
    monkeypatch.setattr(deliver, "write_bundle", whole)
    run = api.resume("run", model=model, tokenizer=byte_level())
    assert len(run.result["lanes"]) == 4 and run.bundle.predict(["a word"])


def test_a_signal_while_a_test_file_is_judged_is_heeded_before_its_end(model, monkeypatch):
    """Break seen to fail: the file predicted in one call."""
    monkeypatch.setattr(deliver, "AT_ONCE", 5)
    asked, judged = [], Predictor.predict

    def predict(self, queries, **settings):
        if not settings.get("nll", True):
            asked.append(len(queries))
            os.kill(os.getpid(), signal.SIGTERM)
        return judged(self, queries, **settings)

    monkeypatch.setattr(Predictor, "predict", predict)
    with pytest.raises(Interrupted):
        fit(pairs(8), model, out="run", methods="icl", shots="2", test=pairs(20))
    assert asked == [5]
    monkeypatch.setattr(Predictor, "predict", judged)
    run = api.resume("run", model=model, tokenizer=byte_level())
    assert run.result["test"][0]["n"] == 20


@pytest.mark.parametrize(
    ("settings", "wanted"), [({}, "auto"), ({"tune": "full"}, "float32"), ({"preset": "paper"}, "float32")]
)
def test_whole_models_do_not_train_in_bf16_unless_asked(settings, wanted):
    """They are their own masters: at a rate of 1e-4 most of an update is below half a bf16's last place."""
    assert Settings(model="lab", **settings).load_dtype == wanted
    assert Settings(model="lab", dtype="bfloat16", **settings).load_dtype == "bfloat16"
