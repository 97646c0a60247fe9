"""The selection in sentences that can be acted on: what to use, how good, how sure, what it costs, what is open.

Nothing is said here that a comparison does not say.
"""

from __future__ import annotations

from fewfit.select.records import Comparison, Interval, LaneResult, Selection

SIDE_OF = {"zero-shot": "prompting", "icl": "prompting", "ft": "ft", "icl+ft": "icl+ft"}
SIDES = ("prompting", "ft", "icl+ft")
SPOKEN = {"zero-shot": "zero-shot", "icl": "ICL", "prompting": "prompting", "ft": "tuning", "icl+ft": "ICL+FT"}
MANY = 2000  # more than this nobody would gather to settle a comparison


def verdict(selection: Selection) -> str:
    said = [nothing_learnt(selection)] if selection.is_no_better_than_majority else [use(selection)]
    return " ".join([*said, *compared(selection), *dearer(selection)])


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
        f"Nothing was learnt: always answering {shortened(majority.answer)!r} scores {hundredths(majority.share)} of "
        f"100, and no way of adapting is expected to do better ({best.name} {hundredths(best.score)}, "
        f"{interval_text(best.interval)}). Try another model, a clearer instruction or more examples first."
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
        alone = len({lane.kind for lane in selection.lanes}) == 1
        return [
            f"{capitalised(SPOKEN[ours])} alone {'was run' if alone else 'finished'}, so there is nothing to compare "
            "it with."
        ]
    found = [selection.comparison(ours, other) for other in others]
    open_ones = [each for each in found if each.says == "not settled"]
    clauses: list[str] = []
    for each in found:
        text = lead(each, unit=not clauses)
        if each.says == "not settled":
            text += ": not settled" + (f" with {counted(selection.n)}" if each is open_ones[0] else " either")
        elif each.so_far:
            text += f" so far: {each.other_lane if each.says == 'better' else each.lane} is still rising"
        clauses.append(text)
    sentence = capitalised(f"{SPOKEN[ours]} is {'; '.join(clauses)}.")
    return [sentence, *over_the_stream(open_ones), *needed(open_ones, alone=len(found) == 1)]


def dearer(selection: Selection) -> list[str]:
    """Where the highest score is not what is recommended."""
    leader = selection.lane(selection.leader)
    if leader.name == selection.best.name or leader.score is None or leader.score <= selection.best.score:
        return []
    return [
        f"{leader.name} came out higher, at {hundredths(leader.score)}, which may be chance, and costs more to serve."
    ]


def lead(comparison: Comparison, *, unit: bool) -> str:
    """`better than tuning by 3 (-4 to 10)`, in whichever direction the point lies."""
    size, (low, high) = comparison.difference, comparison.interval
    other = SPOKEN[comparison.other]
    if hundredths(size) == "0":
        return f"level with {other} ({interval_text((low, high))}{' points' if unit else ''})"
    word = "better"
    if size < 0:
        word, size, low, high = "worse", -size, -high, -low
    points = "" if not unit else " point" if hundredths(size) == "1" else " points"
    return f"{word} than {other} by {hundredths(size)}{points} ({interval_text((low, high))})"


def over_the_stream(comparisons: list[Comparison]) -> list[str]:
    """What the last half cannot settle, the whole stream, being twice as long, may have; of itself, not of delivery."""
    parts = []
    for each in comparisons:
        low, high = each.prequential_interval
        if low > 0:
            gain = f"{hundredths(each.prequential)} ({interval_text((low, high))})"
            parts.append(f"better than {SPOKEN[each.other]} by {gain}")
    return [f"Over the whole stream it was {' and '.join(parts)}."] if parts else []


def needed(comparisons: list[Comparison], *, alone: bool) -> list[str]:
    """What more examples would likely bring."""
    hopeless = [each.more is None or each.more > MANY for each in comparisons]
    if len(comparisons) > 1 and all(hopeless):
        return ["More examples are not likely to settle either soon."]
    parts = []
    for each, never in zip(comparisons, hopeless, strict=True):
        against = "" if alone else f" against {SPOKEN[each.other]}"
        if never or each.more is None:
            parts.append(f"more examples are not likely to settle it soon{against}")
        else:
            parts.append(f"some {roughly(each.more)} more examples would likely settle it{against}")
    return [capitalised("; ".join(parts) + ".")] if parts else []


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
