"""What a run behind an endpoint would ask of it: calls and tokens. How long that takes is the endpoint's to know.

Nothing is asked for it, so what the endpoint can do is not known: calls are those of answers that are written.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from fewfit.engine.task import Task
from fewfit.grid import Lane
from fewfit.models.remote.access import checked_url
from fewfit.models.remote.tokens import byte_tokenizer
from fewfit.plan.lengths import length
from fewfit.run.material import Material
from fewfit.run.prepare import render_with
from fewfit.settings import Settings

SCHEMA = 1
BYTES = 4  # of a token of English under most tokenizers; in other languages fewer


@dataclass(frozen=True)
class LaneCalls:
    """One lane over all its seeds."""

    name: str
    model: str | None
    kind: str
    shots: int
    calls: int
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class EndpointPlan:
    data: str
    n: int
    metric: str
    choices: tuple[str, ...] | None
    models: tuple[str, ...]
    base_url: str
    seeds: int
    lanes: tuple[LaneCalls, ...]
    max_calls: int | None
    max_tokens: int | None
    notices: tuple[str, ...]

    @property
    def calls(self) -> int:
        return sum(lane.calls for lane in self.lanes)

    @property
    def tokens(self) -> int:
        return sum(lane.prompt_tokens + lane.completion_tokens for lane in self.lanes)

    def as_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **asdict(self), "calls": self.calls, "tokens": self.tokens}


def plan_calls(asked: Settings, material: Material, models: dict[str | None, str]) -> EndpointPlan:
    dataset, judge = material.dataset, material.judge
    renderer = render_with(byte_tokenizer(chat=asked.chat != "off"), None, dataset, judge.needs, asked)
    task = Task(dataset.examples, renderer, judge, order=asked.order)
    lanes = tuple(lane_calls(lane, task, material.seeds) for lane in asked.lanes(tuple(models)).lanes)
    notices = [*dataset.notices, f"a token is taken for {BYTES} bytes: the endpoint's own are not known here"]
    if judge.needs == "choices":
        most = max(len(one.choices or dataset.choices or ()) for one in dataset.examples)
        notices.append(
            f"where the endpoint tells how likely an answer is, answers are chosen, with {most} calls for each instead "
            "of one; where not, they are written and scored by match"
        )
    elif judge.needs == "text":
        notices.append("where the endpoint tells how likely an answer is, that is one call more for each")
    return EndpointPlan(
        data=dataset.source,
        n=len(dataset.examples),
        metric=judge.name,
        choices=dataset.choices if judge.needs == "choices" else None,
        models=tuple(models.values()),
        base_url=checked_url(str(asked.base_url)),
        seeds=material.seeds,
        lanes=lanes,
        max_calls=asked.max_calls,
        max_tokens=asked.max_tokens,
        notices=tuple(notices),
    )


def lane_calls(lane: Lane, task: Task, seeds: int) -> LaneCalls:
    found = length(task, lane.shots)
    calls = seeds * len(task) * lane.members
    answer = sum(len(one.completion.encode()) for one in task.examples) / len(task)
    return LaneCalls(
        name=lane.name,
        model=lane.model,
        kind=lane.kind,
        shots=lane.shots,
        calls=calls,
        prompt_tokens=round(calls * found.mean / BYTES),
        completion_tokens=round(calls * answer / BYTES),
    )
