"""What each lane costs, about: to train, to infer what it trains on, and for every query; and from how many queries on
tuning is the cheaper one.

Counted in tokens that pass through the model. A forward of one token is the unit; one that trains is two of them for
adapters (no gradients of the frozen weights) and three for all weights.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fewfit.engine.stream import steps
from fewfit.grid import Lane
from fewfit.select import Selection

PASSES = {"lora": 2, "full": 3}


@dataclass(frozen=True)
class Cost:
    """Of one lane under one seed. Seconds of training are its share of the run's, by the work that it was."""

    name: str
    trained_tokens: int
    train_seconds: float
    inferred_tokens: int  # read and written by the model that inferred
    infer_seconds: float
    query_tokens: float | None


def costs(
    selection: Selection,
    lanes: Sequence[Lane],
    trained: Mapping[str, float],
    asked: Mapping[str, float],
    made: Sequence[Mapping[str, Any]],
    seconds: float,
) -> list[Cost]:
    """`trained` and `asked` are tokens by lane under one seed; `made` the records of inferences, of which a seed has
    its own global ones; `seconds` those of the run."""
    first = min((one["seed"] for one in made if one["strategy"] == "global"), default=0)
    inferring = sum(one["cost"]["seconds"] for one in made)
    work = {lane.name: PASSES[lane.tune] * trained.get(lane.name, 0.0) + asked.get(lane.name, 0.0) for lane in lanes}
    whole = max(1.0, sum(work.values()) * selection.seeds)
    out = []
    for lane in lanes:
        mine = [one for one in made if one["strategy"] in lane.augment and one["model"] == lane.model]
        mine = [one for one in mine if one["strategy"] != "global" or one["seed"] == first]
        training = PASSES[lane.tune] * trained.get(lane.name, 0.0)
        out.append(
            Cost(
                name=lane.name,
                trained_tokens=round(trained.get(lane.name, 0.0)),
                train_seconds=round(max(0.0, seconds - inferring) * training / whole, 1),
                inferred_tokens=sum(one["cost"]["prompt_tokens"] + one["cost"]["new_tokens"] for one in mine),
                infer_seconds=round(sum(one["cost"]["seconds"] for one in mine), 1),
                query_tokens=selection.lane(lane.name).tokens,
            )
        )
    return out


def asked_tokens(rows: Sequence[Mapping[str, Any]], lanes: Sequence[Lane], flat: bool) -> dict[str, float]:
    """Tokens that each lane's prompts took to be predicted behind, under one seed: nothing of a prompt whose forward is
    trained on. Where all begin with the same documents (`flat`), that beginning is computed once."""
    out, of = {}, by_lane(rows)
    for lane in lanes:
        mine = of[lane.name]
        tokens = [row["prompt_tokens"] for row in mine]
        seeds = len({row["seed"] for row in mine}) or 1
        beginning = min(tokens, default=0) if flat else 0
        trained = not flat and any(step.predicts and step.update for step in steps(lane, 1))
        alone = (lane.members - trained) / lane.members
        out[lane.name] = alone * (sum(tokens) - beginning * max(0, len(tokens) - seeds)) / seeds
    return out


def in_stream(rows: Sequence[Mapping[str, Any]], lanes: Sequence[Lane]) -> dict[str, float]:
    """Tokens that each lane trained on under one seed. Replayed prompts are taken to be as long as predicted ones: as
    those of one set, with as many examples as in training."""
    out, of = {}, by_lane(rows)
    for lane in lanes:
        mine = of[lane.name] if lane.trains else []
        seeds = len({row["seed"] for row in mine}) or 1
        share = (1 + lane.shots) / (1 + lane.shots_at_use) / lane.members
        tokens = sum(share * row["prompt_tokens"] + row["tokens"] for row in mine)
        out[lane.name] = tokens / seeds * lane.updates * lane.batch
    return out


def by_lane(rows: Sequence[Mapping[str, Any]]) -> defaultdict[str, list[Mapping[str, Any]]]:
    out: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        out[row["lane"]].append(row)
    return out


def break_even(
    selection: Selection, lanes: Sequence[Lane], made: Sequence[Cost], augmenter: str | None = None
) -> dict[str, Any] | None:
    """The recommended lane, if it trains, else the best with the shortest prompt, against the best that prompts with
    examples. `spent` are tokens, those trained on weighed by their passes; `queries` is None where a query of the tuned
    one costs no less: as many examples in a prompt cost as much, whichever they are. Every prompt is reckoned whole:
    where a server keeps what they all begin with, tuning takes longer to pay."""
    named, of = {lane.name: lane for lane in lanes}, {one.name: one for one in made}
    tuned = [selection.best_of_kind[kind] for kind in ("ft", "icl+ft") if kind in selection.best_of_kind]
    if not tuned or "icl" not in selection.best_of_kind:
        return None
    ours = selection.best.name if selection.best.name in tuned else tuned[0]
    theirs = selection.best_of_kind["icl"]
    one, other = of[ours], of[theirs]
    if one.query_tokens is None or other.query_tokens is None:
        return None
    # Tokens of another model that inferred are no tokens of this one.
    spent = PASSES[named[ours].tune] * one.trained_tokens + (0 if augmenter else one.inferred_tokens)
    saved = other.query_tokens - one.query_tokens
    fewer = named[ours].shots_at_use < named[theirs].shots_at_use
    queries = math.ceil(spent / saved) if fewer and saved > 0 else None
    found = {"tuned": ours, "prompted": theirs, "queries": queries, "spent": spent}
    return found | ({"inferred_by": augmenter} if augmenter else {})


def as_json(made: Sequence[Cost]) -> list[dict[str, Any]]:
    return [asdict(one) for one in made]
