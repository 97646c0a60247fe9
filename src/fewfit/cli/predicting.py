"""`fewfit predict`: the bundle of a run, on one prompt or on a file of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import chain
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

    A file gives one row {"id", "prediction", "probs", "nll"} for every prompt, in the same order. Stopped, the same
    command goes on where --out is named: what is done stands in .NAME.so-far beside it.
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
    if source is None and flags["input"] is not None:
        raise UserError("--input goes with --in", hint="leave it out: the prompt is given")
    from fewfit.predict import as_example, load

    if prompt is not None:
        asked = [(as_example(prompt, 1), "the prompt")]
    else:
        asked = prompts(str(source), flags["input"], usual_input(folder))
    rows = [one for one, _ in asked]
    predictor = load(folder)
    try:
        check(predictor, asked)
        quiet = flags["quiet"] or source is None
        if target is not None:
            write(Path(target), predictor, rows, quiet=quiet)
            if flags["json_"]:
                output.line({"schema": output.SCHEMA, "out": target, "n": len(rows)})
            elif not flags["quiet"]:
                output.say(f"{len(rows)} predictions in {target}")
            return
        answers = chain.from_iterable(answered(predictor, rows, quiet=quiet))
        if source is None:
            row = next(answers)
            output.line({"schema": output.SCHEMA, **row}) if flags["json_"] else print(row["prediction"], flush=True)
        elif flags["json_"]:
            output.line({"schema": output.SCHEMA, "rows": list(answers)})
        else:
            for row in answers:
                output.line(row)
    finally:
        predictor.close()


def check(predictor: Any, asked: Sequence[tuple[Any, str]]) -> None:
    """All before the first forward: one that is too long would cost the answers of those before it."""
    for query, where in asked:
        try:
            predictor.check(query)
        except UserError as error:
            raise UserError(error.message, where=where, hint=error.hint, code=error.code) from None


def answered(predictor: Any, rows: Sequence[Any], *, quiet: bool, done: int = 0) -> Iterator[list[dict[str, Any]]]:
    """AT_ONCE by AT_ONCE, after so many that are there."""
    for start in range(done * AT_ONCE, len(rows), AT_ONCE):
        if start and not quiet:
            output.say(f"{start} of {len(rows)} predicted")
        yield predictor.predict(list(rows[start : start + AT_ONCE]))


def write(path: Path, predictor: Any, rows: Sequence[Any], *, quiet: bool) -> None:
    """What is there so far stands beside, until all is; of another bundle or other prompts it is of no use."""
    from fewfit.files import one_line, publish
    from fewfit.kept import kept

    at = path.resolve()  # of a link what it points to
    so_far = at.with_name(f".{at.name}.so-far")
    asked = [identity(predictor.bundle.folder), sha256(repr(rows).encode()).hexdigest(), AT_ONCE]
    try:
        with kept(so_far, "is no file of fewfit predict", where=path) as book:
            if book.lines[:1] != [asked]:
                if len(book.lines) > 1 and not quiet:
                    output.say("what was predicted of other prompts, or by another bundle, is made anew")
                book.clear()
                book.add(asked)
            for some in answered(predictor, rows, quiet=quiet, done=len(book.lines) - 1):
                book.add(some)
            publish(at, "".join(one_line(row) + "\n" for some in book.lines[1:] for row in some).encode())
        so_far.unlink(missing_ok=True)
    except OSError as error:
        message = f"cannot be written: {error.strerror or error}"
        raise EnvironmentProblem(message, where=str(path), hint="name another --out", code="disk") from None


def identity(folder: Path) -> list[list[Any]]:
    """Of a bundle: its files as they are now."""
    files = sorted(one for one in folder.iterdir() if one.is_file())
    return [[one.name, one.stat().st_size, one.stat().st_mtime_ns] for one in files]


# ---- prompts without answers -----------------------------------------------------------------------------------------


def usual_input(run: Path) -> str | None:
    """The column that the run's own prompts came from, where it was named."""
    from fewfit.run import folders

    try:
        asked = folders.record(folders.find(run))["asked"]
    except UserError:  # a bundle's folder, which predict knows what to do with
        return None
    return (asked.get("input") or {}).get("value")


def prompts(path: str, column: str | None, usual: str | None = None) -> list[tuple[Any, str]]:
    """A prompt from every row, and where it stands; answers that stand beside it are passed over. `usual` is the run's
    own column, which need not be there."""
    from fewfit.examples import read
    from fewfit.predict.queries import as_example

    found = []
    for row in read(path).rows:
        if row.error is not None or row.cells is None:
            raise row.error or UserError("an empty row", where=row.where)
        found.append((as_example(row.cells, row.number, column=column, usual=usual, where=row.where), row.where))
    if not found:
        raise UserError("no prompt in it", where=path, hint='write one a line, as in {"prompt": "…"}')
    return found
