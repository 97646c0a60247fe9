"""Did anything leak? Asked of the evidence alone: the examples, what was predicted, and what was trained on.

The time of an example is the place at which the predictions have it in their own seed; a demonstration or a target of
training must have been predicted by then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fewfit.examples.example import Example

Row = Mapping[str, Any]
Stream = tuple[str, int]  # lane, seed


def audit(
    examples: Iterable[Example],
    predictions: Iterable[Row],
    trained: Iterable[Row] = (),
    *,
    inferences: Iterable[Row] | None = None,
    batch: Mapping[str, int] | None = None,
) -> list[str]:
    """Every leak found, one line each; empty where there is none.

    `inferences` are the records of inferences.jsonl, where there are some: what each was made from must be what
    trained.jsonl says. `batch` gives the rows an update where a lane has more than one: their ids then stand one after
    the other.
    """
    auditor = _Auditor({example.id: example for example in examples}, batch or {})
    auditor.places(list(predictions))
    if inferences is not None:
        auditor.made_from = {row["id"]: list(one["made_from"]) for one in inferences for row in one["rows"]}
    for row in auditor.predictions:
        auditor.prediction(row)
    for row in trained:
        auditor.update(row)
    return auditor.found


class _Auditor:
    def __init__(self, examples: dict[str, Example], batch: Mapping[str, int]):
        self.examples, self.batch = examples, batch
        self.place: dict[Stream, dict[str, int]] = {}  # per lane and seed: id → i
        self.at: dict[tuple[str, int, int], str] = {}  # lane, seed, i → id
        self.predictions: list[Row] = []
        self.made_from: dict[str, list[str]] | None = None  # of inferences, by id, as they were kept
        self.found: list[str] = []

    def say(self, row: Row, what: str) -> None:
        update = f", update {row['update']}" if "update" in row else ""
        self.found.append(f"{row['lane']}, seed {row['seed']}, row {row['i']}{update}: {what}")

    def places(self, rows: list[Row]) -> None:
        """Where each example stands; every lane of a seed must have it in one place, counted from 1 without a gap."""
        order: dict[tuple[int, int], str] = {}
        for row in rows:
            if row["id"] not in self.examples:
                self.say(row, f"{row['id']!r} is not among the examples")
                continue
            self.predictions.append(row)
            if order.setdefault((row["seed"], row["i"]), row["id"]) != row["id"]:
                self.say(row, f"{row['id']!r} where other lanes of the seed have {order[row['seed'], row['i']]!r}")
            self.at[row["lane"], row["seed"], row["i"]] = row["id"]
            places = self.place.setdefault((row["lane"], row["seed"]), {})
            if places.setdefault(row["id"], row["i"]) != row["i"]:
                self.say(row, f"{row['id']!r} was predicted already, as row {places[row['id']]}")
        for (lane, seed), places in self.place.items():
            if sorted(places.values()) != list(range(1, len(places) + 1)):
                self.found.append(f"{lane}, seed {seed}: rows are missing, or two have one place")

    def prediction(self, row: Row) -> None:
        if len(row["demos"]) != row["shots"]:
            self.say(row, f"{row['shots']} shots and {len(row['demos'])} demonstrations")
        for demos in row.get("members") or [row["demos"]]:  # of several prompts, or of the one
            self.earlier(row, demos, row["i"])
            self.together(row, demos, row["id"])

    def update(self, row: Row) -> None:
        """Update 1 trains on the row that was just predicted; later ones on anything predicted, the row included."""
        ids = row["ids"]
        if not ids:
            self.say(row, "nothing that was trained on is named")
            return
        size = self.batch.get(row["lane"], 1)
        own = self.at.get((row["lane"], row["seed"], row["i"]))
        if own is None:
            self.say(row, "trained before its prediction was written")
        self.earlier(row, ids, row["i"] + 1)
        inferred = row.get("inferred", {})
        for id, made_from in inferred.items():
            if self.made_from is not None and self.made_from.get(id) != made_from:
                self.say(row, f"{id!r} is said to be made from {made_from}, and was from {self.made_from.get(id)}")
            if not made_from or not set(made_from) <= set(ids):
                self.say(row, f"what {id!r} was made from is not among what was trained on")
        if inferred and size == 1:
            if row["update"] == 1:
                self.say(row, f"update 1 trained on {next(iter(inferred))!r}, not on {own!r}")
            (made_from,) = inferred.values()
            demos = ids[: len(ids) - len(made_from)]
            if inside := sorted(set(demos) & set(made_from)):
                self.say(row, f"{inside[0]!r} stands in the prompt of what was made from it")
            self.apart(row, [self.examples[id] for id in demos if id in self.examples])
            return
        if inferred:  # what they were made from stands in no prompt
            hidden = {id for made_from in inferred.values() for id in made_from}
            ids = [id for id in ids if id not in hidden]
        if size > 1:
            if fewest_prompts([self.examples[id] for id in ids if id in self.examples]) > size:
                self.say(row, f"more conflicting examples than {size} prompts can hold apart")
            return
        if row["update"] == 1 and own is not None and ids[-1] != own:
            self.say(row, f"update 1 trained on {ids[-1]!r}, not on {own!r}")
        self.together(row, ids[:-1], ids[-1])

    def earlier(self, row: Row, ids: Sequence[str], before: int) -> None:
        """All of them predicted by this lane, at a place below `before`."""
        places = self.place.get((row["lane"], row["seed"]), {})
        for id in ids:
            if id not in places:
                self.say(row, f"{id!r} was used, and this lane never predicted it")
            elif places[id] >= before and id != row.get("id"):  # its own id: `together` says it better
                self.say(row, f"{id!r} was used, and predicted only as row {places[id]}")

    def together(self, row: Row, demos: Sequence[str], target: str) -> None:
        """None of the demonstrations is the target, nor does one conflict with it or with another."""
        if target in demos:
            self.say(row, f"{target!r} stands in its own prompt")
        known = [self.examples[id] for id in demos if id in self.examples and id != target]
        if target in self.examples:
            for one in known:
                if one.conflicts_with(self.examples[target]):
                    self.say(row, f"{one.id!r} stands in the prompt of {target!r}, which it conflicts with")
        self.apart(row, known)

    def apart(self, row: Row, known: Sequence[Example]) -> None:
        """No two of them conflict."""
        for n, one in enumerate(known):
            for other in known[:n]:
                if one.conflicts_with(other):
                    self.say(row, f"{other.id!r} and {one.id!r} conflict and stand in one prompt")


def fewest_prompts(examples: Sequence[Example]) -> int:
    """Into how many prompts at least a row of examples must be cut for no two that conflict to stand in one."""
    prompts = 0
    here: list[Example] = []
    for example in examples:
        if not here or any(example.conflicts_with(other) for other in here):
            prompts, here = prompts + 1, []
        here.append(example)
    return prompts
