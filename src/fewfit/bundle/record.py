"""What a bundle says, as one frozen record, and its form on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fewfit.examples import as_dict, from_dict
from fewfit.examples.example import Example
from fewfit.grid import Lane
from fewfit.models.gguf import DIGEST
from fewfit.render import RenderSettings
from fewfit.writing.decoding import Sampling

SCHEMA = 1
GREEDY = Sampling()


@dataclass(frozen=True)
class Base:
    """The model that the bundle was made with, and how it ran."""

    name: str
    revision: str | None
    folder: str | None
    digest: str
    dtype: str
    attention: str | None
    quantize: str | None = None
    hub: str | None = None  # that an installed model or a GGUF file was made from, where that is known
    base_url: str | None = None  # of the endpoint that it stands behind

    @property
    def from_hub(self) -> bool:
        return self.folder is None and ":" not in self.digest

    @property
    def is_remote(self) -> bool:
        return self.base_url is not None

    @property
    def from_gguf(self) -> bool:
        return self.digest.startswith(DIGEST)


@dataclass(frozen=True)
class Bundle:
    folder: Path
    lane: Lane
    seed: int
    n: int  # examples that it was made from
    model: Base
    settings: RenderSettings
    metric: str
    answer_patterns: tuple[str, ...]
    sets: tuple[tuple[Example, ...], ...]  # of demonstrations; none where a chooser takes them from the pool
    pool: tuple[Example, ...]  # what several sets are made of, or a chooser takes from for each query
    end_ids: frozenset[int]
    end_text: str
    score: float | None
    interval: tuple[float, float] | None
    version: str
    sampling: Sampling = GREEDY

    @property
    def demonstrations(self) -> tuple[Example, ...]:
        """The first set: what stands in a prompt that has to be one for all queries."""
        return self.sets[0] if self.sets else ()

    @property
    def choices(self) -> tuple[str, ...] | None:
        return self.settings.choices

    @property
    def max_new_tokens(self) -> int:
        return self.settings.max_new_tokens

    @property
    def by_choice(self) -> bool:
        return self.metric == "choice"

    @property
    def weights(self) -> str:
        """`none` beside the base model's, an `adapter`, or a whole `model`."""
        if not self.lane.trains:
            return "none"
        return "model" if self.lane.tune == "full" else "adapter"


def as_json(bundle: Bundle) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "fewfit": bundle.version,
        "lane": bundle.lane.as_json(),
        "seed": bundle.seed,
        "n": bundle.n,
        "model": asdict(bundle.model),
        "render": bundle.settings.as_json(),
        "metric": bundle.metric,
        "answer_patterns": list(bundle.answer_patterns),
        "choices": None if bundle.choices is None else list(bundle.choices),
        "demonstrations": [as_dict(example) for example in bundle.demonstrations],
        "chooser": bundle.lane.demonstrations,
        "deliver": bundle.lane.delivery,
        "sets": [[example.id for example in one] for one in bundle.sets] if len(bundle.sets) > 1 else [],
        "pool": [as_dict(example) for example in bundle.pool],
        "decoding": {
            "max_new_tokens": bundle.max_new_tokens,
            "end_text": bundle.end_text,
            "end_ids": sorted(bundle.end_ids),
            **({} if bundle.sampling == GREEDY else asdict(bundle.sampling)),
        },
        "score": bundle.score,
        "interval": None if bundle.interval is None else list(bundle.interval),
    }


def from_json(record: Mapping[str, Any], folder: Path) -> Bundle:
    interval = record["interval"]
    pool = tuple(from_dict(row) for row in record.get("pool", ()))
    by_id = {example.id: example for example in pool}
    sets = tuple(tuple(by_id[id] for id in one) for one in record.get("sets", ()))
    if not sets and (record["demonstrations"] or not pool):
        sets = (tuple(from_dict(row) for row in record["demonstrations"]),)
    return Bundle(
        folder=folder,
        lane=Lane.from_json(record["lane"]),
        seed=record["seed"],
        n=record["n"],
        model=Base(**record["model"]),
        settings=RenderSettings.from_json(record["render"]),
        metric=record["metric"],
        answer_patterns=tuple(record["answer_patterns"]),
        sets=sets,
        pool=pool,
        end_ids=frozenset(record["decoding"]["end_ids"]),
        end_text=record["decoding"]["end_text"],
        score=record["score"],
        interval=None if interval is None else (interval[0], interval[1]),
        version=record["fewfit"],
        sampling=Sampling(**{name: record["decoding"].get(name, usual) for name, usual in asdict(GREEDY).items()}),
    )
