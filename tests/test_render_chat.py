"""Chat prompts under every template of TRL's wheel: the tokenizer's own ids, loss on answers and ends (promise 4)."""

from __future__ import annotations

import copy
from datetime import date

import pytest
from tokenizers_made import BBH, QWEN, bbh, characters, chat, chat_of, marks, metaspace, template_files, templates

from fewfit.errors import UserError
from fewfit.examples.example import Example, Message
from fewfit.render import Renderer, RenderSettings
from fewfit.render.renderer import BORDER

FILES = template_files()
SPLITS = {"GPT-2": None, "Qwen": QWEN}
EXAMPLES = [
    Example("1", "not ( True ) is", "False"),
    Example("2", "Which is it?\nOptions:\n(A) x\n(B) y", "(B)"),
    Example("3", "How many?", "No."),
    Example("4", "Sort: pear apple", "apple pear"),
]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
every_template = pytest.mark.parametrize("path", templates(FILES))
both_splits = pytest.mark.parametrize("split", SPLITS.values(), ids=list(SPLITS))
needs_bbh = pytest.mark.skipif(not BBH.exists(), reason=f"needs the data in ../shared/data/bbh ({BBH.name} not found)")


def conversation(renderer: Renderer, demos, target) -> list[dict]:
    """Turns as anybody would write them for `apply_chat_template`."""

    def turn(role, text):
        return {
            "role": role,
            "content": [{"type": "text", "text": text}] if renderer.settings.content_parts else text,
        }

    turns = []
    for example in (*demos, target):
        turns += [turn("user", example.prompt), turn("assistant", example.completion)]
    return turns


def served(tokenizer, renderer: Renderer, demos, target) -> str:
    """The prompt that a server of this template would tokenise, the recorded difference made good."""
    text = tokenizer.apply_chat_template(
        conversation(renderer, demos, target)[:-1],
        chat_template=renderer.chat_template,
        add_generation_prompt=True,
        tokenize=False,
        **renderer.settings.template_kwargs,
    )
    return text.removesuffix(renderer.settings.generation_prompt_surplus) + renderer.settings.generation_prompt_lacks


def border_warnings(split, prompt: str) -> tuple[str, ...]:
    """GPT-2's pattern reads a blank line otherwise before an answer than at the end of a prompt, and says so."""
    return (BORDER,) if split is None and prompt.endswith("\n\n") else ()


def test_trl_ships_templates():
    """The parametrised tests below would pass on none."""
    assert len(FILES) > 50


@every_template
@both_splits
def test_ids_are_the_tokenizers_own(path, split):
    """Break seen to fail: the prompt tokenised piece by piece; the surplus of a generation prompt kept."""
    tokenizer = chat(path, split)
    renderer = Renderer.resolve(tokenizer, EXAMPLES)
    assert renderer.settings.chat
    for shots in (0, 1, 3):
        demos, target = EXAMPLES[3 - shots : 3], EXAMPLES[3]
        text = served(tokenizer, renderer, demos, target)
        prompt, rendered = renderer.prompt(demos, target), renderer.render(demos, target)
        assert prompt.text == text
        assert prompt.ids == tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
        assert rendered.ids[: rendered.prompt_tokens] == prompt.ids
        assert rendered.warnings == border_warnings(split, prompt.text)
        whole = tokenizer.apply_chat_template(
            conversation(renderer, demos, target),
            chat_template=renderer.chat_template,
            tokenize=False,
            **renderer.settings.template_kwargs,
        )
        # GLM's answers end where the next turn begins, which its own template does not write behind the last one
        assert whole.startswith(rendered.text.removesuffix("<|user|>"))


@every_template
@both_splits
def test_a_span_reads_as_the_answer_and_its_end(path, split):
    """Break seen to fail: the end mark left out; the line break behind it taken along."""
    tokenizer = chat(path, split)
    renderer = Renderer.resolve(tokenizer, EXAMPLES)
    rendered = renderer.render(EXAMPLES[:3], EXAMPLES[3])
    read = [tokenizer.decode(list(rendered.ids[start:end])) for start, end in rendered.spans]
    lead = " " if path.stem.startswith(("idefics3", "smolvlm", "llava")) else ""
    ends = ENDS[next(name for name in ENDS if path.stem.startswith(name))]
    if isinstance(ends, str):
        ends = (ends, ends)
    assert read == [f"{lead}{e.completion}{ends[e is EXAMPLES[3]]}" for e in EXAMPLES]
    # what ends an answer is one token, so nothing of the turn behind it is learnt
    assert {rendered.ids[end - 1] for _, end in rendered.spans} <= renderer.end_ids
    assert renderer.answer_text(rendered.ids[rendered.prompt_tokens :]) == ("apple pear", True)


# The end of an answer in each family, by hand from the model cards; gpt-oss has another at the very end.
ENDS: dict[str, str | tuple[str, str]] = {
    "cohere2": "<|END_RESPONSE|><|END_OF_TURN_TOKEN|>",
    "cohere": "<|END_OF_TURN_TOKEN|>",
    "deepseek": "<｜end▁of▁sentence｜>",
    "diffusion_gemma": "<turn|>",
    "gemma4": "<turn|>",
    "gemma": "<end_of_turn>",
    "glm4moe": "<|user|>",
    "gptoss": ("<|end|>", "<|return|>"),
    "idefics3": "<end_of_utterance>",
    "lfm2": "<|im_end|>",
    "llama3": "<|eot_id|>",
    "llava_next": "</s>",
    "muse_glimmer": "<|eot|>",
    "nemotron": "<|im_end|>",
    "phi3": "<|end|>",
    "qwen": "<|im_end|>",
    "smolvlm": "<end_of_utterance>",
}

# Where `{% generation %}` marks more than an answer and its end. TRL marks whole turns: their headers, where one
# token of the header is part of the turn, the empty think blocks of models that think, and what stands behind the end.
# None of that is the answer's: a served prompt holds what stands before it, and generation stops at the end.
THINK = ("<think></think>", "<think>\n\n</think>\n\n", "\n<think></think>\n", "\n")
HEADERS = (
    "<｜Assistant｜>",
    "<|start|>assistant<|channel|>final<|message|>",
    "<|start|>assistant to=user<|message|>",
)
BEFORE = ("", *THINK, *HEADERS)
BEHIND = ("", "\n", "<|endoftext|>", "\n<|endoftext|>")
MARKED = [path for path in FILES if "{% generation" in path.read_text() or "{%- generation" in path.read_text()]


@pytest.mark.parametrize("path", templates(MARKED))
@both_splits
def test_masks_lie_within_the_templates_own_marks(path, split):
    """Against `{% generation %}`: nothing outside the marks, and nothing missing but what the lists above allow.

    Break seen to fail: demonstrations left out; the header in front of an answer taken along; the end left out.
    """
    tokenizer = chat(path, split)
    renderer = Renderer.resolve(tokenizer, EXAMPLES)
    rendered = renderer.render(EXAMPLES[:3], EXAMPLES[3])
    theirs = tokenizer.apply_chat_template(
        conversation(renderer, EXAMPLES[:3], EXAMPLES[3]),
        chat_template=renderer.chat_template,
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
        **renderer.settings.template_kwargs,
    )
    ids, marked = theirs["input_ids"], theirs["assistant_masks"]
    spans = rendered.spans
    if rendered.warnings:
        # the last answer stands behind another token of white space than in the whole text
        assert rendered.warnings == border_warnings(split, "\n\n")
        spans = spans[:-1]
    assert tuple(ids[: spans[-1][1]]) == rendered.ids[: spans[-1][1]]
    ours = set()
    for start, end in spans:
        assert all(marked[start:end])
        first, last = start, end
        while marked[first - 1]:
            first -= 1
        while last < len(ids) and marked[last]:
            last += 1
        assert tokenizer.decode(ids[first:start]) in BEFORE
        assert tokenizer.decode(ids[end:last]) in BEHIND
        ours |= set(range(first, last))
    # and no stretch of marks without an answer
    assert all(n in ours for n in range(spans[-1][1]) if marked[n])
    assert len(MARKED) > 25


@needs_bbh
@every_template
@both_splits
@pytest.mark.parametrize("step", [125, pytest.param(1, marks=pytest.mark.slow)])
def test_every_bbh_prompt_has_the_tokenizers_own_ids(path, split, step):
    """Each example stands in one prompt of ten, each tenth as the target.

    Break seen to fail: the prompt tokenised piece by piece.
    """
    tokenizer = chat(path, split)
    examples = [Example(str(n), *pair) for n, pair in enumerate(bbh())]
    renderer = Renderer.resolve(tokenizer, examples[:1])
    for n in range(0, len(examples), 10 * step):
        *demos, target = examples[n : n + 10]
        prompt = renderer.prompt(demos, target)
        assert prompt.text == served(tokenizer, renderer, demos, target)
        assert prompt.ids == tuple(tokenizer(prompt.text, add_special_tokens=False)["input_ids"])
        assert prompt.warnings == ()


def test_a_case_counted_by_hand():
    """One token a character, special tokens one each: golden spans, also of what stands in between.

    Break seen to fail: the line break behind the end mark taken along.
    """
    tokenizer = characters(("<|im_start|>", "<|im_end|>"))
    tokenizer.chat_template = CHATML
    rendered = Renderer.resolve(tokenizer, EXAMPLES).render([Example("1", "a?", "b")], Example("2", "c?", "d"))
    #  <s>user\n a? <e>\n   <s>assistant\n   b <e>   \n    <s>user\n a? <e> \n   <s>assistant\n   d <e>
    #  0 12345   67  8 9    10 1-9   20     21 22   23    24 5678 9 30,31 32 33   34 35-43 44    45 46
    assert rendered.spans == ((21, 23), (45, 47))
    assert rendered.prompt_tokens == 45
    assert len(rendered.ids) == 47
    assert rendered.text == (
        "<|im_start|>user\na?<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n"
        "<|im_start|>user\nc?<|im_end|>\n<|im_start|>assistant\nd<|im_end|>"
    )


# --- what is decided


def test_chat_is_on_where_there_is_a_template():
    """Break seen to fail: auto read as on."""
    assert Renderer.resolve(chat_of(CHATML), EXAMPLES).settings.chat is True
    off = Renderer.resolve(chat_of(CHATML), EXAMPLES, chat="off")
    assert off.settings.chat is False
    assert off.prompt([], EXAMPLES[0]).text == "Input: not ( True ) is\nOutput:"
    assert Renderer.resolve(characters(), EXAMPLES).settings.chat is False
    with pytest.raises(UserError, match="no chat template"):
        Renderer.resolve(characters(), EXAMPLES, chat="on")
    with pytest.raises(UserError, match="auto, on or off"):
        Renderer.resolve(characters(), EXAMPLES, chat="yes")
    assert Renderer.resolve(chat_of(CHATML), EXAMPLES).notices[0] == "chat template on: the tokenizer has one"


def test_thinking_is_off_where_the_template_knows_it():
    """Break seen to fail: nothing passed, so that Qwen3.5's prompt opens a think block."""
    path = next(p for p in FILES if p.stem == "qwen3_5_think")
    renderer = Renderer.resolve(chat(path), EXAMPLES)
    assert renderer.settings.template_kwargs == {"enable_thinking": False}
    assert renderer.prompt([], EXAMPLES[0]).text.endswith("<think>\n\n</think>\n\n")
    assert renderer.settings.generation_prompt_lacks == ""
    asked = Renderer.resolve(chat(path), EXAMPLES, template_kwargs={"enable_thinking": True})
    assert asked.settings.template_kwargs == {"enable_thinking": True}
    assert Renderer.resolve(chat_of(CHATML), EXAMPLES).settings.template_kwargs == {}


def test_what_a_generation_prompt_lacks_is_recorded():
    """gpt-oss names its channel first, DeepSeek opens a think block that its answers do not have.

    Break seen to fail: both taken for the same text.
    """
    recorded = {
        path.stem: Renderer.resolve(chat(path), EXAMPLES).settings
        for path in FILES
        if path.stem in ("gptoss", "deepseekv3", "glm4moe", "qwen3")
    }
    assert recorded["gptoss"].generation_prompt_lacks == "<|channel|>final<|message|>"
    assert recorded["deepseekv3"].generation_prompt_surplus == "<think>\n"
    assert recorded["glm4moe"].generation_prompt_lacks == "\n"
    assert recorded["qwen3"].generation_prompt_lacks == recorded["qwen3"].generation_prompt_surplus == ""


@pytest.mark.parametrize("path", [p for p in FILES if "strftime_now(" in p.read_text()], ids=lambda p: p.stem)
def test_days_are_frozen(path):
    """Break seen to fail: the template asked as it is."""
    tokenizer = chat(path)
    renderer = Renderer.resolve(tokenizer, EXAMPLES, date="2021-02-03")
    text = renderer.prompt([], EXAMPLES[0]).text
    assert "2021-02-03" in text or "03 Feb 2021" in text
    assert renderer.settings.date == "2021-02-03"
    assert (
        Renderer(tokenizer, RenderSettings.from_json(renderer.settings.as_json())).prompt([], EXAMPLES[0]).text == text
    )
    assert Renderer.resolve(tokenizer, EXAMPLES).settings.date == date.today().isoformat()
    assert any("day" in notice for notice in renderer.notices)


def test_a_day_that_cannot_be_frozen_is_told():
    source = "{{ bos_token }}{% set f = '%Y' %}{{ strftime_now(f) }}" + CHATML
    assert any("daily" in notice for notice in Renderer.resolve(chat_of(source), EXAMPLES).notices)
    assert Renderer.resolve(chat_of(CHATML), EXAMPLES).settings.date is None


# --- system turns and instructions


def roles(text: str) -> list[str]:
    return [turn.split("\n")[0] for turn in text.split("<|im_start|>")[1:]]


def test_system_turns():
    """The first stands, equal ones are dropped, others join their user turn.

    Break seen to fail: every item's system turn kept.
    """

    def example(id, system, prompt):
        return Example(id, (Message("system", system), Message("user", prompt)), "yes")

    first, same, other = example("1", "S1", "a"), example("2", "S1", "b"), example("3", "S2", "c")
    renderer = Renderer.resolve(chat_of(CHATML), [first])
    text = renderer.prompt([first, same], other).text
    assert roles(text) == ["system", "user", "assistant", "user", "assistant", "user", "assistant"]
    assert "system\nS1<|im_end|>" in text
    assert "user\na<|im_end|>" in text
    assert "user\nb<|im_end|>" in text
    assert "user\nS2\n\nc<|im_end|>" in text
    given = Renderer.resolve(chat_of(CHATML), [first], system="S2", instruction="I")
    text = given.prompt([first], other).text
    assert "system\nI\n\nS2<|im_end|>" in text
    assert "user\nS1\n\na<|im_end|>" in text
    assert "user\nc<|im_end|>" in text
    none = Renderer.resolve(chat_of(CHATML), EXAMPLES, choices=["a", "b"])
    assert roles(none.prompt([], EXAMPLES[0]).text) == ["user", "assistant"]
    assert "user\nAnswer with one of: a, b.\n\nnot ( True ) is<|im_end|>" in none.prompt([], EXAMPLES[0]).text


@pytest.mark.parametrize("name", ["gemma", "gemma_training", "silent"])
def test_a_template_that_refuses_system_turns_gets_them_in_the_first_user_turn(name):
    """Gemma raises; others drop the turn without a word.

    Break seen to fail: only the raising ones recognised.
    """
    if name == "silent":
        tokenizer = chat_of(CHATML.replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}"))
    else:
        tokenizer = chat(next(p for p in FILES if p.stem == name))
    renderer = Renderer.resolve(tokenizer, EXAMPLES, system="Be brief.")
    assert renderer.settings.merge_system
    assert any("refuses system turns" in notice for notice in renderer.notices)
    text = renderer.prompt(EXAMPLES[:1], EXAMPLES[2]).text
    assert text.count("Be brief.") == 1
    assert "user\nBe brief.\n\nnot ( True ) is" in text
    assert not Renderer.resolve(chat_of(CHATML), EXAMPLES, system="Be brief.").settings.merge_system


@pytest.mark.parametrize("name", ["chatml", "silent"])
def test_a_greeting_of_the_assistants_says_nothing_of_ours(name):
    """Break seen to fail: the instruction, and system texts that join a turn, put into the first, whoever speaks."""

    def greeted(id, system, prompt):
        turns = (Message("system", system), Message("assistant", "Hello!"), Message("user", prompt))
        return Example(id, turns, "yes")

    examples = [greeted("1", "S1", "a"), greeted("2", "S2", "b")]
    loose = CHATML.replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}")
    tokenizer = chat_of(CHATML if name == "chatml" else loose)
    renderer = Renderer.resolve(tokenizer, examples, instruction="I")
    text = renderer.prompt(examples[:1], examples[1]).text
    assert text.count("assistant\nHello!<|im_end|>") == 2
    assert "user\nS2\n\nb<|im_end|>" in text
    assert ("system\nI\n\nS1<|im_end|>" if name == "chatml" else "user\nI\n\nS1\n\na<|im_end|>") in text


def test_earlier_turns_of_an_example_carry_no_loss():
    """Break seen to fail: every assistant turn taken for an answer."""
    turns = (Message("user", "Hi"), Message("assistant", "Hello"), Message("user", "A?"))
    example = Example("1", turns, "yes")
    tokenizer = chat_of(CHATML)
    rendered = Renderer.resolve(tokenizer, [example]).render([example], EXAMPLES[0])
    read = [tokenizer.decode(list(rendered.ids[start:end])) for start, end in rendered.spans]
    assert read == ["yes<|im_end|>", "False<|im_end|>"]
    assert "assistant\nHello<|im_end|>" in rendered.text


# --- templates that do odd things


def test_a_template_that_trims_changes_nothing():
    """Outer white space is trimmed here already. Break seen to fail: answers with their white space."""
    example = Example("1", "  a  ", " b\n")
    for source in (CHATML, CHATML.replace("m.content", "m.content | trim")):
        renderer = Renderer.resolve(chat_of(source), [example, *EXAMPLES])
        rendered = renderer.render([example], EXAMPLES[0])
        assert "user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>" in rendered.text
        assert rendered.warnings == ()
        assert any("trimmed in 1 of 5" in notice for notice in renderer.notices)


def test_a_template_that_rewrites_answers_is_told_of():
    """Qwen3 takes reasoning out of earlier answers; the text is used as it is given, and the warning says so.

    Break seen to fail: the template's own text not looked at.
    """
    path = next(p for p in FILES if p.stem == "qwen3")
    thinking = Example("1", "a?", "<think>\nhm\n</think>\n\nyes")
    tokenizer = chat(path, QWEN)
    renderer = Renderer.resolve(tokenizer, [thinking, *EXAMPLES])
    rendered = renderer.render([thinking], EXAMPLES[0])
    assert "assistant\n<think>\nhm\n</think>\n\nyes<|im_end|>" in rendered.text
    assert rendered.ids[: rendered.prompt_tokens] == tuple(
        tokenizer(renderer.prompt([thinking], EXAMPLES[0]).text, add_special_tokens=False)["input_ids"]
    )
    assert [w for w in rendered.warnings if "rewrites" in w]
    assert any("1 of 5 examples" in notice and "rewrites" in notice for notice in renderer.notices)
    assert renderer.render([EXAMPLES[1]], EXAMPLES[0]).warnings == ()


def test_a_template_that_cannot_be_used_says_why():
    """Break seen to fail: a lost turn overlooked."""
    no_end = CHATML.replace("{{ m.content }}", "{% if m.role == 'user' %}{{ m.content }}{% endif %}")
    with pytest.raises(UserError, match="drops the assistant turn"):
        Renderer.resolve(chat_of(no_end), EXAMPLES)
    twice = CHATML.replace("{{ m.content }}", "{{ m.content }}{{ m.content }}")
    with pytest.raises(UserError, match="repeats the user turn"):
        Renderer.resolve(chat_of(twice), EXAMPLES)
    choosy = "{% if 'apple' in messages[0].content %}{{ raise_exception('no fruit') }}{% endif %}" + CHATML
    with pytest.raises(UserError, match=r"^example 4: the chat template refuses .*no fruit"):
        Renderer.resolve(chat_of(choosy), EXAMPLES)
    raising = "{{ raise_exception('tools only') }}"
    with pytest.raises(UserError, match=r"refuses the turns .*tools only"):
        Renderer.resolve(chat_of(raising), EXAMPLES)


def test_a_conversation_that_a_template_refuses_is_named():
    """Break seen to fail: refused by its shape, which bears no id."""
    strict = (
        "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}{% endfor %}" + CHATML
    )
    turns = (Message("user", "Hi"), Message("user", "A?"))
    with pytest.raises(UserError, match=r"^example 7: the chat template refuses .*must alternate"):
        Renderer.resolve(chat_of(strict), [*EXAMPLES, Example("7", turns, "yes")])


def test_kwargs_that_do_nothing_are_told_of():
    """Break seen to fail: a misspelt name taken without a word; the same with the chat template off."""
    source = CHATML + "{% if not style is defined %}{% set style = 'plain' %}{% endif %}{{ style if deep else '' }}"

    def told(kwargs, **more):
        notices = Renderer.resolve(chat_of(source), EXAMPLES, template_kwargs=kwargs, **more).notices
        return [notice for notice in notices if "kwargs" in notice]

    assert told({"style": "curt", "deep": True}) == []
    assert told({"stile": "curt", "deep": True}) == ["--chat-template-kwargs: the chat template knows no stile"]
    assert "is not used" in told({"deep": True}, chat="off")[0]
    assert told({}, chat="off") == []


def test_an_end_in_plain_text():
    """No special token ends a turn: the text up to the next turn does, and it stops generation.

    Break seen to fail: the line break alone taken for the end, so that answers of two lines lose one.
    """
    source = (
        "{% for m in messages %}{{ 'User' if m.role == 'user' else 'Assistant' }}: {{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}Assistant:{% endif %}"
    )
    examples = [Example("1", "a?", "b\nc"), Example("2", "d?", "e")]
    tokenizer = chat_of(source)
    renderer = Renderer.resolve(tokenizer, examples)
    rendered = renderer.render(examples[:1], examples[1])
    assert renderer.prompt(examples[:1], examples[1]).text == "User: a?\nAssistant: b\nc\nUser: d?\nAssistant:"
    read = [tokenizer.decode(list(rendered.ids[start:end])) for start, end in rendered.spans]
    assert read == [" b\nc\nUser:", " e\nUser:"]
    assert renderer.end_text == "\nUser:"
    (ids,) = renderer.continuations(renderer.prompt([], examples[0]), ["b\nc"])
    assert renderer.answer_text(ids) == ("b\nc", True)
    assert renderer.settings.generation_prompt_lacks == ""


def test_an_end_of_turn_that_is_no_token():
    """ChatML on a tokenizer that does not know its marks: their text ends an answer, without the next turn's header.

    Break seen to fail: all the text up to the next turn taken for the end.
    """
    tokenizer = copy.deepcopy(characters())
    tokenizer.chat_template = CHATML
    renderer = Renderer.resolve(tokenizer, EXAMPLES)
    rendered = renderer.render(EXAMPLES[:1], EXAMPLES[1])
    assert renderer.end_text == "<|im_end|>"
    assert [rendered.text[start:end] for start, end in rendered.spans] == ["False<|im_end|>", "(B)<|im_end|>"]
    assert renderer.answer_text(rendered.ids[rendered.prompt_tokens :]) == ("(B)", True)


def test_a_query_without_an_answer_is_no_rewriting():
    """Templates leave out the white space around an empty turn. Break seen to fail: the query's own empty answer."""
    path = next(p for p in FILES if p.stem == "glm4moe")
    renderer = Renderer.resolve(chat(path, QWEN), EXAMPLES)
    assert renderer.prompt(EXAMPLES[:1], Example("q", "How many now?", "")).warnings == ()


def test_tokens_that_swallow_white_space_beside_them():
    """Phi-3's special tokens take the white space behind them along.

    Break seen to fail: pieces between special tokens tokenised apart.
    """
    from transformers import AddedToken

    path = next(p for p in FILES if p.stem == "phi3")
    tokenizer = copy.deepcopy(metaspace())
    tokens = [AddedToken(text, special=True, normalized=False, rstrip=True) for text in marks(path.read_text())]
    tokenizer.add_special_tokens({"additional_special_tokens": tokens})
    tokenizer.chat_template = path.read_text()
    renderer = Renderer.resolve(tokenizer, EXAMPLES)
    prompt, rendered = renderer.prompt(EXAMPLES[:2], EXAMPLES[3]), renderer.render(EXAMPLES[:2], EXAMPLES[3])
    assert prompt.ids == tuple(tokenizer(prompt.text, add_special_tokens=False)["input_ids"])
    assert prompt.text == served(tokenizer, renderer, EXAMPLES[:2], EXAMPLES[3])
    end = tokenizer.convert_tokens_to_ids("<|end|>")
    assert [rendered.ids[stop - 1] for _, stop in rendered.spans] == [end] * 3
    read = [tokenizer.decode(list(rendered.ids[start:stop])) for start, stop in rendered.spans]
    assert [text.replace(" ", "") for text in read] == ["False<|end|>", "(B)<|end|>", "applepear<|end|>"]
    assert renderer.answer_text(rendered.ids[rendered.prompt_tokens :]) == ("apple pear", True)
