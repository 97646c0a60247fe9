"""Which tasks a folder holds, whatever their format, and which of them are asked for.

Looked for in all folders below it: published sets by their form, then any file that `fewfit.examples` reads. A file
NAME-test beside NAME is what NAME is tested on, and settings.json says what the files do not:

    {"test": 100, "tasks": {"NAME": {"metric": "match", "choices": ["a", "b"], "instruction": "…"}}}
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

from fewfit.errors import UserError
from fewfit.examples import load as load_examples
from fewfit.examples.choices import parse
from fewfit.examples.sources import READERS
from fewfit.metrics import auto
from fewfit.suites.results import LOCK, ROWS
from fewfit.suites.tasks import bbh, lines, pairs, parity, raft, tweeteval
from fewfit.suites.tasks.altered import altered
from fewfit.suites.tasks.changed import changed
from fewfit.suites.tasks.task import Asking, Published, Task, hold_out

SETTINGS, TESTED, TASKS = "settings.json", "-test", "tasks"
GLOBAL = ("budgets", "seeds", "test", "shots", "lr", "updates", "kinds")  # of the suite; flags go before them
OF_TASK = tuple(one.name for one in fields(Asking))
TEST = 100
Load = Callable[[], Published]


@dataclass(frozen=True)
class Library:
    known: dict[str, Load]
    settings: dict[str, Any]  # what settings.json says of all tasks

    def published(self, name: str) -> Published:
        if name in self.known:
            return self.known[name]()
        if made := changed(name, self.known):
            return made
        near = get_close_matches(name, self.known, n=1)
        raise UserError(f"no task {name}", hint=f"did you mean {near[0]}?" if near else f"one of {some(self.known)}")

    def tasks(
        self, names: Sequence[str] | None = None, test: int = TEST, tell: Callable[[str], None] = lambda what: None
    ) -> list[Task]:
        """Those asked for, else all that were found and can be read (what is made up or made of others is asked for by
        name): a published folder may hold much beside its tasks."""
        if test < 1:
            raise UserError(f"--test {test}", hint="give 1 or more")
        if names:
            return [self.task(name, test) for name in dict.fromkeys(names)]
        read: list[Task] = []
        problem = UserError("no tasks", hint="name a folder with files of examples")
        for name in self.known:
            if name == parity.NAME:
                continue
            try:
                read.append(self.task(name, test))
            except UserError as error:
                problem = error
                tell(f"{name} is left out: {error}")
        if not read:
            raise problem
        return read

    def task(self, name: str, test: int) -> Task:
        made = None if name in self.known else altered(name, lambda of: self.task(of, test))
        return made or hold_out(self.published(name), test)


def some(names: Sequence[str] | dict[str, Any]) -> str:
    shown = list(names)[:8]
    return ", ".join(shown) + (", …" if len(names) > len(shown) else "")


def library(folder: Path | None, inside: Sequence[str] = ()) -> Library:
    """Nothing is read yet but what tells one format from another. `inside`: only these folders of it."""
    known: dict[str, Load] = {}
    told: dict[str, Any] = {}
    if folder is not None:
        places = [folder / one for one in inside] or [folder]
        if lost := next((one for one in (folder, *places) if not one.is_dir()), None):
            raise UserError("no folder", where=str(lost), hint="name a folder with files of examples")
        told = settings_of(folder)
        paths: dict[str, list[Path]] = {}
        for name, path, load in (one for place in places for one in found(place, outermost=True)):
            paths.setdefault(name, []).append(path)
            load = partial(refuse_twins, name, paths[name]) if name in known else load
            known[name] = with_settings(load, told.get(TASKS, {}).get(name, {}))
        if unknown := next((name for name in told.get(TASKS, {}) if name not in known), None):
            hint = f"one of {some(known)}"
            raise UserError(f"a task {unknown}, of which there is no file", where=str(folder / SETTINGS), hint=hint)
    known[parity.NAME] = parity.load
    return Library(known, {name: value for name, value in told.items() if name != TASKS})


def settings_of(folder: Path) -> dict[str, Any]:
    path = folder / SETTINGS
    if not path.is_file():
        return {}
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        unknown = [name for name in told if name not in (*GLOBAL, TASKS)]
        unknown += [name for one in told.get(TASKS, {}).values() for name in one if name not in OF_TASK]
    except (ValueError, AttributeError, TypeError) as error:
        raise UserError(f"not the settings of tasks ({error})", where=str(path), hint='write {"test": 100}') from None
    if odd := next((name for name in ("test", "seeds") if not isinstance(told.get(name, 1), int)), None):
        raise UserError(f"{odd} is {told[odd]!r}", where=str(path), hint="give a whole number")
    if unknown:
        hint = f"of all tasks: {', '.join(GLOBAL)}; of one: {', '.join(OF_TASK)}"
        raise UserError(f"unknown setting {unknown[0]!r}", where=str(path), hint=hint)
    return dict(told)


def refuse_twins(name: str, paths: Sequence[Path]) -> Published:
    """Not before somebody asks for it: a folder may hold much else."""
    hint = "rename one, or name a folder with one of them"
    raise UserError(f"two tasks called {name}", where=" and ".join(map(str, paths)), hint=hint)


def with_settings(load: Load, told: dict[str, Any]) -> Load:
    if not told:
        return load
    more: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in told.items()}
    if isinstance(told.get("choices"), str):
        more["choices"] = tuple(parse(told["choices"]))
    if "choices" in more and "metric" not in more:
        more["metric"] = "choice"

    def loaded() -> Published:
        task = load()
        return replace(task, asking=replace(task.asking, **more))

    return loaded


def found(folder: Path, *, outermost: bool = False) -> Iterator[tuple[str, Path, Load]]:
    """Of each task its name, its file or folder, and how it is loaded. A folder that is a published set as a whole is
    not looked into further, nor is one below that a suite works in."""
    if (folder / LOCK).is_file() and not outermost:
        return
    if raft.is_raft(folder):
        yield folder.name, folder, partial(raft.load, folder)
        return
    yield from ((name, path, partial(lines.load, folder, name)) for name, path in lines.tasks_in(folder).items())
    if tweeteval.is_tweeteval(folder):
        yield tweeteval.name_of(folder), folder, partial(tweeteval.load, folder)
        return
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and path.suffix.lower() in READERS]
    stems = {path.stem for path in files}
    for path in files:
        if path.name in (SETTINGS, ROWS) or (path.stem.endswith(TESTED) and path.stem.removesuffix(TESTED) in stems):
            continue
        yield path.stem, path, partial(load_file, path)
    for inner in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        yield from found(inner)


def load_file(path: Path) -> Published:
    published = load_any(path)
    beside = sorted(one for one in path.parent.glob(f"{path.stem}{TESTED}.*") if one.suffix.lower() in READERS)
    tested = load_any(beside[0], choices="rows", keep_duplicates=True).examples if beside else ()
    return replace(published, tested=tuple(replace(one, id=f"test-{one.id}") for one in tested))


def load_any(path: Path, **how: Any) -> Published:
    """A published form, else any file of examples, asked as `fit` asks."""
    for kind, is_one in ((bbh, bbh.is_bbh), (pairs, pairs.is_pairs)):
        if is_one(path):
            return kind.load(path)
    dataset = load_examples(path, **how)
    if dataset.are_documents:
        raise UserError("documents, not examples", where=str(path), hint="give prompt and completion")
    return Published(path.stem, dataset.examples, Asking(auto(dataset), choices=dataset.choices, bare=False))
