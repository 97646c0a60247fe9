"""Articles on a taxonomy: short texts in several formats, each sentence of which states one fact.

Sentences are told in turns: the facts told least often come first, so that every fact stands in about as many documents
as any other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from fewfit.draw import number
from fewfit.suites.generalization.drawing import Key, capital, pick, sentence
from fewfit.suites.generalization.world import Fact

# {x} is the subject, {y} the rest; {v} and {ved} a verb as it is and with "ed".
WORDINGS: dict[str, tuple[str, ...]] = {
    "is a": ("{x} are a type of {y}", "{x} are a kind of {y}", "{x} belong to the {y}", "{x} are classed as {y}"),
    "includes": ("{x} include {y}", "among the {x} are the {y}", "one kind of {x} are the {y}"),
    "is": ("{x} are {y}", "{x} are known to be {y}", "all {x} are {y}"),
    "has": ("{x} have {y}", "{x} possess {y}", "{x} come with {y}"),
    "can": ("{x} can {y}", "{x} are able to {y}", "{x} can easily {y}"),
    "verb": ("{x} {v} {y}", "{x} are known to {v} {y}", "{x} like to {v} {y}"),
    "by": ("{x} are {ved} by {y}", "{x} are often {ved} by {y}", "{x} get {ved} by {y}"),
}
QUESTIONS = {
    "is a": "What kind of thing are {x}?",
    "includes": "What do {x} include?",
    "is": "What are {x} like?",
    "has": "What do {x} have?",
    "can": "What can {x} do?",
    "verb": "What do {x} do to others?",
    "by": "What happens to {x}?",
}


@dataclass(frozen=True)
class Form:
    """A format: how a text begins, what stands before, between and after its sentences. {x} is its first subject."""

    opening: tuple[str, ...]
    before: tuple[str, ...]
    between: str
    closing: tuple[str, ...]


FORMS = (
    Form(("",), ("",), " ", ("",)),
    Form(("Here is a short entry on {x}.", "The next page deals with {x}."), ("", "", "In addition, "), " ", ("",)),
    Form(("Facts about {x}:\n", "{x}: a list\n"), ("- ",), "\n", ("",)),
    Form(
        ("Today's lesson is about {x}.", "Let us now turn to {x}."),
        ("Remember that ", "Note that ", ""),
        " ",
        ("That is all for today.", "Please read this again at home."),
    ),
    Form(
        ("Field notes, in the morning.", "From the diary of a collector."),
        ("We saw that ", "It is clear that ", "As it seems, "),
        " ",
        ("We went home late.", "More tomorrow."),
    ),
    Form(
        ("Dear reader, you asked about {x}.", "Dear friend, here is what I found out."),
        ("As you know, ", "I can tell you that ", "Also, "),
        " ",
        ("Yours, the editor.", "With kind regards."),
    ),
    Form(
        ("Anna: Tell me about {x}.\n", "Anna: What did you read today?\n"),
        ("Ben: Well, ", "Anna: So ", "Ben: I think that "),
        "\n",
        ("\nAnna: Thank you.", "\nAnna: I see."),
    ),
)


@dataclass(frozen=True)
class Manner:
    """How texts are written: sentences at least and at most; one text in how many is questions and answers, and one in
    how many sentences says "they" for a subject just named (0: none does); openings and closings or the bare text."""

    sentences: tuple[int, int]
    answered: int
    they: int
    framed: bool


def word(fact: Fact, choice: int) -> str:
    """The fact in one of its wordings, without a capital."""
    x, rest = fact[-2], fact[-1]
    wordings = WORDINGS[kind_of(fact)]
    verb = fact[1] if fact[0] == "by" else fact[0]
    return wordings[choice % len(wordings)].format(x=x, y=rest, v=verb, ved=past(verb))


def kind_of(fact: Fact) -> str:
    return fact[0] if fact[0] in WORDINGS else "verb"


def past(verb: str) -> str:
    if verb.endswith("y"):
        return verb[:-1] + "ied"
    return verb + ("d" if verb.endswith("e") else "ed")


def write(
    told_of: Mapping[str, Sequence[Fact]], count: int, manner: Manner, *key: Key, often: Collection[Fact] = ()
) -> list[tuple[str, tuple[Fact, ...]]]:
    """`count` texts on what is told of each subject, what is in `often` twice as often as the rest. A text begins with
    the subject that has waited longest, and goes on to others, drawn by lot, where there is more room: what stands
    together need not belong together."""
    told = {fact: 0 for facts in told_of.values() for fact in facts}
    waited = dict.fromkeys(sorted(told_of), (0, 0))
    texts = []
    for n in range(count):
        turn = (number(*key, n),)
        length = manner.sentences[0] + number(*turn, "length") % (manner.sentences[1] - manner.sentences[0] + 1)
        answered = bool(manner.answered) and number(*turn, "answered") % manner.answered == 0
        # A question and its answer are two sentences.
        length = max(2, length // 2) if answered else length
        longest = min(waited.values())
        subject = pick([one for one, wait in waited.items() if wait == longest], *turn, "first")
        facts: list[Fact] = []
        seen = {subject}
        while True:
            facts += least_told(told_of[subject], told, *turn, subject)[: length - len(facts)]
            if len(facts) == length or len(seen) == len(told_of):
                break
            subject = pick([one for one in waited if one not in seen], *turn, "then", len(seen))
            seen.add(subject)
        for fact in facts:
            told[fact] += 1 if fact in often else 2
        for one in seen:
            counts = [told[fact] for fact in told_of[one]]
            waited[one] = min(counts), sum(counts)
        texts.append((answer(facts, turn) if answered else compose(facts, manner, turn), tuple(facts)))
    return texts


def least_told(facts: Sequence[Fact], told: Mapping[Fact, int], *key: Key) -> list[Fact]:
    # One lot turns the whole list, which is cheaper than one for each fact.
    start = number(*key, "start") % len(facts)
    return sorted([*facts[start:], *facts[:start]], key=lambda fact: told[fact])


def compose(facts: Sequence[Fact], manner: Manner, turn: tuple[Key, ...]) -> str:
    form = pick(FORMS, *turn, "form") if manner.framed else FORMS[0]
    opening = pick(form.opening, *turn, "opening").format(x=facts[0][-2])
    closing = pick(form.closing, *turn, "closing")
    lines = []
    for n, fact in enumerate(facts):
        # Three choices out of one lot, since there are many sentences.
        lot = number(*turn, "sentence", n)
        said = word(fact, lot & 0xFFFF)
        again = n > 0 and facts[n - 1][-2] == fact[-2] and said.startswith(f"{fact[-2]} ")
        if again and manner.they and (lot >> 16 & 0xFFFF) % manner.they == 0:
            said = "they" + said.removeprefix(fact[-2])
        before = form.before[(lot >> 32) % len(form.before)]
        lines.append(before + said + "." if before else sentence(said))
    body = form.between.join(lines)
    # Line by line, or as one paragraph.
    return capital((form.between if form.between == " " else "").join(filter(None, (opening, body, closing))))


def answer(facts: Sequence[Fact], turn: tuple[Key, ...]) -> str:
    """Questions, each answered in a whole sentence."""
    return "\n".join(
        f"Q: {QUESTIONS[kind_of(fact)].format(x=fact[-2])}\nA: {sentence(word(fact, number(*turn, 'answer', n)))}"
        for n, fact in enumerate(facts)
    )
