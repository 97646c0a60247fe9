"""How true are inferences that a model made of a world, and how many of those that count did it make?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from fewfit.suites.generalization.checking import judge, recall
from fewfit.suites.generalization.world import World


def judged(world: World, texts: Sequence[str]) -> dict[str, Any]:
    """`precision` is of the sentences that could be read, and `precision_at_least` of all of them, as if those not read
    were false; `recall` the share of what questions ask for, and no document states, that was said."""
    verdicts = Counter(verdict for text in texts for _, verdict in judge(world, text))
    true, read = verdicts["true"], verdicts["true"] + verdicts["false"]
    return {
        **{name: verdicts[name] for name in ("true", "false", "unread")},
        "precision": round(true / read, 4) if read else None,
        "precision_at_least": round(true / (read + verdicts["unread"]), 4) if texts else None,
        "recall": round(recall(world, "\n".join(texts)), 4),
    }
