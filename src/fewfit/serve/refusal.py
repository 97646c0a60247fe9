"""What cannot be done, said in OpenAI's form, so that its clients raise what they raise there."""

from __future__ import annotations

import json
from typing import Any

KINDS = {401: "authentication_error", 429: "rate_limit_error"}


class Refusal(Exception):
    def __init__(self, status: int, message: str, *, code: str | None = None, param: str | None = None):
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param

    def body(self) -> dict[str, Any]:
        kind = KINDS.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def content(self) -> bytes:
        return json.dumps(self.body(), ensure_ascii=False).encode("utf-8", "replace")

    def headers(self) -> dict[str, str]:
        if self.status == 401:
            return {"WWW-Authenticate": "Bearer"}
        return {"Retry-After": "1"} if self.status in (429, 503) else {}


def broken(error: BaseException) -> Refusal:
    """Its kind and no more: messages of libraries may hold text of other requests."""
    return Refusal(500, f"it could not be answered ({type(error).__name__})", code="failed")
