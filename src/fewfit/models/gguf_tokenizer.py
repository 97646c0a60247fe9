"""Whether a tokenizer that was converted from a GGUF file splits text as the file says.

Releases of transformers before 5.23 take other end tokens, leave out the bos token, or lose the merges of some files,
and say nothing: models then read garbage.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fewfit.errors import UserError
from fewfit.models.gguf_header import Header

PROBES = 64
NORMAL = 1  # the type of a token that stands for text


def refuse_wrong_tokenizer(folder: Path, header: Header, where: str) -> None:
    """Looks at the saved one: some tokenizers change on their way through the files."""
    import transformers

    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(
        str(folder), local_files_only=True, trust_remote_code=False
    )
    wrong = next(differences(tokenizer, header), None)
    if wrong is not None:
        raise UserError(
            f"transformers {transformers.__version__} reads its tokenizer wrongly: {wrong}",
            where=where,
            hint="pip install -U 'fewfit[gguf]', or take the model's safetensors",
        )


def differences(tokenizer: Any, header: Header) -> Iterator[str]:
    facts = {key.removeprefix("tokenizer.ggml."): value for key, value in header.facts.items()}
    tokens = facts.get("tokens", [])
    if not tokenizer.is_fast:
        yield "it tells no offsets"
    if len(tokenizer) < len(tokens):  # one more is the unknown token, where the file names none
        yield f"it has {len(tokenizer)} tokens, and the file {len(tokens)}"
    for name in ("bos", "eos"):
        told, got = facts.get(f"{name}_token_id"), getattr(tokenizer, f"{name}_token_id")
        if told is not None and told != got:
            yield f"its {name} token is {got}, and the file's {told}"
    begins = tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
    if facts.get("add_bos_token", begins) != begins:
        yield f"it begins text {'with' if begins else 'without'} a bos token, and the file says otherwise"
    template = facts.get("tokenizer.chat_template")
    if template is not None and (tokenizer.chat_template or "").strip() != template.strip():
        yield "its chat template is another"
    # Without its merges a tokenizer falls back on characters; with them nearly every token comes back as itself.
    texts = probes(tokenizer, tokens, facts.get("token_type", []))
    whole = sum(len(tokenizer(text, add_special_tokens=False)["input_ids"]) == 1 for text in texts)
    if 2 * whole < len(texts):
        yield f"of {len(texts)} of its tokens only {whole} are made from their text"


def probes(tokenizer: Any, tokens: list[str], kinds: list[int]) -> list[str]:
    """The texts of tokens evenly spread; parts of a character have none."""
    ids = [id_ for id_, kind in enumerate(kinds or [NORMAL] * len(tokens)) if kind == NORMAL]
    texts = [tokenizer.decode([id_]) for id_ in ids[:: max(1, len(ids) // PROBES)]]
    return [text for text in texts if len(text) > 1 and "\ufffd" not in text]
