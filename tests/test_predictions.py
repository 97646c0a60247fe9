"""The evidence: bytes that depend on the row alone, files that survive a crash, and leaks that are found."""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewfit import draw, files
from fewfit.errors import EnvironmentProblem, UserError
from fewfit.examples import Example
from fewfit.predictions import FIELDS, TRAINED, Shard, audit, dumps, merge, read

Row = dict[str, Any]


def prediction(lane: str = "icl-2", seed: int = 0, i: int = 1, **fields: Any) -> Row:
    row: Row = {"lane": lane, "model": None, "seed": seed, "i": i, "id": f"e{i}", "shots": 0, "demos": [], "nll": 0.5}
    row |= {"tokens": 3, "prompt_tokens": 9, "score": 1.0, "correct": True, "gold": "yes", "prediction": "yes"}
    return row | {"cut": False, "probs": {"yes": 0.9, "no": 0.1}, "margin": 2.2} | fields


def trained(lane: str = "ft-lr3e-4-u2", seed: int = 0, i: int = 1, update: int = 1, **fields: Any) -> Row:
    return {"lane": lane, "model": None, "seed": seed, "i": i, "update": update, "ids": [f"e{i}"]} | fields


def shard(path: Path, rows: list[Row]) -> Path:
    one = Shard(path)
    for row in rows:
        one.append(row)
    one.sync()
    one.close()
    return path


# ---- bytes -----------------------------------------------------------------------------------------------------------


def test_a_row_is_these_bytes() -> None:
    """Break seen to fail: FIELDS sorted; ensure_ascii left at its default."""
    row = prediction(prediction="né\n", nll=0.1 + 0.2, margin=1e-7)
    assert dumps(row) == (
        '{"lane": "icl-2", "model": null, "seed": 0, "i": 1, "id": "e1", "shots": 0, "demos": [], '
        '"nll": 0.30000000000000004, "tokens": 3, "prompt_tokens": 9, "score": 1.0, "correct": true, "gold": "yes", '
        '"prediction": "né\\n", "cut": false, "probs": {"yes": 0.9, "no": 0.1}, "margin": 1e-07}'
    )
    assert dumps(dict(reversed(row.items()))) == dumps(row)
    assert dumps(trained()) == '{"lane": "ft-lr3e-4-u2", "model": null, "seed": 0, "i": 1, "update": 1, "ids": ["e1"]}'
    assert (tuple(json.loads(dumps(row))), tuple(json.loads(dumps(trained())))) == (FIELDS, TRAINED)


def test_what_is_not_finite_is_null() -> None:
    """Break seen to fail: `_finite` that looks at the top alone."""
    row = prediction(nll=math.nan, margin=math.inf, probs={"yes": -math.inf, "no": 1.0})
    back = json.loads(dumps(row), parse_constant=lambda word: pytest.fail(f"{word} is no strict JSON"))
    assert (back["nll"], back["margin"], back["probs"]) == (None, None, {"yes": None, "no": 1.0})


@pytest.mark.parametrize("row", [{**prediction(), "extra": 1}, {"lane": "a"}, {**trained(), "id": "e1"}])
def test_a_row_has_its_fields_and_no_others(row: Row) -> None:
    with pytest.raises(ValueError, match="a row with the fields"):
        dumps(row)


FLOAT = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(codec="utf-8")), number=FLOAT, probs=st.dictionaries(st.text(max_size=3), FLOAT))
def test_rows_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, text: str, number: float, probs: dict[str, float]
) -> None:
    """Break seen to fail: without the translation in one_line, U+2028 ends a line for str.splitlines()."""
    row = prediction(prediction=text, nll=number, probs=probs)
    path = tmp_path_factory.mktemp("rows") / "predictions.jsonl"
    assert read(shard(path, [row, row])) == [row, row]
    assert path.read_text(encoding="utf-8").splitlines() == [dumps(row)] * 2


# ---- shards ----------------------------------------------------------------------------------------------------------


def test_a_shard_grows_and_is_cut_at_the_length_of_a_snapshot(tmp_path: Path) -> None:
    """Break seen to fail: without the truncate, row 2 stands there twice."""
    path = tmp_path / "predictions.jsonl"
    first = Shard(path, length=0)
    first.append(prediction(i=1))
    length = first.sync()
    assert length == path.stat().st_size
    first.append(prediction(i=2))
    first.append(prediction(i=3))
    first.close()
    again = Shard(path, length=length)
    again.append(prediction(i=2))
    assert again.sync() == path.stat().st_size
    again.close()
    assert read(path) == [prediction(i=1), prediction(i=2)]


def test_a_torn_last_line_is_cut(tmp_path: Path) -> None:
    whole = shard(tmp_path / "whole.jsonl", [prediction(i=i) for i in (1, 2)]).read_bytes()
    length = len(dumps(prediction(i=1))) + 1
    for size in range(len(whole) + 1):
        path = tmp_path / f"{size}.jsonl"
        path.write_bytes(whole[:size])
        Shard(path).close()
        assert path.stat().st_size == (0 if size < length else length if size < len(whole) else len(whole))


def test_a_shard_shorter_than_its_snapshot_says_is_refused(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.jsonl", [prediction()])
    before = path.read_bytes()
    with pytest.raises(EnvironmentProblem, match="bytes where its snapshot says"):
        Shard(path, length=len(before) + 1)
    assert path.read_bytes() == before


class Recorder:
    """What reaches the disk, in order: fsync of a file or folder, and renames."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        fsync, replace = os.fsync, os.replace

        def recorded_fsync(descriptor: int) -> None:
            self.calls.append(f"fsync {self.name(descriptor)}")
            fsync(descriptor)

        def recorded_replace(old: Path, new: Path) -> None:
            self.calls.append(f"rename to {new.name}")
            replace(old, new)

        monkeypatch.setattr(os, "fsync", recorded_fsync)
        monkeypatch.setattr(os, "replace", recorded_replace)

    @staticmethod
    def name(descriptor: int) -> str:
        mode = os.fstat(descriptor)
        return f"folder {mode.st_ino}" if stat.S_ISDIR(mode.st_mode) else f"{mode.st_size} bytes"


def test_sync_returns_only_what_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Break seen to fail: fsync before flush (0 bytes are synced); no sync of the folder for a new file."""
    disk = Recorder(monkeypatch)
    one = Shard(tmp_path / "a.jsonl")
    one.append(prediction())
    length = one.sync()
    one.close()
    assert disk.calls == [f"fsync folder {tmp_path.stat().st_ino}", f"fsync {length} bytes"]


def test_a_merge_is_published_so_that_no_crash_tears_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Break seen to fail: rename before fsync; no sync of the folder."""
    source = shard(tmp_path / "a.jsonl", [prediction()])
    disk = Recorder(monkeypatch)
    merge([source], tmp_path / "predictions.jsonl", ["icl-2"])
    size, folder = source.stat().st_size, tmp_path.stat().st_ino
    assert disk.calls == [f"fsync {size} bytes", "rename to predictions.jsonl", f"fsync folder {folder}"]


def test_a_failed_publication_leaves_the_old_file_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Break seen to fail: writing to the target itself."""
    target = tmp_path / "a.json"
    files.publish(target, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.publish(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


# ---- merging ---------------------------------------------------------------------------------------------------------


def test_rows_are_merged_in_canonical_order(tmp_path: Path) -> None:
    """Break seen to fail: lanes sorted by name; i before seed."""
    lanes = ["zero-shot", "icl-10", "icl-2"]  # the grid's order is not the alphabet's
    places = [(seed, i, lane) for seed in (0, 1) for i in range(1, 12) for lane in lanes]
    shards = [
        shard(tmp_path / f"{lane}-{seed}.jsonl", [prediction(lane, seed, i) for i in range(1, 12)])
        for lane in reversed(lanes)
        for seed in (1, 0)
    ]
    target = tmp_path / "predictions.jsonl"
    merge(shards, target, lanes)
    assert [(row["seed"], row["i"], row["lane"]) for row in read(target)] == places
    first = target.read_bytes()
    merge(reversed(shards), target, lanes)
    assert target.read_bytes() == first


def test_updates_are_merged_in_their_order(tmp_path: Path) -> None:
    rows = [trained(i=i, update=update) for i in (1, 2) for update in range(1, 12)]
    target = tmp_path / "trained.jsonl"
    merge([shard(tmp_path / "a.jsonl", rows[::-1])], target, ["ft-lr3e-4-u2"])
    assert read(target) == rows


def test_a_row_that_stands_twice_is_kept_once_and_must_be_the_same(tmp_path: Path) -> None:
    """Break seen to fail: the comparison in merge left out."""
    one, target = shard(tmp_path / "a.jsonl", [prediction(), prediction(i=2)]), tmp_path / "predictions.jsonl"
    merge([one, shard(tmp_path / "b.jsonl", [prediction()])], target, ["icl-2"])
    assert read(target) == [prediction(), prediction(i=2)]
    with pytest.raises(RuntimeError, match="two different rows"):
        merge([one, shard(tmp_path / "c.jsonl", [prediction(nll=0.6)])], target, ["icl-2"])


def test_a_run_is_read_while_it_goes_on_and_after(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no predictions in it"):
        read(tmp_path)
    for lane in ("icl-2", "ft"):
        (tmp_path / "lanes" / lane).mkdir(parents=True)
        shard(tmp_path / "lanes" / lane / "predictions.jsonl", [prediction(lane, i=i) for i in (1, 2)])
        shard(tmp_path / "lanes" / lane / "trained.jsonl", [trained(lane)])
    with open(tmp_path / "lanes" / "ft" / "predictions.jsonl", "a") as file:
        file.write('{"lane": "ft", "mod')
    rows = read(tmp_path)
    assert [(row["i"], row["lane"]) for row in rows] == [(1, "ft"), (1, "icl-2"), (2, "ft"), (2, "icl-2")]
    assert [row["lane"] for row in read(tmp_path, "trained")] == ["ft", "icl-2"]
    (tmp_path / "predictions.jsonl").write_text(dumps(prediction(i=7)) + "\n")
    assert [row["i"] for row in read(tmp_path)] == [7]
    (tmp_path / "predictions.jsonl").write_text(dumps(prediction(i=7)))
    with pytest.raises(EnvironmentProblem, match="torn"):
        read(tmp_path)


# ---- audit -----------------------------------------------------------------------------------------------------------

LANE, UPDATES, SHOTS = "icl2+ft-lr3e-4-u3", 3, 2


def examples() -> list[Example]:
    """Twelve, of which two share a group and two a prompt."""
    made = [Example(f"x{n}", f"prompt {n}", "yes") for n in range(12)]
    made[3] = Example("x3", "prompt 3", "yes", group="g")
    made[4] = Example("x4", "prompt 4", "yes", group="g")
    made[6] = Example("x6", "prompt 5", "no")
    return made


def evidence() -> tuple[list[Row], list[Row]]:
    """What a run without a leak writes down, two seeds and two lanes."""
    predictions, updates = [], []
    for seed in (0, 1):
        order = draw.order(examples(), seed)
        for i, example in enumerate(order, start=1):
            demos = draw.demonstrations(order[: i - 1], example, SHOTS, seed=seed, i=i, update=1)
            ids = [demo.id for demo in demos]
            predictions += [
                prediction(lane, seed, i, id=example.id, demos=ids, shots=len(ids)) for lane in ("icl-2", LANE)
            ]
            updates.append(trained(LANE, seed, i, 1, ids=[*ids, example.id]))
            for update in range(2, UPDATES + 1):
                target = order[draw.replayed(i, update, seed=seed, replay="balanced") - 1]
                chosen = draw.demonstrations(order[:i], target, SHOTS, seed=seed, i=i, update=update)
                updates.append(trained(LANE, seed, i, update, ids=[*(one.id for one in chosen), target.id]))
    return predictions, updates


def test_a_run_without_a_leak_passes() -> None:
    assert audit(examples(), *evidence()) == []


def at(rows: list[Row], lane: str, i: int, update: int | None = None) -> Row:
    return next(r for r in rows if (r["lane"], r["seed"], r["i"], r.get("update")) == (lane, 0, i, update))


def own_prompt(predictions: list[Row], updates: list[Row]) -> None:
    row = at(predictions, "icl-2", 8)
    row["demos"] = [row["demos"][0], row["id"]]


def not_predicted_yet(predictions: list[Row], updates: list[Row]) -> None:
    at(predictions, "icl-2", 4)["demos"][0] = at(predictions, "icl-2", 9)["id"]


def never_predicted(predictions: list[Row], updates: list[Row]) -> None:
    predictions.remove(at(predictions, LANE, 12))
    at(updates, LANE, 12, 3)["ids"][-1] = at(predictions, "icl-2", 12)["id"]


def same_group(predictions: list[Row], updates: list[Row]) -> None:
    row = max((r for r in predictions if r["seed"] == 0 and r["id"] in ("x3", "x4")), key=lambda r: r["i"])
    row["demos"] = ["x3" if row["id"] == "x4" else "x4", next(d for d in row["demos"] if d not in ("x3", "x4"))]


def same_prompt(predictions: list[Row], updates: list[Row]) -> None:
    at(predictions, "icl-2", 12)["demos"] = ["x5", "x6"]


def trained_before_predicted(predictions: list[Row], updates: list[Row]) -> None:
    row = at(updates, LANE, 5, 2)
    row["ids"] = [at(predictions, LANE, 6)["id"]]


def target_in_own_prompt(predictions: list[Row], updates: list[Row]) -> None:
    row = at(updates, LANE, 9, 3)
    row["ids"] = [row["ids"][-1], *row["ids"][-1:]]


def another_first(predictions: list[Row], updates: list[Row]) -> None:
    at(updates, LANE, 5, 1)["ids"] = [at(predictions, LANE, 4)["id"]]


def own_answer_in_update_1(predictions: list[Row], updates: list[Row]) -> None:
    row = at(updates, LANE, 7, 1)
    row["ids"][0] = at(predictions, LANE, 8)["id"]


def order_of_its_own(predictions: list[Row], updates: list[Row]) -> None:
    one, other = at(predictions, "icl-2", 1), at(predictions, "icl-2", 2)
    one["id"], other["id"] = other["id"], one["id"]


def a_row_missing(predictions: list[Row], updates: list[Row]) -> None:
    predictions.remove(at(predictions, "icl-2", 5))


def a_shot_not_named(predictions: list[Row], updates: list[Row]) -> None:
    at(predictions, "icl-2", 10)["demos"].pop()


def a_stranger(predictions: list[Row], updates: list[Row]) -> None:
    at(predictions, "icl-2", 12)["id"] = "nobody"


def twice(predictions: list[Row], updates: list[Row]) -> None:
    at(predictions, "icl-2", 12)["id"] = at(predictions, "icl-2", 11)["id"]


@pytest.mark.parametrize(
    ("plant", "words"),
    [
        (own_prompt, "icl-2, seed 0, row 8: 'x[0-9]+' stands in its own prompt"),
        (not_predicted_yet, "icl-2, seed 0, row 4: 'x[0-9]+' was used, and predicted only as row 9"),
        (never_predicted, "row 12, update 3: 'x[0-9]+' was used, and this lane never predicted it"),
        (never_predicted, "row 12, update 1: trained before its prediction was written"),
        (same_group, "'x[34]' stands in the prompt of 'x[34]', which it conflicts with"),
        (same_prompt, "'x5' and 'x6' conflict and stand in one prompt"),
        (trained_before_predicted, "row 5, update 2: 'x[0-9]+' was used, and predicted only as row 6"),
        (target_in_own_prompt, "row 9, update 3: 'x[0-9]+' stands in its own prompt"),
        (another_first, "row 5, update 1: update 1 trained on 'x[0-9]+', not on 'x[0-9]+'"),
        (own_answer_in_update_1, "row 7, update 1: 'x[0-9]+' was used, and predicted only as row 8"),
        (order_of_its_own, "seed 0, row 1: 'x[0-9]+' where other lanes"),
        (a_row_missing, "icl-2, seed 0: rows are missing"),
        (a_shot_not_named, "icl-2, seed 0, row 10: 2 shots and 1 demonstrations"),
        (a_stranger, "'nobody' is not among the examples"),
        (twice, "was predicted already, as row 11"),
    ],
)
def test_a_planted_leak_is_found(plant: Callable[[list[Row], list[Row]], None], words: str) -> None:
    """Break seen to fail: each check of `audit` left out, one after the other."""
    predictions, updates = evidence()
    plant(predictions, updates)
    found = audit(examples(), predictions, updates)
    assert any(re.search(words, line) for line in found), found


def test_updates_of_several_rows_are_held_apart() -> None:
    """A batch names its rows one after the other, so an example may stand in it twice, but in no one prompt."""
    predictions = [prediction("b", i=i, id=f"x{i - 1}") for i in range(1, 13)]

    def found(ids: list[str]) -> list[str]:
        return audit(examples(), predictions, [trained("b", i=9, update=2, ids=ids)], batch={"b": 2})

    assert found(["x1", "x2", "x2", "x1"]) == []
    assert "more conflicting examples than 2 prompts" in found(["x1", "x2", "x2", "x2"])[0]
    assert "predicted only as row 11" in found(["x1", "x10"])[0]
