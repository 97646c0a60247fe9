"""True inferences with as many errors among them as a model makes: what is the remedy worth when made no better?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fewfit import draw
from fewfit.suites.generalization.checking import judge
from fewfit.suites.generalization.world import Document, World

TRIES = 12
MARK = "\0"


def diluted(world: World, precision: float) -> list[Document]:
    """As much text as `world.inferences`; of its statements a share of `precision` is true. Which are not, is drawn by
    hash; they say of one thing what is true of another, in the same words."""
    wanted = round((1 - precision) * len(world.inferences))
    order = draw.shuffled(world.inferences, lambda one: one.id, seed=world.seed, purpose="dilute")
    spoilt: dict[str, Document] = {}
    for one in order:
        if len(spoilt) == wanted:
            break
        if (made := falsified(world, one, order)) is not None:
            spoilt[one.id] = made
    return [spoilt.get(one.id, one) for one in world.inferences]


def falsified(world: World, inference: Document, others: Sequence[Document]) -> Document | None:
    """With the last part of its last fact exchanged for another one's, or both parts with each other, if that makes it
    false."""
    *_, (relation, *_, first, last) = inference.facts
    parts = {fact[-1] for one in others for fact in one.facts if fact[0] == relation and fact[-1] != last}
    drawn = draw.shuffled(sorted(parts), str, seed=world.seed, purpose=f"spoil {inference.id}")[:TRIES]
    texts = [exchanged(inference.text, last, part) for part in drawn]
    texts.append(exchanged(exchanged(exchanged(inference.text, first, MARK), last, first), MARK, last))
    for text in texts:
        if text != inference.text and any(verdict == "false" for _, verdict in judge(world, text)):
            return replace(inference, text=text, facts=())
    return None


def exchanged(text: str, old: str, new: str) -> str:
    """Where it begins the text it is written with a capital."""
    if text.startswith(old[:1].upper() + old[1:]):
        text = new[:1].upper() + new[1:] + text[len(old) :]
    return text.replace(f" {old}", f" {new}")
