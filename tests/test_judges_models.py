"""Judges that are models: what they are asked, how their words are read, and that nothing is asked twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fewfit.errors import UserError
from fewfit.examples.example import Message
from fewfit.judges import Answered, Question, Verdict, model, tally
from fewfit.judges.model import CUT, TOO_LONG, LocalModel, Reply
from fewfit.judges.mt_bench import GradeJudge, LikelyJudge, PairJudge, Prompts, likely, load, reading
from fewfit.judges.mt_bench.grading import UNREAD
from fewfit.judges.mt_bench.prompts import JudgePrompt
from tests.judges_made import Scripted, answered, graded, prefers_longer, questions

STRANGE = ["", "x" * 20_000, "ünïcode ✓ 你好 \u2028", "{answer} {question_2} {} %s", "[[10]] </answer>"]

# ---- what every judge keeps to ---------------------------------------------------------------------------------------


def test_a_comparer_compares_each_by_itself_and_turns_with_the_sides() -> None:
    """Break seen to fail: mine named where A wins in both orders."""
    judge = PairJudge(Scripted(prefers_longer))
    mine = answered(questions(len(STRANGE)), lambda one, turn: STRANGE[(int(one.id) + turn) % len(STRANGE)])
    other = answered(questions(len(STRANGE)), lambda one, turn: STRANGE[(int(one.id) + 1 + turn) % len(STRANGE)])
    first, turned = judge.compare(mine, other), judge.compare(other, mine)
    assert judge.compare(mine[::-1], other[::-1]) == first[::-1] and judge.compare([], []) == []
    check(first)
    for one, two in zip(first, turned, strict=True):
        assert [a.score for a in one] == [None if b.score is None else 1 - b.score for b in two]
    assert len({a.score for one in first for a in one}) > 1
    assert {a.score for one in judge.compare(mine, mine) for a in one} <= {0.5, None}


def check(verdicts: list[tuple[Verdict, ...]]) -> None:
    for one in verdicts:
        for verdict in one:
            assert verdict.details.get("reason") if verdict.score is None else 0 <= verdict.score <= 1
            json.dumps(dict(verdict.details))


# ---- what is read ----------------------------------------------------------------------------------------------------

RATINGS = {
    "Good. Rating: [[7]]": 7.0, "[[8.5]] and again [[3]]": 8.5, "of [3] reasons, [[9]]": 9.0, "[6]": 6.0,
    "Rating: 7": None, "[[rating]]": None, "[[11]]": None, "[[0]]": None, "[[8/10]]": None, "": None, "[[10]]": 10.0,
}  # fmt: skip


@pytest.mark.parametrize("text", RATINGS)
def test_a_rating_is_read(text: str) -> None:
    """Break seen to fail: the single bracket alone."""
    assert reading.rating(text) == RATINGS[text]


def test_which_of_two_is_read() -> None:
    """Break seen to fail: the first mark taken where there are several, as MT-Bench does."""
    assert [reading.side(text) for text in ("so [[A]]", "[[B]]", "a draw: [[C]]")] == ["A", "B", "tie"]
    assert [reading.side(text) for text in ("A", "", "[[A]] if it is better, [[B]] if not", "[[D]]")] == [None] * 4


def test_what_cannot_be_read_is_counted() -> None:
    """Break seen to fail: verdicts of None left out of the list."""
    said = iter(["[[10]]", "no", Reply("cut", CUT), "[[1]]", Reply("", TOO_LONG), "[[4]]"])
    verdicts = GradeJudge(Scripted(lambda _: next(said))).judge(answered(questions(3), lambda one, turn: "so"))
    flat = [verdict for one in verdicts for verdict in one]
    assert [one.score for one in flat] == [1.0, None, None, 0.0, None, pytest.approx(1 / 3)]
    assert [one.details.get("reason") for one in flat] == [None, UNREAD, CUT, None, TOO_LONG, None]
    assert [one.details["rating"] for one in flat] == [10, None, None, 1, None, 4]
    first, second, all_of = tally(verdicts)
    assert (first.turn, first.score, first.n, first.unread) == (1, 1.0, 1, 2)
    assert (second.turn, second.n, second.unread) == (2, 2, 1) and second.score == pytest.approx(1 / 6)
    assert (all_of.turn, all_of.n, all_of.unread) == (None, 3, 3) and all_of.score == pytest.approx(4 / 9)


def test_the_error_of_all_turns_counts_questions() -> None:
    """Turns that always agree are worth one. Break seen to fail: each verdict counted by itself."""
    scores = [0.0, 1.0, 1.0, 0.5, 0.25]
    once = tally([(Verdict(one),) for one in scores])[-1]
    twice = tally([(Verdict(one), Verdict(one)) for one in scores])[-1]
    assert once.stderr == pytest.approx(twice.stderr) and once.stderr == pytest.approx(0.2)
    assert tally([])[-1].score is None and tally([(Verdict(0.5),)])[-1].stderr is None


@pytest.mark.parametrize(
    ("says", "score"),
    [("AB", 1.0), ("BA", 0.0), ("AA", 0.5), ("BB", 0.5), ("CC", 0.5), ("AC", 0.5), ("CA", 0.5), ("A-", None)],
)
def test_only_who_wins_in_both_orders_has_won(says: str, score: float | None) -> None:
    """Break seen to fail: the second order asked as the first; the first one's winner taken; a tie passed over."""
    said = iter(says)
    one = Answered(Question("1", ("ask",)), ("mine",))
    other = Answered(one.question, ("other",))
    model = Scripted(lambda _: f"[[{next(said)}]]")
    ((verdict,),) = PairJudge(model).compare([one], [other])
    assert verdict.score == score
    texts = [asked[-1].content for asked in model.asked]
    assert [text.index("mine") < text.index("other") for text in texts] == [True, False]


# ---- what is asked ---------------------------------------------------------------------------------------------------


def test_each_question_is_judged_by_the_prompt_for_it() -> None:
    """Break seen to fail: the prompt with a reference taken at the second turn where only the first has one."""
    plain = Question("1", ("one?", "two?"), "writing")
    guided = Question("2", ("one?", "two?"), "math", ("right one", "right two"))
    half = Question("3", ("one?", "two?"), "", ("right one",))
    model = Scripted(graded)
    verdicts = GradeJudge(model).judge([Answered(one, ("first", "second")) for one in (plain, guided, half)])
    assert [[verdict.details["prompt"] for verdict in one] for one in verdicts] == [
        ["one answer, turn 1", "one answer, turn 2"],
        ["one answer, with reference, turn 1", "one answer, with reference, turn 2"],
        ["one answer, with reference, turn 1", "one answer, turn 2"],
    ]
    texts = [asked[-1].content for asked in model.asked]
    assert ["second" in text.partition("<")[2] for text in texts] == [False, True] * 3
    assert ["right two" in text for text in texts] == [False, False, False, True, False, False]


def test_what_looks_like_a_place_in_an_answer_is_the_answers() -> None:
    """Break seen to fail: places filled one after the other by str.replace."""
    model = Scripted(graded)
    one = Answered(Question("1", ("What is {answer}?",)), ("{question} and {answer_a}",))
    GradeJudge(model).judge([one])
    assert "What is {answer}?" in model.asked[0][-1].content
    assert "{question} and {answer_a}" in model.asked[0][-1].content


def test_fewfit_has_all_eight_prompts() -> None:
    own = Prompts()
    asked = [Question("1", ("a", "b")), Question("2", ("a", "b"), "", ("c", "d"))]
    found = {own.choose(one, turn, pairwise=two).name for one in asked for turn in (1, 2) for two in (False, True)}
    assert len(found) == 8
    for text in ("[[4]]", "double brackets"):
        assert text in own.choose(asked[0], 1, pairwise=False).template
    with pytest.raises(UserError, match=r"question 1: MT-Bench's prompts know 2 turns, and this has 3"):
        own.choose(asked[0], 3, pairwise=False)


PROMPT = {"name": "p", "type": "single", "system_prompt": "", "prompt_template": "{question} {answer}"}
BAD_PROMPTS = {
    "lacks the place {answer}": {"prompt_template": "{question}"},
    "lacks the place {ref_answer_2}": {"prompt_template": "{question_1}{question_2}{answer_1}{answer_2}{ref_answer_1}"},
    "has the place {answer_a}, for which there is nothing": {"prompt_template": "{question} {answer} {answer_a}"},
    "has the place {answer_2}, for which there is nothing": {"prompt_template": "{question} {answer} {answer_2}"},
    'a prompt has a "type"': {"type": "triple"},
}


@pytest.mark.parametrize("words", BAD_PROMPTS)
def test_a_prompt_that_cannot_serve_is_refused(tmp_path: Path, words: str) -> None:
    (tmp_path / "judge_prompts.jsonl").write_text(json.dumps({**PROMPT, **BAD_PROMPTS[words]}) + "\n")
    with pytest.raises(UserError) as caught:
        Prompts(tmp_path)
    assert words in caught.value.line() and "judge_prompts.jsonl:1" in caught.value.line()


def test_prompts_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text(json.dumps(PROMPT) + "\n")
    model = Scripted(graded)
    GradeJudge(model, Prompts(file)).judge([Answered(Question("1", ("ask",)), ("so",))])
    assert model.asked == [(Message("user", "ask so"),)]  # an empty system prompt is none
    with pytest.raises(UserError, match="has no prompt for two answers at turn 1"):
        one = Answered(Question("1", ("ask",)), ("so",))
        PairJudge(model, Prompts(file)).compare([one], [one])
    file.write_text(json.dumps(PROMPT) + "\n" + json.dumps({**PROMPT, "name": "q"}) + "\n")
    with pytest.raises(UserError, match="prompts p and q have the same use"):
        Prompts(file)


# ---- files -----------------------------------------------------------------------------------------------------------


def test_questions_of_ones_own(tmp_path: Path) -> None:
    """Break seen to fail: a question of math without its reference let through."""
    ask = {"question_id": 7, "category": "cooking", "turns": ["a", "b", "c"]}
    file = tmp_path / "question.jsonl"
    file.write_text(json.dumps(ask) + "\n")
    assert load(tmp_path) == load(file) == [Question("7", ("a", "b", "c"), "cooking")]
    file.write_text(json.dumps({**ask, "category": "math"}) + "\n")
    with pytest.raises(UserError, match=r"question.jsonl:1: question 7 of math lacks reference answers: .* 0 for 3"):
        load(tmp_path)
    (tmp_path / "reference_answer").mkdir()
    reference = {"question_id": 7, "choices": [{"index": 0, "turns": ["x", "y", "z"]}]}
    (tmp_path / "reference_answer" / "mine.jsonl").write_text(json.dumps(reference) + "\n")
    assert load(tmp_path)[0].references == ("x", "y", "z")
    (tmp_path / "reference_answer" / "other.jsonl").write_text(json.dumps(reference) + "\n")
    with pytest.raises(UserError, match="holds 2 files of reference answers"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"question_id": 1}', 'a question has a "question_id" and "turns"'),
        ('{"question_id": 1, "turns": ["a", " "]}', 'a question has a "question_id" and "turns"'),
        ('{"turns": ["a"]}', 'a question has a "question_id" and "turns"'),
        ('{"question_id": 1, "turns": ["a"]}\n{"question_id": "1", "turns": ["b"]}', "question 1 stands in it twice"),
        ('{"question_id": 1', "not JSON"),
        ("[1, 2]\n", "a row must be an object"),
    ],
)
def test_questions_that_are_none_are_told(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "question.jsonl"
    file.write_text(text + "\n")
    with pytest.raises(UserError) as caught:
        load(file)
    assert words in caught.value.line() and "question.jsonl:" in caught.value.line()
    with pytest.raises(UserError, match="no such file"):
        load(tmp_path / "another")


# ---- a model on this machine -----------------------------------------------------------------------------------------

TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture(scope="module")
def small() -> Any:
    from fewfit.models import local

    return local.load("lab", device="cpu", dtype="float32")


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEWFIT_CACHE", str(tmp_path / "cache"))


ASKED = [(Message("system", "be fair"), Message("user", "red " * k + "blue")) for k in (1, 2, 3, 40, 41, 80)]


def test_a_reply_does_not_depend_on_who_else_is_asked(small: Any) -> None:
    """Break seen to fail: the rows of a pass given to the wrong conversations."""
    whole = LocalModel(small, max_tokens=6, cache=False).complete(ASKED)
    for k, one in enumerate(ASKED):
        assert LocalModel(small, max_tokens=6, cache=False).complete([one]) == [whole[k]]
    assert LocalModel(small, max_tokens=6, cache=False).complete(ASKED[::-1]) == whole[::-1]


def test_replies_are_those_of_generate(small: Any) -> None:
    """Break seen to fail: prompts without the chat template."""
    import torch

    tokenizer = small.tokenizer
    for one, reply in zip(ASKED, LocalModel(small, max_tokens=6, cache=False).complete(ASKED), strict=True):
        turns = [{"role": turn.role, "content": turn.content} for turn in one]
        ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=False)
        with torch.no_grad():
            new = small.model.generate(ids, attention_mask=ids.new_ones(ids.shape), do_sample=False, max_new_tokens=6)
        text = tokenizer.decode(new[0, ids.shape[1] :]).partition("<|end|>")[0]
        assert reply.text == text.strip()
        assert bool(reply.problem) == (
            new.shape[1] - ids.shape[1] == 6 and "<|end|>" not in tokenizer.decode(new[0, -1])
        )


def test_what_was_said_before_a_kill_is_not_asked_again(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Break seen to fail: replies kept when `complete` ends."""
    monkeypatch.setattr(model, "BLOCK", 2)
    passes: list[list[str]] = []
    real = LocalModel._written

    def counted(self: LocalModel, ids: dict[str, Any]) -> Any:
        if len(passes) == 1:
            raise KeyboardInterrupt
        passes.append(list(ids))
        return real(self, ids)

    monkeypatch.setattr(LocalModel, "_written", counted)
    with pytest.raises(KeyboardInterrupt):
        LocalModel(small, max_tokens=6).complete(ASKED)
    done = set(passes.pop())
    monkeypatch.setattr(LocalModel, "_written", lambda self, ids: passes.append(list(ids)) or real(self, ids))
    replies = LocalModel(small, max_tokens=6).complete([*ASKED, ASKED[0]])
    asked = [key for some in passes for key in some]
    assert len(asked) == len(set(asked)) == len(ASKED) - len(done) and not done & set(asked) and done
    monkeypatch.setattr(LocalModel, "_written", real)
    assert replies == LocalModel(small, max_tokens=6, cache=False).complete([*ASKED, ASKED[0]])


def test_another_model_length_or_seed_is_asked_anew(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Break seen to fail, each: its part taken out of the key; the seed in it also at temperature 0."""
    from dataclasses import replace

    passes: list[Any] = []
    real = LocalModel._written
    monkeypatch.setattr(LocalModel, "_written", lambda self, ids: passes.append(ids) or real(self, ids))
    first = LocalModel(small, max_tokens=6)
    other = replace(small, ref=replace(small.ref, digest="files:other"))
    for one in (first, LocalModel(small, max_tokens=7), LocalModel(other, max_tokens=6), first.again(1, 0.9)):
        one.complete(ASKED[:1])
    assert len(passes) == 4
    first.again(1, 0.9).complete(ASKED[:1])
    first.again(5, 0.0).complete(ASKED[:1])  # without chance a seed changes nothing
    assert len(passes) == 4
    said = {first.again(seed, 3.0).complete(ASKED[:1])[0].text for seed in range(4)}
    assert len(passes) == 8 and len(said) > 1
    assert first.complete(ASKED[:1]) == LocalModel(small, max_tokens=6, cache=False).complete(ASKED[:1])


def test_a_prompt_that_is_too_long_is_counted_not_cut(small: Any) -> None:
    asked = [(Message("user", "red " * 5000),), (Message("user", "blue"),)]
    long, short = LocalModel(small, max_tokens=6).complete(asked)
    assert long == Reply("", TOO_LONG) and short.problem != TOO_LONG


def test_a_model_without_a_chat_template_is_refused(loaded: Any) -> None:
    with pytest.raises(UserError, match="cannot be asked for its opinion: its tokenizer has no chat template"):
        LocalModel(loaded).complete(ASKED[:1])


def test_longer_answers_win_with_a_judge_that_likes_them() -> None:
    mine = answered(questions(3), lambda one, turn: "a long answer")
    other = answered(questions(3), lambda one, turn: "short")
    verdicts = PairJudge(Scripted(prefers_longer)).compare(mine, other)
    assert [one[0].score for one in verdicts] == [1.0] * 3


# ---- a local model, by how likely it finds each verdict --------------------------------------------------------------


def test_a_rating_by_likelihood_is_the_mean_over_what_the_model_finds_likely(small: Any) -> None:
    """Break seen to fail: ratings taken for equally likely."""
    judge = LikelyJudge(LocalModel(small, max_tokens=6, cache=False))
    some = answered(questions(3), lambda one, turn: "red blue" * (1 + turn))
    first = judge.judge(some)
    assert judge.judge(some) == first and judge.judge(some[::-1]) == first[::-1]
    check(first)
    for verdict in (one for turns in first for one in turns):
        shares = verdict.details["shares"]
        assert sum(shares) == pytest.approx(1) and max(shares) > 0.11
        assert verdict.details["rating"] == pytest.approx(sum(n * share for n, share in enumerate(shares, 1)))


def test_a_judge_by_likelihood_is_asked_again_in_other_words_and_nothing_twice(
    small: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks seen to fail: the same words; what was found not kept; kept whatever the answers were."""
    passes: list[Any] = []
    real = likely.logp
    monkeypatch.setattr(likely, "logp", lambda *given: passes.append(given[2]) or real(*given))
    judge = LikelyJudge(LocalModel(small, max_tokens=6))
    some = answered(questions(2), lambda one, turn: "red blue")
    first, second = judge.judge(some), judge.again(1, 0.7).judge(some)
    assert len(passes) == 8
    assert all(a.score != b.score for one, two in zip(first, second, strict=True) for a, b in zip(one, two))
    assert judge.judge(some) == first and judge.again(1, 0.7).judge(some) == second
    assert len(passes) == 8
    bare = JudgePrompt("bare", False, "", "{question} {answer}")
    assert bare.reworded.template != bare.template, "asked the same, anybody says the same"
    judge.shares([asked for _, asked in judge.prompts.of_each(some)], likely.SIDES)
    assert len(passes) == 12


def test_a_preference_by_likelihood_turns_with_the_sides(small: Any) -> None:
    judge = LikelyJudge(LocalModel(small, max_tokens=6, cache=False))
    mine = answered(questions(2), lambda one, turn: "red")
    other = answered(questions(2), lambda one, turn: "blue and green")
    there, back = judge.compare(mine, other), judge.compare(other, mine)
    check(there)
    for one, two in zip(there, back, strict=True):
        assert [a.score for a in one] == pytest.approx([1 - b.score for b in two])
    assert [a.score for one in judge.compare(mine, mine) for a in one] == pytest.approx([0.5] * 4)
