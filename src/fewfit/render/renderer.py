"""Examples to tokens: prompts with demonstrations, and sequences with the spans of their answers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from fewfit.errors import UserError
from fewfit.examples.example import Example
from fewfit.render.chat import ChatLayout
from fewfit.render.encode import Encoded, Encoder
from fewfit.render.plain import PlainLayout, flat
from fewfit.render.rendered import Layout, Piece, Prompt, Rendered, Span, shared_prefix
from fewfit.render.settings import RenderSettings

BORDER = "the whole text is tokenised otherwise at the border of the answer; the prompt stays as it is served"
# Prompts of targets, as unlike each other as they come.
_STAND_INS = ("Who?", "7 x", "(\n")
# Texts that an answer is tokenised behind where the prompt's own end would swallow part of it.
_ANCHORS = ("a", ":", ")", "\n", "1")


class Renderer:
    """One tokenizer with settled settings. `notices` says what was decided and what was changed, a line each."""

    def __init__(self, tokenizer: Any, settings: RenderSettings):
        self.tokenizer = tokenizer
        self.settings = settings
        self.encoder = Encoder(tokenizer)
        self.layout: PlainLayout | ChatLayout = (
            ChatLayout(self.encoder, settings) if settings.chat else PlainLayout(settings)
        )
        self.notices: list[str] = []
        self._last: tuple[tuple[tuple[Example, ...], Example], Prompt] | None = None

    @classmethod
    def resolve(cls, tokenizer: Any, examples: Sequence[Example], **asked: Any) -> Renderer:
        """Decide everything from the tokenizer, the examples and what was asked; see `fewfit.render.resolve`."""
        from fewfit.render.resolve import resolve

        return resolve(tokenizer, examples, **asked)

    @property
    def chat_template(self) -> str | None:
        """The chat template as used, with the date frozen; what an export needs to be asked the same."""
        return self.layout.source if isinstance(self.layout, ChatLayout) else None

    # --- prompts and sequences

    def prompt(self, demos: Sequence[Example], target: Example) -> Prompt:
        """The prompt as it is served. Demonstrations are dropped from the front until an answer fits behind it."""
        key = (tuple(demos), target)
        if self._last is not None and self._last[0] == key:
            return self._last[1]
        kept = list(demos)
        while True:
            layout = self.layout.lay(kept, target)
            encoded = self._encode(layout.pieces)
            room = self._room(len(encoded.ids))
            if room >= 0:
                break
            if not kept:
                raise UserError(
                    f"does not fit: {len(encoded.ids)} tokens of prompt and "
                    f"{self.settings.max_new_tokens} for the answer, and the length is {self.settings.max_length}",
                    where=f"example {target.id}",
                    hint="raise --max-length, shorten it, or leave it out",
                    code="too-long",
                )
            # a system turn moves when the first demonstration goes, and the lengths of all others with it
            steady = all(isinstance(example.prompt, str) for example in kept)
            del kept[: self._surely_too_many(layout, encoded, -room) if steady else 1]
        spans: list[Span] = []
        for start, end in layout.answers:
            low, high = encoded.span(start, end)
            spans.append((max(low, spans[-1][1] if spans else 1), high))  # a text's first token has nothing before it
        prompt = Prompt(
            encoded.ids, layout.text, tuple(e.id for e in kept), target.id, tuple(spans), layout, layout.warnings
        )
        self._last = (key, prompt)
        return prompt

    def render(self, demos: Sequence[Example], target: Example, answer: str | None = None) -> Rendered:
        """The prompt and the target's answer with its end, as scored and trained on."""
        prompt = self.prompt(demos, target)
        answer = target.completion if answer is None else answer
        continuation, clean = self._continue(prompt, answer)
        ids = prompt.ids + continuation
        if self.settings.max_length is not None and len(ids) > self.settings.max_length:
            raise UserError(
                f"its answer does not fit: prompt and answer are {len(ids)} tokens, and the "
                f"length is {self.settings.max_length}",
                where=f"example {target.id}",
                hint="raise --max-length, shorten it, or leave it out",
                code="too-long",
            )
        return Rendered(
            ids=ids,
            spans=(*prompt.spans, (len(prompt.ids), len(ids))),
            demos=prompt.demos,
            prompt_tokens=len(prompt.ids),
            text=prompt.text + prompt.layout.lead + answer.strip() + prompt.layout.end,
            warnings=prompt.warnings if clean else (*prompt.warnings, BORDER),
        )

    def documents(self, *examples: Example) -> Rendered:
        """Documents one under the other, as they are trained on: all of it is answer, but for the first token, which
        nothing stands before.

        What has a prompt is the part of a document behind that (augment/splitting.py): only the part carries loss.
        """
        layout = self.layout
        assert isinstance(layout, PlainLayout)
        pieces: list[Piece] = []
        places: list[Span] = []  # in the text: where what carries loss begins and ends
        length = 0
        for example in examples:
            before, end = flat(example.prompt), layout.end
            text = f"{before} {example.completion}" if before else example.completion
            pieces += [Piece(text, data=True), Piece(end)]
            places.append((length + len(before), length + len(text) + len(end)))
            length = places[-1][1]
        encoded = self._encode((*pieces, Piece(layout.after)))
        ids = encoded.ids[: encoded.span(0, length)[1]]
        if self.settings.max_length is not None and len(ids) > self.settings.max_length:
            raise UserError(
                f"does not fit: {len(ids)} tokens, and the length is {self.settings.max_length}",
                where=f"document {examples[-1].id}",
                hint="split it, or leave it out",
                code="too-long",
            )
        spans: list[Span] = []
        for start, stop in places:
            low = max(encoded.span(start, stop)[0], spans[-1][1] if spans else 1)
            spans.append((low, encoded.span(0, stop)[1]))
        text = "".join(piece.text for piece in pieces)
        return Rendered(ids, tuple(spans), tuple(one.id for one in examples[:-1]), spans[-1][0], text)

    def continuations(self, prompt: Prompt, answers: Sequence[str]) -> list[tuple[int, ...]]:
        """The ids of each answer with its end, as they continue this prompt."""
        return [self._continue(prompt, answer)[0] for answer in answers]

    def prefix(self, demos: Sequence[Example]) -> tuple[int, ...]:
        """The ids that every target's prompt behind these demonstrations begins with.

        Long targets drop demonstrations, and rare merges may reach further back: compare before use, or take
        `shared_prefix` of the prompts at hand.
        """
        stand_ins = [Example(id=f"stand-in {n}", prompt=text, completion="") for n, text in enumerate(_STAND_INS)]
        prompts = [self.prompt(demos, target) for target in stand_ins]
        return prompts[0].ids[: shared_prefix(prompts)]

    # --- answers read back

    @cached_property
    def end_ids(self) -> frozenset[int]:
        """Single tokens that end an answer: the end of a turn, the end of text."""
        ends = {self.tokenizer.eos_token_id}
        if isinstance(self.layout, ChatLayout):
            usual = self.layout.usual
            for text in (usual.end, *usual.ends.values()):
                ends.add(self._end_token(text))
        return frozenset(int(end) for end in ends if end is not None)

    @cached_property
    def end_text(self) -> str:
        """The end mark as text: the separator, or the end-of-turn token's."""
        if isinstance(self.layout, PlainLayout):
            return self.layout.end
        end = self.layout.usual.end
        mark = self._end_token(end)
        return end if mark is None else str(self.tokenizer.convert_ids_to_tokens(mark))

    def answer_text(self, ids: Sequence[int]) -> tuple[str, bool]:
        """The text of generated ids before the end mark, outer white space trimmed, and whether the end was there."""
        stop = next((n for n, id in enumerate(ids) if id in self.end_ids), None)
        text = self.encoder.decode(ids if stop is None else ids[:stop])
        if self._before_end_token is None:
            # the first place is the one at which generation would have stopped
            place = text.find(self.end_text)
            if place >= 0:
                return text[:place].strip(), True
        elif stop is not None:
            text = text.removesuffix(self._before_end_token)
        return text.strip(), stop is not None

    @cached_property
    def _before_end_token(self) -> str | None:
        """What stands in the end mark before its last token, a special one; None where it ends in plain text."""
        if isinstance(self.layout, PlainLayout) or self._end_token(self.layout.usual.end) is None:
            return None
        return self.layout.usual.end.removesuffix(self.end_text)

    def _end_token(self, end: str) -> int | None:
        """The special token that closes an end mark."""
        mark = next((t for t in self.encoder.added_texts if t and end.endswith(t)), None)
        return None if mark is None else self.encoder.token(mark)

    # --- tokens

    def _encode(self, pieces: Sequence[Piece]) -> Encoded:
        # a chat template writes its own special tokens
        return self.encoder.encode(pieces, special=not self.settings.chat)

    def _room(self, tokens: int) -> int:
        if self.settings.max_length is None:
            return 0
        return self.settings.max_length - tokens - self.settings.max_new_tokens

    def _surely_too_many(self, layout: Layout, encoded: Encoded, excess: int) -> int:
        """How many demonstrations must go in any case: at least one, and never one that might have stayed."""
        gone = 1
        for number, (start, end) in enumerate(layout.answers[:-1]):
            # Without this one and all before it no more tokens than these are saved, give or take a few that are
            # tokenised differently at the front.
            if encoded.span(start, end)[1] + 8 >= excess:
                break
            gone = number + 2
        return gone

    def _continue(self, prompt: Prompt, answer: str) -> tuple[tuple[int, ...], bool]:
        """The answer's ids behind the prompt, and whether they are those of the whole text."""
        layout = prompt.layout
        tail = (Piece(layout.lead), Piece(answer.strip(), data=True), Piece(layout.end), Piece(layout.after))
        encoded = self._encode((*layout.pieces, *tail))
        stop = len(prompt.text) + len(layout.lead) + len(answer.strip()) + len(layout.end)
        n = len(prompt.ids)
        # the token that ends the mark must not hold what follows it
        high = encoded.span(0, stop)[1]
        if encoded.ids[:n] == prompt.ids and high > n and encoded.ends[high - 1] <= stop:
            return encoded.ids[n:high], True
        return self._behind(prompt, tail, encoded, stop), False

    def _behind(self, prompt: Prompt, tail: Sequence[Piece], encoded: Encoded, stop: int) -> tuple[int, ...]:
        """Tokens of the answer where those of the whole text do not continue the prompt's: the prompt's stay as they
        are served, and the answer's are found behind something else that leaves them whole."""
        *answer, _ = tail
        text = "".join(piece.text for piece in answer)
        tries = []
        # where a token border falls between them in the whole text too, only the prompt's own end was split otherwise
        low, high = encoded.span(len(prompt.text), stop)
        if low and encoded.ends[low - 1] <= len(prompt.text) and encoded.starts[low] >= len(prompt.text):
            tries.append((low, high, encoded))
        for anchor in _ANCHORS:
            # with what follows the end mark, or without it where a token would hold some of both
            for pieces in ((Piece(anchor), *tail), (Piece(anchor), *answer)):
                alone = self.encoder.encode(pieces, special=False)
                low, high = alone.span(len(anchor), len(anchor) + len(text))
                if low and alone.ends[low - 1] <= len(anchor):
                    tries.append((low, high, alone))
        whole = self.encoder.decode(prompt.ids) + text
        for low, high, found in tries:
            if self.encoder.decode(prompt.ids + found.ids[low:high]) == whole:
                return found.ids[low:high]
        return self.encoder.encode(answer, special=False).ids
