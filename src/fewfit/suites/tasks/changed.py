"""Tasks made of other tasks, by their names.

flipped-NAME             labels that say the opposite: each stands for the next one in their order
translate-FROM-TO        word pairs of FROM-TO, or of TO-FROM read the other way, scored by chrF
A-as-B                   of A only the examples whose labels B has, too
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from fewfit.errors import UserError
from fewfit.examples import Example
from fewfit.suites.tasks.task import Asking, Published

FLIPPED, TRANSLATE, AS = "flipped-", "translate-", "-as-"
LANGUAGES = ("english", "french", "german", "spanish", "italian", "kurdish", "bemba")
STATED = "The labels are flipped: each stands for another one."


def languages(name: str) -> tuple[str, str] | None:
    """What a file of that name translates from and to, if it does."""
    one, _, other = name.partition("-")
    return (one, other) if one in LANGUAGES and other in LANGUAGES else None


def flipped(task: Published) -> Published:
    """With three labels or more they go round, so that no one keeps its meaning."""
    choices = task.asking.choices
    if not choices:
        raise UserError(f"{FLIPPED}{task.name}", hint=f"{task.name} has no labels that all its rows share")
    other = dict(zip(choices, (*choices[1:], choices[0]), strict=True))

    def turned(examples: tuple[Example, ...]) -> tuple[Example, ...]:
        return tuple(replace(one, completion=other.get(one.completion, one.completion)) for one in examples)

    return replace(task, name=f"{FLIPPED}{task.name}", examples=turned(task.examples), tested=turned(task.tested))


def stated(task: Published) -> Published:
    """The same with a line before every prompt that says so, in training as in use."""
    name = task.name.replace(FLIPPED, f"{FLIPPED}stated-", 1)
    return replace(task, name=name, asking=replace(task.asking, instruction=STATED))


def narrowed(task: Published, other: Published) -> Published:
    name, known = f"{task.name}{AS}{other.name}", set(other.asking.choices or ())
    shared = tuple(one for one in task.asking.choices or () if one in known)
    if len(shared) < 2:
        raise UserError(f"{name}: {len(shared)} labels in both", hint="name two tasks that share two labels or more")

    def of_shared(examples: tuple[Example, ...]) -> tuple[Example, ...]:
        return tuple(one for one in examples if one.completion in shared)

    asking = replace(task.asking, choices=shared)
    return Published(name, of_shared(task.examples), asking, of_shared(task.tested))


def translation(task: Published, backwards: bool = False) -> Published:
    pair = languages(task.name)
    if pair is None:
        raise UserError(f"{TRANSLATE}{task.name}", hint=f"pairs of two of {', '.join(LANGUAGES)}, in a file FROM-TO")
    source, target = reversed(pair) if backwards else pair
    turned = around if backwards else tuple
    return Published(f"{TRANSLATE}{source}-{target}", turned(task.examples), Asking("chrf"), turned(task.tested))


def around(examples: Iterable[Example]) -> tuple[Example, ...]:
    return tuple(replace(one, prompt=one.completion, completion=str(one.prompt)) for one in examples)


def changed(name: str, known: Mapping[str, Callable[[], Published]]) -> Published | None:
    """The task of that name, if it is one of these and what it is made of is `known`."""
    if name.startswith(FLIPPED):
        of = name.removeprefix(FLIPPED)
        if of.removeprefix("stated-") in known:
            task = flipped(known[of.removeprefix("stated-")]())
            return stated(task) if of.startswith("stated-") else task
    one, _, other = name.partition(AS)
    if one in known and other in known:
        return narrowed(known[one](), known[other]())
    if name.startswith(TRANSLATE) and (pair := languages(name.removeprefix(TRANSLATE))):
        for way, backwards in ((pair, False), (pair[::-1], True)):
            if (at := "-".join(way)) in known:
                return translation(known[at](), backwards)
    return None
