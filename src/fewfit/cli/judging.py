"""Which judge the flags ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fewfit.errors import UserError

PROMPTS = "judge_prompts.jsonl"  # as published


def judge_of(name: str | None, url: str | None, by: str | None, published: Path | None, tell: Any) -> Any:
    """By the judge prompts of MT-Bench's `published` file where it is there, else by our own."""
    if name is None:
        if url or by:
            raise UserError(
                f"--judge-{'url' if url else 'by'} without --judge-model", hint="name the model that judges"
            )
        return None
    from fewfit.judges.model import LocalModel, RemoteModel
    from fewfit.judges.mt_bench import GradeJudge, LikelyJudge, Prompts
    from fewfit.models import local
    from fewfit.models.remote import Endpoint

    by = by or ("text" if url else "likelihood")
    if by not in ("text", "likelihood") or (url and by == "likelihood"):
        raise UserError(f"--judge-by {by}", hint="text, or for a model on this machine likelihood")
    prompts = Prompts(published if published and published.exists() else None)
    if url:
        return GradeJudge(RemoteModel(Endpoint(name, url)), prompts)
    model = LocalModel(local.load(name, tell=tell))
    return LikelyJudge(model, prompts) if by == "likelihood" else GradeJudge(model, prompts)
