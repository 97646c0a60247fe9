"""What logits say of an answer: likelihood, hit, margin, choices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fewfit.engine.learner import Row, Scored

if TYPE_CHECKING:
    from fewfit.engine.head import Read


def one_token_apart(choices: Sequence[Sequence[int]]) -> int | None:
    """The place where the choices differ, if they share all else: one position of the forward then tells them apart."""
    first = choices[0]
    if len(choices) < 2 or any(len(c) != len(first) for c in choices):
        return None
    places = [p for p in range(len(first)) if len({c[p] for c in choices}) > 1]
    return places[0] if len(places) == 1 and len({c[places[0]] for c in choices}) == len(choices) else None


def read_off(logits_V: Any, choices: Sequence[Sequence[int]], place: int) -> tuple[float, ...]:
    """Log p of each choice's own token at the place where they differ.

    What they share before it is the same for all and what follows is taken as given: the same for every choice of a
    row, the right one included.
    """
    import torch

    norm = float(torch.logsumexp(logits_V.detach(), dim=-1))
    return tuple(logit - norm for logit in logits_V.detach()[[c[place] for c in choices]].tolist())


def choice_rows(row: Row) -> tuple[list[tuple[int, ...]], list[list[int]]]:
    """Each choice behind the row's prompt, and the places that predict its tokens."""
    prompt = row.ids[: row.prompt_tokens]
    ids = [prompt + tuple(c) for c in row.choices]
    places = [list(range(len(prompt) - 1, len(one) - 1)) for one in ids]
    return ids, places


def sum_logp(logits_NV: Any, choices: Sequence[Sequence[int]]) -> tuple[float, ...]:
    """Log p of each whole choice, from the logits of `choice_rows`."""
    import torch

    sums, start = [], 0
    for choice in choices:
        part_NV = logits_NV[start : start + len(choice)].detach()
        target_N = torch.tensor(choice, dtype=torch.long, device=part_NV.device)
        sums.append(-float(torch.nn.functional.cross_entropy(part_NV, target_N, reduction="none").cpu().double().sum()))
        start += len(choice)
    return tuple(sums)


def scores_of(
    batch: Sequence[Row], last: list[list[int]], said: Read, choices: list[tuple[float, ...]]
) -> list[Scored | None]:
    """`last` are the places of each row's last answer in what was said; empty for rows that are not scored."""
    nlls = said.loss_N.detach().tolist()
    out: list[Scored | None] = []
    for row, some, logp in zip(batch, last, choices, strict=True):
        if not some:
            out.append(None)
            continue
        best = [said.best[n][0] for n in some]
        answer = row.ids[slice(*row.spans[-1])]
        wrong = next((n for n, (got, want) in enumerate(zip(best, answer, strict=True)) if got != want), None)
        out.append(
            Scored(
                nll=sum(nlls[n] for n in some),
                tokens=len(some),
                hit=wrong is None,
                margin=min(said.best[n][1] for n in some),
                argmax=tuple(best if wrong is None else best[: wrong + 1]),
                choices=logp,
            )
        )
    return out


def several(row: Row) -> bool:
    """Whether the row's choices need more than one place of the forward."""
    return bool(row.choices) and row.scored and one_token_apart(row.choices) is None
