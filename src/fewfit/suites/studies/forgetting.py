"""What tuning on one task costs elsewhere: likelihood of a text that nothing is trained on, and accuracy on other
tasks, prompted with four examples while the tuned adapter is on. Against the untrained model, and against remedies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from fewfit.grid import Lane
from fewfit.suites.claims import mean
from fewfit.suites.studies.study import BOTH, TUNED, Compared, Study, one
from fewfit.suites.tasks.comparing import Difference, Row, at, by_example, overall, places
from fewfit.suites.tasks.testing import numbers

BASE = "base"
# Decay works by rate x decay a step: 0.1, AdamW's usual, would take 3% off the weights in 300 steps.
REMEDIES = {"rank-1": {"rank": 1}, "decay": {"weight_decay": 1.0}, "kl": {"kl": 1.0}, "values": {"layers": "values"}}

TEXT = """
The ferry to the island leaves at seven in the morning, and whoever misses it waits until noon. In winter there is
only one crossing a day, because the harbour freezes along its northern edge and the pilot will not go near the ice in
the dark.

My grandfather kept bees behind the school for thirty years. He said that a hive is quiet when it has what it needs,
and that a beekeeper who hears nothing should leave the lid on and go home.

Water boils at a lower temperature in the mountains, since the air above it presses less. Pasta that takes ten minutes
by the sea takes twelve or thirteen in a hut at three thousand metres, and beans may never become soft at all.

The committee met on Tuesday to decide whether the old bridge should be repaired or replaced. Repairs would cost less
this year, said the engineer, but they would have to be done again before the decade was over. Nobody wanted to vote
first.

To change the tyre, put the car on level ground, loosen the nuts a little, and only then raise the wheel with the
jack. Tighten the nuts crosswise, let the car down, and tighten them once more. Check the pressure at the next petrol
station.

When the power came back, the clocks in the house showed four different times, and the youngest child asked which of
them was right. None of them, said her mother, but we can ask the radio.
"""


def report(rows: Sequence[Row], found: Sequence[Difference]) -> list[str]:
    """Condition by condition against the untrained model, the same test examples of other tasks and the same text."""
    lines = []
    for model in dict.fromkeys(row["model"] for row in rows):
        for condition in dict.fromkeys(row["condition"] for row in rows):
            lost, nats = [], []
            for place in places([row for row in rows if row["model"] == model]) if condition != BASE else ():
                mine, base = (at(rows, place, name) for name in (condition, BASE))
                both = [(row, theirs) for row in mine for theirs in base if same_run(row, theirs)]
                if both:
                    if values := by_example([differing(*pair) for pair in both]):
                        lost.append(Difference(model, place[1], place[2], condition, BASE, mean(values, -1.0, 1.0)))
                    nats += [row["text_nll"] - theirs["text_nll"] for row, theirs in both]
            if nats:
                lines.append(
                    f"{model}: {condition} against the untrained model: {points(lost)}{fmean(nats):+.3f} nats a "
                    f"token on the text ({min(nats):+.3f} to {max(nats):+.3f})"
                )
    return lines


def points(lost: Sequence[Difference]) -> str:
    """Nothing where there was no other task."""
    if not lost:
        return ""
    over = overall(lost)
    told = f"{100 * fmean(one.value.value for one in lost):.0f}" if over is None else str(over)
    return f"{told} points on other tasks, prompted; "


def same_run(row: Row, other: Row) -> bool:
    return bool(row["seed"] == other["seed"] and row.get("dtype") == other.get("dtype"))


def differing(row: Row, base: Row) -> list[float]:
    """On the test examples of all other tasks."""
    return [
        a - b for name in row["prompted"]
        for a, b in zip(numbers(row["prompted"][name]), numbers(base["prompted"][name]), strict=True)
    ]  # fmt: skip


STUDY = Study(
    "forgetting",
    "What does tuning cost on other texts and tasks, and what helps?",
    (
        one(BASE, Lane(shots=4)),
        *(one(kind, lane) for kind, lane in (("ft", TUNED), ("icl+ft", BOTH))),
        *(
            one(f"{kind}-{name}", replace(lane, **how))  # type: ignore[arg-type]
            for kind, lane in (("ft", TUNED), ("icl+ft", BOTH))
            for name, how in REMEDIES.items()
        ),
    ),
    (
        Compared("ft", (BASE,)),
        *(Compared(f"ft-{name}", ("ft",)) for name in ("kl", "values", "rank-1", "decay")),
        Compared("icl+ft", (BASE,)),
        *(Compared(f"icl+ft-{name}", ("icl+ft",)) for name in REMEDIES),
    ),
    tasks=("sst2", "trec", "present-past", "animal_v_object_3", "antonym"),
    budgets=(30, 100),
    report=report,
    text=TEXT,
)
