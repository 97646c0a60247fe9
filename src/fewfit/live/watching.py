"""A page around a run: `with watching(True) as watch: fewfit.fit(…, watch=watch)`."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fewfit.errors import EnvironmentProblem, UserError
from fewfit.files import write_json
from fewfit.live.server import Server
from fewfit.live.view import View
from fewfit.run.watch import RunInfo, Together, Watch

ADDRESS = ".watch"  # in the run's folder, its owner's alone, while it goes on


class Following(View):
    """Keeps the address beside the run, so that a page that is open finds it again after `resume`."""

    def __init__(self) -> None:
        super().__init__()
        self.server: Server | None = None
        self._kept: Path | None = None

    def begin(self, info: RunInfo) -> None:
        super().begin(info)
        assert self.server is not None
        self._kept = info.folder / ADDRESS
        with suppress(OSError):  # no reason to stop a run
            write_json(self._kept, {"port": self.server.port, "token": self.server.token})

    def end(self, result: dict[str, Any] | None) -> None:
        super().end(result)
        if result is not None and self._kept is not None:
            self._kept.unlink(missing_ok=True)


@contextmanager
def watching(
    wanted: bool,
    inner: Watch | None = None,
    *,
    port: int | None = None,
    run: Path | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Iterator[Watch | None]:
    """The watch beside which there is a page, where one is wanted. `run` is the folder of one that goes on."""
    if port is not None and not wanted:
        raise UserError("--watch-port without --watch", hint="give both, or neither")
    if port is not None and not 0 <= port < 1 << 16:
        raise UserError(f"--watch-port {port}", hint="0 (any that is free) to 65535")
    if not wanted:
        yield inner
        return
    view = Following()
    server = view.server = listening(view, port, None if run is None else run / ADDRESS)
    server.start()
    tell(f"to be watched at {server.url}")
    try:
        yield Together(inner, view)
    finally:
        server.stop()


def listening(view: View, port: int | None, kept: Path | None) -> Server:
    """Where the run was watched before, if that is free."""
    token = secrets.token_urlsafe(24)
    if kept is not None:
        with suppress(OSError, ValueError, KeyError, TypeError):
            before = json.loads(kept.read_text(encoding="utf-8"))
            token = str(before["token"])
            if port is None:
                with suppress(EnvironmentProblem):
                    return Server(view, token, int(before["port"]))
    return Server(view, token, port or 0)
