"""Where an endpoint is and how one gets in. Keys come from the environment, and stand in no file, log or message."""

from __future__ import annotations

import os
from urllib.parse import urlsplit, urlunsplit

from fewfit.errors import UserError

KEY = "FEWFIT_API_KEY"
OPENAI_KEY, OPENAI = "OPENAI_API_KEY", "api.openai.com"  # a key that is OpenAI's is sent to nobody else
NO_KEY = "none"  # the client wants one; a local server does not look at it


def checked_url(text: str, flag: str = "--base-url") -> str:
    """As it is shown and kept. One that carries a password or a key is refused: it would stand in run.json."""
    try:
        parts = urlsplit(text.strip())
        there = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        there = False
    if not there:
        shown = text.strip().rpartition("@")[2]  # what stands before it may be a password
        raise UserError(f"{flag} {shown} is no address", hint="write it like http://localhost:8000/v1")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise UserError(
            f"{flag} holds more than an address: a user, a password or a query",
            where=parts.hostname,
            hint=f"leave it out, and set {KEY} to the key",
        )
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def api_key(url: str) -> str:
    names = (KEY, OPENAI_KEY) if urlsplit(url).hostname == OPENAI else (KEY,)
    name = next((name for name in names if os.environ.get(name, "").strip()), None)
    key = NO_KEY if name is None else os.environ[name].strip()
    if not key.isascii() or not key.isprintable():
        raise UserError(f"{name} holds characters that no key has", where=url, hint="copy the key anew")
    return key


def without_key(text: str, key: str) -> str:
    """Servers repeat what they were sent."""
    return text if key == NO_KEY else text.replace(key, "…")
