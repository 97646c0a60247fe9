"""`fewfit predict`: the bundle of a run, on one prompt or on a file of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from fewfit.cli import flags as f
from fewfit.cli import output
from fewfit.errors import EnvironmentProblem, UserError

AT_ONCE = 256  # rows between two signs of life


@f.takes("input", "quiet", "json_")
def predict(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run, a bundle, or `last`.", show_default=False)],
    prompt: Annotated[str | None, typer.Argument(metavar="PROMPT", help="One prompt.", show_default=False)] = None,
    source: Annotated[
        str | None,
        typer.Option("--in", metavar="FILE", help="Prompts: JSONL, JSON, CSV, TSV or Parquet.", show_default=False),
    ] = None,
    target: Annotated[
        str | None, typer.Option("--out", metavar="FILE", help="Where the rows go, as JSONL.", show_default="stdout")
    ] = None,
    **flags: Any,
) -> None:
    """Answer prompts with what a run found best.

    A file gives one row {"id", "prediction", "probs", "nll"} for every prompt, in the same order.
    """
    if (prompt is None) == (source is None):
        what = "no prompt" if prompt is None else "a prompt and --in"
        raise UserError(what, hint='give one of them: fewfit predict RUN "PROMPT", or --in FILE')
    if target is not None and source is None:
        raise UserError("--out goes with --in", hint="leave it out: one prediction is printed")
    if target is not None and Path(target).resolve() == Path(source or "").resolve():
        raise UserError("--in and --out are one file", where=target, hint="name another --out")
    if target is not None and Path(target).exists() and not Path(target).is_file():
        # It would be put aside for a new file: /dev/stdout as well.
        raise UserError("is no file", where=target, hint="name a file, or leave --out out: rows go to stdout")
    if target is not None and not Path(target).absolute().parent.is_dir():
        raise UserError("its folder is not there", where=target, hint="make it, or name another --out")
    from fewfit.run import folders

    folder = folders.place(run)
    rows = prompts(source, flags["input"] or usual_input(folder)) if source is not None else [example("1", prompt)]
    from fewfit.predict import load

    predictor = load(folder)
    try:
        answers = answered(predictor, rows, quiet=flags["quiet"] or source is None)
        if source is None:
            row = next(answers)
            output.line({"schema": output.SCHEMA, **row}) if flags["json_"] else print(row["prediction"], flush=True)
        elif target is not None:
            write(Path(target), answers)
            if flags["json_"]:
                output.line({"schema": output.SCHEMA, "out": target, "n": len(rows)})
            elif not flags["quiet"]:
                output.say(f"{len(rows)} predictions in {target}")
        elif flags["json_"]:
            output.line({"schema": output.SCHEMA, "rows": list(answers)})
        else:
            for row in answers:
                output.line(row)
    finally:
        predictor.close()


def answered(predictor: Any, rows: Sequence[Any], *, quiet: bool) -> Iterator[dict[str, Any]]:
    for start in range(0, len(rows), AT_ONCE):
        if start and not quiet:
            output.say(f"{start} of {len(rows)} predicted")
        yield from predictor.predict(list(rows[start : start + AT_ONCE]))


def write(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    from fewfit.files import one_line, publish

    content = "".join(one_line(row) + "\n" for row in rows).encode()
    try:
        publish(path.resolve(), content)  # of a link what it points to
    except OSError as error:
        message = f"cannot be written: {error.strerror}"
        raise EnvironmentProblem(message, where=str(path), hint="name another --out", code="disk") from None


# ---- prompts without answers -----------------------------------------------------------------------------------------


def usual_input(run: Path) -> str | None:
    """The column that the run's own prompts came from, where it was named."""
    from fewfit.run import folders

    try:
        asked = folders.record(folders.find(run))["asked"]
    except UserError:  # a bundle's folder, which predict knows what to do with
        return None
    return (asked.get("input") or {}).get("value")


def example(id: str, prompt: Any, choices: Any = None) -> Any:
    from fewfit.examples import Example, cells

    if isinstance(prompt, str):
        cells.encodable(prompt, "the prompt", f"row {id}")
        if not prompt.strip():
            raise UserError("the prompt is empty", where=f"row {id}", hint="write something")
    return Example(id=id, prompt=prompt, completion="", choices=choices)


def prompts(path: str, column: str | None) -> list[Any]:
    """A prompt from every row; answers that stand beside it are passed over."""
    from fewfit.examples import cells, read, shapes

    notices = cells.Notices()
    found = []
    for row in read(path).rows:
        if row.error is not None or row.cells is None:
            raise row.error or UserError("an empty row", where=row.where)
        names = shapes.columns(row.cells)
        value = row.cells[names[prompt_column(names, column, row.where)]]
        prompt: Any
        if cells.is_turns(value) and value[-1].get("role") == "assistant":
            prompt, _ = cells.conversation(value, row.where, notices)
        else:
            prompt = cells.prompt(value, row.where, notices)
        optional = {name: row.cells[names[name]] for name in shapes.OPTIONAL if name in names}
        id = cells.label(optional.get("id"), "the id", row.where) or str(row.number)
        found.append(example(id, prompt, cells.row_choices(optional.get("choices"), row.where, notices)))
    if not found:
        raise UserError("no prompt in it", where=path, hint='write one a line, as in {"prompt": "…"}')
    return found


def prompt_column(names: dict[str, str], asked: str | None, where: str) -> str:
    """Folded name of the column that holds the prompt: the one asked for, else the only one of a usual name."""
    from fewfit.examples import shapes

    if asked is not None and shapes.fold(asked) in names:
        return shapes.fold(asked)
    usual = dict.fromkeys(["prompt", "messages", *(pair[0] for pair in shapes.PAIRS)])
    there = [name for name in usual if name in names]
    if asked is None and ("prompt" in there or len(there) == 1):
        return "prompt" if "prompt" in there else there[0]
    if len(names) == 1 and asked is None:
        return next(iter(names))
    missing = f"no column {asked!r}" if asked is not None else "which column holds the prompt is not clear"
    raise UserError(
        f"{missing}; the columns are: {', '.join(names.values()) or 'none'}", where=where, hint="name it: --input COL"
    )
