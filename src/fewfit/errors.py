"""Errors that a user can act on, each with the exit code that the command line gives it.

Everything else that is raised is a bug and may trace back.
"""

from __future__ import annotations


class FewfitError(Exception):
    """What happened, where, and how to mend it, on one line."""

    exit_code = 1
    code = "bug"

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None, code: str | None = None):
        self.message = message
        self.where = where
        self.hint = hint
        if code is not None:
            self.code = code
        super().__init__(self.line())

    def add_hint(self, hint: str) -> None:
        """Of one who knows more than where it was raised."""
        self.hint = f"{self.hint}; {hint}" if self.hint else hint
        self.args = (self.line(),)

    def line(self) -> str:
        parts = [f"{self.where}: " if self.where else "", self.message]
        if self.hint:
            parts.append(f"; {self.hint}")
        return " ".join("".join(parts).split())

    def as_dict(self) -> dict[str, str | None]:
        return {"code": self.code, "message": self.message, "where": self.where, "mend": self.hint}


class UserError(FewfitError):
    """The user can mend it: bad data, bad flags, a model that does not fit the data."""

    exit_code = 2
    code = "user"


class EnvironmentProblem(FewfitError):
    """Network, access, memory, disk: the same command may work later, and the run can be resumed."""

    exit_code = 3
    code = "environment"


class NoUsableLane(FewfitError):
    """Every lane diverged or failed: there is nothing to deliver."""

    exit_code = 4
    code = "no-usable-lane"


class Interrupted(FewfitError):
    """SIGINT or SIGTERM: the run is on disk and can be resumed."""

    code = "interrupted"

    def __init__(self, message: str, *, exit_code: int, where: str | None = None, hint: str | None = None):
        super().__init__(message, where=where, hint=hint)
        self.exit_code = exit_code
