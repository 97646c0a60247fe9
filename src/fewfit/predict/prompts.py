"""A query behind the demonstrations that its bundle gives it, and the choices that it is answered by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from fewfit.bundle import Bundle
from fewfit.demonstrations import Moment, chooser
from fewfit.demonstrations.delivery import purpose, query_number, sets_of_query
from fewfit.errors import UserError
from fewfit.examples.example import Example
from fewfit.render import Prompt, Renderer


def prompts_of(bundle: Bundle, renderer: Renderer, query: Example) -> Iterator[tuple[int | None, Prompt]]:
    """The query behind its set of demonstrations, or behind several; each with the set's number."""
    apart = replace(query, id="\0query")  # its number must not be taken for an example's
    if not bundle.sets:  # its chooser takes from the pool for this query: as for example n + 1
        for k in range(bundle.lane.members):
            at = Moment(bundle.seed, bundle.n + 1, 1, f"{purpose(k)} of query {query_number(query)}")
            demos = chooser(bundle.lane.demonstrations).choose(bundle.pool, apart, bundle.lane.shots_at_use, at)
            yield None, lay_out(renderer, demos, query)
        return
    for k in sets_of_query(bundle.lane, query, len(bundle.sets)):
        demos = [one for one in bundle.sets[k] if not one.conflicts_with(apart)]  # nor was it its own in the stream
        yield k, lay_out(renderer, demos, query)


def lay_out(renderer: Renderer, demos: Sequence[Example], query: Example) -> Prompt:
    try:
        return renderer.prompt(demos, query)
    except UserError as error:
        if error.code != "too-long":
            raise
        hint = "shorten it, or leave it out"  # the bundle's length is settled
        raise UserError(error.message, where=f"query {query.id}", hint=hint, code=error.code) from None


def choices_of(bundle: Bundle, query: Example) -> tuple[str, ...]:
    choices = query.choices or bundle.choices
    if not choices:
        raise UserError(
            "has no choices, and those of the examples were each row's own",
            where=f"query {query.id}",
            hint='give {"prompt": …, "choices": […]}',
        )
    return choices
