"""`fewfit suite bbh` and `fewfit suite tasks`: prompting, tuning and both on many tasks, tested as delivered."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fewfit.cli import flags as f
from fewfit.cli import output
from fewfit.cli.suite import options as o
from fewfit.cli.suite.cells import run_all, show_paper, tell_plans

QUICK_POOL, QUICK_TEST, QUICK_BUDGET = 3, 2, 3


@f.takes("quiet", "json_")
def bbh(
    model: o.Models,
    data: Annotated[str, typer.Option(metavar="DIR", help="Holds its files as published.", show_default=False)],
    tasks: o.Tasks = None,
    budgets: Annotated[
        str | None, typer.Option(metavar="N,N", help=o.BUDGETS, show_default="3,5,10,30,100,all")
    ] = None,
    kinds: o.Kinds = None,
    seeds: o.Seeds = None,
    test: o.Test = None,
    shots: o.Shots = None,
    lr: o.Lr = None,
    updates: o.Updates = None,
    chat: o.Chat = "auto",
    quick: o.Quick = False,
    plan: o.Plan = False,
    out: Annotated[
        str | None, typer.Option(metavar="DIR", help="Finished cells are kept there.", show_default="runs/bbh")
    ] = None,
    dtype: o.Dtype = "auto",
    **flags: Any,
) -> None:
    """BIG-Bench Hard from 3 examples to all: prompt, tune, or both (arXiv 2512.19879)?

    Closed answers by likelihood, free ones written and read by the paper's patterns; the paper's figures beside ours.
    Stopped, the same command goes on; what is there is not made again.
    """
    from fewfit.suites.tasks.suite import BUDGETS

    given = {"budgets": budgets, "kinds": kinds, "seeds": seeds, "test": test}
    given |= {"shots": shots, "lr": lr, "updates": updates}
    run(Path(data), model, tasks, given, BUDGETS, chat, quick, plan, Path(out or "runs/bbh"), dtype, flags)


@f.takes("quiet", "json_")
def tasks(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Files of examples of any format, a task each.")],
    model: o.Models,
    tasks: o.Tasks = None,
    budgets: o.Budgets = None,
    kinds: o.Kinds = None,
    seeds: o.Seeds = None,
    test: o.Test = None,
    shots: o.Shots = None,
    lr: o.Lr = None,
    updates: o.Updates = None,
    chat: o.Chat = "auto",
    quick: o.Quick = False,
    plan: o.Plan = False,
    out: Annotated[
        str | None, typer.Option(metavar="DIR", help="Finished cells are kept there.", show_default="runs/tasks")
    ] = None,
    dtype: o.Dtype = "auto",
    **flags: Any,
) -> None:
    """Prompt, tune, or both, on every task of a folder.

    Read are any files that fit reads, and RAFT, TweetEval, SST-2, SUBJ, TREC, BIG-Bench Hard and function-vector tasks
    as published; by name alone parity-20, flipped-NAME and translate-FROM-TO. Settings may stand in DIR/settings.json.
    """
    given = {"budgets": budgets, "kinds": kinds, "seeds": seeds, "test": test}
    given |= {"shots": shots, "lr": lr, "updates": updates}
    run(Path(folder), model, tasks, given, (10, 30, 100), chat, quick, plan, Path(out or "runs/tasks"), dtype, flags)


def run(
    folder: Path, models: list[str], names: str | None, given: dict[str, Any], usual: tuple[int | None, ...],
    chat: str, quick: bool, plan: bool, out: Path, dtype: str, flags: dict[str, Any],
) -> None:  # fmt: skip
    from fewfit.grid import KINDS
    from fewfit.suites.tasks.condition import by_kind, per_query
    from fewfit.suites.tasks.library import TEST, library
    from fewfit.suites.tasks.suite import Asked
    from fewfit.suites.tasks.task import hastened, shortest

    o.check_chat(chat)
    known = library(folder)
    told = known.settings
    test = told.get("test", TEST) if given["test"] is None else given["test"]
    tell = (lambda what: None) if flags["quiet"] else output.say
    some = tuple(known.tasks(f.names(names, "--tasks") if names else None, test, tell))
    budgets = o.read_budgets(given["budgets"] or told.get("budgets"), usual)
    conditions = by_kind(
        o.listed_or(given["kinds"], told.get("kinds"), KINDS, lambda text: f.names(text, "--kinds")),
        o.listed_or(given["shots"], told.get("shots"), (1 if quick else 4,), lambda text: f.counts(text, "--shots")),
        o.listed_or(given["lr"], told.get("lr"), (3e-4,), lambda text: f.numbers(text, "--lr")),
        o.listed_or(given["updates"], told.get("updates"), (1 if quick else 3,), lambda t: f.counts(t, "--updates")),
    )
    if quick:
        budgets = budgets if given["budgets"] else (QUICK_BUDGET,)
        pool = max(QUICK_POOL, *(10**9 if n is None else n for n in budgets))
        some = tuple(hastened(shortest(task, pool, given["test"] or QUICK_TEST)) for task in some)
        conditions = tuple(per_query(one) for one in conditions)
    seeds = told.get("seeds", 1) if given["seeds"] is None else given["seeds"]
    asked = [Asked(model, some, budgets, conditions, seeds, chat, alone=quick) for model in models]
    if plan:
        tell_plans(asked, dtype, flags["json_"])
        return
    rows = run_all(asked, out, dtype, flags["quiet"])
    show_paper(rows, out, as_json=flags["json_"])
