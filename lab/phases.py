"""The curriculum: what share of the corpus each group, family or text has, and how long texts may get, by tokens seen.

Association first, then the whole mix, then meanings with short texts, then everything longer. A change of the mix is a
new phase at the end of the list, so that the recipe stays what it was.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Phase:
    """Until how many million tokens, how long texts may get, and the share of each group, family or text."""

    name: str
    until: float
    reach: float
    shares: tuple[tuple[str, float], ...]
    label_reach: float | None = None  # the same for texts that get a label, where shorter ones come first
    long_every: int = 0  # every so many steps the rows are twice as long
    lengths: tuple[int, ...] = ()  # or the lengths of rows, in turn
    far: float = 0.0  # the share of distant repetition in documents of more than 500 tokens

    def row_length(self, step: int) -> int:
        if self.lengths:
            return self.lengths[step % len(self.lengths)]
        return 512 if self.long_every and step % self.long_every == 0 else 256


def _shares(**shares: float) -> tuple[tuple[str, float], ...]:
    return tuple((name.replace("_", " "), share) for name, share in shares.items())


ASSOCIATION = _shares(mapping=20, pairs=10, membership=20, keyword=20, repetition=15, look_up_in_text=10, copy=5)
OLD_MIX = _shares(lists=34, lookups=16, pairs=4, keyword=10, simple_labels=18, repetition=6, lexicon=8, meanings=4)
LEXICON = _shares(
    lexicon=16, meanings=26, lists=14, lookups=6, pairs=1, keyword=8, simple_labels=9, repetition=1,
    worlds=9, consequences=2, relation_words=1, chats=3, orders=2, reason=2
)  # fmt: skip
MEANINGS = _shares(
    lexicon=14,
    meanings=37,
    lists=18,
    lookups=6,
    pairs=1,
    keyword=8,
    simple_labels=6,
    repetition=1,
    worlds=5,
    consequences=1,
    chats=2,
    orders=1,
)
BINDING = _shares(
    lexicon=5,
    attributes=3,
    labels_by_meaning=30,
    keyword=14,
    simple_labels=13,
    lists=15,
    lookups=6,
    worlds=7,
    chats=4,
    orders=2,
    reason=1,
)
ONE_WORD = _shares(
    lexicon=5,
    attributes=2,
    labels_by_kind=46,
    keyword=4,
    simple_labels=7,
    lists=15,
    lookups=9,
    worlds=6,
    chats=4,
    orders=1,
    reason=1,
)
EVERYTHING = _shares(
    lexicon=5,
    attributes=6,
    labels_by_meaning=26,
    lists=15,
    lookups=7,
    pairs=1,
    keyword=9,
    simple_labels=8,
    worlds=9,
    consequences=1,
    relation_words=0.5,
    chats=6,
    orders=3,
    reason=4,
)
FINAL = _shares(
    lexicon=3,
    attributes=3,
    labels_by_meaning=32,
    keyword=10,
    simple_labels=8,
    lists=14,
    lookups=8,
    worlds=9,
    consequences=1,
    chats=7,
    orders=2,
    reason=3,
)
LONG = _shares(
    labels_by_meaning=26,
    size=4,
    age=5,
    keyword=13,
    count=4,
    simple_labels=6,
    lists=12,
    spell=2,
    replace=2,
    lookups=7,
    word_by_word=2,
    worlds=8,
    reversal_yes_or_no=2,
    consequences=0.7,
    chats=5,
    orders=1.5,
    reason=3,
    count_one=1,
    kind_words=12,
    lexicon=4,
    attributes=4,
    far_repetition=3,
)
IN_CONTEXT = _shares(
    labels_by_meaning=26,
    size=4,
    age=4,
    keyword=10,
    short_keyword=12,
    count=4,
    simple_labels=6,
    lists=16,
    spell=2,
    replace=2,
    lookups=7,
    word_by_word=2,
    worlds=8,
    reversal_yes_or_no=1.5,
    consequences=0.7,
    chats=5,
    orders=1.5,
    reason=3,
    count_one=1,
    alike=11,
    kind_words=3,
    lexicon=2,
    attributes=2,
    label_words=4,
    far_repetition=3,
)
LONG_ROWS = (256, 512, 256, 1024, 256, 512, 256, 2048, 256, 512, 256, 1024)
FEWER_LONG_ROWS = (256, 512, 256, 256, 512, 1024, 256, 512, 256, 256, 512, 2048)
LAST = tuple((name, {"lexicon": 10, "attributes": 1}.get(name, share)) for name, share in FINAL)

PHASES = (
    Phase("association", 2.5, 0.5, ASSOCIATION),
    Phase("lists", 7.0, 0.7, OLD_MIX),
    Phase("lexicon", 13.84448, 0.35, LEXICON),
    Phase("meanings", 20.0, 0.35, MEANINGS),
    Phase("binding", 27.5, 0.7, BINDING, label_reach=0.3),
    Phase("one word", 31.0, 0.9, ONE_WORD, label_reach=0.0),
    Phase("longer", 42.0, 0.9, EVERYTHING, label_reach=0.5),
    Phase("full length", 44.6, 1.0, FINAL, label_reach=0.8, long_every=4),
    Phase("meanings again", 49.6, 1.0, LAST, label_reach=0.8, long_every=4),
    Phase("repetition again", 55.144448, 1.0, (*LAST, ("far repetition", 7)), label_reach=0.8, long_every=3),
    Phase("long rows", 56.3, 1.0, LONG, lengths=LONG_ROWS, far=0.25),
    Phase("in context", 1e9, 1.0, IN_CONTEXT, lengths=FEWER_LONG_ROWS, far=0.3),
)


def phase_at(tokens: float) -> int:
    """The phase in which the token number `tokens` falls."""
    return next(i for i, phase in enumerate(PHASES) if tokens < phase.until * 1e6)
