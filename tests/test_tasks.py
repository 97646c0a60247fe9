"""Tasks as their files have them: targets and options, what is held out, what is made of other tasks."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fewfit.errors import UserError
from fewfit.examples import Example
from fewfit.metrics import metric
from fewfit.suites.tasks import bbh, parity
from fewfit.suites.tasks.changed import STATED
from fewfit.suites.tasks.library import SETTINGS, library
from fewfit.suites.tasks.task import Asking, Published, Task, hold_out, shortest

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
NO_DATA = "needs the published files in ../shared/data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=NO_DATA)


def bbh_file(folder: Path, *pairs: tuple[str, str], name: str = "made") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    examples = [{"input": prompt, "target": target} for prompt, target in pairs]
    path.write_text(json.dumps({"canary": "keep out", "examples": examples}))
    return path


# ---- BIG-Bench Hard --------------------------------------------------------------------------------------------------

# As counted by hand and with other programs: how many answers of each kind, options of an item, or distinct answers.
KNOWN: dict[str, Any] = {
    "boolean_expressions": {"True": 135, "False": 115},
    "navigate": {"Yes": 105, "No": 145},
    "sports_understanding": {"yes", "no"},
    "hyperbaton": {2},
    "temporal_sequences": {4},
    "date_understanding": {5, 6},
    "dyck_languages": 59,
    "object_counting": 17,
    "word_sorting": 250,
}


def counted(path: Path) -> list[tuple[str, str, int]]:
    """Prompt, target and how many options are listed, by plain splitting and none of the loader's code."""
    out = []
    for item in json.loads(path.read_bytes())["examples"]:
        lines = item["input"].split("\n")
        begin = lines.index("Options:") + 1 if "Options:" in lines else len(lines)
        marks = [line.split(")")[0] for line in lines[begin:] if line[:1] == "(" and line[2:3] == ")"]
        assert marks == [f"({chr(65 + k)}" for k in range(len(marks))], "options are lettered from A on"
        out.append((item["input"], item["target"], len(marks)))
    return out


@needs_data
def test_every_item_of_every_file_is_parsed() -> None:
    """Break seen to fail: options found by `\\([A-D]\\)`, which loses the fifth."""
    paths = sorted((DATA / "bbh").glob("*.json"))
    assert len(paths) >= 10
    for path in paths:
        items, published = counted(path), bbh.load(path)
        assert bbh.is_bbh(path)
        distinct = list(dict.fromkeys((prompt, target) for prompt, target, _ in items))
        assert [(one.prompt, one.completion) for one in published.examples] == [(p.strip(), t) for p, t in distinct]
        options = {prompt.strip(): count for prompt, _, count in items}
        lettered = any(len(target) == 3 and target[0] + target[2] == "()" for _, target, _ in items)
        assert (published.asking.metric == "choice") == (lettered or len({t for _, t in distinct}) == 2), path.name
        for one in published.examples if lettered else ():
            assert one.choices is not None and one.completion in one.choices and len(set(one.choices)) >= 2
            listed = [choice for choice in one.choices if len(choice) == 3 and choice[0] == "("]
            assert len(listed) == options[one.prompt] and one.choices[0] == "(A)"
            assert len(one.choices) - len(listed) == (one.completion not in listed)
        answers = [one.completion for one in published.examples]
        known = KNOWN.get(path.stem)
        if isinstance(known, dict):
            assert Counter(answers) == known and set(published.asking.choices or ()) == set(known)
        elif isinstance(known, int):
            assert len(set(answers)) == known and published.asking.answer_patterns == ("paper",)
        elif known is not None and path.stem == "sports_understanding":
            assert set(published.asking.choices or ()) == known
        elif known is not None:
            assert {options[one.prompt] for one in published.examples} == known


@needs_data
def test_odd_items_of_published_files_survive() -> None:
    by_id = {one.id: one for one in bbh.load(DATA / "bbh" / "ruin_names.json").examples}
    for number, count in ((99, 12), (144, 8), (51, 3)):  # from 0, as they are known
        one = by_id[str(number + 1)]
        assert one.choices is not None and len(one.choices) == count and one.completion in one.choices


def test_odd_items_survive(tmp_path: Path) -> None:
    """Text among letters, a letter as far as (R), one option alone, options called in the text before.

    Break seen to fail: choices that are the options' letters alone.
    """
    many = "\n".join(f"({chr(65 + k)}) thing {k}" for k in range(18))
    path = bbh_file(
        tmp_path,
        (f"Which?\nOptions:\n{many}", "(R)"),
        ("Which?\n(Z) is none.\nOptions:\n(A) one\n(B) two", "two"),
        ("Which is meant?\nOptions:\n(A) only", "(A)"),
        ("Which?\nOptions:\n(A) a\n(B) b", "(B)"),
        ("Which?\nOptions:\n(A) a\n(B) b", "(B)"),
        ("Whose?\nOptions:\n(A) a", "(B)"),
    )
    published = bbh.load(path)
    found = [one.choices for one in published.examples]
    assert found[0] is not None and found[0][-1] == "(R)" and len(found[0]) == 18
    assert found[1:] == [("(A)", "(B)", "two"), ("(A)", "(B)"), ("(A)", "(B)"), ("(A)", "(B)")]
    assert len(published.examples) == 5 and published.asking == Asking("choice")


@pytest.mark.parametrize("pair", [("True", "False"), ("Yes", "No"), ("yes", "no"), ("valid", "invalid")])
def test_two_words_are_labels_as_they_are_spelled(pair: tuple[str, str], tmp_path: Path) -> None:
    path = bbh_file(tmp_path, *((f"Is it so, {n}?", pair[n % 2]) for n in range(6)))
    assert bbh.load(path).asking.choices == tuple(sorted(pair))


def test_other_answers_are_free_text(tmp_path: Path) -> None:
    path = bbh_file(tmp_path, ("2 + 2", "4"), ("1 - 3", "-2"), ("Close: ( [", "] )"))
    asking = bbh.load(path).asking
    assert (asking.metric, asking.choices, asking.answer_patterns) == ("match", None, ("paper",))
    judge = metric(asking.metric, answer_patterns=asking.answer_patterns)
    assert judge.score("I think.\nThe answer is 4", Example("1", "2 + 2", "4")) == 1.0


def test_what_is_no_such_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    path.write_text('{"canary": "", "examples": [{"question": 1}]}')
    with pytest.raises(UserError, match=r"odd\.json"):
        bbh.load(path)


# ---- what is held out ------------------------------------------------------------------------------------------------


def published(count: int, *, same: int = 1) -> Published:
    """Each prompt stands `same` times, with another answer each time."""
    return Published("p", tuple(Example(str(k), f"q {k // same}", f"a {k}") for k in range(count)))


def test_streams_are_nested_and_never_tested_on() -> None:
    """Break seen to fail: rows drawn one by one, which leaves the other row of a tested prompt in the pool."""
    task = hold_out(published(250, same=2), 100)
    assert len(task.test) == 100 and len(task.pool) == 150
    tested = {one.prompt for one in task.test}
    for seed in (0, 1):
        ten, thirty = task.stream(10, seed), task.stream(30, seed)
        assert thirty[:10] == ten and len(task.stream(999, seed)) == 150
        assert not tested & {one.prompt for one in task.stream(999, seed)}
    assert task.stream(10, 0) != task.stream(10, 1)
    assert hold_out(published(250, same=2), 100) == task


@pytest.mark.parametrize("with_file", [False, True])
def test_neither_a_prompt_nor_a_group_is_on_both_sides(with_file: bool) -> None:
    """Break seen to fail: of rows with a group the prompt was not looked at."""
    rows = tuple(Example(str(k), f"q {k // 2}", "a", group=f"g{k}") for k in range(80))
    tested = tuple(Example(f"t{k}", f"q {k}", "a") for k in range(10)) if with_file else ()
    task = hold_out(Published("p", rows, tested=tested), 20)
    assert len(task.test) == (10 if with_file else 20)
    assert not {one.prompt for one in task.pool} & {one.prompt for one in task.test}


def test_a_test_file_beside_any_form_is_found(tmp_path: Path) -> None:
    """Break seen to fail: beside pairs and BBH's form it was passed over."""
    one, other = (
        [{"input": f"{what} {k}", "output": f"{what} said {k}"} for k in range(20)] for what in ("learn", "test")
    )
    (tmp_path / "french-english.json").write_text(json.dumps(one))
    (tmp_path / "french-english-test.JSON").write_text(json.dumps(other))
    known = library(tmp_path)
    for name, side in (("french-english", "prompt"), ("translate-english-french", "completion")):
        task = known.task(name, 100)
        assert len(task.test) == 20 and all(getattr(each, side).startswith("test") for each in task.test)


def test_labels_that_the_file_does_not_have_are_no_traceback(tmp_path: Path) -> None:
    rows = [{"text": f"t {k}", "label": "ab"[k % 2]} for k in range(20)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    (tmp_path / "own-test.jsonl").write_text(
        "".join(json.dumps({"text": f"u {k}", "label": "c"}) + "\n" for k in range(5))
    )
    assert {one.completion for one in library(tmp_path).task("flipped-own", 100).test} == {"c"}


def test_small_sets_keep_enough_to_learn_from() -> None:
    assert [len(hold_out(published(count), 100).test) for count in (250, 146, 50, 12)] == [100, 100, 20, 4]
    with pytest.raises(UserError, match="a task needs"):
        hold_out(published(4), 100)


def test_a_test_file_is_what_is_tested_on() -> None:
    whole = published(50)
    given = Published(
        "p", whole.examples, tested=(*whole.examples[:5], *(Example(f"t{k}", f"t {k}", "a") for k in range(20)))
    )
    task = hold_out(given, 100)
    assert len(task.test) == 25 and len(task.pool) == 45


def test_the_digest_knows_all_that_a_row_hangs_on() -> None:
    task = hold_out(published(50), 10)
    others = [
        hold_out(published(50), 11),
        hold_out(published(49), 10),
        Task("p", task.pool, task.test, Asking("exact")),
        Task("p", task.pool, task.test, Asking(instruction="Do.")),
    ]
    assert len({task.digest, *(one.digest for one in others)}) == 5
    assert Task("other", task.pool, task.test, task.asking).digest == task.digest


def test_the_shortest_are_for_a_quick_look() -> None:
    task = shortest(hold_out(published(250), 100), 5, 3)
    assert (len(task.pool), len(task.test)) == (5, 3)
    assert max(len(str(one.prompt)) for one in task.pool) == 3


# ---- other published forms -------------------------------------------------------------------------------------------


@needs_data
def test_published_sets_are_found_whatever_their_form() -> None:
    """Counted here by lines; labels as the files' own words. Break seen to fail: TREC's test file left out."""
    known = library(DATA / "nlp")
    tasks = {one.name: one for one in known.tasks()}
    assert {"ade_corpus_v2", "overruling", "semiconductor_org_types", "twitter_complaints", "terms_of_service"} <= set(
        tasks
    )
    assert {"subj", "hate", "stance-abortion", "stance-hillary", "sst2", "trec"} <= set(tasks)
    for name, task in tasks.items():
        assert task.asking.metric == "choice" and task.asking.choices, name
        assert {one.completion for one in (*task.pool, *task.test)} <= set(task.asking.choices), name
        assert not {one.prompt for one in task.pool} & {one.prompt for one in task.test}, name
    stance = DATA / "nlp" / "tweeteval" / "stance" / "climate"
    texts = [line.strip() for line in (stance / "train_text.txt").read_text().rstrip("\n").split("\n")]
    lines = set(zip(texts, (stance / "train_labels.txt").read_text().split(), strict=True))
    climate = known.published("stance-climate")
    against = sum(one.completion == "against" for one in climate.examples)
    assert against == sum(label == "1" for _, label in lines) > 0 and len(climate.examples) == len(lines)
    trec = (DATA / "nlp" / "trec" / "TREC.test.txt").read_text().split("\n")
    tested = Counter(one.completion for one in known.published("trec").tested)
    assert tested["number"] == sum(line.startswith("5 ") for line in trec)
    rows = known.published("semiconductor_org_types").examples
    assert len(rows) == 50 and all(
        one.prompt.startswith("Paper title: ") for one in rows if isinstance(one.prompt, str)
    )


@needs_data
def test_pairs_with_few_answers_are_labels_and_others_are_text() -> None:
    known = library(DATA / "function_vectors")
    assert known.published("person-sport").asking.choices == ("baseball", "basketball", "football", "hockey", "soccer")
    assert known.published("present-past").asking == Asking("match")
    rows = json.loads((DATA / "function_vectors" / "present-past.json").read_text())
    assert len(known.published("present-past").examples) == len({(one["input"], one["output"]) for one in rows})


def sst2(folder: Path) -> Path:
    inner = folder / "sst2"
    inner.mkdir()
    (inner / "stsa.binary.dev.txt").write_text("".join(f"{n % 2} a film of {n} kinds\n" for n in range(40)))
    return inner


def test_labels_are_flipped_and_said_to_be(tmp_path: Path) -> None:
    sst2(tmp_path)
    known = library(tmp_path)
    plain, flipped, stated = (known.published(f"{way}sst2") for way in ("", "flipped-", "flipped-stated-"))
    assert [one.prompt for one in plain.examples] == [one.prompt for one in flipped.examples]
    pairs = {(a.completion, b.completion) for a, b in zip(plain.examples, flipped.examples, strict=True)}
    assert pairs == {("negative", "positive"), ("positive", "negative")}
    assert stated.asking.instruction == STATED and stated.examples == flipped.examples
    with pytest.raises(UserError, match="no task flipped-nothing"):
        known.published("flipped-nothing")


def test_translation_goes_both_ways(tmp_path: Path) -> None:
    pairs = [{"input": f"word {n}", "output": f"mot {n}"} for n in range(20)]
    (tmp_path / "english-french.json").write_text(json.dumps(pairs))
    known = library(tmp_path)
    there, back = known.published("translate-english-french"), known.published("translate-french-english")
    assert there.asking.metric == back.asking.metric == "chrf"
    turned = [(one.completion, one.prompt) for one in back.examples]
    assert turned == [(one.prompt, one.completion) for one in there.examples]


def test_chrf_is_sacrebleus() -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    theirs = sacrebleu.metrics.CHRF(word_order=0)
    ours = metric("chrf")
    for said, meant in (
        ("le chat noir", "le chat noir"),
        ("un chien", "le chien"),
        ("abcdefgh", "abxdefgh"),
        ("x", "y"),
    ):
        score = theirs.sentence_score(said, [meant]).score / 100
        assert ours.score(said, Example("1", "q", meant)) == pytest.approx(score, abs=1e-3)


def test_parity_is_right_bit_by_bit() -> None:
    rows = parity.load().examples
    assert len({one.prompt for one in rows}) == len(rows) > 0.99 * parity.ROWS
    for one in rows:
        bits = [int(bit) for bit in str(one.prompt).split()]
        assert [int(bit) for bit in one.completion.split()] == [sum(bits[: k + 1]) % 2 for k in range(parity.BITS)]


# ---- a folder of any files -------------------------------------------------------------------------------------------


def folder_of(tmp_path: Path) -> Path:
    (tmp_path / "colours.csv").write_text(
        "text,label\n" + "".join(f"row {n},{'red' if n % 2 else 'blue'}\n" for n in range(20))
    )
    rows = [{"prompt": f"say {n}", "completion": f"so {n}"} for n in range(20)]
    (tmp_path / "said.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:14]))
    (tmp_path / "said-test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[14:]))
    return tmp_path


def test_any_file_is_a_task_and_settings_stand_beside(tmp_path: Path) -> None:
    """Break seen to fail: said-test taken for a task of its own."""
    told = {"test": 5, "budgets": [10], "tasks": {"said": {"metric": "chrf", "instruction": "Say it."}}}
    (folder_of(tmp_path) / SETTINGS).write_text(json.dumps(told))
    known = library(tmp_path)
    tasks = {one.name: one for one in known.tasks(test=known.settings["test"])}
    assert set(tasks) == {"colours", "said"}
    assert tasks["colours"].asking == Asking("choice", choices=("blue", "red"), bare=False)
    assert tasks["said"].asking.metric == "chrf" and tasks["said"].asking.instruction == "Say it."
    assert [len(one.test) for one in tasks.values()] == [5, 5]
    assert {one.prompt for one in tasks["said"].test} <= {f"say {n}" for n in range(14, 20)}


def test_a_mapping_may_say_more_than_words(tmp_path: Path) -> None:
    """As TweetEval's emoji have it. Break seen to fail: two fields a line."""
    folder = tmp_path / "emoji"
    folder.mkdir()
    (folder / "mapping.txt").write_text("0\t\u2764\t_red_heart_\t\n1\t\u2728\t_sparkles_\t\n")
    (folder / "train_labels.txt").write_text("\n".join("01"[n % 2] for n in range(20)))
    (folder / "train_text.txt").write_text("\n".join(f"text {n}" for n in range(20)))
    assert set(library(tmp_path).published("emoji").asking.choices) == {"\u2728", "\u2764"}


def test_sets_that_are_shared_in_one_folder_are_tasks_each(tmp_path: Path) -> None:
    """As they are published: no .txt, side by side."""
    for name in ("stsa.binary.dev", "subj.all", "TREC.train.all"):
        (tmp_path / name).write_text("".join(f"{n % 2} text {n}\n" for n in range(40)))
    known = library(tmp_path)
    assert {one.name for one in known.tasks(test=4)} == {"sst2", "subj", "trec"}
    assert known.published("subj").examples[0].completion == "subjective"


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"tests": 5}, "unknown setting 'tests'"),
        ({"tasks": {"said": {"colour": 1}}}, "unknown setting 'colour'"),
        ({"tasks": {"sung": {}}}, "a task sung, of which there is no file"),
        ({"test": "many"}, "test is 'many'"),
        ([1], "not the settings of tasks|unknown setting"),
    ],
)
def test_odd_settings_are_refused(told: Any, words: str, tmp_path: Path) -> None:
    (folder_of(tmp_path) / SETTINGS).write_text(json.dumps(told))
    with pytest.raises(UserError, match=words):
        library(tmp_path)


def test_two_tasks_of_one_name_are_refused_when_asked_for(tmp_path: Path) -> None:
    folder_of(tmp_path)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "colours.csv").write_text((tmp_path / "colours.csv").read_text())
    known = library(tmp_path)
    assert [one.name for one in known.tasks(["said"])] == ["said"]
    with pytest.raises(UserError, match="two tasks called colours"):
        known.tasks(["colours"])


def test_a_task_that_is_not_there_is_refused_with_its_like(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean colours"):
        library(folder_of(tmp_path)).tasks(["colors"])
    with pytest.raises(UserError, match="no folder"):
        library(tmp_path / "nowhere")
