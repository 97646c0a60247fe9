"""How much of the answer would have to be typed anew."""

from __future__ import annotations

from fewfit.metrics.patterns import folded


def edit_similarity(prediction: str, answer: str) -> float:
    """1 less Levenshtein's distance in characters, as a share of the longer text, white space folded."""
    got, wanted = folded(prediction), folded(answer)
    row = list(range(len(wanted) + 1))
    for i, a in enumerate(got, 1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(wanted, 1):
            diagonal, row[j] = row[j], min(diagonal + (a != b), row[j] + 1, row[j - 1] + 1)
    return 1.0 - row[-1] / max(len(got), len(wanted), 1)
