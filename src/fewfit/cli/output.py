"""What goes to stdout and stderr, and with which exit code: results and errors, for people and for programs."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
import traceback
from typing import Any

import typer

from fewfit.errors import EnvironmentProblem, FewfitError, Interrupted, UserError
from fewfit.examples.text import shorten
from fewfit.files import one_line

SCHEMA = 1
FULL = (errno.ENOSPC, errno.EDQUOT)
# What is wrong with a name that was given, and what the system refuses whatever the name.
NAMES = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP)
REFUSALS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE)
# What a terminal obeys instead of showing it: control characters, and marks that turn the direction of writing.
_OBEYED = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"}
_OBEYED |= {code: f"\\u{code:04x}" for code in (0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))}
_OBEYED |= {code: f"\\u{code:04x}" for code in range(0xD800, 0xE000)}  # and what it cannot be given
LONGEST = 2000  # of a line for people
# typer brings its own click in newer versions: its errors are known by this base, whatever module they are in.
USAGE = next(cls for cls in typer.BadParameter.__mro__ if cls.__name__ == "ClickException")


def line(value: dict[str, Any]) -> None:
    """One line of strict JSON: a NaN is a bug, not a result."""
    sys.stdout.write(one_line(value) + "\n")
    sys.stdout.flush()


def console() -> Any:
    """For tables on stdout: off a terminal nothing is cut or folded, since who reads a pipe has no width."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    return Console(highlight=False, width=None if terminal else 160, soft_wrap=not terminal)


def take_any_character() -> None:
    """A stream of few characters (PYTHONIOENCODING=ascii) gets the others escaped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """To stderr. That nobody reads it is no reason to stop."""
    shown = text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"
    with contextlib.suppress(BrokenPipeError, ValueError):
        sys.stderr.write(f"{shown.translate(_OBEYED)}\n")
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
        hint = "fewfit --help names all commands, fewfit COMMAND --help their flags"
        say(f"fewfit: {message.rstrip('.')}; {hint}")
        report({"code": "usage", "message": message, "where": None, "mend": hint}, as_json)
        return 2
    traceback.print_exception(error, file=sys.stderr)
    hint = "this is a bug in fewfit: please report it with the lines on stderr"
    report({"code": "bug", "message": f"{type(error).__name__}: {error}", "where": None, "mend": hint}, as_json)
    return 1


def as_known(error: BaseException) -> FewfitError | None:
    """What the user or the environment can mend, though it was not raised as that."""
    if isinstance(error, FewfitError):
        return error
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return Interrupted("stopped", exit_code=130, hint="run the command again, or fewfit resume last")
    if isinstance(error, OSError) and error.errno in FULL:
        return EnvironmentProblem(
            "the disk is full", where=error.filename, hint="make room, then fewfit resume last", code="disk"
        )
    if isinstance(error, OSError) and error.errno in (*NAMES, *REFUSALS):
        kind = UserError if error.errno in NAMES else EnvironmentProblem
        where = shorten(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else None
        return kind(f"cannot be used: {error.strerror}", where=where, hint="name another, or change its permissions")
    if isinstance(error, ValueError) and "embedded null" in str(error):
        return UserError("a name holds a NUL character", hint="name another one")
    if "torch" in sys.modules or isinstance(error, MemoryError):
        from fewfit.engine import memory

        if memory.is_exhausted(error):
            first = str(error).splitlines()[0] if str(error) else "no more to be had"
            return EnvironmentProblem(f"out of memory: {first}", hint=memory.HINT, code=memory.CODE)
    return None


def report(error: dict[str, Any], as_json: bool) -> None:
    if as_json:
        line({"schema": SCHEMA, "error": error})


def silence_stdout() -> None:
    """The reader has gone. Else Python complains when it flushes at the end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
