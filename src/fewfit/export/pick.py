"""Which demonstrations an export has: one set for all queries, since other servers know no hash and average nothing."""

from __future__ import annotations

from fewfit.bundle import Bundle
from fewfit.errors import UserError
from fewfit.examples.example import Example

FEW_MIND = "a tuned model minds little which set it is, and the export says how many answers differ"


def pick_set(bundle: Bundle, number: int | None = None) -> tuple[Example, ...]:
    """The bundle's set, or that of this number, from 1 on, where it has several."""
    where, sets = str(bundle.folder), bundle.sets
    if not sets:
        alone = "" if bundle.weights == "none" else ", or export the weights alone"
        raise UserError(
            f"its demonstrations are chosen anew for each query (--demos {bundle.lane.demonstrations}), which nothing "
            "but fewfit does",
            where=where,
            hint=f"fit again with --demos random, balanced or searched and --deliver fixed{alone}",
            code="no-one-set",
        )
    if number is not None and not 1 <= number <= len(sets):
        raise UserError(f"--set {number}, and the bundle has {len(sets)}", where=where, hint=f"give 1 to {len(sets)}")
    if len(sets) == 1 or number is not None:
        return sets[(number or 1) - 1]
    how = "the answers behind all of them are averaged" if bundle.lane.members > 1 else "a query's hash picks one"
    raise UserError(
        f"has {len(sets)} sets of demonstrations ({how}), and one template holds one",
        where=where,
        hint=f"--set 1 takes the first for all queries ({FEW_MIND}), or fit again with --deliver fixed",
        code="no-one-set",
    )
