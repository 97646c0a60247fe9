"""Bundles on `lab` for the tests of the server, and the server of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bundles_made import made

from fewfit.examples.example import Example
from fewfit.grid import Lane
from fewfit.models import local
from fewfit.predict import Predictor
from fewfit.serve import Limits
from fewfit.serve.house import House, load
from fewfit.serve.serving import Address, running

PROMPTED, TUNED = Lane(shots=4), Lane(shots=2, lr=2e-3, updates=1)
DATA = Path(__file__).parents[1] / "src" / "fewfit" / "demo" / "data"
KINDS = ("two", "down", "beta", "X")


@dataclass(frozen=True)
class Served:
    """Folders of bundles by name, and the server of all of them."""

    folders: dict[str, Path]
    url: str
    service: Any

    def predicted(self, name: str, queries: list[str]) -> list[dict[str, Any]]:
        """What `fewfit predict` says."""
        return Predictor(self.folders[name], device="cpu").predict(queries, nll=False)

    def settled(self, name: str, n: int) -> tuple[list[str], list[str]]:
        """The first queries, with their answers, of which `predict` says the same alone and among others: between two
        tokens that are equally likely but for rounding (one query in a hundred) nobody can be held to either."""
        predictor = Predictor(self.folders[name], device="cpu")
        asked = questions(name, n + n // 10)
        together = [row["prediction"] for row in predictor.predict(asked, nll=False)]
        alone = [predictor.predict([query], nll=False)[0]["prediction"] for query in asked]
        some = [k for k in range(len(asked)) if alone[k] == together[k]][:n]
        return [asked[k] for k in some], [together[k] for k in some]

    def client(self, key: str = "none") -> Any:
        from openai import OpenAI

        return OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, timeout=60)


def bundles(at: Path) -> dict[str, Path]:
    """Labels behind one set of demonstrations; text by an adapter behind one of three sets; text by the majority behind
    three, by another adapter."""
    examples = rows("kinds")[:16]
    labels = made(local.load("lab", device="cpu", dtype="float32"), PROMPTED, examples, metric="choice", choices=KINDS)
    labels.save(at / "labels")
    for name, deliver, seed in (("tuned", "per-query", 3), ("many", "ensemble:3", 5)):
        examples = rows("rotate")[seed : seed + 16]
        lab = local.load("lab", device="cpu", dtype="float32")
        text = made(lab, TUNED, examples, max_new_tokens=24)
        sets = tuple((examples[k], examples[k + seed]) for k in (0, 1, 2))
        pool = tuple(dict.fromkeys(one for some in sets for one in some))
        text.save(at / name, lane=replace(TUNED, deliver=deliver), sets=sets, pool=pool)
    return {name: at / name for name in ("labels", "tuned", "many")}


def house(folders: dict[str, Path], **settings: Any) -> House:
    return load([f"{name}={folder}" for name, folder in folders.items()], device="cpu", **settings)


@contextmanager
def served(
    folders: dict[str, Path], *, at: Address | None = None, limits: Limits | None = None, **settings: Any
) -> Iterator[Served]:
    made_house = house(folders, **settings)
    with running(made_house, at=at, limits=limits) as (url, service):
        yield Served(folders, url, service)


def rows(name: str) -> list[Example]:
    lines = (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [Example(str(n), one["prompt"], one["completion"]) for n, one in enumerate(map(json.loads, lines), start=1)]


def questions(kind: str, n: int) -> list[str]:
    """All different, of unlike lengths, and none of them an example of the bundles."""
    return [str(one.prompt) for one in rows("kinds-test" if kind == "labels" else "rotate-test")[:n]]
