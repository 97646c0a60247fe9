"""What can go wrong between here and an endpoint: what passes is waited for, what does not is told in one line."""

from __future__ import annotations

import random
import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from fewfit.errors import EnvironmentProblem, FewfitError, UserError
from fewfit.models.remote import budget, cache
from fewfit.models.remote.access import KEY, without_key
from fewfit.models.remote.exchange import BrokenAnswer

FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds; doubled from try to try
MOST_PATIENCE = 120.0  # of what the endpoint may ask for itself: beyond it the run had better be resumed later
PASSING = (408, 409, 425, 429)  # and all from 500 on
LONGEST_MESSAGE = 200
NOT_THERE, REFUSED, TOO_LONG = "endpoint-not-there", "endpoint-refused", "endpoint-too-long"
CONTEXT = re.compile(r"context.?(length|window|size)|maximum context|max_model_len|too many tokens|too long", re.I)
ENDPOINT, ACCESS = "endpoint", "access"
RESUMABLE = (ENDPOINT, ACCESS, budget.CODE, cache.CODE)


@dataclass(frozen=True)
class Passing:
    """Trouble that may be over at the next try; `after` is when the endpoint itself asks to be tried again."""

    reason: str
    after: float | None = None


def trouble(error: Exception, key: str) -> Passing | None:
    """None where another try would change nothing."""
    import openai

    if isinstance(error, FewfitError):
        raise error
    if isinstance(error, openai.APITimeoutError):
        return Passing("it did not answer in time")
    if isinstance(error, openai.APIConnectionError):
        return Passing(f"the connection failed ({without_key(cause(error), key)})")
    if isinstance(error, openai.APIStatusError):
        code = error.status_code
        if "insufficient_quota" in (error.code, error.type) or (code not in PASSING and (code < 500 or code == 501)):
            return None
        name = {429: "too many requests"}.get(code, "its own error")
        return Passing(f"{name} (HTTP {code})", retry_after(error.response.headers))
    if isinstance(error, BrokenAnswer | ValueError | openai.APIResponseValidationError):
        return Passing("its answer cannot be read")  # JSON cut short, a page of a proxy
    raise error


def wait(tried: int, said: Passing, *, where: str) -> float:
    """Seconds until the next try. Drawn, so that those who failed together do not come back together."""
    if said.after is not None and said.after > MOST_PATIENCE:
        raise EnvironmentProblem(
            f"{said.reason}, and it asks to wait {said.after:.0f} seconds",
            where=where,
            hint="what was answered is kept; run it again then",
            code=ENDPOINT,
        )
    drawn = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (tried - 1)) * random.uniform(0.5, 1.0)
    return max(drawn, said.after or 0.0)


def retry_after(headers: Any) -> float | None:
    """Seconds, of a number of them or of a date."""
    text = headers.get("retry-after")
    if text is None:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def refusal(error: Any, path: str, model: str, url: str, key: str) -> FewfitError:
    """An error of the client's with a status that will be the same next time."""
    code = error.status_code
    if code in (401, 403):  # what it says may hold part of the key
        return EnvironmentProblem(
            f"refuses access (HTTP {code})", where=url, hint=f"set {KEY} to a key that it knows", code=ACCESS
        )
    said = without_key(message(error), key)
    if code == 429:
        return EnvironmentProblem(f"the account has no quota left: {said}", where=url, hint="add some", code=ACCESS)
    if code in (404, 405, 501):
        return UserError(
            f"has no {path} for the model {model} (HTTP {code}: {said})",
            where=url,
            hint="check --base-url (it mostly ends in /v1) and --model",
            code=NOT_THERE,
        )
    which = TOO_LONG if CONTEXT.search(said) else REFUSED
    return UserError(f"refuses the request (HTTP {code}): {said}", where=url, hint="change what it names", code=which)


def message(error: Any) -> str:
    body = error.body
    told = body.get("message") if isinstance(body, dict) else None
    text = " ".join(str(told or body or "no reason given").split())
    return text if len(text) <= LONGEST_MESSAGE else text[:LONGEST_MESSAGE] + "…"


def cause(error: BaseException) -> str:
    """The innermost reason: the client's own line says nothing but that there was one."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join((str(error) or type(error).__name__).split())[:LONGEST_MESSAGE]
