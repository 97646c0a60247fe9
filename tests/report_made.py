"""Run folders made from records, without a model: what a report is written from."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from fewfit.draw import number
from fewfit.examples import Dataset, Example, digest, save
from fewfit.files import write_json
from fewfit.grid import Lane
from fewfit.predictions import dumps
from fewfit.render import Renderer
from fewfit.run import cost, folders
from fewfit.select import select
from tests.tokenizers_made import byte_level

HOSTILE = (
    "<script>document.title = 'ran'</script>",
    "</script><img src=x onerror=\"document.title = 'ran'\">",
    "<!-- <!--> </style></pre></details>",
    "{{7*7}} ${7*7} {% raw %} <%= 7 %> &lt;b&gt; &amp;",
    "\u202eright to left\u202c שלום עולם مرحبا",
    "x" * 10_000,
    "👩🏽‍🚀 🏳️‍🌈 \x00\x07 \ud800 a\tb\nc",
    "' onmouseover='document.title=1' data-x=\"`",
)
LANES = (
    Lane(),
    Lane(shots=2, deliver="per-query"),
    Lane(lr=1e-3, updates=1),
    Lane(lr=1e-3, updates=2),
    Lane(shots=2, lr=1e-3, updates=1),
    Lane(shots=2, lr=3e-3, updates=2),
)
Answer = Callable[[Lane, Example, int], str]


def two_classes(n: int = 40) -> list[Example]:
    return [Example(str(k), f"the thing {k}", ("warm", "cold")[number("class", k) % 2]) for k in range(1, n + 1)]


def by_skill(lane: Lane, example: Example, i: int) -> str:
    """Lanes that see or train on more are right more often, and those that train the later the more."""
    skill = 0.45 + 0.1 * bool(lane.shots) + (0.1 * lane.updates + 0.004 * i) * lane.trains
    right = number("answer", lane.name, i) % 1000 < 1000 * skill
    return example.completion if right else ("cold" if example.completion == "warm" else "warm")


def made_run(
    folder: Path,
    examples: Sequence[Example],
    lanes: Sequence[Lane] = LANES,
    *,
    answer: Answer = by_skill,
    choices: Sequence[str] | None = ("warm", "cold"),
    metric: str = "choice",
    statuses: dict[str, str] | None = None,
    documents: bool = False,
    base_url: str | None = None,
    notices: Sequence[str] = (),
    source: str = "made",
    test: Sequence[dict[str, Any]] | None = None,
) -> Path:
    """A finished run whose lanes answered so. A lane that was dropped has two thirds of its rows."""
    folder.mkdir(parents=True)
    statuses, n = {lane.name: "done" for lane in lanes} | (statuses or {}), len(examples)
    dataset = Dataset(tuple(examples), None if choices is None else tuple(choices), (), source, digest(tuple(examples)))
    save(dataset, folder / folders.EXAMPLES)
    renderer = Renderer.resolve(byte_level(), examples, chat="off", choices=None, no_instruction=True)
    rows = []
    for i, example in enumerate(examples, start=1):
        for lane in lanes:
            if statuses[lane.name] == "done" or i <= 2 * n // 3:
                rows.append(row_of(lane, example, i, answer(lane, example, i), choices if metric == "choice" else None))
    (folder / folders.PREDICTIONS).write_text("".join(f"{dumps(row)}\n" for row in rows), encoding="utf-8")
    selection = select(rows, lanes, metric=metric, statuses=statuses, flat=documents)
    asked = cost.asked_tokens(rows, lanes, documents)
    price = cost.costs(selection, lanes, cost.in_stream(rows, lanes), asked, [], 12.0)
    model = {
        "lane": None, "name": "tiny", "revision": None, "folder": None, "digest": "files:00ff", "hub": None,
        "base_url": base_url, "dtype": "float32", "render": renderer.settings.as_json(), "likelihood": True,
    }  # fmt: skip
    record = {
        "created": "2030-01-01T00:00:00Z",
        "asked": {"model": {"value": "tiny", "source": "given"}, "preset": {"value": "quick", "source": "default"}},
        "data": {
            "source": source, "path": None, "file_digest": None, "digest": dataset.digest, "n": n, "choices": choices,
        },
        "documents": {"digest": "d", "n": 3} if documents else None,
        "test": None,
        "models": [model],
        "metric": metric,
        "answer_patterns": [],
        "lanes": [lane.as_json() for lane in lanes],
        "seeds": [0],
        "order": "file",
        "race": True,
        "select": "z23",
        "notices": list(notices),
        "versions": {"python": "3.11"},
    }  # fmt: skip
    folders.write_record(folder, record)
    result = {
        "schema": folders.SCHEMA,
        "run": str(folder),
        **selection.as_json(),
        "test": test,
        "costs": cost.as_json(price),
        "break_even": cost.break_even(selection, lanes, price),
        "labels": None,
        "seconds": 12.0,
        "warnings": list(selection.warnings),
    }
    write_json(folder / folders.RESULT, result)
    return folder


def row_of(lane: Lane, example: Example, i: int, answer: str, choices: Sequence[str] | None) -> dict[str, Any]:
    right = answer == example.completion
    share = 0.9 / max(1, len(choices or ()) - 1)
    return {
        "lane": lane.name, "model": None, "seed": 0, "i": i, "id": example.id, "shots": lane.shots, "demos": [],
        "nll": 0.1 if right else 2.3, "tokens": 1, "prompt_tokens": 9 + 9 * lane.shots, "score": float(right),
        "correct": right, "gold": example.completion, "prediction": answer, "cut": False,
        "probs": None if choices is None else {one: 0.1 if one != answer else share for one in choices},
        "margin": 0.5 + i / 1000,
    }  # fmt: skip


def many_lanes(count: int) -> list[Lane]:
    """Of four kinds, in families of rates and updates."""
    lanes = [Lane(), *(Lane(shots=k, deliver="per-query") for k in (1, 2, 4, 8))]
    shapes = [(k, rate, e) for k in range(0, 20, 2) for rate in (1e-4, 3e-4, 1e-3, 3e-3, 1e-2) for e in (1, 2, 4, 8)]
    return [*lanes, *(Lane(shots=k, lr=rate, updates=e) for k, rate, e in shapes)][:count]


def rewrite(folder: Path, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads((folder / name).read_text(encoding="utf-8"))
    change(content)
    write_json(folder / name, content)


class Parsed(HTMLParser):
    """A page as a browser's parser would cut it up: elements with their attributes, and the text of each kind."""

    def __init__(self, page: str):
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.comments: list[str] = []
        self.texts: dict[str, list[str]] = {}  # by the element that they stand in
        self.text = ""  # all that is to be read, in its order
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open, f"left open: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "br", "input"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open[-1] == tag, f"</{tag}> where {self._open[-1:]} is open"
        self._open.pop()

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def handle_data(self, data: str) -> None:
        here = self._open[-1] if self._open else ""
        self.texts.setdefault(here, []).append(data)
        if here not in ("script", "style"):
            self.text += data

    def of(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        """The elements with these words in their attributes."""
        return [
            there
            for name, there in self.elements
            if name == tag
            and all(word in (there.get(key.rstrip("_")) or "").split() for key, word in attributes.items())
        ]
