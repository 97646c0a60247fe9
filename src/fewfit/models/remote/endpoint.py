"""One model behind an OpenAI-compatible endpoint.

    endpoint = Endpoint("qwen3-8b", "http://localhost:8000/v1", max_calls=500)
    for completion in endpoint.complete([Request("2 + 2 =", max_tokens=8, stop=("\\n",))]):
        print(completion.text)

The `openai` client sends and reads; when to try again, how many at once and when to stop is decided here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from fewfit.errors import EnvironmentProblem, UserError
from fewfit.models.remote.access import api_key, checked_url
from fewfit.models.remote.budget import Budget
from fewfit.models.remote.cache import Answers
from fewfit.models.remote.exchange import Completion, Request, read
from fewfit.models.remote.trouble import ENDPOINT, Passing, message, refusal, trouble, wait

# Seconds: a model on a slow machine may write for minutes, and what is not there at all is noticed at once.
CONCURRENCY, TIMEOUT, CONNECT_TIMEOUT, RETRIES = 4, 600.0, 10.0, 6

LIMIT, TEMPERATURE = "max_completion_tokens", "temperature"


class Endpoint:
    """Thread-safe. `retries` are the tries after the first one; `max_calls` and `max_tokens` are of this object's life,
    a `budget` of all that share it. `cache=False` asks again for what was answered before. `tell` is told once that an
    answer is waited for."""

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        concurrency: int | None = None,
        timeout: float = TIMEOUT,
        retries: int = RETRIES,
        max_calls: int | None = None,
        max_tokens: int | None = None,
        budget: Budget | None = None,
        cache: bool = True,
        tell: Callable[[str], None] = lambda what: None,
    ):
        self.concurrency = CONCURRENCY if concurrency is None else concurrency
        if self.concurrency < 1:
            raise UserError(f"--concurrency {concurrency}", hint="give 1 or more")
        self.name, self.url = name, checked_url(base_url)
        self.timeout, self.retries = timeout, retries
        self.budget = budget or Budget(max_calls, max_tokens)
        self._answers = Answers() if cache else None
        self._sending = threading.BoundedSemaphore(self.concurrency)  # also where `complete` runs in several threads
        self._tell, self._untold = tell, threading.Lock()  # taken by the first that has to wait
        self._wants: set[str] = set()  # what it is asked in another way for
        self._key = api_key(self.url)
        self._client = client(self.url, self._key, timeout)

    def complete(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """In the order asked. What stops one of them stops all, once those on their way are answered and kept."""
        pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix="fewfit-endpoint")
        asked: dict[str, Future[Completion]] = {}
        stopped = threading.Event()
        try:
            keys = [request.key(self.url, self.name) for request in requests]
            for key, request in zip(keys, requests, strict=True):
                if key not in asked:  # equal requests are one
                    asked[key] = pool.submit(self._answer, key, request, stopped)
            for key in keys:
                yield asked[key].result()
        finally:
            stopped.set()
            pool.shutdown(cancel_futures=True)

    def close(self) -> None:
        self._client.close()
        if self._answers is not None:
            self._answers.close()

    # ---- one request -------------------------------------------------------------------------------------------------

    def _answer(self, key: str, request: Request, stopped: threading.Event) -> Completion:
        if self._answers is not None and (kept := self._answers.get(key)) is not None:
            return kept
        completion = self._ask(request, stopped)
        if self._answers is not None:
            self._answers.put(key, self.url, self.name, completion)
        self.budget.add_tokens(completion.tokens, self.url)  # it is kept by now, whatever the budget says of it
        return completion

    def _ask(self, request: Request, stopped: threading.Event) -> Completion:
        """As often as is worth it: what is wrong for the moment passes, what is wrong for good is told at once."""
        said: Passing | None = None
        for tried in range(self.retries + 1):
            if said is not None:
                seconds = wait(tried, said, where=self.url)
                if self._untold.acquire(blocking=False):
                    self._tell(f"{self.url}: {said.reason}; trying again, {self.retries} times at the most")
                if stopped.wait(seconds):
                    break
            sent = self._send(request)
            if isinstance(sent, Completion):
                return sent
            said = sent
        assert said is not None
        raise EnvironmentProblem(
            f"no answer in {self.retries + 1} tries, the last time: {said.reason}",
            where=self.url,
            hint="what was answered is kept; run it again when the endpoint is well",
            code=ENDPOINT,
        )

    def _send(self, request: Request) -> Completion | Passing:
        with self._sending:
            self.budget.take_call(self.url)
            began, wants = time.monotonic(), frozenset(self._wants)
            try:
                answer = self._client.post(request.path, cast_to=object, body=self._body(request, wants))
                return read(answer, request).taking(time.monotonic() - began)
            except Exception as error:  # the client's own, and of whatever it meets in an answer
                if not self._learnt(error, wants):
                    said = trouble(error, self._key)
                    if said is None:
                        raise refusal(error, request.path, self.name, self.url, self._key) from None
                    return said
        return self._send(request)  # once for each thing that there is to learn

    def _body(self, request: Request, wants: frozenset[str]) -> dict[str, Any]:
        """As this endpoint wants it: models that think know `max_tokens` by another name, and draw by chance."""
        body = request.body(self.name)
        if LIMIT in wants:
            body[LIMIT] = body.pop("max_tokens")
        if TEMPERATURE in wants and not request.temperature:
            del body[TEMPERATURE]
        return body

    def _learnt(self, error: Exception, wants: frozenset[str]) -> bool:
        """Whether it says how it wants to be asked, to one that was not asked so: others may have learnt it since."""
        if getattr(error, "status_code", None) != 400:
            return False
        said = message(error)
        new = {LIMIT} if LIMIT in said else {TEMPERATURE} if TEMPERATURE in said and "support" in said else set()
        self._wants |= new
        return not new <= wants


def client(url: str, key: str, timeout: float) -> Any:
    try:
        from openai import OpenAI, Timeout
    except ImportError:
        raise UserError(
            "--base-url needs the package openai, which is not installed", hint="pip install 'fewfit[remote]'"
        ) from None
    patience = Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT))
    made = OpenAI(api_key=key, base_url=url, timeout=patience, max_retries=0)
    if urlsplit(url).hostname != "api.openai.com":  # what the environment says of that account is not for others
        made.organization = made.project = None
    return made
