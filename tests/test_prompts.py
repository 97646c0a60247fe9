"""Prompts of rules and conversations: published ones as they stand, frames, what is an answer, and what fits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fewfit.errors import UserError
from fewfit.examples.example import Message
from fewfit.prompts import (
    TAG,
    ChatPrompt,
    Conversation,
    Frame,
    Turn,
    UrialPrompt,
    conversations,
    fitted,
    load,
    ours,
    parsed,
    showing,
    talk,
)
from fewfit.writing import AnyAsked, Asked, AskedInTurns, Decoding, LocalWriter, Written, cut
from tests.models_made import tiny
from tests.tokenizers_made import byte_level

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
PUBLISHED = sorted((DATA / "urial").glob("*.txt"))
needs_data = pytest.mark.skipif(not PUBLISHED, reason=f"needs ../shared/data/urial ({DATA} not found)")
# Demonstrations of each file, and whether its queries stand on the line of their fence.
IN_FILES = {
    "basic_icl": (3, True),
    "inst_1k": (3, True),
    "inst_1k_v4": (3, False),
    "inst_1k_v4.help": (3, False),
    "inst_1shot": (1, True),
    "inst_2k": (8, True),
    "inst_only": (0, False),
}

ONE = Conversation("1", (Turn("Name two stones.", "Slate\n\n- and flint"),))
TWO = Conversation("2", (Turn("What is 2 + 2?", "4"), Turn("And 3?", "7"), Turn("Why?", "4 + 3 = 7")))
PROMPT = UrialPrompt("p", "Say what you know.", (ONE, TWO))


# ---- published files -------------------------------------------------------------------------------------------------


@needs_data
def test_all_published_files_are_here() -> None:
    assert {path.stem for path in PUBLISHED} == set(IN_FILES)


@needs_data
@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_published_prompts_load_unchanged(path: Path) -> None:
    """Byte for byte, up to white space at the end. Break seen to fail: examples written anew by the frame (the white
    space around fences differs within one file)."""
    prompt = load(path)
    assert prompt.text.rstrip() == path.read_bytes().decode().rstrip()
    assert (len(prompt.demonstrations), prompt.frame.inline) == IN_FILES[path.stem]
    for one in prompt.demonstrations:
        (turn,) = one.turns
        for text in (turn.query, turn.answer):
            assert text and text == text.strip() and "```" not in text and "# Query" not in text
    assert prompt.asked((), "Why?").text.startswith(prompt.text)
    assert "# Query" not in prompt.rules.replace('"# Query:"', "")


@needs_data
def test_examples_stand_between_the_rules_and_those_of_the_file(tmp_path: Path) -> None:
    rows = tmp_path / "more.jsonl"
    rows.write_text(json.dumps({"prompt": "Which way is north?", "completion": "Up."}) + "\n")
    path = DATA / "urial" / "inst_1shot.txt"
    prompt = load(path)
    shown = showing(prompt, "more", (*conversations(rows), *prompt.demonstrations), chat=False)
    assert isinstance(shown, UrialPrompt)
    text = shown.text
    whole = path.read_text()
    rules = whole[: whole.index("# Query:\n")]
    new = "# Query:\n```Which way is north?```\n\n# Answer:\n```\nUp.\n```\n\n"
    assert text.rstrip() == (rules + new + whole[len(rules) :]).rstrip()


# ---- frames ----------------------------------------------------------------------------------------------------------


def test_a_prompt_carries_the_conversation_on_in_its_own_frame() -> None:
    asked = PROMPT.asked([Turn("Hi", "Hello.\n")], " So? ")
    block = "# Query:\n```\n{}\n```\n\n# Answer:\n```\n{}\n```\n\n"
    shown = [turn for one in (ONE, TWO) for turn in one.turns]
    whole = "".join(block.format(turn.query, turn.answer) for turn in (*shown, Turn("Hi", "Hello.")))
    assert asked.text == f"Say what you know.\n\n{whole}# Query:\n```\nSo?\n```\n\n# Answer:\n```\n"
    assert UrialPrompt("bare").asked((), "So?").text == "# Query:\n```\nSo?\n```\n\n# Answer:\n```\n"


def test_what_is_the_same_for_every_query_stands_before() -> None:
    """Break seen to fail: the history in `before`."""
    for frame in (Frame(), Frame(inline=True), Frame(fence=""), Frame(tag=TAG)):
        prompt = replace(PROMPT, frame=frame)
        asked = [prompt.asked((), "So?"), prompt.asked([Turn("Hi", "Hello.")], "But?"), prompt.asked((), "Or")]
        assert len({one.before for one in asked}) == 1 and len({one.rest for one in asked}) == 3
        assert asked[0].before.startswith(prompt.text)


def test_inline_bare_and_tagged_frames() -> None:
    inline = replace(PROMPT, demonstrations=(ONE,), rules="", frame=Frame(inline=True))
    assert inline.asked((), "So?").text.startswith("# Query:\n```Name two stones.```\n\n# Answer:\n```\nSlate\n")
    assert inline.asked((), "So?").text.endswith("\n```\n\n# Query:\n```So?```\n\n# Answer:\n```\n")
    bare = replace(inline, frame=Frame("Q:", "A:", fence=""))
    assert bare.asked((), "So?").text == "Q:\nName two stones.\n\nA:\nSlate\n\n- and flint\n\nQ:\nSo?\n\nA:\n"
    tagged = replace(PROMPT, frame=Frame(tag="====")).asked([Turn("Hi", "Hello.")], "So?").text
    assert tagged.split("====\n\n")[1].count("# Query:") == 3 and tagged.count("====") == 2
    assert tagged.split("====\n\n")[2].count("# Query:") == 2, "the conversation that goes on stands by itself"


def test_questions_alone_and_answers_alone() -> None:
    """The ablation of arXiv 2405.19874, Table 2."""
    (turn,) = ONE.turns
    questions = replace(PROMPT, demonstrations=(Conversation("1", (replace(turn, answer=""),)),) * 2)
    answers = replace(PROMPT, demonstrations=(Conversation("1", (replace(turn, query=""),)),) * 2)
    for fence in ("```", ""):
        frame = Frame(fence=fence)
        asked = replace(questions, frame=frame).asked((), "So?").text
        assert (asked.count("# Query:"), asked.count("# Answer:"), "flint" in asked) == (3, 1, False)
        asked = replace(answers, frame=frame).asked((), "So?").text
        assert (asked.count("# Query:"), asked.count("# Answer:"), "stones" in asked) == (1, 3, False)
        assert parsed(answers.text, "p", where="p").text.rstrip() == answers.text.rstrip()


@pytest.mark.parametrize("frame", [Frame(), Frame(inline=True), Frame(fence=""), Frame("Q:", "A:", "~~~")])
@pytest.mark.parametrize("tag", ["", "===="])
def test_what_a_frame_writes_is_read_again(frame: Frame, tag: str) -> None:
    """With a tag turns stay together, and without one nothing tells. Break seen to fail: the tag not looked for."""
    frame = replace(frame, tag=tag)
    prompt = replace(PROMPT, frame=frame)
    again = parsed(prompt.text, "p", where="p.txt", frame=Frame(frame.query_head, frame.answer_head, tag=tag))
    assert again.text.rstrip() == prompt.text.rstrip() and again.frame == frame
    assert again.asked((), "So?") == prompt.asked((), "So?")
    lengths = [len(one.turns) for one in again.demonstrations]
    assert lengths == ([1, 3] if tag else [1, 1, 1, 1])
    assert [turn for one in again.demonstrations for turn in one.turns] == [*ONE.turns, *TWO.turns]


def test_a_changed_example_is_written_by_the_frame() -> None:
    first_one = "# Query:\n```One? ```  \n \n# Answer:\n``` \nYes.\n``` \n\n\n"
    text = first_one + "# Query:\n```Two?```\n\n# Answer:\n```\nNo.\n```\n"
    prompt = parsed(text, "p", where="p.txt")
    first, second = prompt.demonstrations
    changed = replace(prompt, demonstrations=(first, replace(second, turns=(Turn("Two?", "Never."),))))
    assert changed.text == text.replace("No.", "Never.") + "\n"
    swapped = replace(prompt, demonstrations=(second, first))
    assert swapped.text.index("Two?") < swapped.text.index("One? ```  \n \n")


def test_our_own_prompt_is_written_in_its_own_frame() -> None:
    prompt = ours()
    assert len(prompt.demonstrations) == 3 and prompt.rules.startswith("# Instructions\n\n")
    assert replace(prompt, as_written={}).text == prompt.text
    bare = replace(prompt, rules="", demonstrations=())
    assert bare.text == "" and "36 + 48 = 84" in prompt.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("  \n", "p.txt: an empty prompt"),
        ("Rules.\n\n# Query:\n```\n```\n\n# Answer:\n```\n```\n", "p.txt:3: a heading with nothing under it"),
    ],
)
def test_what_is_no_prompt_is_refused(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        parsed(text, "p", where="p.txt")


def test_frames_that_end_nothing_are_refused() -> None:
    for given in ({"query_head": " "}, {"tag": "a\nb"}, {"fence": "``` "}):
        with pytest.raises(UserError, match="frame"):
            Frame(**given)


# ---- answers ---------------------------------------------------------------------------------------------------------

LISTING = "Run this:\n\n```python\nprint(1)\n```\n\nIt prints 1."


@pytest.mark.parametrize(
    ("written", "answer"),
    [
        ("Yes.\n```\n\n# Query:\n```\nAnd", "Yes."),
        ("Yes.\n```", "Yes."),
        ("Yes.\n``` \n", "Yes."),
        ("Yes.\n\n- one\n", "Yes.\n\n- one"),
        ("Yes.\n```\n\n\n```\nmore", "Yes."),
        ("Yes.\n# Answer:\nNo.", "Yes."),
        (LISTING, LISTING),
        (LISTING + "\n```\n\n# Query:", LISTING),
        ("Run:\n```\nls\n```\n\nDone.\n```\n\nMore", "Run:\n```\nls\n```\n\nDone."),
        ("Write `# Query:` first", "Write `# Query:` first"),
        ("", ""),
    ],
)
def test_an_answer_ends_where_its_fence_is_closed_or_a_heading_stands(written: str, answer: str) -> None:
    """A listing within it is not its end. Breaks seen to fail: cut at the first fence; a listing's end taken for it."""
    assert Frame().answer(written) == answer


def test_writing_ends_at_headings_and_tags() -> None:
    stop = Frame(tag="====").stop
    assert stop == ("\n# Query:", "\n# Answer:", "\n====")
    assert cut("Yes.\n```\n\n# Query:\n", Decoding(stop=stop)) == ("Yes.\n```\n", True)
    assert ChatPrompt("c").stop == () and ChatPrompt("c").answer(" Yes. ") == "Yes."


# ---- turns -----------------------------------------------------------------------------------------------------------


def test_the_same_conversations_as_turns() -> None:
    prompt = ChatPrompt("c", "Be short.", (ONE, TWO))
    asked = prompt.asked([Turn("Hi", "Hello.")], "So?")
    assert [one.role[0] for one in asked.before] == list("suauauaua") and asked.before[-1].content == "4 + 3 = 7"
    assert asked.rest == (Message("user", "Hi"), Message("assistant", "Hello."), Message("user", "So?"))
    assert asked.before == prompt.asked((), "But?").before
    assert ChatPrompt("c").asked((), "So?") == AskedInTurns((), (Message("user", "So?"),))


def test_an_empty_answer_is_a_turn_all_the_same() -> None:
    """Break seen to fail: it left out, and templates that want turns to alternate refusing two of the user's."""
    asked = ChatPrompt("c").asked([Turn("Hi", "")], "So?")
    assert [one.role for one in asked.rest] == ["user", "assistant", "user"]
    bare = ChatPrompt("c", "", (Conversation("q", (Turn("Why?", ""),)),))
    assert [one.content for one in bare.asked((), "So?").before] == ["Why?"], "an example leaves it out"


# ---- data sets -------------------------------------------------------------------------------------------------------


def test_conversations_of_all_shapes(tmp_path: Path) -> None:
    messages = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello. "},
        {"role": "user", "content": "And?"},
        {"role": "assistant", "content": "That is all."},
    ]
    rows: list[dict[str, Any]] = [
        {"messages": messages},
        {"id": "b", "prompt": messages[:4], "completion": "That is all."},
        {"prompt": "2 + 2", "completion": "4"},
        {"question": "2 + 3", "answer": 5},
        {"instruction": "Add.", "input": "1 and 1", "output": "2"},
        {"instruction": "Add one and one.", "input": "", "output": "2", "skills": "adding"},
        {
            "id": "s",
            "instruction": "Add.",
            "instances": [{"input": "1, 1", "output": "2"}, {"input": "", "output": "?"}],
        },
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = conversations(path)
    assert [one.id for one in found] == ["1", "b", "3", "4", "5", "6", "s/1", "s/2"]
    both = (Turn("Be short.\n\nHi", "Hello."), Turn("And?", "That is all."))
    assert found[0].turns == found[1].turns == both
    single = [(one.turns[0].query, one.turns[0].answer) for one in found[2:]]
    assert single == [
        ("2 + 2", "4"),
        ("2 + 3", "5"),
        ("Add.\n\n1 and 1", "2"),
        ("Add one and one.", "2"),
        ("Add.\n\n1, 1", "2"),
        ("Add.", "?"),
    ]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"text": "a document"}, "a document, and no query"),
        ({"messages": [{"role": "user", "content": "Hi"}]}, "ends with the user's turn"),
        ({"messages": [{"role": "user", "content": "Hi"}] * 2 + [{"role": "assistant", "content": "a"}]}, "take turns"),
        ({"instruction": "Add.", "output": ""}, "the output is empty"),
        ({"instruction": "Add.", "instances": "2"}, "no list of instances"),
        ({"a": 1}, "no prompt and answer found"),
    ],
)
def test_rows_that_are_no_conversation_are_refused(row: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        conversations([row])


@pytest.mark.skipif(not (DATA / "skillmix").exists(), reason="needs ../shared/data/skillmix and self_instruct")
def test_the_papers_data_sets_are_read() -> None:
    skillmix = conversations(DATA / "skillmix" / "ism_sda_k2_1000.json")
    assert len(skillmix) == 1000 and all(len(one.turns) == 1 and one.turns[0].answer for one in skillmix)
    seeds = conversations(DATA / "self_instruct" / "seed_tasks.jsonl")
    assert len(seeds) == 175 and seeds[0].id == "seed_task_0"
    assert seeds[1].turns[0].query.endswith("?\n\nNight : Day :: Right : Left")


# ---- what fits, and what is said to it -------------------------------------------------------------------------------


class Echo:
    """A writer whose answer tells how many examples it was shown, and the last query."""

    def __init__(self, limit: int | None = None):
        self.limit, self.asked, self.keys = limit, list[AnyAsked](), list[str]()

    def count(self, text: str | AnyAsked) -> int:
        return len((text if isinstance(text, str) else text.text).split())  # type: ignore[union-attr]

    def write(self, asked: Sequence[AnyAsked], keys: Sequence[str], decoding: Decoding) -> list[Written]:
        self.asked += asked
        self.keys += keys
        out = []
        for one in asked:
            assert isinstance(one, Asked)
            *shown, last = one.text.split("# Query:\n")
            text = f"{len(shown) - 1} before {last.split()[1]}\n```\n\n# Query:\n```\nmore"
            out.append(Written(*cut(text, decoding), 1, 1))
        return out

    def stream(self, asked: Sequence[AnyAsked], keys: Sequence[str], decoding: Decoding) -> Any:
        return enumerate(self.write(asked, keys, decoding))

    def affirm(self, asked: Sequence[AnyAsked]) -> list[tuple[bool, int]]:
        return []


def test_every_turn_is_asked_behind_the_answers_before_it() -> None:
    """Break seen to fail: all turns asked behind an empty history."""
    writer = Echo()
    told = talk(writer, PROMPT, {"a": ["One?", "Two?"], "b": ["Three?"]}, Decoding(8))
    assert {id: [one.text for one in some] for id, some in told.items()} == {
        "a": ["4 before One?", "5 before Two?"], "b": ["4 before Three?"]
    }  # fmt: skip
    assert writer.keys == ["a/1", "b/1", "a/2"]
    assert "# Answer:\n```\n4 before One?\n```\n\n# Query:\n```\nTwo?" in writer.asked[-1].text  # type: ignore[union-attr]
    assert len({one.before for one in writer.asked}) == 1


def test_examples_are_dropped_from_the_front_until_an_answer_fits() -> None:
    """As many are kept as fit, for every limit. Breaks seen to fail: dropped from the back; one more than needed."""
    counted = Echo()
    sizes = [counted.count(PROMPT.last(k).asked((), "So?")) + 5 for k in range(3)]
    for limit in range(sizes[0], sizes[2] + 3):
        asked = fitted(PROMPT, Echo(limit), (), "So?", 5)
        kept = max(k for k in range(3) if sizes[k] <= limit)
        assert asked == PROMPT.last(kept).asked((), "So?")
    assert PROMPT.last(1).demonstrations == (TWO,) and PROMPT.last(0).demonstrations == ()
    with pytest.raises(
        UserError, match=rf"query a/1: does not fit: {sizes[0] - 5} tokens of prompt .* and 5 .*; allow"
    ):
        talk(Echo(sizes[0] - 1), PROMPT, {"a": ["So?"]}, Decoding(5))


def test_a_model_answers_within_its_context() -> None:
    """The tiny model has 256 places, and an example takes about 40 tokens."""
    writer = LocalWriter(tiny("llama", vocab_size=len(byte_level())), byte_level())
    many = tuple(Conversation(str(k), (Turn(f"What is {k}?", "A number. " * 5),)) for k in range(20))
    prompt = UrialPrompt("p", "Say it.", many)
    asked = fitted(prompt, writer, (), "So?", 16)
    assert "What is 19?" in asked.text and "What is 0?" not in asked.text  # type: ignore[union-attr]
    assert 256 - 60 < writer.count(asked) + 16 <= 256
    (told,) = talk(writer, prompt, {"a": ["So?"]}, Decoding(16))["a"]
    assert told.prompt_tokens + 16 <= 256
