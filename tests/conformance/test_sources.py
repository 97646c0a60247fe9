"""What every training source keeps to, and that a lane learns from what is released, no sooner."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from fewfit import draw
from fewfit.engine.source import SOURCES, Examples, Inferred, Item, Source
from fewfit.engine.task import Task
from fewfit.examples.example import Example
from fewfit.grid import Lane
from tests.models_made import tiny
from tests.streams_made import examples, run_lanes, task_of
from tests.tokenizers_made import byte_level


class Pairs:
    """Examples, and behind every fourth one something made of it and the one before."""

    def released(self, order: Sequence[Example], i: int) -> Sequence[Item]:
        out: list[Item] = []
        for k, example in enumerate(order[:i], 1):
            out.append(Item(example, (example.id,)))
            if k % 4 == 0:
                both = (order[k - 2].id, example.id)
                out.append(Item(Example("+".join(both), f"both {' '.join(both)}", example.completion), both))
        return out


def inferred() -> Inferred:
    """One of every example alone, and of the first 3 and 6 of two orders; some of them say the same."""
    local = {one.id: [Example(f"{one.id}/local", f"more of {one.id}", one.completion)] for one in examples(13)}
    together = {}
    for seed in (0, 1):
        ids = [one.id for one in draw.order(examples(13), seed)]
        for k in (3, 6):
            some = [Example(f"{id}/global-{seed}-{k}", f"of {id} and others", "so") for id in ids[:k]]
            together[tuple(ids[:k])] = [*some, Example(f"again-{seed}-{k}", "the same", "each time")]
    return Inferred(local, together)


KINDS: dict[str, Source] = {"+".join(name) or "examples": one for name, one in SOURCES.items()}
KINDS |= {"pairs": Pairs(), "inferred": inferred()}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("seed", [0, 1])
def test_it_grows_at_its_end_and_from_what_was_predicted(name: str, seed: int) -> None:
    order = draw.order(examples(13), seed)
    before: list[Item] = []
    for i in range(1, len(order) + 1):
        now = list(KINDS[name].released(order, i))
        known = {example.id for example in order[:i]}
        assert now[: len(before)] == before and len(now) > len(before)
        assert all(item.made_from and set(item.made_from) <= known for item in now)
        assert now == list(KINDS[name].released(tuple(order), i))
        before = now


def test_a_lane_learns_from_its_source_and_says_what_from() -> None:
    """Breaks seen to fail: `made_from` of the target alone written down; what it was made from in its own prompt."""
    plain = task_of(examples(16))
    task = Task(plain.examples, plain.renderer, plain.judge, sources={(): Examples(), ("pairs",): Pairs()})
    lanes = [Lane(lr=1e-3, updates=4), Lane(lr=1e-3, updates=4, augment=("pairs",))]
    lanes.append(Lane(shots=4, lr=1e-3, updates=4, augment=("pairs",)))
    memory = run_lanes(tiny("llama", vocab_size=len(byte_level())), task, lanes)
    place = {example.id: k for k, example in enumerate(task.order(0), 1)}
    made: dict[str, int] = {lane.name: 0 for lane in lanes}
    for row in memory.updates:
        assert all(place[id] <= row["i"] for id in row["ids"])
        made[row["lane"]] += len(row["ids"]) == 2
        assert len(set(row["ids"])) == len(row["ids"])
    assert made[lanes[0].name] == 0 < made[lanes[1].name]


def test_the_newest_is_the_example_and_nothing_is_said_twice() -> None:
    """Breaks seen to fail: inferences behind their example; `together` released one example early."""
    order = draw.order(examples(13), 0)
    ids = [one.id for one in order]
    for i in range(1, 14):
        items = inferred().released(order, i)
        assert items[-1].example == order[i - 1]
        texts = [(one.example.prompt, one.example.completion) for one in items]
        assert len(set(texts)) == len(texts)
        made = [one.made_from for one in items if len(one.made_from) > 1]
        assert {len(one) for one in made} == {k for k in (3, 6) if k <= i}
        assert all(one == tuple(ids[: len(one)]) for one in made)
