"""The selection in sentences that can be acted on: what to use, how good, how sure, what it costs, what is open.

Nothing is said here that a comparison does not say.
"""

from __future__ import annotations

from fewfit.select.records import Comparison, Interval, LaneResult, Selection

SIDE_OF = {"zero-shot": "prompting", "icl": "prompting", "ft": "ft", "icl+ft": "icl+ft"}
SIDES = ("prompting", "ft", "icl+ft")
SPOKEN = {
    "zero-shot": "the bare prompt",
    "icl": "examples in the prompt",
    "prompting": "prompting alone",
    "ft": "tuning without examples in the prompt",
    "icl+ft": "tuning with examples in the prompt",
}
MANY = 2000  # more than this nobody would gather to settle a comparison


def verdict(selection: Selection) -> str:
    if selection.nothing_learnt:
        return nothing_learnt(selection)
    return " ".join([use(selection), *compared(selection), *dearer(selection)])


def use(selection: Selection) -> str:
    best = selection.best
    lane = selection.lane(best.name)
    return (
        f"Use {best.name}: {what_it_is(lane)}. Expect {hundredths(best.score)} of 100 on new data "
        f"({interval_text(best.interval)}){price(lane)}."
    )


def nothing_learnt(selection: Selection) -> str:
    majority, best = selection.majority, selection.best
    assert majority is not None
    return (
        f"Nothing was learnt that {counted(selection.n)} can show: always answering {shortened(majority.answer)!r} "
        f"scores {hundredths(majority.share)} of 100, and of {best.name} no more can be said than "
        f"{hundredths(best.score)} ({interval_text(best.interval)}). Try another model, a clearer instruction or more "
        "examples first."
    )


def what_it_is(lane: LaneResult) -> str:
    model = "the tuned model" if lane.updates else "the model as it is"
    examples = f"with {lane.shots} example{'s' * (lane.shots != 1)} in the prompt" if lane.shots else "without examples"
    return f"{model}, {examples}"


def price(lane: LaneResult) -> str:
    return "" if lane.tokens is None else f", at {round(lane.tokens):,} tokens a prompt"


def compared(selection: Selection) -> list[str]:
    """The recommended lane's side against every other side; with prompting alone, its two kinds against each other."""
    kinds = list(selection.best_of_kind)
    ours = SIDE_OF[selection.best.kind]
    others = [side for side in SIDES if side != ours and side in map(SIDE_OF.__getitem__, kinds)]
    if not others:
        ours = selection.best.kind
        others = [kind for kind in kinds if kind != ours]
    if not others:
        how = "Nothing else was run" if len({lane.kind for lane in selection.lanes}) == 1 else "Nothing else finished"
        return [f"{how} than {SPOKEN[ours]}, so there is nothing to compare it with."]
    found = [selection.comparison(ours, other) for other in others]
    return [*map(settled, [each for each in found if each.says != "not settled"]), *unsettled(selection, found)]


def settled(each: Comparison) -> str:
    but = f" so far: {each.other_lane if each.says == 'better' else each.lane} is still rising" if each.so_far else ""
    return f"It is {lead(each)}{but}."


def unsettled(selection: Selection, found: list[Comparison]) -> list[str]:
    out: list[str] = []
    for each in (one for one in found if one.says == "not settled"):
        with_ = f" with {counted(selection.n)}" if not out else ""
        text = (
            f"Whether it is better than {SPOKEN[each.other]} is not settled{with_}: it came out {lead(each, bare=True)}"
        )
        low, high = each.prequential_interval
        if low > 0:  # what the last half cannot settle, the whole stream may have; of itself, not of delivery
            text += f", and over the whole stream {hundredths(each.prequential)} better ({interval_text((low, high))})"
        out.append(f"{text}; {needed(each.more)}.")
    return out


def dearer(selection: Selection) -> list[str]:
    """Where the highest score is not what is recommended."""
    leader = selection.lane(selection.leader)
    if leader.name == selection.best.name or leader.score is None or leader.score <= selection.best.score:
        return []
    return [
        f"{leader.name} came out higher, at {hundredths(leader.score)}; that may be chance, and it costs more to serve."
    ]


def lead(comparison: Comparison, *, bare: bool = False) -> str:
    """`better than … by 3 points (-4 to 10)` or `3 points better (-4 to 10)`, whichever way the point lies."""
    size, (low, high) = comparison.difference, comparison.interval
    other = SPOKEN[comparison.other]
    if hundredths(size) == "0":
        return f"level{'' if bare else f' with {other}'} ({interval_text((low, high))} points)"
    word = "better"
    if size < 0:
        word, size, low, high = "worse", -size, -high, -low
    points = f"{hundredths(size)} point{'s' * (hundredths(size) != '1')}"
    between = interval_text((low, high))
    return f"{points} {word} ({between})" if bare else f"{word} than {other} by {points} ({between})"


def needed(more: int | None) -> str:
    """What more examples would likely bring."""
    if more is None or more > MANY:
        return "more examples are not likely to settle it soon"
    return f"some {roughly(more)} more examples would likely settle it"


def warnings(selection: Selection) -> tuple[str, ...]:
    found = []
    best, majority = selection.best, selection.majority
    if majority is not None and best.score > majority.share >= best.interval[0]:
        always = f"always answering {shortened(majority.answer)!r} ({hundredths(majority.share)} of 100)"
        found.append(f"it is not settled that {best.name} beats {always}")
    if best.rising:
        found.append(
            f"{best.name} is still rising: expect its score to be rather better than said, and more examples to help"
        )
    if selection.criterion != selection.asked:
        found.append(f"chosen by {selection.criterion}, not {selection.asked}: a lane has no likelihood")
    orders = "this order" if selection.seeds == 1 else f"these {selection.seeds} orders"
    found.append(f"the intervals are for {orders} of the examples; another order gives somewhat other scores")
    return tuple(found)


def interval_text(interval: Interval) -> str:
    return f"{hundredths(interval[0])} to {hundredths(interval[1])}"


def hundredths(value: float) -> str:
    return f"{round(100 * value) + 0:d}"  # an integer has no minus zero


def roughly(count: int) -> int:
    """Two digits, rounded up: it is an estimate."""
    step = int(10 ** max(len(str(count)) - 2, 0))
    return -(-count // step) * step


def counted(examples: int) -> str:
    return f"{examples} example{'s' if examples != 1 else ''}"


def capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def shortened(text: str, length: int = 40) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
