"""Metrics: what counts as right, and by how much."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fewfit import metrics
from fewfit.errors import UserError
from fewfit.examples.example import Example


def score(name: Any, prediction: str, answer: str, **more: Any) -> float:
    return metrics.metric(name, **more).score(prediction, Example("7", "ask", answer), None)


def test_match_folds_white_space_and_trims() -> None:
    """Break seen to fail: `folded` returning its text unchanged."""
    assert score("match", "  New\n York\t", "New York") == 1.0
    assert score("match", "new york", "New York") == 0.0


def test_an_accent_may_be_written_in_two_ways() -> None:
    """Qwen's tokenizer composes them. Break seen to fail: the right answer of a file from macOS counted as wrong."""
    apart, composed = "cafe\u0301", "caf\u00e9"
    for name in ("match", "contains", "edit"):
        assert score(name, composed, apart) == score(name, apart, composed) == 1.0
    assert score("match", f"It is {composed}", apart, answer_patterns=("It is (.+)",)) == 1.0


@pytest.mark.parametrize(
    ("prediction", "answer", "right"),
    [
        ("Let me see. Answer: 12", "12", 1.0),  # the paper's first pattern
        ("The answer is Paris", "Paris", 1.0),
        ("Surely **(B)** it is", "(B)", 1.0),
        ("12\nand more", "12", 1.0),  # the last pattern takes the first line
        ("so it is 12", "12", 0.0),
        ("12", "Answer: 12", 1.0),  # both sides are treated alike
        ("The answer is 3, Answer: 4", "4", 1.0),  # patterns in order, not places
        ("The answer is 3, Answer: 4", "3", 0.0),
    ],
)
def test_the_papers_patterns(prediction: str, answer: str, right: float) -> None:
    """Break seen to fail: patterns applied to the prediction only; the stars of the third left unescaped."""
    assert score("match", prediction, answer, answer_patterns=("paper",)) == right


def test_a_pattern_without_a_group_counts_whole() -> None:
    assert score("match", "it is 42, I think", "42", answer_patterns=(r"\d+",)) == 1.0
    assert score("match", "none", "none", answer_patterns=(r"\d+",)) == 1.0  # no pattern matches: the whole text


def test_patterns_belong_to_match() -> None:
    with pytest.raises(UserError, match="belong to --metric match"):
        metrics.metric("exact", answer_patterns=("paper",))
    with pytest.raises(UserError, match="no regular expression"):
        metrics.metric("match", answer_patterns=("(",))


def test_exact_and_choice_tell_cases_apart() -> None:
    for name in ("exact", "choice"):
        assert score(name, "(A)", "(A)") == 1.0
        assert score(name, "(a)", "(A)") == 0.0
        assert score(name, "a  b", "a b") == 0.0


def test_contains_looks_for_whole_words() -> None:
    """Break seen to fail: `wanted in prediction`."""
    assert score("contains", "I say no to it", "no") == 1.0
    assert score("contains", "I know", "no") == 0.0
    assert score("contains", "it is (B).", "(B)") == 1.0
    assert score("contains", "cost: $5.", "$5") == 1.0


# Golden values: chrF2 as sacreBLEU 2 gives it, ROUGE-L as Google's rouge_score 0.1.2 does.
GOLDEN = [
    ("the cat sat on the mat", "the cat is on the mat", 0.6457794206, 0.8333333333),
    ("a", "ab", 0.5555555556, 0.0),
    ("", "x", 0.0, 0.0),
    ("Colourless green ideas", "colorless green ideas sleep", 0.645595031, 0.5714285714),
    ("xyz", "abc", 0.0, 0.0),
    ("hello world hello", "hello hello world", 0.7768481518, 0.6666666667),
    ("The quick brown fox jumps.", "the quick brown dog jumped over", 0.4907984904, 0.5454545455),
]


@pytest.mark.parametrize(("prediction", "answer", "chrf", "rouge"), GOLDEN)
def test_chrf_and_rouge_are_the_usual_ones(prediction: str, answer: str, chrf: float, rouge: float) -> None:
    """Break seen to fail: beta 1 in chrf; `lengths[j - 1]` left out of the common subsequence."""
    assert score("chrf", prediction, answer) == pytest.approx(chrf, abs=1e-9)
    assert score("rouge-l", prediction, answer) == pytest.approx(rouge, abs=1e-9)


def test_token_f1_is_squads() -> None:
    """Break seen to fail: articles kept."""
    assert score("token-f1", "The Eiffel tower!", "eiffel tower") == 1.0
    assert score("token-f1", "in Paris, France", "Paris") == pytest.approx(2 * (1 / 3) / (1 / 3 + 1))
    assert score("token-f1", "a a b", "a b b") == pytest.approx(2 / 3)  # articles go: b against b b
    assert score("token-f1", "?", "!") == 0.0


@pytest.mark.parametrize("name", ["match", "exact", "contains", "token-f1", "rouge-l", "chrf", "choice"])
@pytest.mark.parametrize("answer", ["(A)", "?", "the", "北京", "a b", "--"])
def test_the_right_answer_always_scores_one(name: str, answer: str) -> None:
    assert score(name, answer, answer) == 1.0


def test_json_compares_what_is_meant() -> None:
    """Break seen to fail: `==` alone holds true and 1 equal."""
    assert score("json", '{"b": [1.0, true], "a": null}', '{"a": null, "b": [1, true]}') == 1.0
    assert score("json", '{"a": 1}', '{"a": true}') == 0.0
    assert score("json", "[1, 2]", "[2, 1]") == 0.0
    assert score("json", '```json\n{"a": 1}\n```', '{"a": 1}') == 1.0
    assert score("json", "nonsense", '{"a": 1}') == 0.0
    assert score("json", "NaN", "null") == 0.0
    with pytest.raises(UserError, match="is no JSON"):
        score("json", "{}", "{")


def test_regex_matches_the_whole_text() -> None:
    """Break seen to fail: `search` for `fullmatch`."""
    assert score(r"regex:\d{4}", " 1969 ", "anything") == 1.0
    assert score(r"regex:\d{4}", "in 1969", "anything") == 0.0
    assert score(r"regex:.*\b{answer}\b.*", "it is 4+1, yes", "4+1") == 1.0
    assert score(r"regex:.*{answer}", "4441", "4+1") == 0.0
    with pytest.raises(UserError, match="no regular expression"):
        metrics.metric("regex:(")


def test_functions_of_one_name_are_told_apart_by_what_they_do() -> None:
    """And not by the process they are in: sets have another order in each. Break seen to fail: known by the name."""
    one, same, other = (
        metrics.metric(eval(code)) for code in ("lambda a, e: 1.0", "lambda a, e: 1.0", "lambda a, e: 0.5")
    )
    assert one.name == other.name and one.code == same.code != other.code
    code = (
        "from fewfit.metrics.metric import code_of; print(code_of(lambda a, e: (a in {'x', 'yy', 'zzz', 'w'}) + 0.0))"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": str(seed)}, capture_output=True
        )
        for seed in (1, 2)
    ]
    assert said[0].stdout == said[1].stdout != b""


def test_a_function_of_ones_own() -> None:
    def shares_first_letter(prediction: str, example: Example) -> bool:
        return prediction[:1] == example.completion[:1]

    own = metrics.metric(shares_first_letter)
    assert (own.name, own.needs) == ("own:shares_first_letter", "text")
    assert own.score("Berlin", Example("1", "x", "Bonn")) == 1.0


@pytest.mark.parametrize("value", [1.5, -0.1, math.nan, math.inf, None, "1"])
def test_scores_out_of_bounds_are_refused(value: Any) -> None:
    with pytest.raises(UserError, match=r"example 7: metric .* lies in \[0, 1\]"):
        score(lambda prediction, example: value, "x", "y")


def test_unknown_names_are_told_what_there_is() -> None:
    with pytest.raises(UserError) as told:
        metrics.metric("bleu")
    for name in ("choice", "match", "exact", "contains", "token-f1", "rouge-l", "chrf", "json", "regex:"):
        assert name in str(told.value)
        assert metrics.metric(name).needs in ("choices", "teacher", "text")


def test_needs_say_what_is_generated() -> None:
    assert metrics.metric("choice").needs == "choices"
    assert metrics.metric("exact").needs == "teacher"
    assert metrics.metric("match").needs == "text"


def test_auto_takes_choice_where_there_are_choices() -> None:
    free = [Example("1", "x", "y")]
    assert metrics.auto(free) == "match"
    assert metrics.auto([*free, Example("2", "x", "y", choices=("y", "z"))]) == "choice"


def test_metrics_load_no_torch() -> None:
    source = Path(metrics.__file__).read_text()
    assert "import torch" not in source
