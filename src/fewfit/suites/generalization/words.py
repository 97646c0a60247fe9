"""The words of a world: nonsense of English-like syllables, or plausible names.

Nonsense words have 4 or 5 letters, begin with a consonant (so never "an") and end with one (so a verb takes "ed" as it
is). None is a real word, and no two of one world share their first four letters.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from itertools import islice

from fewfit.suites.generalization import plausible
from fewfit.suites.generalization.drawing import Key, sample, shuffle
from fewfit.suites.generalization.listed import listed
from fewfit.suites.generalization.real_words import REAL_WORDS
from fewfit.suites.generalization.world import Names

ONSETS = listed(
    """
    b bl br ch d dr f fl fr g gl gr h j k kl kr l m n p pl pr r s sk sl sm sn sp st t th tr tw v w y z
    """
)
VOWELS = listed("a e i o u")
CODAS = listed(
    """
    b ck d ft g ld lf lk lm lp lt m mp n nd ng nk nt p pt rb rd rf rg rk rm rn rp rt sh sk sp st t th x
    """
)
SYLLABLES = tuple(
    word for word in (on + vowel + coda for on in ONSETS for vowel in VOWELS for coda in CODAS) if 4 <= len(word) <= 5
)
# "ed" would double a single consonant, so verbs end with two.
VERB_CODAS = tuple(coda for coda in CODAS if len(coda) == 2)


@dataclass(frozen=True)
class Lexicon:
    """The words of one world, no word in two places. `verbs` are as in "glon blick femp"."""

    animals: tuple[str, ...]
    objects: tuple[str, ...]
    qualities: tuple[str, ...]
    parts: tuple[str, ...]
    abilities: tuple[str, ...]
    verbs: tuple[str, ...]
    people: tuple[str, ...]


@cache
def nonsense_words() -> tuple[str, ...]:
    return tuple(word for word in SYLLABLES if word not in REAL_WORDS)


def draw_nonsense(count: int, *key: Key, ends: tuple[str, ...] = CODAS, beside: Collection[str] = ()) -> list[str]:
    """Nonsense words in hashed order, `beside` others. Of words with the same four letters the first is taken: they
    would be mistaken for each other, and one may stand inside the other."""
    out: list[str] = []
    heads = {word[:4] for word in beside}
    for word in shuffle(nonsense_words(), *key):
        if len(out) == count:
            break
        if word[:4] not in heads and word.endswith(ends):
            heads.add(word[:4])
            out.append(word)
    if len(out) < count:
        raise ValueError(f"{count} nonsense words asked for, and there are {len(out)}")
    return out


def draw_lexicon(
    names: Names,
    *key: Key,
    animals: int = 0,
    objects: int = 0,
    qualities: int = 0,
    parts: int = 0,
    abilities: int = 0,
    verbs: int = 0,
    people: int = 0,
) -> Lexicon:
    """So many words of each kind."""
    if names == "plausible":
        return Lexicon(
            tuple(sample(plausible.coin(plausible.ANIMAL_ENDS), animals, *key, "animals")),
            tuple(sample(plausible.coin(plausible.OBJECT_ENDS), objects, *key, "objects")),
            tuple(sample(plausible.QUALITIES, qualities, *key, "qualities")),
            tuple(sample(plausible.HAD, parts, *key, "parts")),
            tuple(sample(plausible.DONE, abilities, *key, "abilities")),
            tuple(sample(plausible.VERBS, verbs, *key, "verbs")),
            plausible.name_people(people, *key),
        )
    acts = draw_nonsense(verbs, *key, "verbs", ends=VERB_CODAS)
    counts = (animals, objects, qualities, parts, abilities)
    rest = iter(draw_nonsense(sum(counts) + 2 * people, *key, "words", beside=acts))
    one, two, three, four, five = (tuple(islice(rest, count)) for count in counts)
    spare = [word.capitalize() for word in rest]
    named = tuple(f"{first} {last}" for first, last in zip(spare[::2], spare[1::2]))
    return Lexicon(one, two, three, four, five, tuple(acts), named)
