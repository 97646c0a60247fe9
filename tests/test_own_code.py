"""A chooser and a training source of one's own, through `fit`, `resume` and `load`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice, pairwise

import pytest

import fewfit
from fewfit.demonstrations import CHOOSERS, Moment
from fewfit.engine.source import SOURCES, Item
from fewfit.errors import UserError
from fewfit.examples.example import Example
from fewfit.grid import Lane
from fewfit.predictions import read
from tests.streams_made import examples

ROWS = [(one.prompt, one.completion) for one in examples(14)]


class Latest:
    """The newest by number, those alike to the target left out."""

    per_query = True

    def choose(self, candidates: Sequence[Example], target: Example, shots: int, at: Moment) -> list[Example]:
        fit = sorted((one for one in candidates if not one.conflicts_with(target)), key=lambda one: int(one.id))
        return fit[-shots:]


class Turned:
    """Every pair of neighbours turned round, once both are known; the examples themselves are not learnt from."""

    def released(self, order: Sequence[Example], i: int) -> Sequence[Item]:
        out = [Item(order[0], (order[0].id,))]
        for one, other in pairwise(islice(order, i)):
            both = Example(f"{one.id}+{other.id}", f"before {other.prompt}", one.prompt)
            out.append(Item(both, (one.id, other.id)))
        return out


@pytest.mark.slow
def test_they_are_used_like_those_that_come_along(tmp_path, monkeypatch) -> None:
    """Break seen to fail: `refit` from the examples alone."""
    monkeypatch.chdir(tmp_path)
    lanes = [
        Lane(shots=2, demonstrations="latest"),
        Lane(shots=2, lr=1e-3, updates=3, demonstrations="latest", augment=("turned",)),
    ]
    with pytest.raises(UserError, match="latest"):
        fewfit.fit(ROWS, "lab", grid=lanes, out="run")
    monkeypatch.setitem(CHOOSERS, "latest", Latest())
    with pytest.raises(UserError, match="unknown training source 'turned'"):
        fewfit.fit(ROWS, "lab", grid=lanes, out="run")
    monkeypatch.setitem(SOURCES, ("turned",), Turned())
    trained_again: list[str] = []
    rendered = fewfit.render.Renderer.render

    def noting(self, demos, target, answer=None):
        trained_again.append(target.id)
        return rendered(self, demos, target, answer)

    monkeypatch.setattr(fewfit.render.Renderer, "render", noting)
    monkeypatch.setattr(fewfit.api, "write_report", lambda *_, **__: None)  # it renders prompts, too
    fewfit.fit(ROWS, "lab", grid=lanes[1:], out="run", final="refit", order="file")
    assert sum("+" in id for id in trained_again[-42:]) >= 36  # 42 updates over 14 items, 13 of them pairs
    fewfit.fit(ROWS, "lab", grid=lanes, out="both", order="file")
    demos = {row["i"]: row["demos"] for row in read("both") if row["lane"] == lanes[0].name}
    assert demos[10] == ["8", "9"]
    trained = [row for row in read("both", "trained") if row["update"] > 1]
    assert any(len(row["ids"]) == 4 for row in trained)  # two shots and both that a pair was made from
    folder = tmp_path / "both"
    assert len(fewfit.load(folder).predict(["river 3"])) == 1
    monkeypatch.delitem(CHOOSERS, "latest")
    (folder / "result.json").unlink()
    with pytest.raises(UserError, match="latest"):
        fewfit.resume(folder)
