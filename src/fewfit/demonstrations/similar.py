"""The examples whose prompts are most like the query's: by words and runs of three letters, rare ones counting more.

No encoder is loaded, so it costs nothing to speak of and is the same everywhere; it knows no synonyms.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from fewfit.demonstrations.chooser import Moment
from fewfit.examples.example import Example


class Similar:
    per_query = True

    def choose(self, candidates: Sequence[Example], target: Example, shots: int, at: Moment) -> list[Example]:
        return most_similar(candidates, target, shots, at)[::-1]


def most_similar(candidates: Sequence[Example], target: Example, shots: int, at: Moment) -> list[Example]:
    """The most similar first; of equals the first by hash."""
    able = [one for one in candidates if not one.conflicts_with(target)]
    times = Counter(part for one in able for part in parts(one.prompt))
    rarity = {part: math.log((1 + len(able)) / (1 + times[part])) for part in parts(target.prompt)}

    def likeness(one: Example) -> float:
        shared = math.fsum(rarity[part] for part in parts(one.prompt) if part in rarity)
        return shared / math.sqrt(1 + len(parts(one.prompt)))

    taken: list[Example] = []
    for one in sorted(able, key=lambda one: (-likeness(one), at.number(one.id), one.id)):
        if not any(one.conflicts_with(other) for other in taken):
            taken.append(one)
        if len(taken) == shots:
            break
    return taken[:shots]


@lru_cache(maxsize=10_000)
def parts(prompt: object) -> frozenset[str]:
    words = text_of(prompt).lower().split()
    return frozenset(words) | {f"\0{word}\0"[k : k + 3] for word in words for k in range(len(word))}


def text_of(prompt: object) -> str:
    """A conversation's last turn is what is asked."""
    return prompt if isinstance(prompt, str) else str(prompt[-1].content)  # type: ignore[index]
