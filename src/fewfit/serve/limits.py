"""How much of everything a server takes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    body: int = 1 << 20  # bytes of a request
    answers: int = 64  # texts and labels that one request may ask for
    new_tokens: int = 4096  # of one text
    texts: int = 32  # that are written at a time
    queue: int = 256  # texts and labels under way or waiting; beyond it 429
    seconds: float = 120.0  # from a request to the end of its answer
    patience: float = 10.0  # until a request's head, and then its body, has come
    idle: int = 5  # seconds that a connection is kept for another request
    connections: int = 512
    grace: float = 30.0  # for what is under way when the server is told to stop
