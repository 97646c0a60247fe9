"""Text to tokens: the tokenizer's own ids for the whole text, with the characters that each token holds."""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from fewfit.errors import UserError
from fewfit.render.rendered import Piece, Span

# Private-use characters stand in for the template's special tokens while look-alikes in data are encoded as text.
_STAND_IN = 0xF0000


@dataclass(frozen=True)
class Encoded:
    ids: tuple[int, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    def span(self, start: int, end: int) -> Span:
        """The tokens that hold any of the characters [start, end)."""
        # starts and ends never fall, also where one character is several tokens
        return bisect_right(self.ends, start), bisect_left(self.starts, end)


class Encoder:
    """One tokenizer, asked for whole texts.

    Special tokens are read where the template wrote them. Where data look like one, a copy of the tokenizer is asked
    in which the special tokens have other names of the same length, ids unchanged: everything else about the
    whole text (what stands first, what a token swallows beside it) stays as it is.
    """

    def __init__(self, tokenizer: Any):
        if not getattr(tokenizer, "is_fast", False):
            raise UserError(
                f"the tokenizer {type(tokenizer).__name__} gives no character offsets to find answers by",
                hint="use a model with a fast tokenizer (a tokenizer.json file)",
            )
        self.tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder.values()
        self.special_texts = sorted({t.content for t in added if t.special}, key=len, reverse=True)
        self.added_texts = sorted({t.content for t in added}, key=len, reverse=True)
        self.specials = _any_of(tuple(self.special_texts))
        self.added = _any_of(tuple(self.added_texts))

    def encode(self, pieces: Sequence[Piece], *, special: bool) -> Encoded:
        """`special`: with the tokenizer's default special tokens (BOS), but never with one behind the text."""
        text = "".join(piece.text for piece in pieces)
        renamed = self._renamed(pieces, text)
        if renamed is not None:
            return self._by(self._renaming, renamed, special)
        if self._trims_offsets:
            return self._by(self._untrimmed, text, special)
        batch = self.tokenizer(
            text,
            add_special_tokens=special,
            return_offsets_mapping=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        return self._cut(batch["input_ids"], batch["offset_mapping"], special)

    def count(self, text: str) -> int:
        """Places in the text that look like special tokens."""
        return len(self.specials.findall(text))

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def first_mark(self, text: str) -> int | None:
        """Where the first special token of the text ends, or the first added one where none is special."""
        found = self.specials.search(text) or self.added.search(text)
        return None if found is None else found.end()

    def token(self, text: str) -> int | None:
        """The id of an added token by its text."""
        return int(self.tokenizer.convert_tokens_to_ids(text)) if text in self.added_texts else None

    def _renamed(self, pieces: Sequence[Piece], text: str) -> str | None:
        """The text with the template's special tokens renamed; None where data hold nothing that looks like one."""
        if not self.special_texts:
            return None
        inside = sum(self.count(piece.text) for piece in pieces if not piece.data)
        # a match across a border of template and data raises the count as well
        if self.count(text) == inside:
            return None
        return "".join(p.text if p.data else self.specials.sub(_stand_in, p.text) for p in pieces)

    def _by(self, backend: Any, text: str, special: bool) -> Encoded:
        encoding = backend.encode(text, add_special_tokens=special)
        return self._cut(encoding.ids, encoding.offsets, special)

    def _cut(self, ids: Sequence[int], offsets: Sequence[Span], special: bool) -> Encoded:
        n = len(ids) - (self._behind if special else 0)
        return Encoded(tuple(ids[:n]), tuple(o[0] for o in offsets[:n]), tuple(o[1] for o in offsets[:n]))

    @cached_property
    def _behind(self) -> int:
        """How many special tokens the tokenizer puts behind a text (T5: EOS). An answer follows, so none may."""
        bare = self.tokenizer("a", add_special_tokens=False)["input_ids"]
        full = self.tokenizer("a", add_special_tokens=True)["input_ids"]
        for behind in range(len(full) - len(bare) + 1):
            stop = len(full) - behind
            if full[stop - len(bare) : stop] == bare:
                return behind
        return 0

    @cached_property
    def _trims_offsets(self) -> bool:
        """Whether offsets leave out white space, as GPT-NeoX's do: a newline would then hold no character."""
        post = self.tokenizer.backend_tokenizer.post_processor
        return post is not None and b'"trim_offsets":true' in bytes(post.__getstate__())

    @cached_property
    def _untrimmed(self) -> Any:
        return self._copy(rename=False)

    @cached_property
    def _renaming(self) -> Any:
        return self._copy(rename=True)

    def _copy(self, *, rename: bool) -> Any:
        from tokenizers import Tokenizer

        record = json.loads(self.tokenizer.backend_tokenizer.to_str())
        _untrim(record.get("post_processor"))
        names = {text: _name(text) for text in self.special_texts} if rename else {}
        for token in record.get("added_tokens", []):
            if token["content"] in names:
                token.update(content=names[token["content"]], normalized=False)
        model = record["model"]
        if isinstance(model.get("vocab"), dict):
            model["vocab"] = {names.get(text, text): id for text, id in model["vocab"].items()}
        elif isinstance(model.get("vocab"), list):
            model["vocab"] = [[names.get(text, text), score] for text, score in model["vocab"]]
        if model.get("unk_token") in names:
            model["unk_token"] = names[model["unk_token"]]
        copy = Tokenizer.from_str(json.dumps(record))
        copy.no_truncation()
        copy.no_padding()
        for text in self.special_texts:
            if copy.token_to_id(names.get(text, text)) != self.tokenizer.convert_tokens_to_ids(text):
                raise UserError(
                    f"text in the data looks like a special token, and the tokenizer {type(self.tokenizer).__name__} "
                    f"cannot be made to read it as text ({text!r})",
                    hint="take such text out of the data",
                )
        return copy


def _untrim(post: Any) -> None:
    if isinstance(post, dict):
        if post.get("trim_offsets"):
            post["trim_offsets"] = False
        for inner in post.get("processors", []):
            _untrim(inner)


def _name(text: str) -> str:
    return "".join(chr(_STAND_IN + ord(c) % 0xFFF0) for c in text)


def _stand_in(found: re.Match[str]) -> str:
    return _name(found.group())


@lru_cache(maxsize=32)
def _any_of(texts: tuple[str, ...]) -> re.Pattern[str]:  # some tokenizers have thousands
    # longest first, as the tokenizer itself prefers; (?!) never matches
    return re.compile("|".join(re.escape(t) for t in texts if t) or "(?!)")
