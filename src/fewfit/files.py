"""Files that are there whole or not at all, text that can be written, and where what can be made again is kept."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import IO, Any

from fewfit.errors import EnvironmentProblem

# Characters that JSON lets stand in a string and that some readers, str.splitlines() among them, take for a line's end.
_ESCAPED = {code: f"\\u{code:04x}" for code in (0x85, 0x2028, 0x2029)}
# Halves of pairs, which no encoding takes: Python has them for bytes of a file's name that are no UTF-8.
_ESCAPED |= {code: f"\\u{code:04x}" for code in range(0xD800, 0xE000)}


def one_line(value: Any) -> str:
    """Strict JSON on what every reader takes for one line; raises ValueError on NaN."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).translate(_ESCAPED)


def characters(text: str) -> str:
    """A half of a pair is none, as an answer has it that was cut off in the middle of one: � stands for it."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def publish(path: Path, content: bytes) -> None:
    """Put `content` at `path` so that a crash at any moment leaves the old file or the new one.

    The order matters: the bytes reach the disk before the name does, and the name before anything that relies on it.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_json(path: Path, record: Any) -> None:
    publish(path, (json.dumps(record, ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode())


def cache_folder() -> Path:
    """$FEWFIT_CACHE, else $XDG_CACHE_HOME/fewfit, else ~/.cache/fewfit."""
    given, shared = os.environ.get("FEWFIT_CACHE"), os.environ.get("XDG_CACHE_HOME", "")
    if given:
        return Path(given).expanduser().absolute()
    if os.path.isabs(shared):  # a relative one is to be ignored, says the XDG specification
        return Path(shared) / "fewfit"
    home = Path("~").expanduser()
    if not home.is_absolute():
        raise EnvironmentProblem("no home directory to keep a cache in", hint="set FEWFIT_CACHE to a folder")
    return home / ".cache" / "fewfit"


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: fsync of a file says nothing about its directory entry."""
    if os.name == "nt":
        return  # folders cannot be opened there
    descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def hold(file: IO[Any]) -> None:
    """Raises OSError where another process holds it."""
    if sys.platform == "win32":
        import msvcrt

        file.seek(1 << 20)  # what is locked there nobody else may read, and the holder's name is to be read
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
