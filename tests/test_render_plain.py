"""Plain text prompts: the tokenizer's own ids, and loss on answers and their ends, nothing else (promise 4)."""

from __future__ import annotations

import json

import pytest
from tokenizers_made import BBH, QWEN, bbh, byte_level, characters, llama2, metaspace, space_in_front, unigram

from fewfit.errors import UserError
from fewfit.examples.example import Example, Message
from fewfit.render import Piece, Renderer, RenderSettings, loss_mask, shared_prefix

KINDS = {
    "GPT-2": lambda: byte_level(),
    "Qwen": lambda: byte_level(QWEN),
    "offsets without white space, BOS": lambda: byte_level(trim_offsets=True, bos=True),
    "SentencePiece, BOS": lambda: metaspace(),
    "SentencePiece, BOS and EOS": lambda: metaspace(eos=True),
    "SentencePiece, no space in front": lambda: metaspace(scheme="never"),
    "Llama 2": llama2,
    "Unigram": unigram,
    "GPT-2, space in front": space_in_front,
}
EXAMPLES = [
    Example("1", "not ( True ) is", "False"),
    Example("2", "Which is it?\nOptions:\n(A) x\n(B) y", "(B)"),
    Example("3", "How many?", "No."),
    Example("4", "Sort: pear apple", "apple pear"),
]
needs_bbh = pytest.mark.skipif(not BBH.exists(), reason=f"needs the data in ../shared/data/bbh ({BBH.name} not found)")


@pytest.fixture(params=KINDS, ids=list(KINDS))
def tokenizer(request):
    return KINDS[request.param]()


def by_hand(examples, last: bool = True) -> str:
    """The default template, written out once more."""
    items = [f"Input: {e.prompt}\nOutput: {e.completion}" for e in examples]
    return "\n\n".join(items) + "\n\n" if last else "\n\n".join([*items[:-1], f"Input: {examples[-1].prompt}\nOutput:"])


def own_ids(tokenizer, text: str) -> tuple[int, ...]:
    """The tokenizer's own ids, but for an EOS behind the text: an answer follows."""
    ids = tokenizer(text)["input_ids"]
    return tuple(ids[:-1] if ids[-1] == tokenizer.eos_token_id else ids)


def spans_as_text(tokenizer, rendered) -> list[str]:
    """What each span adds to the text before it (SentencePiece drops a first token's space)."""

    def decoded(n):
        return tokenizer.decode(list(rendered.ids[:n]), skip_special_tokens=False)

    return [decoded(end)[len(decoded(start)) :] for start, end in rendered.spans]


def test_a_case_counted_by_hand():
    """One token a character: the whole sequence can be checked with a finger on the text.

    Break seen to fail: spans that end before the separator; the space before an answer left with the prompt.
    """
    examples = [Example("1", "a?", "b"), Example("2", "c?", "d")]
    tokenizer = characters()
    rendered = Renderer.resolve(tokenizer, examples).render(examples[:1], examples[1])
    #                0        9|10     17|   21|       30|31     38|   42
    text = "Input: a?\nOutput: b\n\nInput: c?\nOutput: d\n\n"
    assert rendered.text == text
    assert len(rendered.ids) == 42
    assert rendered.spans == ((17, 21), (38, 42))
    assert rendered.prompt_tokens == 38
    assert rendered.demos == ("1",)
    assert rendered.warnings == ()
    assert tokenizer.decode(rendered.ids) == text
    assert loss_mask(rendered, "every-answer") == [0] * 17 + [1] * 4 + [0] * 17 + [1] * 4
    assert loss_mask(rendered, "last-answer") == [0] * 38 + [1] * 4


def test_a_token_that_joins_an_answer_and_its_end_is_the_answers():
    """Qwen's pattern makes `)` and a blank line one token: golden tokens, for a demonstration and for the target.

    Break seen to fail: only tokens that lie within the answer's text wholly.
    """
    tokenizer = byte_level(QWEN)
    examples = [Example("1", "Q", "(B)"), Example("2", "Q", "(A)")]
    rendered = Renderer.resolve(tokenizer, examples).render(examples[:1], examples[1])
    tokens = tokenizer.convert_ids_to_tokens(list(rendered.ids))
    assert [tokens[start:end] for start, end in rendered.spans] == [["Ġ(", "B", ")ĊĊ"], ["Ġ(", "A", ")ĊĊ"]]


def test_ids_are_the_tokenizers_own_and_the_sequence_begins_with_them(tokenizer):
    """Break seen to fail: the prompt tokenised piece by piece; the space before an answer left with the prompt."""
    renderer = Renderer.resolve(tokenizer, EXAMPLES)
    for shots in range(len(EXAMPLES)):
        demos, target = EXAMPLES[:shots], EXAMPLES[shots]
        prompt, rendered = renderer.prompt(demos, target), renderer.render(demos, target)
        assert prompt.text == by_hand([*demos, target], last=False)
        assert prompt.ids == own_ids(tokenizer, prompt.text)
        assert rendered.ids[: rendered.prompt_tokens] == prompt.ids
        assert rendered.text == by_hand([*demos, target])
        assert rendered.spans[-1] == (len(prompt.ids), len(rendered.ids))
        assert rendered.warnings == ()


def test_a_span_reads_as_the_answer_and_its_end(tokenizer):
    """Break seen to fail: the end mark left out; the token behind an answer taken along."""
    rendered = Renderer.resolve(tokenizer, EXAMPLES).render(EXAMPLES[:3], EXAMPLES[3])
    assert spans_as_text(tokenizer, rendered) == [" False\n\n", " (B)\n\n", " No.\n\n", " apple pear\n\n"]


def test_an_answer_has_the_same_tokens_as_demonstration_and_as_target(tokenizer):
    """GPT-2's pattern splits a blank line otherwise at the end of a text than before more of it.

    Break seen to fail: the target tokenised without what would follow its end mark.
    """
    renderer = Renderer.resolve(tokenizer, EXAMPLES)
    for example in EXAMPLES:
        as_target = renderer.render([EXAMPLES[0]], example)
        as_demo = renderer.render([EXAMPLES[0], example], EXAMPLES[0])
        start, end = as_demo.spans[1]
        assert as_target.ids[as_target.prompt_tokens :] == as_demo.ids[start:end]


def test_generated_ids_read_back(tokenizer):
    """Break seen to fail: text behind the end mark kept."""
    renderer = Renderer.resolve(tokenizer, EXAMPLES)
    for example in EXAMPLES:
        prompt = renderer.prompt(EXAMPLES[:1], example)
        (ids,) = renderer.continuations(prompt, [example.completion])
        rambling = tokenizer("Input: more", add_special_tokens=False)["input_ids"]
        assert renderer.answer_text(ids) == (example.completion, True)
        assert renderer.answer_text([*ids, *rambling]) == (example.completion, True)
        bare = tokenizer(example.completion, add_special_tokens=False)["input_ids"]
        assert renderer.answer_text(bare) == (example.completion, False)
        assert renderer.answer_text([*bare, tokenizer.eos_token_id, *ids]) == (example.completion, True)


def test_every_character_is_held_by_a_token(tokenizer):
    """White space too, where the tokenizer's own offsets leave it out.

    Break seen to fail: the tokenizer's own offsets taken.
    """
    text = "Input:  a   b\n\n  c \n"
    encoded = Renderer.resolve(tokenizer, EXAMPLES).encoder.encode([Piece(text)], special=True)
    held = [n for start, end in zip(encoded.starts, encoded.ends, strict=True) for n in range(start, end)]
    assert sorted(set(held)) == list(range(len(text)))
    assert encoded.ids == own_ids(tokenizer, text)


@needs_bbh
@pytest.mark.parametrize("step", [25, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["GPT-2", "Qwen", "SentencePiece, BOS"])
def test_every_bbh_prompt_has_the_tokenizers_own_ids(kind, step):
    """Every example as the target of a prompt whose demonstrations are the two before it.

    Break seen to fail: the prompt tokenised piece by piece.
    """
    tokenizer = KINDS[kind]()
    examples = [Example(str(n), *pair) for n, pair in enumerate(bbh())]
    assert len(examples) == 2500
    renderer = Renderer(tokenizer, RenderSettings(chat=False, chat_reason="test"))
    for n in range(0, len(examples), step):
        demos, target = examples[max(0, n - 2) : n], examples[n]
        rendered = renderer.render(demos, target)
        text = by_hand([*demos, target], last=False)
        assert rendered.ids[: rendered.prompt_tokens] == own_ids(tokenizer, text), target
        assert rendered.text == by_hand([*demos, target])
        assert rendered.warnings == ()
        for (start, end), example in zip(rendered.spans, [*demos, target], strict=True):
            assert tokenizer.decode(list(rendered.ids[start:end])).lstrip(" ") == f"{example.completion}\n\n"


def test_rare_merges_over_the_border_keep_the_served_prompt():
    """A template that ends its prompt in a blank line: GPT-2's pattern splits it before an answer, not at the end.

    Break seen to fail: ids of the whole text where they do not begin with the prompt's.
    """
    tokenizer = byte_level()
    renderer = Renderer.resolve(tokenizer, EXAMPLES, template=r"{prompt}\n\n{completion}")
    rendered = renderer.render(EXAMPLES[:1], EXAMPLES[3])
    prompt = renderer.prompt(EXAMPLES[:1], EXAMPLES[3])
    assert prompt.text.endswith("pear apple\n\n")
    assert prompt.ids == own_ids(tokenizer, prompt.text) == rendered.ids[: rendered.prompt_tokens]
    assert own_ids(tokenizer, rendered.text + "Sort")[: len(prompt.ids)] != prompt.ids  # so the case is a case
    assert tokenizer.decode(list(rendered.ids)) == rendered.text
    # ends are the same tokens in spite of it: two of them, though one token could be a blank line
    (_, high), (last, _) = rendered.spans
    assert tokenizer.convert_ids_to_tokens(rendered.ids[high - 2 : high]) == ["Ċ", "Ċ"]
    assert tokenizer.convert_ids_to_tokens(rendered.ids[-2:]) == ["Ċ", "Ċ"]
    assert tokenizer.convert_ids_to_tokens(rendered.ids[last - 1]) == "ĊĊ"
    assert len(rendered.warnings) == 1
    assert any("4 of 4 examples" in notice for notice in renderer.notices)


def test_a_token_that_would_hold_the_next_items_beginning_is_cut():
    """A template that begins with a line break: Qwen's pattern joins it to the blank line before it.

    Break seen to fail: the last token taken without a look at where it ends.
    """
    tokenizer = byte_level(QWEN, more="Q\n\n\nQ")
    renderer = Renderer.resolve(tokenizer, EXAMPLES, template=r"\nQ: {prompt}\nA: {completion}")
    rendered = renderer.render(EXAMPLES[:1], EXAMPLES[3])
    start, end = rendered.spans[0]
    assert tokenizer.decode(list(rendered.ids[start:end])) == " False\n\n\n"  # so the case is a case
    assert tokenizer.decode(list(rendered.ids)) == rendered.text
    assert rendered.text.endswith("A: apple pear\n\n")
    assert renderer.answer_text(rendered.ids[rendered.prompt_tokens :]) == ("apple pear", True)


@pytest.mark.parametrize("kind", ["GPT-2", "Qwen", "SentencePiece, BOS"])
def test_a_word_that_would_grow_over_the_border_stays_cut(kind):
    """`{prompt}{completion}` without a space: the whole text has other tokens at the border.

    Break seen to fail: ids of the whole text where they do not begin with the prompt's.
    """
    tokenizer = KINDS[kind]()
    examples = [Example("1", "steps le", "ft"), Example("2", "Fal", "se")]
    renderer = Renderer.resolve(tokenizer, examples, template="{prompt}{completion}")
    for target in examples:
        rendered = renderer.render([], target)
        assert rendered.ids[: rendered.prompt_tokens] == own_ids(tokenizer, target.prompt)
        assert rendered.text == target.prompt + target.completion + "\n\n"
        assert tokenizer.decode(list(rendered.ids)).removeprefix("<s> ") == rendered.text
        # behind the border, ends as everywhere
        as_demo = renderer.render([target], EXAMPLES[2])
        end = 1 if kind == "Qwen" else 2
        assert rendered.ids[-end:] == as_demo.ids[: as_demo.spans[0][1]][-end:]


def test_continuations_are_what_render_would_append(tokenizer):
    """Break seen to fail: choices tokenised apart from the prompt."""
    renderer = Renderer.resolve(tokenizer, EXAMPLES)
    prompt = renderer.prompt(EXAMPLES[:2], EXAMPLES[2])
    answers = ["(A)", "(B)", "Yes", "No."]
    for answer, ids in zip(answers, renderer.continuations(prompt, answers), strict=True):
        assert prompt.ids + ids == renderer.render(EXAMPLES[:2], EXAMPLES[2], answer).ids


# --- length


def test_too_long_prompts_lose_demonstrations_from_the_front():
    """Never one too many: with the one before, it would not have fitted.

    Break seen to fail: dropped from the back; dropped in one go; the answer's room forgotten.
    """
    tokenizer = byte_level()
    demos = [Example(f"d{n}", "Take 3 steps left. " * (n % 4 + 1), "Yes") for n in range(12)]
    target = Example("t", "Turn around.", "No")
    free = Renderer.resolve(tokenizer, [*demos, target])
    lengths = [len(free.prompt(demos[n:], target).ids) for n in range(13)]
    room = free.settings.max_new_tokens
    seen = set()
    for limit in range(lengths[-1] + room, lengths[0] + room + 3, 7):
        renderer = Renderer(tokenizer, RenderSettings.from_json({**free.settings.as_json(), "max_length": limit}))
        kept = renderer.prompt(demos, target).demos
        fits = [n for n in range(13) if lengths[n] + room <= limit]
        assert kept == tuple(d.id for d in demos[fits[0] :])
        seen.add(len(kept))
    assert len(seen) > 8


def test_an_example_that_cannot_fit_is_named_before_anything_runs():
    """Break seen to fail: the check left to the first prompt."""
    long = Example("row 7", "word " * 300, "Yes")
    with pytest.raises(UserError, match="example row 7: does not fit") as error:
        Renderer.resolve(byte_level(), [*EXAMPLES, long], max_length=128)
    assert error.value.hint is not None and "--max-length" in error.value.hint
    renderer = Renderer.resolve(byte_level(), EXAMPLES, max_length=128)
    with pytest.raises(UserError, match="example row 7: does not fit"):
        renderer.prompt(EXAMPLES, long)
    with pytest.raises(UserError, match="example 1: its answer does not fit"):
        renderer.render([], EXAMPLES[0], "word " * 300)


def test_the_models_context_bounds_the_length():
    renderer = Renderer.resolve(byte_level(), EXAMPLES, max_length=4096, context_length=512)
    assert renderer.settings.max_length == 512
    assert any("512" in notice for notice in renderer.notices)
    with pytest.raises(UserError, match="no prompt fits"):
        Renderer.resolve(byte_level(), EXAMPLES, max_length=16, max_new_tokens=16)


def test_room_for_answers_is_half_as_long_again_as_the_longest():
    """One token a character: ` abcdefghij` and a blank line are 13 tokens, 19.5 with half again, 24 in eights."""
    examples = [Example("1", "q", "abcdefghij"), Example("2", "r", "b")]
    assert Renderer.resolve(characters(), examples).settings.max_new_tokens == 24
    assert Renderer.resolve(characters(), examples, choices=["b", "c"]).settings.max_new_tokens == 8
    own = [Example("1", "q", "b", choices=("b", "abcdefghij")), Example("2", "r", "b")]
    assert Renderer.resolve(characters(), own, choices=["b", "c"]).settings.max_new_tokens == 24


# --- what stands in a prompt


def test_the_separator_is_one_that_no_example_contains():
    """Break seen to fail: the blank line kept."""
    with_blank = [Example("1", "a\n\nb", "c")]
    assert Renderer.resolve(byte_level(), with_blank).settings.separator == "\n###\n"
    with_both = [*with_blank, Example("2", "# one\n### two\n", "c")]
    renderer = Renderer.resolve(byte_level(), with_both)
    assert renderer.settings.separator == "\n---\n"
    assert renderer.end_text == "\n---\n"
    assert any("separated by" in notice for notice in renderer.notices)
    with_answer = [Example("1", "a", "b\n\nc\n---\nd ### e")]
    renderer = Renderer.resolve(byte_level(), with_answer)
    assert renderer.settings.separator == "\n***\n"
    (ids,) = renderer.continuations(renderer.prompt([], with_answer[0]), [with_answer[0].completion])
    assert renderer.answer_text(ids) == (with_answer[0].completion, True)


def test_a_tokenizer_that_loses_line_breaks_gets_another_end_mark():
    """An end mark that cannot be written ends nothing. Break seen to fail: the look at what survives left out."""
    import copy

    from tokenizers import normalizers

    tokenizer = copy.deepcopy(byte_level())
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace("\n", " ")
    assert Renderer.resolve(tokenizer, EXAMPLES).settings.separator == " ###"


def test_outer_white_space_is_trimmed_with_one_notice():
    """Break seen to fail: the prompt's white space kept."""
    examples = [Example("1", " a? \n", " b "), Example("2", "c?", "d")]
    renderer = Renderer.resolve(characters(), examples)
    assert renderer.render(examples[:1], examples[1]).text == "Input: a?\nOutput: b\n\nInput: c?\nOutput: d\n\n"
    assert [notice for notice in renderer.notices if "trimmed in 1 of 2" in notice]
    assert not [n for n in Renderer.resolve(characters(), examples[1:]).notices if "trimmed" in n]


def test_the_raw_form_keeps_the_space_between_prompt_and_completion():
    """Trimming must not join words. Break seen to fail: the template taken as it stands."""
    examples = [Example("1", "The sky is ", "blue"), Example("2", "Grass is", " green")]
    renderer = Renderer.resolve(characters(), examples, template="{prompt}{completion}")
    rendered = renderer.render(examples[:1], examples[1])
    assert rendered.text == "The sky is blue\n\nGrass is green\n\n"
    assert rendered.spans[0] == (10, 17)
    assert renderer.prompt([], examples[0]).text == "The sky is"


def test_templates_of_ones_own():
    renderer = Renderer.resolve(characters(), EXAMPLES, template=r"<q>{prompt}</q>\n<a>{completion}</a>")
    rendered = renderer.render(EXAMPLES[:1], EXAMPLES[2])
    assert rendered.text == "<q>not ( True ) is</q>\n<a>False</a>\n\n<q>How many?</q>\n<a>No.</a>\n\n"
    assert renderer.end_text == "</a>\n\n"
    assert [rendered.text[start:end] for start, end in rendered.spans] == ["False</a>\n\n", "No.</a>\n\n"]
    assert renderer.answer_text(rendered.ids[rendered.prompt_tokens :]) == ("No.", True)
    for wrong in ("{prompt}", "{completion}{prompt}", "{prompt} {prompt} {completion}"):
        with pytest.raises(UserError, match="template"):
            Renderer.resolve(characters(), EXAMPLES, template=wrong)


def test_instruction_system_and_labels():
    """Break seen to fail: --no-instruction forgotten."""
    labels = ["yes", "no"]
    start = "Answer with one of: yes, no.\n\nInput: "
    renderer = Renderer.resolve(characters(), EXAMPLES, choices=labels)
    assert renderer.prompt([], EXAMPLES[2]).text.startswith(start)
    assert any("instruction added" in notice for notice in renderer.notices)
    bare = Renderer.resolve(characters(), EXAMPLES, choices=labels, no_instruction=True)
    assert bare.prompt([], EXAMPLES[2]).text.startswith("Input: ")
    given = Renderer.resolve(characters(), EXAMPLES, choices=labels, instruction="Count.", system="Be brief.")
    assert given.prompt([], EXAMPLES[2]).text.startswith("Count.\n\nBe brief.\n\nInput: ")
    assert Renderer.resolve(characters(), EXAMPLES, choices=["a, b", "c"]).settings.instruction == (
        "Answer with one of: a, b; c."
    )


def test_turns_become_one_text():
    turns = (
        Message("system", "Be brief."),
        Message("user", "Hi"),
        Message("assistant", "Hello"),
        Message("user", "A?"),
    )
    example = Example("1", turns, "b")
    renderer = Renderer.resolve(characters(), [example])
    assert renderer.prompt([], example).text == ("Input: Be brief.\nUser: Hi\nAssistant: Hello\nUser: A?\nOutput:")
    assert renderer.prompt([], Example("2", (Message("user", "A?"),), "b")).text == "Input: A?\nOutput:"


# --- the rest of the face


def test_what_prompts_share():
    """Break seen to fail: the whole of the shortest prompt taken as shared."""
    renderer = Renderer.resolve(byte_level(), EXAMPLES)
    prompts = [renderer.prompt(EXAMPLES[:2], target) for target in EXAMPLES[2:]]
    n = shared_prefix(prompts)
    assert prompts[0].ids[:n] == prompts[1].ids[:n]
    assert prompts[0].ids[n] != prompts[1].ids[n]
    assert n > len(renderer.prompt(EXAMPLES[:1], EXAMPLES[1]).ids)
    prefix = renderer.prefix(EXAMPLES[:2])
    assert all(p.ids[: len(prefix)] == prefix for p in prompts)
    assert len(prefix) == n
    assert shared_prefix([]) == 0


def test_settings_survive_json_and_render_alike():
    """A bundle renders what was tested. Break seen to fail: the separator not read back."""
    examples = [Example("1", "a\n\nb", " c"), Example("2", "d", "e")]
    asked = {"choices": ["c", "e"], "system": "S", "template": "Q {prompt} A {completion}", "max_length": 200}
    renderer = Renderer.resolve(byte_level(), examples, **asked)
    settings = RenderSettings.from_json(
        json.loads(json.dumps({**renderer.settings.as_json(), "of a later version": 1}))
    )
    assert settings == renderer.settings
    again = Renderer(byte_level(), settings)
    assert again.render(examples[:1], examples[1]) == renderer.render(examples[:1], examples[1])


def test_no_answer_of_the_target_reaches_its_prompt():
    """Break seen to fail: room made for the target's own answer instead of the longest."""
    renderer = Renderer.resolve(byte_level(), EXAMPLES, max_length=64)
    target = EXAMPLES[3]
    other = Example(target.id, target.prompt, "quite another, and a good deal longer, answer than that")
    assert renderer.prompt(EXAMPLES[:3], target).ids == renderer.prompt(EXAMPLES[:3], other).ids


def test_a_tokenizer_without_offsets_is_refused_by_name():
    class SlowTokenizer:
        is_fast = False

    with pytest.raises(UserError, match="SlowTokenizer gives no character offsets"):
        Renderer.resolve(SlowTokenizer(), EXAMPLES)
