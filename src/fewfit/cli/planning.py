"""A plan as a table."""

from __future__ import annotations

from typing import Any

from fewfit.cli import output
from fewfit.grid import KINDS, short
from fewfit.report.numbers import clock

WIDE = 100
MOST_ROWS = 30


def show(plan: Any) -> None:

    console = output.console()
    from fewfit.plan import EndpointPlan

    remote = isinstance(plan, EndpointPlan)
    for text in endpoint_headings(plan) if remote else headings(plan):
        console.print(text, markup=False)
    console.print()
    console.print(calls_table(plan) if remote else lanes_table(plan, wide=console.width >= WIDE))
    console.print()
    lines = endpoint_totals(plan) if remote else totals(plan)
    for text in (*lines, *(f"Note: {notice}." for notice in plan.notices)):
        console.print(text, markup=False)


# ---- behind an endpoint ----------------------------------------------------------------------------------------------


def endpoint_headings(plan: Any) -> list[str]:
    seeds = "" if plan.seeds == 1 else f", {plan.seeds} seeds"
    scored = f"{plan.data}: {plan.n} examples, scored by {plan.metric}{seeds}"
    return [f"{scored}; {', '.join(plan.models)} at {plan.base_url}"]


def calls_table(plan: Any) -> Any:
    from rich.table import Table

    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="bold")
    table.add_column("kind", no_wrap=True, min_width=9)
    table.add_column("lane", no_wrap=True, overflow="ellipsis")
    for name in ("calls", "prompt tokens", "answer tokens"):
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    for lane in plan.lanes:
        amounts = (amount(lane.prompt_tokens), amount(lane.completion_tokens))
        table.add_row(lane.kind, lane.name, f"{lane.calls:,}", *amounts)
    return table


def endpoint_totals(plan: Any) -> list[str]:
    total = f"About {plan.calls:,} calls and {amount(plan.tokens)} tokens; equal requests are sent once."
    if plan.max_calls is not None and plan.max_calls < plan.calls:
        total += f" At {plan.max_calls:,} the run stops, and resume goes on."
    if plan.max_tokens is not None and plan.max_tokens < plan.tokens:
        total += f" At {amount(plan.max_tokens)} tokens the run stops, and resume goes on."
    return [total]


# ---- on this machine -------------------------------------------------------------------------------------------------


def headings(plan: Any) -> list[str]:
    models = "; ".join(f"{m.name} ({amount(m.parameters)} parameters, {m.layers} layers)" for m in plan.models)
    seeds = "" if plan.seeds == 1 else f", {plan.seeds} seeds"
    labels = "" if plan.choices is None else f" among {len(plan.choices)} labels"
    what = f"{plan.n} examples" if plan.documents is None else f"{plan.n} questions about {plan.documents} documents"
    scored = f"{plan.data}: {what}, scored by {plan.metric}{labels}{seeds}"
    return [f"{scored}; {models}, {plan.dtype} on {plan.device}"]


def lanes_table(plan: Any, *, wide: bool) -> Any:
    from rich.table import Table

    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="bold")
    table.add_column("kind", no_wrap=True, min_width=9)
    table.add_column("lane", no_wrap=True, overflow="ellipsis")  # the one that gives way
    for name in ("shots", "lr", "updates") if wide else ():
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    for name in ("steps", "longest", "tokens", "time"):
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    if plan.left_out:
        table.add_column("", no_wrap=True, min_width=8)
    for kind in KINDS:
        lanes = [lane for lane in plan.lanes if lane.kind == kind]
        most = len(lanes) if len(plan.lanes) <= MOST_ROWS else MOST_ROWS // len(KINDS)
        for place, lane in enumerate(lanes[:most]):
            settings = (str(lane.shots), short(lane.lr) if lane.lr else "–", str(lane.updates) if lane.updates else "–")
            table.add_row(
                kind if place == 0 else "",
                lane.name,
                *(settings if wide else ()),
                str(lane.steps),
                str(lane.longest),
                amount(lane.tokens),
                clock(lane.seconds),
                *(("" if lane.kept else "left out",) if plan.left_out else ()),
                style=None if lane.kept else "dim",
            )
        if len(lanes) > most:
            rest = lanes[most:]
            time = clock(sum(lane.seconds for lane in rest))
            blank = [""] * (3 if wide else 0)
            table.add_row(
                "", f"and {len(rest)} more", *blank, "", "", amount(sum(x.tokens for x in rest)), time, style="dim"
            )
    return table


def totals(plan: Any) -> list[str]:
    kept = [lane for lane in plan.lanes if lane.kept]
    there = "" if plan.memory_there is None else f" (there are {size(plan.memory_there)})"
    each = f" in each of {plan.processes} processes" if plan.processes > 1 else ""
    lines = [
        f"About {clock(plan.seconds)} for {len(kept)} lanes, {amount(sum(x.tokens for x in kept))} tokens, at "
        f"{amount(plan.speed)} operations a second{each}; {size(plan.memory)} of memory{there}, "
        f"{size(plan.disk)} of disk."
    ]
    if plan.fetch:
        lines.append(f"Weights to fetch first: about {size(plan.fetch)}.")
    if plan.budget is not None and plan.left_out:
        lines.append(
            f"A budget of {clock(plan.budget)} holds {len(kept)} of {len(plan.lanes)} lanes; left out: "
            f"{', '.join(plan.left_out)}. fit times a few real steps before it decides; --budget says otherwise."
        )
    elif plan.budget is not None:
        lines.append(f"All lanes fit a budget of {clock(plan.budget)}; fit times a few real steps before it decides.")
    for name, space in plan.spaces.items():
        lines.append(("" if len(plan.spaces) == 1 else f"{name}: ") + memory_line(plan, space))
    return lines


def memory_line(plan: Any, space: Any) -> str:
    tuning = plan.seeds * sum(lane.kept and lane.updates > 0 for lane in plan.lanes)
    parts = f"Memory: the model {size(space.model)}"
    if space.lanes:
        parts += f", {tuning} tuning lanes {size(space.lanes)} (room for {space.lanes_fit})"
    parts += f", a step of one lane {size(space.step)}"
    if not space.fits:
        hint = [] if space.lanes_fit else ["fewer --shots", "a smaller --max-length"]
        if space.lanes_fit < tuning:
            hint = ["fewer --lr, --updates or --seeds", "a lower --rank", *hint]
        if space.model >= space.free:
            hint = []
        hint += ["--dtype bfloat16"] if plan.dtype in ("float32", "float64") else []
        hint += ["--quantize nf4"] if plan.device != "cpu" and not space.packed else []
        hint += ["or a smaller model" if hint else "a smaller model"]
        return f"{parts}. That does not fit: try {', '.join(hint)}."
    again = ", layers run again in the backward to save memory" if space.again else ""
    return f"{parts}; passes of up to {space.pass_tokens} tokens{again}."


def amount(value: float) -> str:
    """12345 as `12k`."""
    for unit, name in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.3g}{name}"
    return f"{value:.3g}"


def size(value: float) -> str:
    for unit, name in ((1 << 40, "TB"), (1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB")):
        if value >= unit:
            return f"{value / unit:.3g} {name}"
    return f"{value:.0f} B"
