"""What the untrained model infers from the examples, for lanes that learn from that, too.

Made before the stream, once a run, and kept in its folder: for helpers, for `resume` and for `inspect`. Of each example
by itself, and of all examples up to a quarter, a half and three quarters of a seed's order: each may be trained on when
the last that it was made from was predicted, so none may know of a later one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fewfit.engine.source import SOURCES, Inferred
from fewfit.engine.task import Task
from fewfit.errors import UserError
from fewfit.examples import as_dict, from_dict
from fewfit.examples.example import Example
from fewfit.grid import Lane
from fewfit.kept import ended_lines, kept
from fewfit.models.local import Loaded
from fewfit.settings import LIMITS

if TYPE_CHECKING:
    from fewfit.augment.inference import Account

FILE = "inferences.jsonl"


class Part(NamedTuple):
    """What is inferred from: one example, or the first of a seed's order."""

    strategy: str
    seed: int
    made_from: tuple[str, ...]

    @property
    def key(self) -> tuple[str, tuple[str, ...]]:
        return self.strategy, self.made_from


def parts(lanes: Sequence[Lane], task: Task, seeds: Sequence[int], last: bool) -> list[Part]:
    """`last`: something is trained on when all examples were predicted."""
    used, n = {name for lane in lanes for name in lane.augment}, len(task)
    out = [Part("local", 0, (example.id,)) for example in task.examples] if "local" in used else []
    for seed in seeds if "global" in used else ():
        whole = [n] if last and seed == min(seeds) else []  # of the lowest seed the weights are delivered
        for k in [*sorted({n // 4, n // 2, 3 * n // 4} - {0, 1}), *whole]:
            out.append(Part("global", seed, tuple(example.id for example in task.order(seed)[:k])))
    return out


def parts_of_documents(lanes: Sequence[Lane], task: Task) -> list[Part]:
    """Nobody predicts them, so nothing has to be kept apart."""
    used, whole = {name for lane in lanes for name in lane.augment}, tuple(one.id for one in task.examples)
    out = [Part("local", 0, (one.id,)) for one in task.examples] if "local" in used else []
    return [*out, Part("global", 0, whole)] if "global" in used else out


def read(folder: Path) -> list[dict[str, Any]]:
    return ended_lines(folder / FILE)


def restore(folder: Path, model: str | None, task: Task) -> set[tuple[str, tuple[str, ...]]]:
    """Gives the task's sources what is known of this model; returns what that is."""
    local: dict[str, list[Example]] = {}
    together: dict[tuple[str, ...], list[Example]] = {}
    for one in read(folder):
        if one["model"] == model:
            rows, made_from = [from_dict(row) for row in one["rows"]], tuple(one["made_from"])
            if one["strategy"] == "local":
                local[made_from[0]] = rows
            else:
                together[made_from] = rows
    task.sources = {
        **SOURCES,
        ("local",): Inferred(local),
        ("global",): Inferred(together=together),
        ("local", "global"): Inferred(local, together),
    }
    return {("local", (id,)) for id in local} | {("global", ids) for ids in together}


def complete(
    folder: Path,
    model: str | None,
    loaded: Loaded,
    task: Task,
    wanted: Sequence[Part],
    stopped: Callable[[], None],
    tell: Callable[[str], None] = lambda what: None,
    augmenter: Mapping[str, Any] | None = None,
) -> None:
    """Makes what is not there yet, each part on the disk before the next. `augmenter` names another model that infers,
    the address that serves it, if it is served, and how it is loaded."""
    known = restore(folder, model, task)
    open_ = unique([part for part in wanted if part.key not in known])
    writer, by = writing(loaded, augmenter, open_)
    refuse_another(folder, by)
    with kept(folder / FILE, "is no record of inferences") as book:
        made = inferred(writer, task, open_, stopped)
        for done, (part, rows, account) in enumerate(made, 1):
            told = {"rows": [as_dict(row) for row in rows], "cost": account.as_dict()}
            book.add({"model": model, **({"by": by} if by else {}), **part._asdict(), **told})
            tell(f"inferring: {done} of {len(open_)} parts")
    restore(folder, model, task)


def unique(some: Sequence[Part]) -> list[Part]:
    """Seeds of one order ask for the same."""
    first: dict[tuple[str, tuple[str, ...]], Part] = {}
    for part in some:
        first.setdefault(part.key, part)
    return list(first.values())


def augmenter_of(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Another model that infers, and how it is loaded: as the lanes' own."""
    if record.get("augmenter") is None:
        return None
    asked = record["asked"]
    more = {name: asked[name]["value"] for name in (*LIMITS, "device", "dtype", "quantize") if name in asked}
    return {**record["augmenter"], **more}


def refuse_another(folder: Path, by: str | None) -> None:
    """What one model began another does not end."""
    if by and any(one.get("by", by) != by for one in read(folder)):
        hint = "put the old one back, or start a new run"
        raise UserError("the model that infers is not the one that the run began with", where=str(folder), hint=hint)


def writing(loaded: Loaded, augmenter: Mapping[str, Any] | None, wanted: Sequence[Part]) -> tuple[Any, str | None]:
    """Who writes, and which model that is where it is not the lanes' own; nobody is fetched for nothing."""
    from fewfit.augment.augmented import writer_for
    from fewfit.augment.making import writer_of

    if augmenter is None or not wanted:
        return writer_of(loaded), None
    load = {name: value for name, value in augmenter.items() if name not in ("name", "url")}
    return writer_for(augmenter["name"], augmenter["url"], None, **load)


def inferred(
    writer: Any, task: Task, wanted: Sequence[Part], stopped: Callable[[], None]
) -> Iterator[tuple[Part, list[Example], Account]]:
    from fewfit.augment.inference import Account
    from fewfit.augment.making import BLOCK, Sieve, Wanted, make, make_block, targets

    how = Wanted(choices=task.renderer.settings.choices if task.judge.needs == "choices" else None)
    by_id = {example.id: example for example in task.examples}
    alone = {part.made_from[0]: part for part in wanted if part.strategy == "local"}
    asked = targets(writer, [by_id[id] for id in alone], "local", how) if alone else []
    rows: list[Example] = []
    account = Account()
    for start in range(0, len(asked), BLOCK):
        stopped()
        for k, made in enumerate(make_block(writer, asked[start : start + BLOCK], how), start=start):
            rows += [row.example for row in made.inferences if fits(task, row.example)]
            account.add(made.account)
            id = asked[k].example.id
            if k + 1 == len(asked) or asked[k + 1].example.id != id:  # a document has a target for each sentence
                yield alone[id], rows, account
                rows, account = [], Account()
    for part in wanted:
        if part.strategy != "global":
            continue
        examples = [by_id[id] for id in part.made_from]
        sieve, rows, account = Sieve.of(examples), [], Account()
        mark = f"-{part.seed}-{len(examples)}"  # made again of more examples, they are others
        for made in make(writer, targets(writer, examples, "global", how, mark=mark), how):
            stopped()
            rows += [row.example for row in sieve.sift(made).inferences if fits(task, row.example)]
            account.add(made.account)
        yield part, rows, account


def fits(task: Task, example: Example) -> bool:
    """Whether it can be trained on: within the length, and without what ends an answer."""
    if any(task.renderer.end_text in text for text in (str(example.prompt), example.completion)):
        return False
    try:
        task.renderer.render([], example)
    except UserError:
        return False
    return True
