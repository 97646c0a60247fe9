"""Whole conversations with a writer: what it answers to the first query of each, then to the second, and so on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from fewfit.prompts.conversation import Turn
from fewfit.prompts.prompter import Prompter, fitted
from fewfit.writing import Decoding, Writer, Written


def talk(
    writer: Writer, prompter: Prompter, queries: Mapping[str, Sequence[str]], decoding: Decoding
) -> dict[str, tuple[Written, ...]]:
    """By id, an answer to each of its queries, which are put one after the other."""
    told: dict[str, list[Written]] = {id: [] for id in queries}
    for turn in range(max(map(len, queries.values()), default=0)):
        asked = [id for id, some in queries.items() if len(some) > turn]
        before = [
            [Turn(query, one.text) for query, one in zip(queries[id], told[id], strict=False)] for id in asked
        ]  # fmt: skip
        now = [queries[id][turn] for id in asked]
        keys = [f"{id}/{turn + 1}" for id in asked]
        for n, one in replies(writer, prompter, before, now, keys, decoding):
            told[asked[n]].append(one)
    return {id: tuple(some) for id, some in told.items()}


def replies(
    writer: Writer,
    prompter: Prompter,
    histories: Sequence[Sequence[Turn]],
    queries: Sequence[str],
    keys: Sequence[str],
    decoding: Decoding,
) -> Iterator[tuple[int, Written]]:
    """An answer to each query behind its history, as soon as it is there, with its place. A prompter's own stops come
    before those of the decoding."""
    decoding = replace(decoding, stop=(*prompter.stop, *decoding.stop))
    asked = [
        fitted(prompter, writer, history, query, decoding.max_new_tokens, where=f"query {key}")
        for history, query, key in zip(histories, queries, keys, strict=True)
    ]
    for n, one in writer.stream(asked, keys, decoding):
        yield n, one._replace(text=prompter.answer(one.text))
