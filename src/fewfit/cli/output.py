"""What goes to stdout and stderr, and with which exit code: results and errors, for people and for programs."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from typing import Any

import typer

from fewfit.errors import EnvironmentProblem, FewfitError, Interrupted
from fewfit.files import one_line

SCHEMA = 1
FULL = (errno.ENOSPC, errno.EDQUOT)
# typer brings its own click in newer versions: its errors are known by this base, whatever module they are in.
USAGE = next(cls for cls in typer.BadParameter.__mro__ if cls.__name__ == "ClickException")


def line(value: dict[str, Any]) -> None:
    """One line of strict JSON: a NaN is a bug, not a result."""
    sys.stdout.write(one_line(value) + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """To stderr. That nobody reads it is no reason to stop."""
    with contextlib.suppress(BrokenPipeError, ValueError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def ended(error: BaseException, as_json: bool) -> int:
    """Tells how a command ended and gives its exit code."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    if isinstance(error, typer.Exit):
        return int(error.exit_code)
    if isinstance(error, BrokenPipeError):
        silence_stdout()
        return 0
    known = as_known(error)
    if known is not None:
        say(f"fewfit: {known.line()}")
        report(known.as_dict(), as_json)
        return known.exit_code
    if isinstance(error, USAGE):
        message = " ".join(error.format_message().split())  # type: ignore[attr-defined]
        mend = "fewfit --help names all commands, fewfit COMMAND --help their flags"
        say(f"fewfit: {message.rstrip('.')}; {mend}")
        report({"code": "usage", "message": message, "where": None, "mend": mend}, as_json)
        return 2
    traceback.print_exception(error, file=sys.stderr)
    mend = "this is a bug in fewfit: please report it with the lines on stderr"
    report({"code": "bug", "message": f"{type(error).__name__}: {error}", "where": None, "mend": mend}, as_json)
    return 1


def as_known(error: BaseException) -> FewfitError | None:
    """What the user or the environment can mend, though it was not raised as that."""
    if isinstance(error, FewfitError):
        return error
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return Interrupted("stopped", exit_code=130, mend="run the command again, or fewfit resume last")
    if isinstance(error, OSError) and error.errno in FULL:
        return EnvironmentProblem(
            "the disk is full", where=error.filename, mend="make room, then fewfit resume last", code="disk"
        )
    if isinstance(error, MemoryError) or type(error).__name__ in ("OutOfMemoryError", "AcceleratorError"):
        return EnvironmentProblem(
            f"out of memory: {str(error).splitlines()[0] if str(error) else 'no more to be had'}",
            mend="fewer --shots, a smaller --max-length, --dtype bfloat16 or a smaller model",
            code="memory",
        )
    return None


def report(error: dict[str, Any], as_json: bool) -> None:
    if as_json:
        line({"schema": SCHEMA, "error": error})


def silence_stdout() -> None:
    """The reader has gone. Else Python complains when it flushes at the end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
