"""What a time budget holds of a grid."""

from __future__ import annotations

from fewfit.grid import QUICK_ORDER, Grid, Lane
from fewfit.settings import Settings
from fewfit.stats.race import halving_places, share_run


def within_budget(
    asked: Settings, grid: Grid, cost: dict[str, float], budget: float, n: int
) -> tuple[Grid, tuple[int, ...], list[str]]:
    """The lanes to run, after which examples the field is halved, and what to say of it.

    The default budget cuts lanes from the quick grid and keeps the promise of racing for those that run. A budget that
    was given halves the field on the way first: a lane that was seen on some examples is better judged than one that
    was never run.
    """
    need = sum(cost.values())
    shown = f"a budget of {budget / 60:.3g} minutes"
    if need <= budget:
        return grid, (), []
    if not asked.is_sized:
        return grid, (), [f"about {need / 60:.3g} minutes, more than {shown}; a grid that was spelled out is not cut"]
    notices = []
    halvings: tuple[int, ...] = ()
    if asked.races(n) and asked.budget is not None:
        halvings = halving_places(n, asked.select)
        racing = {lane.name for lane in grid.lanes if asked.base_url or (lane.trains and lane.tune == "lora")}
        cost = {name: cost[name] * (share_run(n, halvings) if name in racing else 1.0) for name in cost}
        after = " and ".join(map(str, halvings))
        if halvings:
            notices.append(
                f"{shown} does not hold all lanes to their end: the worse half leaves after example {after}, without "
                "racing's promise (a would-be winner is dropped in at most 5 of 100 runs)"
            )
    kept = fitting_lanes(grid, cost, budget)
    if len(kept.lanes) < len(grid.lanes):
        notices.append(f"{len(kept.lanes)} of {len(grid.lanes)} lanes fit {shown}; --budget says otherwise")
    return kept, halvings, notices


def fitting_lanes(grid: Grid, cost: dict[str, float], budget: float) -> Grid:
    """As many lanes as the budget holds, in QUICK_ORDER; of every kind at least one stays."""
    models = sorted({lane.model for lane in grid.lanes}, key=lambda m: m or "")
    kept: list[Lane] = []
    spent = 0.0
    kinds: set[tuple[str, str | None]] = set()
    for kind, want in QUICK_ORDER:
        for model in models:
            for lane in grid.lanes:
                same = lane.kind == kind and lane.model == model
                if not same or any(getattr(lane, key) != value for key, value in want.items()):
                    continue
                first = (kind, model) not in kinds
                if first or spent + cost[lane.name] <= budget:
                    kept.append(lane)
                    spent += cost[lane.name]
                    kinds.add((kind, model))
    names = {lane.name for lane in kept}
    return Grid(tuple(lane for lane in grid.lanes if lane.name in names))
