"""How far a condition's next token is from that of the model as it came, by its place in the answer.

Kullback-Leibler divergence of the condition's distribution from the base's, in nats, along the same answers; the base
is asked in the same frame without rules and examples. The paper's figure 11.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import stdev
from typing import Any

import torch

from fewfit.engine import packed
from fewfit.engine.beginning import prefix
from fewfit.engine.likelihood import row_by_row
from fewfit.prompts import Conversation, Prompter
from fewfit.suites.instruct.judging import mean
from fewfit.writing import LocalWriter


def distributions(
    model: Any, tokenizer: Any, prompter: Prompter, some: Sequence[Conversation], most: int
) -> list[torch.Tensor]:
    """Of each conversation's first answer Logp_NV: before each of its first tokens."""
    writer = LocalWriter(model, tokenizer)
    prompts = [writer.ids(prompter.asked((), one.turns[0].query)) for one in some]
    answers = [tuple(tokenizer(one.turns[0].answer, add_special_tokens=False)["input_ids"])[:most] for one in some]
    shared = next((k for k, ids in enumerate(zip(*prompts)) if len(set(ids)) > 1), min(map(len, prompts)) - 1)
    past = prefix(model, prompts[0][:shared]) if shared else None
    logits_of = packed.logits if packed.usable(model) else row_by_row
    found: list[torch.Tensor] = []
    for ids, answer in zip(prompts, answers, strict=True):
        (logits_NV,) = logits_of(model, past, [ids], [[answer[:-1]]])
        found.append(torch.log_softmax(logits_NV, dim=-1))
    return found


def row(first: Sequence[torch.Tensor], second: Sequence[torch.Tensor]) -> dict[str, Any]:
    by_answer = divergence(first, second)
    longest = max(map(len, by_answer))
    means = [sum(one) / len(one) for one in by_answer]
    return {
        "turn": 1,
        "score": mean(means, 4),
        "stderr": round(stdev(means) / len(means) ** 0.5, 4),
        "n": len(means),
        "unread": 0,
        "scores": [round(one, 4) for one in means],
        "by_token": [mean([one[k] for one in by_answer if len(one) > k], 4) for k in range(longest)],
    }


def divergence(base: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> list[list[float]]:
    """Nats by token of each answer."""
    return [
        (q_NV.exp() * (q_NV - p_NV)).sum(dim=-1).clamp_min(0).tolist() for p_NV, q_NV in zip(base, other, strict=True)
    ]
