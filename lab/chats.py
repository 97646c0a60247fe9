"""Short chats whose fulfilment a program can check: of one turn and of several, with and without a standing order.

A `Turn` is what the user says, an answer that fulfils it, and the check that any other answer must pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lab import words as W
from lab.document import CONTEXT, INFERABLE, LABEL, Part, Source

Check = Callable[[str], bool]


@dataclass(frozen=True)
class Turn:
    user: str
    answer: str
    check: Check
    sure: bool = True  # whether this very answer can be inferred


def _exactly(user: str, answer: str) -> Turn:
    return Turn(user, answer, lambda text: text.split() == answer.split())


NUMBERS = {2: "two", 3: "three", 4: "four"}
_LABELLED = tuple(kind for kind in W.NOUN_KINDS if kind not in W.HELD_OUT_KINDS)


def _say(source: Source) -> Turn:
    text = " ".join(source.text(1, 4))
    return _exactly(
        source.pick(("say {}", "repeat after me: {}", "write {}", "copy this: {}", "please say {}")).format(text), text
    )


def _times(source: Source) -> Turn:
    text, times = " ".join(source.text(1, 2)), source.between(2, 4)
    how = "twice" if times == 2 and source.chance(0.5) else f"{NUMBERS[times]} times"
    return _exactly(source.pick(("say {} {}", "write {} {}")).format(text, how), " ".join([text] * times))


def _edit(source: Source) -> Turn:
    words = source.text(2, 4)
    user, answer = source.pick(
        (
            ("reverse the words: {}", words[::-1]),
            ("say this backwards: {}", words[::-1]),
            ("what is the first word of: {}", words[:1]),
            ("what is the last word of: {}", words[-1:]),
            ("drop the first word: {}", words[1:]),
            ("drop the last word: {}", words[:-1]),
            ("double every word: {}", [w for word in words for w in (word, word)]),
        )
    )
    return _exactly(user.format(" ".join(words)), " ".join(answer))


def _append(source: Source) -> Turn:
    *words, mark = source.some(source.between(2, 4))
    text = " ".join(words)
    if source.chance(0.5):
        return _exactly(f"say {text} and end with {mark}", f"{text} {mark}")
    return _exactly(f"say {text} but begin with {mark}", f"{mark} {text}")


def _replace(source: Source) -> Turn:
    words = source.text(2, 4)
    old, new = source.pick(words), source.word()
    return _exactly(f"replace {old} by {new}: {' '.join(words)}", " ".join(new if w == old else w for w in words))


def _name(source: Source) -> Turn:
    """Any words of the kind will do."""
    kind, number = source.pick(_LABELLED), source.between(1, 3)
    allowed = set(W.KINDS[kind])
    answer = source.rng.sample(W.KINDS[kind], number)
    user = f"name a kind of {kind}" if number == 1 else f"name {NUMBERS[number]} kinds of {kind}"

    def check(text: str) -> bool:
        said = text.replace(",", " ").split()
        return len(said) == number == len(set(said)) and set(said) <= allowed

    return Turn(user, " ".join(answer), check, sure=False)


def _name_and_end(source: Source) -> Turn:
    kind, mark = source.pick(_LABELLED), source.word()
    allowed = set(W.KINDS[kind])

    def check(text: str) -> bool:
        said = text.split()
        return len(said) > 1 and said[0] in allowed and said[-1] == mark

    return Turn(f"name a kind of {kind} and end with {mark}", f"{source.pick(W.KINDS[kind])} {mark}", check, sure=False)


def _what_kind(source: Source) -> Turn:
    kind = source.pick(tuple(W.KINDS))
    word = source.pick(W.KINDS[kind])
    if source.chance(0.5):
        return _exactly(f"what kind of thing is {word}?", kind)
    true = source.chance(0.5)
    asked = kind if true else source.pick([k for k in W.KINDS if k != kind])
    return _exactly(f"is {word} a kind of {asked}?", "yes" if true else "no")


def _attribute(source: Source) -> Turn:
    word = source.pick(W.KINDS[source.pick(_LABELLED)])
    name = source.pick(tuple(W.ATTRIBUTES))
    a, b = W.ATTRIBUTES[name]
    return _exactly(f"is {word} {a} or {b}?", W.MEANING[word][name])


def _sum(source: Source) -> Turn:
    a, b = int(source.rng.random() * 10), int(source.rng.random() * 10)
    return _exactly(source.pick(("what is {} + {}?", "add {} and {}")).format(a, b), str(a + b))


def _choose(source: Source) -> Turn:
    a, b = source.some(2)
    mark = f"say {a} if {{}}, else say {b}"
    low, high = sorted(source.rng.sample(range(10), 2))
    true = source.chance(0.5)
    claim = f"{low} is less than {high}" if true else f"{high} is less than {low}"
    return _exactly(mark.format(claim), a if true else b)


def _join(source: Source) -> Turn:
    words = source.text(2, 4)
    if source.chance(0.5):
        return _exactly(f"write with commas: {' '.join(words)}", ", ".join(words))
    return _exactly(f"write without commas: {', '.join(words)}", " ".join(words))


FIRST: tuple[Callable[[Source], Turn], ...] = (
    _say,
    _times,
    _edit,
    _edit,
    _append,
    _replace,
    _name,
    _name_and_end,
    _what_kind,
    _attribute,
    _sum,
    _choose,
    _join,
)


def _follow_up(source: Source, history: list[Turn]) -> Turn:
    """A request about what was said last."""
    words = history[-1].answer.split()
    new = source.word()
    options = [
        ("say that again", words),
        ("now reverse it", words[::-1]),
        ("now twice", words + words),
        ("what was the first word?", words[:1]),
        ("what was the last word?", words[-1:]),
        (f"now add {new} at the end", [*words, new]),
        (f"now put {new} at the start", [new, *words]),
        (f"now replace {words[0]} by {new}", [new if w == words[0] else w for w in words]),
        ("what did i ask you first?", history[0].user.split()),
    ]
    options = options if len(words) < 7 else options[3:5]
    user, answer = source.pick(options)
    return _exactly(user, " ".join(answer))


def chat(source: Source, turns: int) -> tuple[str, list[Turn]]:
    """A standing order (or none) and the turns. A standing order changes every answer."""
    source.restyle()
    if source.style in ("english",):
        source.restyle()
    out: list[Turn] = []
    for _ in range(turns):
        if out and source.chance(0.6) and out[-1].answer:
            out.append(_follow_up(source, out))
        else:
            out.append(source.pick(FIRST)(source))
    if not source.chance(0.25):
        return "", out
    mark = source.word()
    front = source.chance(0.4)

    def ordered(turn: Turn) -> Turn:
        answer = f"{mark} {turn.answer}" if front else f"{turn.answer} {mark}"

        def check(text: str) -> bool:
            said = text.split()
            if not said or said[0 if front else -1] != mark:
                return False
            return turn.check(" ".join(said[1:] if front else said[:-1]))

        return Turn(turn.user, answer, check, turn.sure)

    if any("again" in t.user or "it" in t.user.split() or "now" in t.user or "was" in t.user for t in out):
        # What "it" means would be unclear where every answer carries the mark: independent requests only.
        out = [source.pick(FIRST)(source) for _ in out]
    order = f"always begin with {mark}." if front else f"always end with {mark}."
    return order, [ordered(turn) for turn in out]


def chats(source: Source, budget: int) -> list[Part]:
    """Documents of one or more chats."""
    parts: list[Part] = []
    used = 0
    while used < budget:
        order, turns = chat(source, 1 if source.chance(0.3) else source.between(2, 4))
        if order:
            parts.append((f"<|system|>{order}<|end|>", CONTEXT))
        for turn in turns:
            parts.append((f"<|user|>{turn.user}<|end|><|assistant|>", CONTEXT))
            weight = (LABEL if " " not in turn.answer else INFERABLE) if turn.sure else 0.3
            parts.append((f"{turn.answer}<|end|>", weight))
            used += 10 + (len(turn.user) + len(turn.answer)) // 4
        parts.append(("<|endoftext|>", CONTEXT))
    return parts


def orders(source: Source, budget: int) -> list[Part]:
    """The same requests outside the chat template, one after the other, each telling what to do."""
    parts: list[Part] = []
    used = 0
    while used < budget:
        turn = source.pick(FIRST)(source)
        parts.append((f"Input: {turn.user}\nOutput:", CONTEXT))
        parts.append((f" {turn.answer}\n\n", INFERABLE if turn.sure else 0.3))
        used += 12 + (len(turn.user) + len(turn.answer)) // 4
    parts.append(("<|endoftext|>", CONTEXT))
    return parts


TEXTS = {"chats": chats, "orders": orders}
