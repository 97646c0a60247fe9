"""The selection in sentences that can be acted on: what to use, how good, how sure, what it costs, what is open.

Nothing is said here that a comparison does not say.
"""

from __future__ import annotations

from fewfit.select.records import Comparison, Interval, LaneResult, Majority, Selection

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
    rivals = compared(selection)
    if not rivals:
        how = "was run" if len({lane.kind for lane in selection.lanes}) == 1 else "finished"
        told = [f"Nothing else than {SPOKEN[selection.best.kind]} {how}, so there is nothing to compare it with."]
    else:
        told = [against(selection, each) for each in rivals]
    return " ".join([opening(selection, rivals), expected(selection), *told])


def opening(selection: Selection, rivals: list[Comparison]) -> str:
    """As sure as the evidence is."""
    best = selection.lane(selection.best.name)
    what = f"{what_it_is(best)} ({best.name})"
    if is_settled(rivals):
        return f"Use {what}."
    if selection.cheaper:
        more = "what takes more (an adapter, more examples in the prompt)"
        return f"Take {what} for now: {more} is not shown to be better."
    if any(points(each.difference) < 0 for each in rivals):
        where = "" if selection.flat else " over the last half"
        leads = f"leads by what lanes are chosen by, though another was right more often{where}"
        return f"No winner yet with {counted(selection)}: {what} {leads}."
    still = " and ".join(SPOKEN[each.other] for each in rivals if each.says != "better" or each.so_far)
    return f"Lean to {what}: it leads, but {counted(selection)} do not settle it against {still}."


def is_settled(rivals: list[Comparison]) -> bool:
    return all(each.says == "better" and not each.so_far for each in rivals)


def expected(selection: Selection) -> str:
    best, majority = selection.best, selection.majority
    beside = ""
    if majority is not None and majority.share > 0.1:
        said = f"{without_thought(majority)} scores {hundredths(majority.share)}"
        beside = f"; {said}" if best.interval[0] > majority.share else f"; not shown to be better than chance: {said}"
    return (
        f"Expect about {hundredths(best.score)} of 100 on new data (95% range {interval_text(best.interval)}{beside})"
        f"{price(selection.lane(best.name))}."
    )


def nothing_learnt(selection: Selection) -> str:
    majority = selection.majority
    assert majority is not None
    done = [lane for lane in selection.lanes if lane.status == "done" and lane.interval]
    scores = {lane.name: lane.score for lane in done if lane.score is not None}
    top = selection.lane(max(scores, key=lambda name: scores[name]))
    assert top.score is not None and top.interval is not None
    return (
        f"With {counted(selection)} no way of adapting can be shown to beat {without_thought(majority)}, which scores "
        f"{hundredths(majority.share)} of 100; the highest, {top.name}, scores {hundredths(top.score)} (95% range "
        f"{interval_text(top.interval)}). Deploy none of them yet: try another model, "
        f"{'more training' if selection.flat else 'a clearer instruction'} or more {what_counts(selection)}."
    )


def what_it_is(lane: LaneResult) -> str:
    model = "the tuned model" if lane.updates else "the model as it is"
    shots = lane.shots_at_use
    examples = f"with {shots} example{'s' * (shots != 1)} in the prompt" if shots else "without examples"
    return f"{model} {examples}"


def price(lane: LaneResult) -> str:
    return "" if lane.tokens is None else f", at {round(lane.tokens):,} tokens a prompt"


def compared(selection: Selection) -> list[Comparison]:
    """The recommended lane's side against every other side; with prompting alone, its two kinds against each other."""
    kinds = list(selection.best_of_kind)
    ours = SIDE_OF[selection.best.kind]
    others = [side for side in SIDES if side != ours and side in map(SIDE_OF.__getitem__, kinds)]
    if not others:
        ours = selection.best.kind
        others = [kind for kind in kinds if kind != ours]
    return [selection.comparison(ours, other) for other in others]


def against(selection: Selection, each: Comparison) -> str:
    """A rival: what it is, its score, and how sure it is that it is behind."""
    rival = selection.lane(each.other_lane)
    score = "nothing" if rival.score is None else f"{hundredths(rival.score)}{price(rival)}"
    low, high = each.interval
    if each.says == "better":
        but = f" so far ({rival.name} is still rising)" if each.so_far else ""
        tail = f"worse{but}, by {hundredths(low)} to {hundredths(high)} points (95%)"
    elif each.says == "worse":
        tail = f"better so far, by {hundredths(-high)} to {hundredths(-low)} points, but {each.lane} is still rising"
    else:
        more = needed(each, what_counts(selection))
        if is_dearer(rival, selection.lane(selection.best.name)) and each.difference >= 0:
            more = "it costs more a query and is not shown to be better"
        tail = f"anything from {ahead(-low)} to {ahead(-high)} (95%); {more}"
    return f"{capitalised(SPOKEN[each.other])} ({rival.name}) scores {score}: {tail}."


def is_dearer(this: LaneResult, other: LaneResult) -> bool:
    return this.tokens is not None and other.tokens is not None and round(this.tokens) > round(other.tokens)


def ahead(points: float) -> str:
    """Of the rival."""
    size = hundredths(abs(points))
    if size == "0":
        return "level"
    return f"{size} point{'s' * (size != '1')} {'better' if points > 0 else 'worse'}"


def needed(comparison: Comparison, what: str) -> str:
    """What more of them would likely bring."""
    if comparison.more is None or hundredths(comparison.difference) == "0":
        return "too close to call"
    if comparison.more > MANY:
        return f"thousands of {what} would be needed to tell"
    return (
        f"if the difference is as large as it looks, some {roughly(comparison.more)} more {what} would likely show it"
    )


def warnings(selection: Selection) -> tuple[str, ...]:
    found = []
    best, majority = selection.best, selection.majority
    if majority is not None and best.score > majority.share >= best.interval[0]:
        always = f"{without_thought(majority)} ({hundredths(majority.share)} of 100)"
        found.append(f"it is not settled that {best.name} beats {always}")
    if best.rising:
        found.append(
            f"{best.name} is still rising: expect its score to be rather better than said, and more examples to help"
        )
    if selection.criterion != selection.asked:
        found.append(f"chosen by {selection.criterion}, not {selection.asked}: a lane has no likelihood")
    orders = "this order" if selection.seeds == 1 else f"these {selection.seeds} orders"
    if not selection.flat:
        found.append(f"the intervals are for {orders} of the examples; another order gives somewhat other scores")
    return tuple(found)


def interval_text(interval: Interval) -> str:
    return f"{hundredths(interval[0])} to {hundredths(interval[1])}"


def points(value: float | None) -> int:
    return round(100 * (value or 0.0))


def hundredths(value: float) -> str:
    return f"{points(value):d}"


def roughly(count: int) -> int:
    """Two digits, rounded up: it is an estimate."""
    step = int(10 ** max(len(str(count)) - 2, 0))
    return -(-count // step) * step


def counted(selection: Selection) -> str:
    what = what_counts(selection)
    return f"{selection.n} {what if selection.n != 1 else what.removesuffix('s')}"


def what_counts(selection: Selection) -> str:
    return "questions" if selection.flat else "examples"


def without_thought(majority: Majority) -> str:
    return (
        "guessing among the options" if majority.answer is None else f"always answering {shortened(majority.answer)!r}"
    )


def capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def shortened(text: str, length: int = 40) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
