"""Documents: what families make (tasks of items), the layouts that write them, and how they become weighted tokens."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from lab import words as W

# Loss weights: text that can be inferred, one-word labels, answers that cannot be inferred yet, all else.
INFERABLE, LABEL, BLIND, CONTEXT = 1.0, 3.0, 0.1, 0.05

Part = tuple[str, float]


@dataclass(frozen=True)
class Item:
    """One example: input, answer, and whether the answer follows from its own input and the instruction or context."""

    x: str
    y: str
    known: bool | None = None  # None: the layout decides from what stands before


@dataclass(frozen=True)
class Task:
    """A few-shot task drawn from a family: its hidden rule lives in `make`."""

    family: str
    make: Callable[[], Item]
    instructions: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    arbitrary: bool = False  # the instruction does not say what the labels mean


LABEL_POOLS = (
    *((W.SEEN_LABELS,) * 2),
    W.SYLLABLES,
    *((W.SEEN_NONSENSE,) * 4),
    *((tuple(W.LEXICON),) * 2),
    *((tuple(word for word in W.ENGLISH if word not in W.HELD_OUT_LABELS),) * 2),
    W.NAMES,
)


# Label words as ordinary words of lists and look-ups. The held-out ones, which no labelling task uses, come most often:
# a word that is never written cannot be chosen either.
LABEL_WORDS = (*sorted(W.HELD_OUT_LABELS) * 2, *W.LABELS)


@dataclass
class Source:
    """Random choices for one document. `fresh` turns to words that training never shows."""

    rng: Random
    fresh: bool = False
    reach: float = 1.0  # 0 to 1: how long texts may become, raised by the curriculum
    style: str = ""
    usual_labels: bool = False  # in evaluation: label words that training used as labels
    _pool: tuple[str, ...] = field(default=(), repr=False)

    def pick(self, pool: tuple | list):
        return pool[int(self.rng.random() * len(pool))]

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def between(self, low: int, high: int) -> int:
        """A whole number in [low, high]; the curriculum holds the upper end down."""
        high = low + round((high - low) * self.reach)
        return low + int(self.rng.random() * (high - low + 1))

    def nonsense(self) -> str:
        return self.pick(W.FRESH_NONSENSE if self.fresh else W.SEEN_NONSENSE)

    def restyle(self) -> None:
        """Choose what the words of this document look like."""
        r = self.rng.random()
        if self.fresh:
            self.style, self._pool = "nonsense", W.FRESH_NONSENSE
        elif r < 0.25:
            self.style, self._pool = "syllable", W.SYLLABLES
        elif r < 0.60:
            self.style, self._pool = "nonsense", W.SEEN_NONSENSE
        elif r < 0.72:
            self.style, self._pool = "lexicon", tuple(W.LEXICON)
        elif r < 0.86:
            self.style, self._pool = "labels", LABEL_WORDS
        elif r < 0.92:
            self.style, self._pool = "letters", W.LETTERS
        elif r < 0.95:
            self.style, self._pool = "english", W.ENGLISH
        else:
            self.style, self._pool = "names", W.NAMES

    def word(self) -> str:
        if not self._pool:
            self.restyle()
        return self._pool[int(self.rng.random() * len(self._pool))]

    def some(self, count: int) -> list[str]:
        """Distinct words of the document's style."""
        out: list[str] = []
        while len(out) < count:
            word = self.word()
            if word not in out:
                out.append(word)
        return out

    def text(self, low: int, high: int) -> list[str]:
        return self.some(self.between(low, high))

    def labels(self, count: int) -> tuple[str, ...]:
        pool: tuple[str, ...]
        if self.fresh:
            pool = W.SEEN_LABELS if self.usual_labels else tuple(sorted(W.HELD_OUT_LABELS))
        else:
            # Any word may be a label: with few of them, a model learns the labels and not to take what is shown.
            pool = self.pick(LABEL_POOLS)
        return tuple(self.rng.sample(pool, count))


# ---------------------------------------------------------------- layouts


@dataclass(frozen=True)
class Layout:
    """How items are written. `chat` uses the template's turns; else fields and a separator that ends answers."""

    name: str
    before: str = "Input:"
    between: str = "\nOutput:"
    end: str = "\n\n"
    chat: bool = False


PLAIN = Layout("plain")
CHAT = Layout("chat", "<|user|>", "<|end|><|assistant|>", "<|end|>", chat=True)
_FIELDS = (
    ("Q", "A"),
    ("Question", "Answer"),
    ("Text", "Label"),
    ("In", "Out"),
    ("Words", "Answer"),
    ("Task", "Answer"),
    ("input", "output"),
    ("text", "label"),
    ("x", "y"),
    ("Text", "Answer"),
    ("Question", "Output"),
)
VARIED = tuple(
    [Layout("fields", f"{a}:", f"\n{b}:", "\n\n") for a, b in _FIELDS]
    + [Layout("lines", f"{a}:", f"\n{b}:", "\n") for a, b in _FIELDS[:4]]
    + [Layout("arrow", "", arrow, end) for arrow in (" ->", " =>", " :", " =") for end in ("\n", "\n\n")]
)


ARROWS = VARIED[-8:]


def choose_layout(source: Source) -> Layout:
    r = source.rng.random()
    if source.reach < 0.2 and r < 0.4:
        return source.pick(ARROWS)  # the easiest texts also in the layouts where label and word stand closest
    return PLAIN if r < 0.4 else CHAT if r < 0.7 else source.pick(VARIED)


def one_of(labels: tuple[str, ...]) -> str:
    """The line that fewfit adds where there are choices and no instruction."""
    return f"Answer with one of: {', '.join(labels)}."


def header(task: Task, source: Source) -> tuple[str, bool]:
    """The lines above the items, and whether they tell what to do."""
    r = source.rng.random()
    instruction = source.pick(task.instructions) if task.instructions and r < 0.5 else ""
    listing = ""
    if task.labels and source.chance(0.5):
        listing = f"Labels: {', '.join(task.labels)}" if source.chance(0.4) else one_of(task.labels)
    return "\n".join(line for line in (instruction, listing) if line), bool(instruction) and not task.arbitrary


def write_task(task: Task, source: Source, budget: int) -> list[Part]:
    """A document of as many items as about `budget` words hold."""
    layout = choose_layout(source)
    head, told = header(task, source)
    parts: list[Part] = []
    first = ""
    if head:
        if not layout.chat:
            parts.append((head + layout.end, CONTEXT))
        elif source.chance(0.7):
            parts.append((f"<|system|>{head}<|end|>", CONTEXT))
        else:
            first = head + "\n\n"
    space = "" if layout.chat else " "
    seen: set[str] = set()
    used, count = 0, 0
    # Most documents run to the budget; some are short, so that endings and first items are seen often.
    limit = 99 if source.chance(0.8) else source.between(1, 8)
    while count < limit:
        item = task.make()
        cost = 8 + (len(item.x) + len(item.y)) // 4
        if used and used + cost > budget:
            break
        lead = space if layout.before else ""
        parts.append((f"{layout.before}{lead}{first}{item.x}{layout.between}", CONTEXT))
        if task.labels:
            known = item.known if item.known is not None else (item.y in seen or told)
            weight = LABEL if known else BLIND
        else:
            known = item.known if item.known is not None else (told or count > 0)
            weight = INFERABLE if known else BLIND
        parts.append((f"{space}{item.y}{layout.end}", weight))
        seen.add(item.y)
        used += cost
        count += 1
        first = ""
    parts.append(("<|endoftext|>", CONTEXT))
    return parts


# ---------------------------------------------------------------- tokens

PIECES = re.compile(r"<\|[a-z]+\|>| ?[^\W\d_]+| ?\d| ?(?:(?!<\|[a-z])[^\s\w])+|\n+|[^\S\n]+|_+")


class Encoder:
    """Text to ids by a cache from pre-token to ids: the tokenizer is asked once a piece."""

    def __init__(self, tokenize: Callable[[str], list[int]]) -> None:
        self._tokenize = tokenize
        self._cache: dict[str, list[int]] = {}

    def text(self, text: str) -> list[int]:
        cache, out = self._cache, []
        for piece in PIECES.findall(text):
            ids = cache.get(piece)
            if ids is None:
                ids = cache[piece] = self._tokenize(piece)
            out += ids
        return out

    def parts(self, parts: list[Part]) -> tuple[list[int], list[float]]:
        ids: list[int] = []
        weights: list[float] = []
        for text, weight in parts:
            new = self.text(text)
            ids += new
            weights += [weight] * len(new)
        return ids, weights
