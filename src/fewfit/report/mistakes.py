"""What the recommended lane got wrong: the example, what others answered to it, the prompt and its mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fewfit.errors import FewfitError
from fewfit.examples import Example
from fewfit.report.evidence import Evidence
from fewfit.report.markup import Markup, data, heads, middle_cut, number, table, tag
from fewfit.report.page import section

MOST = 100
MOST_LANES = 12  # of a grid no larger all answers are shown, of a larger one those of the best of each kind
LONGEST, LONGEST_ANSWER, LONGEST_PROMPT = 2_000, 500, 6_000
SUMMARY = 60
Marked = list[tuple[bool, str]]


def mistakes(run: Evidence) -> Markup:
    title = "What it got wrong"
    if not run.with_text:
        return section("mistakes", title, tag("p", "Left out, as asked: examples are not shown.", class_="quiet"))
    rows = [row for row in run.delivered(run.best["name"]) if not row["correct"]]
    if not rows:
        return section("mistakes", title, tag("p", f"Nothing: all answers of {run.best['name']} were right."))
    rows.sort(key=lambda row: (row["score"], -(row["margin"] or 0.0), row["i"]))
    others = lanes_beside(run)
    answers = {name: {row["i"]: row for row in run.delivered(name)} for name in others}
    prompt, why_not = prompts(run)
    shown = [mistake(run, row, {name: answers[name].get(row["i"]) for name in others}, prompt) for row in rows[:MOST]]
    seed = "" if len(run.record["seeds"]) == 1 else f" under seed {min(run.record['seeds'])}, which is delivered"
    told = f"{len(rows)} of {run.best['n']} answers of {run.best['name']}{seed}, the worst and surest first."
    if len(rows) > MOST:
        told += f" The first {MOST}; all are in predictions.jsonl."
    return section(
        "mistakes",
        title,
        tag("p", told, class_="quiet"),
        tag("p", why_not, class_="quiet") if why_not else None,
        tag("div", tools(others), shown, class_="mistakes"),
    )


def lanes_beside(run: Evidence) -> list[str]:
    names = [*run.best_of_kind.values()]
    if len(run.lanes) <= MOST_LANES:
        names += [name for name in run.lanes if name not in names]
    return [name for name in names if name != run.best["name"]]


def tools(others: list[str]) -> Markup:
    kinds = [tag("option", "all", value="all"), tag("option", "that no lane shown got right", value="none")]
    kinds += [tag("option", f"that {name} got right", value=name) for name in others]
    return tag(
        "div",
        tag("label", "Mistakes ", tag("select", kinds)),
        tag("label", "with the words ", tag("input", type="search")),
        tag("output", class_="quiet"),
        class_="tools",
    )


def mistake(
    run: Evidence, row: dict[str, Any], others: dict[str, dict[str, Any] | None], prompt: Callable[[int], Marked | None]
) -> Markup:
    right = [name for name, other in others.items() if other is not None and other["correct"]]
    example = run.examples.get(row["id"])
    there = sum(other is not None for other in others.values())
    verdict = f"; {len(right)} of {there} others right" if there else ""
    summary = tag(
        "summary",
        f"{row['i']}. ",
        data(one_line(question(example)), most=SUMMARY),
        tag("strong", " should be "),
        data(one_line(row["gold"]), most=SUMMARY),
        tag("strong", " was "),
        data(one_line(row["prediction"]), most=SUMMARY) if row["prediction"] else "empty",
        tag("span", verdict, class_="quiet"),
    )
    seen = prompt(row["i"])
    parts = [
        tag("h3", "Example ", tag("bdi", row["id"])),
        tag("pre", data(question(example), most=LONGEST)) if example is not None else None,
        answers_table(row, run.best["name"], others),
        tag("details", tag("summary", "The prompt as the model saw it"), masked(seen)) if seen is not None else None,
    ]
    return tag("details", summary, parts, class_="mistake", data_right="\n".join(right))


def question(example: Example | None) -> str:
    if example is None:
        return ""
    if isinstance(example.prompt, str):
        return example.prompt
    return "\n".join(f"{turn.role}: {turn.content}" for turn in example.prompt)


def one_line(text: str) -> str:
    return " ".join(text[: 4 * SUMMARY].split())


def answers_table(row: dict[str, Any], best: str, others: dict[str, dict[str, Any] | None]) -> Markup:
    likely = row["probs"] is not None
    graded = any(one is not None and 0.0 < one["score"] < 1.0 for one in (row, *others.values()))
    names = [
        "lane",
        "answer",
        *(["score"] if graded else []),
        *(["its probability", "of the right one"] if likely else []),
    ]
    rows = [tag("tr", tag("th", "right answer", scope="row"), tag("td", data(row["gold"], most=LONGEST_ANSWER)),
                [tag("td")] * (len(names) - 2))]  # fmt: skip
    for name, one in ((best, row), *others.items()):
        if one is None:
            cells = [tag("td", "had left", class_="quiet"), *[tag("td")] * (len(names) - 2)]
        else:
            text = data(one["prediction"], most=LONGEST_ANSWER) if one["prediction"] else tag("em", "empty")
            cut = tag("span", " (up to the first wrong token)", class_="quiet") if one["cut"] else None
            sign = tag("span", "✓ ", class_="good") if one["correct"] else tag("span", "✗ ", class_="bad")
            cells = [tag("td", sign, text, cut)]
            cells += [number(f"{one['score']:.2f}")] if graded else []
            cells += [number(probability(one, key)) for key in ("prediction", "gold")] if likely else []
        rows.append(tag("tr", tag("th", tag("span", name, class_="name"), scope="row"), cells))
    return table("Answers", heads(*names, numbers=names[2:]), rows, hidden_caption=True)


def probability(row: dict[str, Any], key: str) -> str:
    found = (row["probs"] or {}).get(row[key])
    return "–" if found is None else f"{found:.2f}"


# ---- prompts ---------------------------------------------------------------------------------------------------------


def prompts(run: Evidence) -> tuple[Callable[[int], Marked | None], str | None]:
    """Renders what the lane saw at a place, in stretches that carry loss or not; and why, where it cannot be had."""
    if run.is_flat:
        return lambda i: None, None
    from fewfit.render.marked import marked_text
    from fewfit.run.inspection import Inspection

    lane = run.coordinates[run.best["name"]]
    try:
        opened = Inspection.of(run.folder, lane.name, tokenizer=run.tokenizers.get(lane.model))
        opened.sequence(1)
    except FewfitError as error:
        return lambda i: None, f"Prompts are left out, since they cannot be rendered again: {error.message}."

    def of(i: int) -> Marked:
        rendered, spans = opened.sequence(i)
        mask = [0] * len(rendered.ids)
        for start, end in spans or rendered.spans[-1:]:  # a lane that does not train: the answer that it was scored on
            mask[start:end] = [1] * (end - start)
        return marked_text(rendered, mask, opened.tokenizer)

    return of, None


def masked(pieces: Marked) -> Markup:
    """The end is kept, where the example stands."""
    left, kept = LONGEST_PROMPT, []
    for marked, text in reversed(pieces):
        if left <= 0:
            break
        cut = middle_cut(text, LONGEST)[-left:] if len(text) > LONGEST else text[-left:]
        kept.append(tag("mark", cut) if marked else cut)
        left -= len(cut)
    whole = sum(len(text) for _, text in pieces)
    beginning = f"… the beginning of {whole:,} characters is left out …\n" if whole > LONGEST_PROMPT else None
    return tag("pre", tag("span", beginning, reversed(kept), class_="data", dir="auto"))
