"""`fewfit suite study NAME`: one open question, on several tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fewfit.cli import flags as f
from fewfit.cli import output
from fewfit.cli.suite import options as o
from fewfit.cli.suite.cells import run_all, show_accuracy, show_models, tell_plans
from fewfit.cli.suite.shown import SCHEMA


@f.takes("quiet", "json_")
def study(
    name: Annotated[str, typer.Argument(metavar="NAME", help="One of those above.")],
    model: o.Models,
    data: Annotated[
        str | None, typer.Option(metavar="DIR", help="Holds its tasks, in any folder below.", show_default=False)
    ] = None,
    tasks: o.Tasks = None,
    conditions: Annotated[str | None, typer.Option(metavar="A,B", help="Which of them.", show_default="all")] = None,
    budgets: o.Budgets = None,
    seeds: o.Seeds = None,
    test: o.Test = None,
    chat: o.Chat = "auto",
    quick: o.Quick = False,
    plan: o.Plan = False,
    out: Annotated[
        str | None, typer.Option(metavar="DIR", help="Finished cells are kept there.", show_default="runs/study-NAME")
    ] = None,
    dtype: o.Dtype = "auto",
    **flags: Any,
) -> None:
    """One question on several tasks: loss, shots, parameters, replay, demonstrations, size, curve, ttt, forgetting,
    noise, order, transfer.

    What is asked, its conditions and what is compared stand in suites/studies/NAME.py. Stopped, the same command goes
    on; what is there is not made again.
    """
    from fewfit.errors import UserError
    from fewfit.suites import studies
    from fewfit.suites.results import ROWS
    from fewfit.suites.studies.study import QUICK_POOL, QUICK_TEST, bundled, found, only, prepared, told
    from fewfit.suites.studies.study import quick as quickly
    from fewfit.suites.tasks.comparing import between_models
    from fewfit.suites.tasks.library import TEST, library
    from fewfit.suites.tasks.suite import Asked
    from fewfit.suites.tasks.task import shortest

    o.check_chat(chat)
    asked = studies.study(name)
    if data is None and not quick:
        raise UserError(f"study {name} without --data", hint="name the folder that its tasks lie in, or --quick")
    if conditions:
        asked = only(asked, f.names(conditions, "--conditions"))
    asked = quickly(asked, data is None, whole=conditions is not None) if quick else asked
    folder = Path(data) if data else bundled()
    names = f.names(tasks, "--tasks") if tasks else list(asked.tasks)
    known = library(folder)
    usual = known.settings  # what settings.json of the folder says
    fewer = QUICK_TEST if quick else usual.get("test", TEST)
    loaded = known.tasks(names, fewer if test is None else test)
    sizes = o.read_budgets(budgets or (None if quick else usual.get("budgets")), asked.budgets)
    if asked.largest and any(n is None or n > asked.largest for n in sizes):
        raise UserError(f"study {name} with more than {asked.largest} examples", hint="its prompts hold no more")
    pool = max(QUICK_POOL, *(10**9 if n is None else n for n in sizes))
    some, elsewhere = prepared(asked, [shortest(one, pool, len(one.test)) for one in loaded] if quick else loaded)
    each = [
        Asked(
            one, some, sizes, asked.conditions, usual.get("seeds", asked.seeds) if seeds is None else seeds, chat,
            alone=quick, curve=asked.curve, elsewhere=elsewhere,
        )
        for one in model
    ]  # fmt: skip
    dtype = "float32" if asked.trains_whole and dtype == "auto" else dtype
    if plan:
        tell_plans(each, dtype, flags["json_"])
        return
    at = Path(out or f"runs/study-{name}")
    rows = run_all(each, at, dtype, flags["quiet"])
    lines = told(asked, rows)
    if flags["json_"]:
        differences = [one.as_json() for one in found(asked, rows)]
        output.line(
            {"schema": SCHEMA, "study": name, "asks": asked.asks, "rows": rows, "differences": differences,
             "models": [one.as_json() for one in between_models(rows)], "found": lines, "file": str(at / ROWS)}
        )  # fmt: skip
        return
    print(f"{asked.asks}\n")
    show_accuracy(rows)
    for line in lines:
        print(line)
    show_models(rows)
    print(f"\nEvery row: {at / ROWS}")
