"""Is the test file like the examples? Other shares of the labels, or the same prompts, and its scores say less."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fewfit.examples.example import Example
from fewfit.metrics.patterns import shortened

UNLIKELY = 0.01
MOST_LABELS = 50


def label_shares(examples: Sequence[Example], test: Sequence[Example]) -> dict[str, dict[str, float]]:
    """By label, of the examples and of the test file; the commonest first."""
    ours, theirs = (Counter(one.completion.strip() for one in some) for some in (examples, test))
    names = sorted({*ours, *theirs}, key=lambda name: (-ours[name], name))
    return {
        "examples": {name: ours[name] / len(examples) for name in names},
        "test": {name: theirs[name] / len(test) for name in names},
    }


def warnings(examples: Sequence[Example], test: Sequence[Example], labels: bool) -> list[str]:
    out = []
    known = {one.asked for one in examples}
    if again := sum(one.asked in known for one in test):
        out.append(f"{again} of the {len(test)} test prompts stand in the examples too: lanes that train know them")
    if labels:
        shares = label_shares(examples, test)
        if len(shares["test"]) <= MOST_LABELS and differ(shares, len(examples), len(test)):
            name = max(shares["test"], key=lambda one: abs(shares["test"][one] - shares["examples"][one]))
            out.append(
                f"the test file has other labels than the examples: {shortened(name)} is "
                f"{round(100 * shares['test'][name])} of 100 there and {round(100 * shares['examples'][name])} here; "
                "scores may differ for that alone"
            )
    return out


def differ(shares: dict[str, dict[str, float]], n: int, m: int) -> bool:
    """Whether such shares come by chance in less than one case of a hundred: Pearson's chi-squared."""
    from scipy.special import chdtrc

    total = 0.0
    for name, here in shares["examples"].items():
        there = shares["test"][name]
        both = (n * here + m * there) / (n + m)
        total += (n * (here - both) ** 2 + m * (there - both) ** 2) / both
    degrees = len(shares["test"]) - 1
    return degrees > 0 and float(chdtrc(degrees, total)) < UNLIKELY
