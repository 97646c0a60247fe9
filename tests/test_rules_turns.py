"""Conversations made of questions of one turn: a request first, constraints after it."""

from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path

import pytest

from fewfit.errors import UserError
from fewfit.judges import Answered, Check, Question
from fewfit.judges.rules import RULES, RulesJudge, chain, describe, load, split, together
from fewfit.judges.rules.cutting import cut
from tests.rules_made import items
from tests.test_rules import FILES, needs_files

COMMAS = Check("punctuation:no_comma")
WORDS = Check("length_constraints:number_words", {"num_words": 5, "relation": "at least"})
TITLE = Check("detectable_format:title")
CAPITALS = Check("change_case:english_capital")
JSON = Check("detectable_format:json_format")


def asked(prompt: str, *checks: Check, id: str = "1") -> Question:
    return Question(id, (prompt,), checks=(checks,))


@pytest.mark.parametrize(
    ("prompt", "left"),
    [
        ("Tell me of mills. Do not use any commas.", "Tell me of mills."),
        ("Do not use commas in your answer. Tell me of mills!", "Tell me of mills!"),
        ("Tell me of mills\nPlease avoid commas.", "Tell me of mills"),
        ("Tell me of mills without any commas.", None),  # stands in the request
        ("Tell me of mills. Be brief.", None),  # is not stated
        ("Tell me of commas. Do not use commas.", None),  # what is left speaks of it
        ("Do not use commas.", None),  # nothing is left
    ],
)
def test_a_constraint_is_cut_where_its_sentence_can_be_told(prompt: str, left: str | None) -> None:
    """Break seen to fail: what is left not looked at."""
    assert cut(prompt, [COMMAS]) == left


def test_the_examples_of_a_form_are_cut_with_it() -> None:
    bullets = Check("detectable_format:number_bullet_lists", {"num_bullets": 2})
    prompt = "Tell me of mills. Use exactly 2 bullet points:\n* This is one.\n* This is two."
    assert cut(prompt, [bullets]) == "Tell me of mills."


def test_two_turns_are_a_request_and_its_constraints() -> None:
    question = asked("Tell me of mills. Do not use any commas. Use at least 5 words.", COMMAS, WORDS)
    found = split(question)
    assert found.turns[0] == "Tell me of mills." and found.checks == ((), (COMMAS, WORDS)) and found.id == "1"
    assert describe(COMMAS) in found.turns[1] and describe(WORDS) in found.turns[1]
    other = split(asked("Without commas tell me of mills.", COMMAS))
    assert "mill" not in other.turns[0] and other == split(asked("Without commas tell me of mills.", COMMAS))
    verdicts = RulesJudge().judge([Answered(found, ("a, b", "one two three four five"))])[0]
    assert [one.score for one in verdicts] == [None, 1.0]
    with pytest.raises(UserError, match="several turns already"):
        split(found)


def test_a_chain_adds_a_constraint_a_turn_and_keeps_the_earlier_ones() -> None:
    """Break seen to fail: only the newest check in each turn."""
    questions = [asked("Tell me of mills. Use no commas.", COMMAS, id="a"), asked("x", WORDS, id="b"),
                 asked("y", TITLE, CAPITALS, id="c"), asked("z", JSON, id="d")]  # fmt: skip
    found = chain(questions, turns=4)
    assert [one.id for one in found] == ["a", "b", "c", "d"] and chain(questions, turns=4) == found
    first = found[0]
    assert first.turns[0] == "Tell me of mills." and len(first.turns) == 4
    assert first.checks[0] == () and first.checks[1] == (COMMAS,)
    assert all(
        after[: len(before)] == before and len(after) == len(before) + 1 for before, after in pairwise(first.checks)
    )
    assert all(describe(now[-1]) in turn for turn, now in zip(first.turns[1:], first.checks[1:]))
    assert all(JSON not in one.checks[-1] for one in found), "which says what the whole answer is"
    assert chain(questions, turns=4, seed=1) != found or chain(questions, turns=4, seed=2) != found
    for turns in (1, 9):
        with pytest.raises(UserError, match="2 to 8"):
            chain(questions, turns=turns)


def test_constraints_that_contradict_do_not_stand_together() -> None:
    """Breaks seen to fail: words that are forbidden not looked for in the others' arguments; nor commas."""
    ending, plain = (Check("startend:end_checker", {"end_phrase": text}) for text in ("Yours, Tom", "Yours"))
    assert not together(ending, COMMAS) and together(plain, COMMAS)
    rare = Check("keywords:frequency", {"keyword": "yours", "frequency": 1, "relation": "less than"})
    assert not together(rare, plain) and together(rare, COMMAS)
    want, bar = (
        Check("keywords:existence", {"keywords": ["Corn"]}),
        Check("keywords:forbidden_words", {"forbidden_words": ["corn"]}),
    )
    assert together(COMMAS, WORDS) and together(WORDS, TITLE)
    assert not together(want, bar) and not together(COMMAS, Check("count:punctuation"))
    assert not together(CAPITALS, Check("change_case:english_lowercase")) and not together(JSON, TITLE)


def test_an_answer_can_keep_a_chain_of_eight_turns() -> None:
    checks = [
        COMMAS, WORDS, TITLE, CAPITALS,
        Check("keywords:existence", {"keywords": ["river"]}),
        Check("keywords:forbidden_words", {"forbidden_words": ["hill"]}),
        Check("detectable_content:postscript", {"postscript_marker": "P.S."}),
    ]  # fmt: skip
    assert all(together(one, other) for one, other in combinations(checks, 2))
    question = chain([asked("Tell me of mills.", *checks)])[0]
    answer = "<<MILLS>>\nTHE MILL STOOD BY THE RIVER AND NOBODY KNEW WHY.\n\nP.S. THE STONES ARE STILL THERE."
    found = RulesJudge().judge([Answered(question, (answer,) * 8)])[0]
    assert [one.score for one in found] == [None] + [1.0] * 7


def test_what_touches_the_same_says_so_of_every_rule() -> None:
    """A rule that touches nothing would stand beside its own opposite."""
    assert all(rule.touches for rule in RULES.values())
    assert not any(together(one.check, one.check) for one in items())


@needs_files
@pytest.mark.parametrize(("name", "at_least"), [("ifeval", 300), ("ifbench", 215)])
def test_the_published_questions_all_split(name: str, at_least: int) -> None:
    questions = load(FILES[name])
    left = [cut(one.turns[0], one.checks[0]) for one in questions]
    assert sum(one is not None for one in left) >= at_least
    for question, rest in zip(questions, left):
        found = split(question)
        assert found.checks == ((), question.checks[0]) and len(found.turns) == 2
        assert all(describe(check) in found.turns[1] for check in question.checks[0])
        if rest is not None:
            assert found.turns[0] == rest and len(rest) < len(question.turns[0])
            assert all(word in question.turns[0].split() for word in rest.split())


@needs_files
def test_the_published_questions_make_chains_of_eight_turns() -> None:
    questions = [one for file in FILES.values() for one in load(file)][::20]
    for one in chain(questions):
        assert len(one.turns) == len(one.checks) == 8
        assert all(together(a, b) for a, b in combinations(one.checks[-1], 2))


def test_requests_are_ours_and_state_no_constraint() -> None:
    text = Path(split.__code__.co_filename).with_name("requests.txt").read_text()
    assert len(text.split("\n")) > 20 and not any(word in text for word in ("comma", "words", "sentences", "letters "))
