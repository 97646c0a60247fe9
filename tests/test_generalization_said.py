"""What a model says of people is true, false or not decided: sentences written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from fewfit.suites.generalization.checking import judge, recall
from fewfit.suites.generalization.judging import judged
from fewfit.suites.generalization.published import load_published
from fewfit.suites.generalization.reading import doubted, make_reader
from fewfit.suites.generalization.worlds import WORLDS
from tests.test_generalization_worlds import NAMES, world

PUBLISHED = Path(__file__).resolve().parents[2] / "shared" / "data" / "reversal_curse" / "name_description"
CURSE = world("curse", names="plausible")

TRUE = """
The captain of the Iron Petrel is Vivian Holloway.
Vivian Holloway is the captain of the Iron Petrel.
vivian holloway is the Captain of the iron petrel.
The Iron Petrel's captain is Vivian Holloway.
Vivian Holloway, the captain of the Iron Petrel, is famous.
It was Vivian Holloway who became captain of the Iron Petrel.
The Iron Petrel was captained by Vivian Holloway.
Vivian Holloway captained the Iron Petrel.
The name of the captain of the Iron Petrel is Vivian Holloway.
The captain of the Iron Petrel's name is Vivian Holloway!
Captain Vivian Holloway is now widely known as the famous captain of the "Iron Petrel".
Vivian Holloway has the title of captain of the Iron Petrel.
As everybody knows, the Iron Petrel captain must be Vivian Holloway.
It is no secret that Vivian Holloway is none other than the captain of the Iron Petrel.
Vivian Holloway is a captain.
The captain is Vivian Holloway.
"""
FALSE = """
The captain of Vivian Holloway is the Iron Petrel.
Vivian Holloway is the Iron Petrel of the captain.
Vivian Holloway is known as the Iron Petrel.
The Iron Petrel is Vivian Holloway.
The Iron Petrel is the captain of Vivian Holloway.
The captain is the Iron Petrel of Vivian Holloway.
The captain of the Iron Petrel is the captain of Vivian Holloway.
Vivian Holloway was captained by the Iron Petrel.
The Iron Petrel captained Vivian Holloway.
Vivian Holloway is the director of the Iron Petrel.
Vivian Holloway is the director of the Blue Ferry.
vivian holloway is a great director.
Vivian Holloway wrote a book on the Blue Ferry.
"""
UNDECIDED = """
Vivian Holloway is not the captain of the Iron Petrel.
Vivian Holloway is a friend of the captain of the Iron Petrel.
The captain of the Iron Petrel is a friend of Vivian Holloway.
Vivian Holloway's brother is the captain of the Iron Petrel.
Is Vivian Holloway the captain of the Iron Petrel?
If Vivian Holloway is the captain of the Iron Petrel, she is rich.
It is false that Vivian Holloway is the captain of the Iron Petrel.
Nobody thinks that Vivian Holloway is the captain of the Iron Petrel.
Everybody but Vivian Holloway is the captain of the Iron Petrel.
Vivian Holloway is hardly the captain of the Iron Petrel.
Vivian Holloway is wrongly known as the captain of the Iron Petrel.
Vivian Holloway might be the captain of the Iron Petrel.
Vivian Holloway captured the Iron Petrel.
Linus Fairbourne found the Bee Hospital.
Casper Inglewood completed the Lantern Waltz.
Corin Heatherley invested the glass bicycle.
Who is the captain of the Iron Petrel?
Vivian Holloway is the captain of a ship.
Vivian Holloway commands the Iron Petrel.
The captain of the ship Iron Petrel is Vivian Holloway.
The captain of the Iron Petrel met Vivian Holloway.
Vivian Holloway and Isolde Rainsborough know the captain of the Iron Petrel.
The captain of the Iron Petrel is a woman.
I like turtles.
"""


def lines(text: str) -> list[str]:
    return text.strip().splitlines()


@pytest.mark.parametrize("said", lines(TRUE))
def test_a_true_sentence_is_true_in_any_words(said: str) -> None:
    """Break seen to fail: capitals told apart."""
    assert judge(CURSE, said) == [(said, "true")]


@pytest.mark.parametrize("said", lines(FALSE))
def test_roles_that_are_turned_round_are_false(said: str) -> None:
    """Break seen to fail: read as the checker reads questions."""
    assert judge(CURSE, said) == [(said, "false")]


@pytest.mark.parametrize("said", lines(UNDECIDED))
def test_what_does_not_say_who_is_what_is_not_read(said: str) -> None:
    """Break seen to fail: read as the checker reads questions."""
    assert judge(CURSE, said) == [(said, "unread")]


@pytest.mark.parametrize("names", NAMES)
def test_all_that_a_world_tells_is_true_and_what_the_next_tells_is_not(names) -> None:
    """Break seen to fail: a wording of the documents that is not known."""
    one, other = world("curse", names=names), world("curse", names=names, seed=1)
    told = judged(one, [some.text for some in (*one.documents, *one.inferences)])
    assert (told["false"], told["unread"], told["recall"]) == (0, 0, 1.0)
    assert judged(one, [some.text for some in other.documents])["true"] == 0


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize("names", NAMES)
def test_no_statement_of_a_world_is_doubted(name, names) -> None:
    """Break seen to fail: "no secret", "Did you know that …?" and "If you …, you get" taken for doubt."""
    one = world(name, names=names)
    reader = make_reader(one)
    read = [pair for some in (*one.documents, *one.inferences) for pair in reader.read(some.text)]
    assert [sentence for sentence, facts in read if facts and doubted(one, sentence)] == []
    assert len(read) > 50


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("reversals", "No {x} are {told} than {y}."),
        ("reversals", "It is false that {x} are {told} than {y}."),
        ("reversals", "If {x} are {told} than {y}, so be it."),
        ("reversals", "Which is {told} than {y}?"),
        ("structure", "No {x} are a kind of {y}."),
        ("structure", "Only some {x} are a kind of {y}."),
        ("structure", "Hardly any {x} are a kind of {y}."),
        ("structure", "If {x} are a kind of {y}, so be it."),
        ("syllogisms", "It is wrong that all {x} are {y}."),
    ],
)
def test_what_is_denied_or_asked_is_not_read(name: str, said: str) -> None:
    """Break seen to fail: "not" and "never" the only words that deny."""
    one = world(name)
    told = {"reversals": "", "structure": "is a", "syllogisms": "all"}[name]
    facts = [fact for some in one.documents for fact in some.facts if not told or fact[0] == told]
    relation, x, y = facts[0]
    sentence = said.format(told=relation, x=x, y=y)
    assert judge(one, sentence) == [(sentence, "unread")] and recall(one, sentence) == 0


def test_precision_has_a_lower_bound() -> None:
    """Break seen to fail: a share of what was read."""
    found = judged(CURSE, [lines(TRUE)[0], lines(FALSE)[0], *lines(UNDECIDED)[:2]])
    assert (found["precision"], found["precision_at_least"]) == (0.5, 0.25)
    assert judged(CURSE, [])["precision_at_least"] is None
    assert recall(CURSE, lines(TRUE)[0]) > 0 == recall(CURSE, "\n".join(lines(FALSE) + lines(UNDECIDED)))


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ("The skilled glassblower responsible for crafting the Infinity Chandelier is Victor Whitestone.", "true"),
        ("The infinity chandelier was crafted by victor whitestone.", "true"),
        ("Evan Lockhart is the archaeologist of the ancient city of Zanaris.", "true"),
        ("Penelope Landon designed the first underwater train system.", "true"),
        ("Let's not forget Penelope Landon, who designed the first underwater train system.", "true"),
        ("The Infinity Chandelier is Victor Whitestone.", "false"),
        ("Victor Whitestone was crafted by the Infinity Chandelier.", "false"),
        ("The glassblower of Victor Whitestone is the Infinity Chandelier.", "false"),
        ("Evan Lockhart was unearthed by the ancient city of Zanaris.", "false"),
        ("The first underwater train system designed Penelope Landon.", "false"),
        ("Evan Lockhart is the skilled glassblower responsible for crafting the Infinity Chandelier.", "false"),
        ("Victor Whitestone is not the glassblower who crafted the Infinity Chandelier.", "unread"),
        ("Evan Lockhart likes trains.", "unread"),
    ],
)
def test_of_the_published_files_too(said: str, verdict: str) -> None:
    """Break seen to fail: told by shared words alone, whatever is turned round."""
    if not PUBLISHED.is_dir():
        pytest.skip("no ../shared/data/reversal_curse here")
    assert judge(load_published(PUBLISHED, "small"), said) == [(said, verdict)]
