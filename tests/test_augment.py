"""Augmentation: what is asked, what is kept of the answers, and that a killed process loses nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import fewfit
from fewfit.augment import augment, cumulative, independent, making, prompts, sentences
from fewfit.augment.augmented import who_writes
from fewfit.augment.checking import basis
from fewfit.augment.making import BLOCK, Wanted, make, targets
from fewfit.augment.parsing import Line, lines, sift
from fewfit.augment.target import Target
from fewfit.errors import UserError
from fewfit.examples import load
from fewfit.examples.example import Example
from fewfit.writing import Affirmed, Asked, Decoding, LocalWriter, Written, cut
from tests.models_made import tiny
from tests.streams_made import task_of


class Scripted:
    """A writer whose text is a function of the prompt: what stands behind its last `:` or first `=>`, turned round."""

    limit: int | None = None

    def __init__(self, script: Any = None, slow: float = 0.0):
        self.script, self.slow = script or turned, slow
        self.asked: list[str] = []

    def count(self, text: str | Asked) -> int:
        return len((text if isinstance(text, str) else text.text).split())

    def write(self, asked: Sequence[Asked], keys: Sequence[str], decoding: Decoding) -> list[Written]:
        out = []
        for one in asked:
            self.asked.append(one.before + one.rest)
            time.sleep(self.slow)
            text, ended = cut(self.script(one), decoding)
            out.append(Written(text, ended, len(one.rest.split()), len(text.split())))
        return out

    def affirm(self, asked: Sequence[Asked]) -> list[Affirmed]:
        return [Affirmed("false" not in one.rest, 1) for one in asked]


def turned(one: Asked) -> str:
    words = one.rest.strip().split("\n")[0].removesuffix("=>").strip().rstrip(".").split()
    return f" {' '.join(reversed(words))}.\n- seen from the other side: {' '.join(words)}.\n\nSentence: more\n- x"


def small() -> Scripted:
    writer = Scripted()
    writer.limit = 500
    return writer


def documents(*texts: str) -> list[Example]:
    return [Example(str(n), "", text) for n, text in enumerate(texts, 1)]


# ---- sentences -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Glon are bright. Femp are not.", ["Glon are bright.", "Femp are not."]),
        ("Dr. Elk met J. Stone. They spoke.", ["Dr. Elk met J. Stone.", "They spoke."]),
        ("It is 3.5 m long! is it? Yes.", ["It is 3.5 m long!", "is it?", "Yes."]),
        ("He said “Go.” Then he went.", ["He said “Go.”", "Then he went."]),
        ("glon are bright. femp are not.", ["glon are bright.", "femp are not."]),
        ("About approx. five of them", ["About approx. five of them"]),
        ("Q: what?\nA: this\n\nEnd", ["Q: what?", "A: this", "End"]),
        ("one line", ["one line"]),
    ],
)
def test_sentences(text: str, parts: list[str]) -> None:
    assert sentences(text) == parts


def test_a_document_of_n_sentences_is_n_examples_either_way() -> None:
    some = documents("A is b. C is d. E is f.", "G.")
    alone, behind = independent(some), cumulative(some)
    assert [(one.id, one.prompt, one.completion) for one in alone] == [
        ("1.1", "", "A is b."), ("1.2", "", "C is d."), ("1.3", "", "E is f."), ("2.1", "", "G."),
    ]  # fmt: skip
    assert [one.prompt for one in behind] == ["", "A is b.", "A is b. C is d.", ""]
    assert [one.completion for one in behind] == [one.completion for one in alone]
    assert {one.group for one in alone} == {"1", "2"}


def test_what_stands_before_a_sentence_carries_no_loss() -> None:
    """Break seen to fail: the span from the first token on."""
    renderer = task_of(documents("A is b. C is d.", "x y.", "z.")).renderer
    _, second, *_ = cumulative(documents("A is b. C is d."))
    rendered = renderer.documents(second)
    (span,) = rendered.spans
    assert renderer.encoder.decode(rendered.ids[span[0] : span[1]]).strip() == "C is d."
    assert rendered.text.startswith("A is b. C is d.")
    assert renderer.documents(Example("1", "", "A is b.")).spans[0][0] == 1


# ---- rows ------------------------------------------------------------------------------------------------------------


def test_lines_of_any_list_are_rows_and_a_line_cut_off_is_not() -> None:
    for mark in ("- {}", "{0}", "1. {}", "* {}", "2) {}", "• {}"):
        dropped: Counter[str] = Counter()
        text = "\n".join(mark.format(word) for word in ("Femp are dim.", "Glon shine", "half a sen"))
        assert [one.completion for one in lines(text, ended=False, pairs=False, dropped=dropped)] == [
            "Femp are dim.", "Glon shine",
        ]  # fmt: skip
        assert dropped == {"cut off": 1}
    assert len(lines("a\nb", ended=True, pairs=False, dropped=Counter())) == 2


def test_pairs_need_a_question_and_an_answer() -> None:
    dropped: Counter[str] = Counter()
    text = "Who? => me\n- no arrow\n- => nothing\n- Why? =>\n- What => a => b\n--"
    assert lines(text, ended=True, pairs=True, dropped=dropped) == [Line("Who?", "me"), Line("What", "a => b")]
    assert dropped == {"no answer": 3, "no words": 1}


def test_copies_and_duplicates_are_dropped_and_counted() -> None:
    dropped: Counter[str] = Counter()
    said = ["glon are BRIGHT", "Femp are dim.", "femp are dim", "Wims are shorter.", "one", "two", "three"]
    kept = sift(
        [Line("", text) for text in said],
        sources=[Line("", "Glon are bright.")],
        shown="Sentence: x\n- Wims are shorter.\n",
        most=3,
        dropped=dropped,
    )
    assert [line.completion for line in kept] == ["Femp are dim.", "one", "two"]
    assert dropped == {"copy": 1, "duplicate": 1, "copy of the prompt": 1, "beyond --per": 1}


def test_names_of_the_worked_examples_are_no_inferences() -> None:
    """Break seen in SmolLM2's own pairs: `What did Hanno Bruck do? => the Ember Bank`, of a verb."""
    dropped: Counter[str] = Counter()
    shown = "Sentence: The author of Salt is Ada Renwick.\nTurned round: The book of Ada Renwick is Salt.\n"
    said = ["The sister of Ada is blue.", "The author of Nine is Ida.", "Ada is first in a line."]
    kept = sift([Line("", text) for text in said], sources=[Line("", "Ida wrote Nine.")], shown=shown, most=5,
                dropped=dropped)  # fmt: skip
    assert [line.completion for line in kept] == said[1:] and dropped == {"a name of the prompt's": 1}
    known = [Line("", "Ada is a sister of Ida.")]
    assert len(sift([Line("", said[0])], sources=known, shown=shown, most=5, dropped=dropped)) == 1


# ---- strategies ------------------------------------------------------------------------------------------------------


def test_every_row_names_all_that_it_was_made_from() -> None:
    some = documents("Glon are bright. Femp are dim.", "Velk are fast.", "Plim are old.")
    for strategy, made_from in (("local", ["1"]), ("document", ["1"]), ("global", ["1", "2", "3"])):
        made = augment(some, Scripted(), strategy=strategy)
        account, first = made.accounts[strategy], made.rows[0]
        assert (first["strategy"], first["made_from"]) == (strategy, made_from)
        assert account.kept == len(made.rows) and account.new_tokens > 0
        assert len({row["id"] for row in made.rows}) == len(made.rows)
        assert [one.completion for one in load(list(made.rows)).examples] == [row["text"] for row in made.rows]
    assert account.asked == 3


def test_strategies_do_not_share_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second a prompt, and two of them for local. Break seen to fail: a block's seconds shared out among all of its
    targets."""
    writer = Scripted()
    monkeypatch.setattr(making, "time", SimpleNamespace(perf_counter=lambda: len(writer.asked)))
    made = augment(documents("A is b.", "C is d.", "E is f."), writer, strategy=["local", "global"])
    assert [made.accounts[name].seconds for name in ("local", "global")] == [6, 3]


def test_what_one_strategy_keeps_does_not_hang_on_another() -> None:
    """Break seen to fail: a copy of another strategy's worked examples dropped, where both stood in a block."""
    writer = Scripted(lambda one: " Quorps are taller than dabbo.\n\n")
    alone, both = (augment(documents("A is b."), writer, strategy=some).rows for some in ("local", ["local", "global"]))
    assert len(alone) == 1 and alone == both


def test_the_context_is_what_fits_and_is_named_as_it_is() -> None:
    """Break seen to fail: `made_from` of all examples where the context held a part."""
    some = documents(*(f"Sentence number {n} of this file." for n in range(40)))
    writer = small()
    for row in augment(some, writer, strategy="global").rows:
        shown = [example.id for example in some if f"- {example.completion}" in writer.asked[0]]
        assert 3 < len(shown) < 40 and set(row["made_from"]) == {*shown, row["id"].split("/")[0]}
    assert all(writer.count(text) + 96 <= 500 for text in writer.asked)


def test_pairs_give_pairs_with_answers_among_the_choices() -> None:
    some = [Example("1", "fine food", "good"), Example("2", "cold soup", "bad"), Example("3", "warm bread", "good")]
    writer = Scripted(lambda one: f" so says {one.rest.split(' =>')[0].strip()} => good\n- other => neither\n\n")
    wanted = Wanted(choices=("good", "bad"))
    found = list(make(writer, targets(writer, some, "local", wanted), wanted))
    (first,) = found[0].inferences
    assert (first.example.prompt, first.example.completion) == ("so says fine food", "good")
    assert sum(one.account.dropped["no choice"] for one in found) == 3
    with pytest.raises(UserError, match="a pair is whole"):
        augment(some, writer, strategy="document")


def test_choices_are_of_answers_and_not_of_documents() -> None:
    """Break seen in a run whose questions were answered by yes and no: nothing that was inferred was kept."""
    wanted = Wanted(choices=("yes", "no"))
    (made,) = make(Scripted(), targets(Scripted(), documents("A is b."), "local", wanted), wanted)
    assert made.inferences and not made.account.dropped["no choice"]


@pytest.mark.parametrize("name", ["local", "document", "global", "local-pairs", "global-pairs"])
def test_the_worked_examples_of_our_prompts_are_no_inferences(name: str) -> None:
    """Break seen to fail: whole lines were compared, and what is answered stands behind a colon."""
    for template in prompts.read(name):
        before = template.filled("", text="T.", prompt="P", completion="C").before
        mark = ": |^- " if name.endswith("-pairs") else ": | => |^- "
        worked = [line for line in before.splitlines() if re.search(mark, line)]
        said = [re.split(mark, line)[-1] for line in worked]
        some = [Line(*(part.strip() for part in one.rpartition("=>")[::2])) for one in said]
        dropped: Counter[str] = Counter()
        assert said and not sift(some, sources=[], shown=before, most=len(some), dropped=dropped)


def test_what_is_checked_follows_from_the_context_and_the_target() -> None:
    """Of a long file the context is a part. Break seen to fail: a target outside of it was denied what it says."""
    here, there = Example("1", "", "Glon are bright."), Example("2", "", "Femp are dim.")
    assert basis(Target("2", "global", there, there.completion, (here,))) == "Glon are bright. Femp are dim."
    assert basis(Target("1", "global", here, here.completion, (here, there))) == "Glon are bright. Femp are dim."


def test_another_model_does_not_go_on_with_a_file() -> None:
    """Break seen to fail: a writer that was handed in was known by its class alone."""
    tokenizer = task_of(documents("A is b. C is d.", "x y.", "z.")).renderer.encoder.tokenizer
    first, second = (LocalWriter(tiny("llama", seed=seed), tokenizer) for seed in (0, 1))
    assert who_writes(first) == who_writes(LocalWriter(first.model, tokenizer)) != who_writes(second)


def test_a_check_keeps_what_is_affirmed() -> None:
    writer = Scripted(lambda one: " this is so\n- this is false\n\n")
    (made, *_) = make(writer, targets(writer, documents("A is b."), "local", Wanted()), Wanted(check=True))
    assert [one.example.completion for one in made.inferences] == ["this is so"]
    assert made.account.dropped["denied"] == 1 and made.denied == ("this is false",)


def test_prompts_of_ones_own_take_the_place_of_ours(tmp_path: Path) -> None:
    (tmp_path / "local.txt").write_text("## a remark\nWhat of {text}?\n====\nOnce more: {text}\n-\n")
    first, second = prompts.read("local", tmp_path)
    assert first.filled("", text="{context}") == Asked("What of ", "{context}?"), "data hold no slots"
    assert second.text.endswith("\n-")
    assert prompts.read("global", tmp_path) == prompts.read("global")
    (tmp_path / "local.txt").write_text("no slot")
    with pytest.raises(UserError, match=r"without \{text\}"):
        prompts.read("local", tmp_path)
    with pytest.raises(UserError, match="holds none"):
        prompts.check_folder(tmp_path / "other")


@pytest.mark.parametrize("name", prompts.SLOTS)
def test_our_prompts_have_their_slots_and_no_remark_is_left(name: str) -> None:
    for one in prompts.read(name):
        assert not any(line.startswith("##") for line in one.text.splitlines())


# ---- files -----------------------------------------------------------------------------------------------------------

LINES = [json.dumps({"id": f"d{n}", "text": f"Glon{n} are brighter than femp{n}."}) for n in range(3 * BLOCK + 5)]
SCRIPT = """
import sys
from fewfit.augment import augment
from tests.test_augment import Scripted
augment(sys.argv[1], Scripted(slow=0.004), out=sys.argv[2], strategy=["local", "global"], check=True)
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(LINES))
    return path


@pytest.mark.slow
def test_killed_at_any_moment_and_run_again_nothing_is_lost_or_made_twice(data: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.jsonl"
    made = fewfit.augment(str(data), Scripted(), strategy=["local", "global"], check=True, out=whole)  # type: ignore[operator]
    wanted = whole.read_bytes()
    assert len(made.rows) == wanted.count(b"\n") > len(LINES)
    out = tmp_path / "killed.jsonl"
    command = [sys.executable, "-c", SCRIPT, str(data), str(out)]
    sizes, blocks = [0], 0
    for _ in range(40):
        process = subprocess.Popen(command, env=os.environ)
        seen = sizes[-1]
        while process.poll() is None and len(sizes) <= 5:  # a moment after it has got further
            if out.exists() and out.stat().st_size > seen:
                time.sleep(0.01 * len(sizes))
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.002)
        if process.wait() == 0:
            break
        assert wanted.startswith(out.read_bytes())
        ledger = out.with_name(out.name + ".progress").read_bytes()
        assert ledger.count(b"\n") > blocks, "what was made is not made again"
        blocks = ledger.count(b"\n")
        sizes.append(out.stat().st_size)
    assert process.returncode == 0 and len(sizes) > 3
    assert out.read_bytes() == wanted


def test_half_a_line_is_cut_off_and_what_others_wrote_is_not(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    fewfit.augment(str(data), Scripted(), out=out)  # type: ignore[operator]
    wanted, ledger = out.read_bytes(), out.with_name("out.jsonl.progress")
    content = ledger.read_bytes()
    for keep in (len(content) - 7, content.find(b"\n") + 30, 20, 0):
        ledger.write_bytes(content[:keep])
        out.write_bytes(b"")
        writer = Scripted()
        fewfit.augment(str(data), writer, out=out)  # type: ignore[operator]
        assert out.read_bytes() == wanted and writer.asked
    writer = Scripted()
    fewfit.augment(str(data), writer, out=out)  # type: ignore[operator]
    assert not writer.asked, "what is done is not done again"
    with pytest.raises(UserError, match="another per"):
        fewfit.augment(str(data), writer, out=out, per=2)  # type: ignore[operator]
    out.write_bytes(wanted + b"{}\n")
    with pytest.raises(UserError, match="was changed"):
        fewfit.augment(str(data), writer, out=out)  # type: ignore[operator]
    ledger.unlink()
    with pytest.raises(UserError, match="there already"):
        fewfit.augment(str(data), writer, out=out)  # type: ignore[operator]


def test_the_file_is_data_and_its_volume_and_truth_are_told(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    made = fewfit.augment(  # type: ignore[operator]
        str(data), Scripted(lambda one: turned(one).replace("\n\n", "\n- this is false\n\n")),
        out=out, check=True, judge=lambda text: None if text.startswith("seen") else "false" not in text,
    )  # fmt: skip
    again = load(out)
    assert len(again) == len(made.rows) == made.after.rows and again.are_documents
    assert made.before.rows == len(LINES) and made.after.tokens > made.before.tokens
    assert made.truth is not None and made.truth.precision == made.truth.recall == 1.0
    assert made.truth.unknown == made.truth.right == made.truth.wrong_denied == len(LINES)
    told = made.as_json()
    assert told["strategies"]["local"]["kept"] == len(made.rows) and json.dumps(told)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"strategy": "lokal"}, "choose among"),
        ({"strategy": ["local", "local"]}, "once"),
        ({"per": 0}, "1 or more"),
        ({"max_new_tokens": 500, "model": small()}, "leaves no room for a prompt; give fewer: .* 500 tokens"),
        ({"temperature": -1.0}, "give 0"),
        ({"out": "no/such/folder/x.jsonl"}, "folder is not there"),
        ({"model": None}, "no model"),
        ({"concurrency": 2}, "--concurrency without --base-url"),
        ({"max_calls": 9}, "--max-calls without --base-url"),
        ({"max_tokens": 9}, "--max-tokens without --base-url"),
    ],
)
def test_what_cannot_be_done_is_said(data: Path, more: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        fewfit.augment(str(data), **{"model": Scripted(), **more})  # type: ignore[operator]
