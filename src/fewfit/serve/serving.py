"""A server from its start to its end."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fewfit.errors import EnvironmentProblem, UserError
from fewfit.serve.gate import OWN_NAMES
from fewfit.serve.limits import Limits

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Address:
    """Where to listen, the names that it goes by in the Host header, and the key that is asked for."""

    host: str = "127.0.0.1"
    port: int = 8000
    key: str | None = None
    names: tuple[str, ...] = ()

    @property
    def is_loopback(self) -> bool:
        return self.host in LOOPBACK

    @property
    def hosts(self) -> frozenset[str] | None:
        """None: any."""
        if not self.names and not self.is_loopback:
            return None
        return OWN_NAMES | {name.lower() for name in (in_url(self.host), *self.names)}


def address(host: str, port: int, api_key_env: str | None, names: Sequence[str] = ()) -> Address:
    key = None
    if api_key_env is not None:
        key = os.environ.get(api_key_env, "").strip()
        if not key:
            raise UserError(f"--api-key-env {api_key_env}", hint="set that variable to the key that clients will send")
        if not key.isascii() or not key.isprintable():
            raise UserError(f"the key in {api_key_env} cannot stand in a header", hint="letters, digits, signs: ASCII")
    if key is None and host not in LOOPBACK:
        raise UserError(
            f"--host {host} can be reached from other machines, and there is no key",
            hint="put one into a variable and name it: --api-key-env NAME",
        )
    if not 0 <= port < 1 << 16:
        raise UserError(f"--port {port}", hint="0 (any that is free) to 65535")
    return Address(host, port, key, tuple(names))


def listen(at: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in at.host else socket.AF_INET
    try:
        return socket.create_server((at.host, at.port), family=family, backlog=1024)
    except OSError as error:
        unknown = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
        raise EnvironmentProblem(
            f"cannot listen: {error.strerror or error}",
            where=f"{at.host}:{at.port}",
            hint="name an address of this machine with --host" if unknown else "name another --port",
        ) from None


def in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def url(at: Address, bound: socket.socket) -> str:
    return f"http://{in_url(at.host)}:{bound.getsockname()[1]}"


def prepared(house: Any, at: Address, limits: Limits) -> tuple[Any, Any]:
    """uvicorn's server, and what its requests share."""
    need_packages()
    import uvicorn

    from fewfit.serve.app import Service, application
    from fewfit.serve.connections import connection

    service = Service(house, limits)
    config = uvicorn.Config(
        application(service, hosts=at.hosts, key=at.key),
        http=connection(limits),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=limits.idle,
        timeout_graceful_shutdown=int(limits.grace),
    )
    return uvicorn.Server(config), service


def serve(
    runs: Sequence[str],
    *,
    at: Address,
    limits: Limits | None = None,
    device: str = "auto",
    tell: Callable[[str], None] = lambda line: None,
) -> None:
    """Until it is told to stop: what is under way is finished then."""
    from fewfit.serve.house import load

    limits = limits or Limits()
    need_packages()
    bound = listen(at)  # before minutes of loading
    with contextlib.closing(bound):
        house = load(runs, device=device)
        server, _ = prepared(house, at, limits)
        where = url(at, bound)
        tell(f"{', '.join(house.hosted)} at {where}/v1, to be tried out at {where}/ (Ctrl-C stops it)")
        with quiet_signals():
            server.run(sockets=[bound])
        house.close()


@contextlib.contextmanager
def quiet_signals() -> Iterator[None]:
    """uvicorn sends itself again, once it has stopped, what told it to: no error here."""
    before = {which: signal.signal(which, lambda *_: None) for which in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)


@contextlib.contextmanager
def running(house: Any, *, at: Address | None = None, limits: Limits | None = None) -> Iterator[tuple[str, Any]]:
    """A server in a thread of this process, on any free port: its address, and what its requests share."""
    at = at or Address(port=0)
    bound = listen(at)
    server, service = prepared(house, at, limits or Limits())
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the server did not start")
            thread.join(0.01)
        yield url(at, bound), service
    finally:
        server.should_exit = True
        thread.join()
        bound.close()


def need_packages() -> None:
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"serving needs the package {error.name}, which is not installed", hint="pip install 'fewfit[serve]'"
        ) from None
