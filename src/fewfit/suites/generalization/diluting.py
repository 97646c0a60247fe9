"""True inferences with as many errors among them as a model makes: what is the remedy worth when made no better?"""

from __future__ import annotations

from dataclasses import replace

from fewfit import draw
from fewfit.suites.generalization.checking import judge
from fewfit.suites.generalization.world import Document, Fact, World

TRIES = 12
MARK = "\0"


def diluted(world: World, precision: float) -> list[Document]:
    """As much text as `world.inferences`, of whose statements a share of `precision` is true. Which are not is drawn by
    hash: they say of one thing what is true of another, in the same words."""
    texts = {one.id: one.text for one in world.inferences}
    statements = {one.id: judge(world, one.text) for one in world.inferences}
    wanted = round((1 - precision) * sum(verdict != "unread" for some in statements.values() for _, verdict in some))
    for one, fact in draw.shuffled(
        [(told, fact) for told in world.inferences for fact in told.facts],
        lambda pair: f"{pair[0].id} {pair[1]}",
        seed=world.seed,
        purpose="dilute",
    ):
        if wanted <= 0:
            break
        made = falsified(world, texts[one.id], fact)
        if made is not None:
            wanted -= falsehoods(world, made) - falsehoods(world, texts[one.id])
            texts[one.id] = made
    return [replace(one, text=texts[one.id]) for one in world.inferences]


def falsehoods(world: World, text: str) -> int:
    return sum(verdict == "false" for _, verdict in judge(world, text))


def falsified(world: World, text: str, fact: Fact) -> str | None:
    """With the last part of the fact exchanged for another one's, or both parts with each other, where that makes more
    of the text false."""
    relation, *_, first, last = fact
    parts = {other[-1] for one in world.inferences for other in one.facts if other[0] == relation and other[-1] != last}
    drawn = draw.shuffled(sorted(parts), str, seed=world.seed, purpose=f"spoil {fact}")[:TRIES]
    tries = [exchanged(text, last, part) for part in drawn]
    tries.append(exchanged(exchanged(exchanged(text, first, MARK), last, first), MARK, last))
    before = falsehoods(world, text)
    return next((one for one in tries if one != text and falsehoods(world, one) > before), None)


def exchanged(text: str, old: str, new: str) -> str:
    """Where it begins the text it is written with a capital."""
    if text.startswith(old[:1].upper() + old[1:]):
        text = new[:1].upper() + new[1:] + text[len(old) :]
    return text.replace(f" {old}", f" {new}")
