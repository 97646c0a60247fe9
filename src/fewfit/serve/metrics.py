"""What has been served, as Prometheus reads it (text format 0.0.4)."""

from __future__ import annotations

import threading
from collections import Counter

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)  # seconds


class Metrics:
    """Counted in two threads. Paths are those that exist, so that nobody can make up a label."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._tokens: Counter[str] = Counter({"prompt": 0, "reused": 0, "new": 0})
        self._within = [0] * (len(BOUNDS) + 1)
        self._seconds = 0.0
        self._steps = 0
        self.texts_active = self.texts_waiting = 0

    def count_request(self, path: str, status: int, seconds: float) -> None:
        with self._lock:
            self._requests[path, status] += 1
            self._within[next((n for n, bound in enumerate(BOUNDS) if seconds <= bound), len(BOUNDS))] += 1
            self._seconds += seconds

    def count_prompt(self, tokens: int, reused: int) -> None:
        """`reused` of its tokens had been computed before."""
        with self._lock:
            self._tokens["prompt"] += tokens
            self._tokens["reused"] += reused

    def count_step(self, new_tokens: int) -> None:
        with self._lock:
            self._steps += 1
            self._tokens["new"] += new_tokens

    def text(self) -> str:
        with self._lock:
            lines = head("requests_total", "counter", "Requests by address and status.")
            for (path, status), count in sorted(self._requests.items()):
                lines.append(f'fewfit_requests_total{{path="{path}",status="{status}"}} {count}')
            lines += head("request_seconds", "histogram", "From a request to the end of its answer.")
            total = 0
            for bound, count in zip((*map(str, BOUNDS), "+Inf"), self._within, strict=True):
                total += count
                lines.append(f'fewfit_request_seconds_bucket{{le="{bound}"}} {total}')
            lines += [f"fewfit_request_seconds_sum {self._seconds:.6f}", f"fewfit_request_seconds_count {total}"]
            lines += head("tokens_total", "counter", "Tokens of prompts, of these reused, and new ones.")
            lines += [f'fewfit_tokens_total{{kind="{kind}"}} {count}' for kind, count in self._tokens.items()]
            lines += head("steps_total", "counter", "Forwards of the model.") + [f"fewfit_steps_total {self._steps}"]
            lines += head("texts_active", "gauge", "Texts and labels in the next forward.")
            lines.append(f"fewfit_texts_active {self.texts_active}")
            lines += head("texts_waiting", "gauge", "Texts and labels that wait for room.")
            lines.append(f"fewfit_texts_waiting {self.texts_waiting}")
        return "\n".join(lines) + "\n"


def head(name: str, kind: str, help: str) -> list[str]:
    return [f"# HELP fewfit_{name} {help}", f"# TYPE fewfit_{name} {kind}"]
