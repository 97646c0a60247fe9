"""Requests made up from the server's own description: whatever is sent, nothing breaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")
pytest.importorskip("schemathesis", reason="schemathesis is not installed: pip install schemathesis")
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from serve_made import bundles, served

from fewfit.serve import Limits

pytestmark = pytest.mark.slow
LIMITS = Limits(new_tokens=64, patience=30)
SENT = 60  # requests to each address


def test_no_request_breaks_the_server(tmp_path: Path) -> None:
    """No 5xx, and what is refused is refused in OpenAI's form. Half of the requests have a model that is there.

    Break seen to fail: conversations that no bundle takes not refused by the server itself.
    """
    folders = bundles(tmp_path)
    with served(folders, limits=LIMITS) as server:
        schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
        statuses: set[int] = set()

        def check(case: Any, name: str) -> None:
            if isinstance(case.body, dict) and name:
                case.body["model"] = name
            answer = case.call(base_url=server.url)
            statuses.add(answer.status_code)
            assert answer.status_code < 500, f"{answer.status_code} for {case.body!r}: {answer.text}"
            if answer.status_code >= 400:
                assert set(answer.json()["error"]) == {"message", "type", "param", "code"}

        names = st.sampled_from(["", "", "labels", "base"])
        for result in schema.get_all_operations():
            operation = result.ok()
            modes = [schemathesis.GenerationMode.POSITIVE]
            modes += [schemathesis.GenerationMode.NEGATIVE] * bool(operation.body)  # no path is a wrong one
            for mode in modes:
                cases = operation.as_strategy(generation_mode=mode)
                run = settings(
                    max_examples=SENT,
                    deadline=None,
                    database=None,
                    derandomize=True,
                    phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck),
                )
                run(given(case=cases, name=names)(check))()
        assert {200, 400} <= statuses
        assert server.service.scheduler.under_way == 0
