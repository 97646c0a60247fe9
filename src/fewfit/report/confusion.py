"""Which classes are taken for which: of the best lane of each kind, the recommended one first."""

from __future__ import annotations

from collections import Counter
from typing import Any

from fewfit.report.evidence import Evidence
from fewfit.report.markup import Markup, data, heads, number, table, tag
from fewfit.report.numbers import points
from fewfit.report.page import section

MOST_CLASSES = 12
MOST_PAIRS = 20
LONGEST = 40
STEPS = 10
OTHER = "another text"


def confusion(run: Evidence) -> Markup | None:
    """None where answers are free text, or where each question has options of its own."""
    if not run.labels:
        return None
    names = [run.best["name"], *(name for name in run.best_of_kind.values() if name != run.best["name"])]
    first, *others = [of_lane(run, name) for name in names]
    more = [
        tag("details", tag("summary", f"The same for {name}"), one) for name, one in zip(names[1:], others, strict=True)
    ]
    told = (
        f"What {names[0]} answered, of the predictions that its score is made from"
        f"{'' if run.is_flat else ' (of a lane that trains the last half; else those behind all its examples)'}."
    )
    return section("classes", "Right and wrong by class", tag("p", told, class_="quiet"), first, more)


def counted(run: Evidence, name: str) -> Counter[tuple[str, str]]:
    """How often each right answer got each answer; what is scored as right is it, however it is worded."""
    begins = run.lanes[name].get("counted_from") or 1
    some = [row for row in run.rows.get(name, ()) if row["i"] >= begins]
    return Counter((row["gold"], row["gold"] if row["correct"] else row["prediction"]) for row in some)


def of_lane(run: Evidence, name: str) -> Markup:
    labels, pairs = list(run.labels or ()), counted(run, name)
    if len(labels) > MOST_CLASSES:
        return commonest(run, pairs, name)
    other = any(answer not in labels for _, answer in pairs)
    columns = [*labels, *([None] if other else [])]
    most = max(pairs.values(), default=1)
    rows = []
    for gold in labels:
        row = [pairs[gold, label] for label in labels]
        if other:
            row.append(sum(count for (right, answer), count in pairs.items() if right == gold and answer not in labels))
        right, whole = pairs[gold, gold], sum(row)
        cells = [cell(count, most, label == gold) for label, count in zip(columns, row, strict=True)]
        rows.append(tag("tr", tag("th", data(gold, most=LONGEST), scope="row"), cells, share(right, whole)))
    given = [sum(pairs[gold, label] for gold in labels) for label in labels]
    precision = [share(pairs[label, label], count) for label, count in zip(labels, given, strict=True)]
    rows.append(tag("tr", tag("th", "right of those", scope="row"), precision, tag("td") if other else None, tag("td")))
    head = [
        tag("th", "right answer", scope="col"),
        *(tag("th", OTHER if one is None else data(one, most=LONGEST), scope="col") for one in columns),
        tag("th", "found", scope="col"),
    ]
    return table(f"{name}: right answers by row, its answers by column", head, rows, class_="grid")


def cell(count: int, most: int, right: bool) -> Markup:
    step = min(STEPS - 1, round(count / most * (STEPS - 1)))
    return tag("td", tag("strong", count) if right else count or "·", class_=f"h{step}")


def share(part: int, whole: int) -> Markup:
    return tag("td", f"{points(part / whole)}" if whole else "–")


def commonest(run: Evidence, pairs: Counter[tuple[str, str]], name: str) -> Markup:
    """Of many classes the pairs that are mistaken most. Without text only names of classes are shown."""
    wrong: Counter[tuple[str, str | None]] = Counter()
    for (gold, answer), count in pairs.items():
        if gold != answer:
            wrong[gold, answer if run.with_text or answer in (run.labels or ()) else None] += count
    rows: list[Any] = []
    for (gold, told), count in wrong.most_common(MOST_PAIRS):
        shown = OTHER if told is None else data(told, most=LONGEST)
        rows.append(tag("tr", tag("td", data(gold, most=LONGEST)), tag("td", shown), number(count, count)))
    return table(
        f"{name}: its commonest mistakes", heads("right answer", "its answer", "times", numbers=("times",)), rows
    )
