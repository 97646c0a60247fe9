"""How much an endpoint may be asked in one session: calls, tokens, or both."""

from __future__ import annotations

import threading

from fewfit.errors import EnvironmentProblem, UserError

CODE = "budget"


class Budget:
    """Asked before each call. Calls count when they are sent, answered or not; tokens when the answer is there, so the
    calls then on their way may go beyond by their own."""

    def __init__(self, max_calls: int | None = None, max_tokens: int | None = None):
        for name, most in (("calls", max_calls), ("tokens", max_tokens)):
            if most is not None and most < 1:
                raise UserError(f"a budget of {most} {name}", hint="give 1 or more")
        self.max_calls, self.max_tokens = max_calls, max_tokens
        self.calls = self.tokens = 0
        self._lock = threading.Lock()

    def take_call(self, where: str) -> None:
        """Raises where the next call would be one too many."""
        with self._lock:
            for spent, most, what in (
                (self.calls, self.max_calls, "calls"),
                (self.tokens, self.max_tokens, "tokens"),
            ):
                if most is not None and spent >= most:
                    raise EnvironmentProblem(
                        f"the budget of {most:,} {what} is spent",
                        where=where,
                        hint="what was answered is kept; the next session has a new one",
                        code=CODE,
                    )
            self.calls += 1

    def add_tokens(self, tokens: int, where: str) -> None:
        if not tokens and self.max_tokens is not None:
            raise UserError(
                "does not tell how many tokens it takes, so no budget of tokens can be kept",
                where=where,
                hint="give a budget of calls",
            )
        with self._lock:
            self.tokens += tokens
