"""What a GGUF file says of itself, read without its weights.

    "GGUF", version, how many tensors, how many facts; the facts (key, type, value); of each tensor its name, shape,
    type and offset; the tensors

The layout is that of ggml's docs/gguf.md, versions 2 and 3, little-endian.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewfit.errors import UserError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
# By the number of the type: 8 is a string, 9 an array.
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9


@dataclass(frozen=True)
class Tensor:
    name: str
    shape: tuple[int, ...]
    kind: int  # the number of its type: F32, Q4_1, …
    offset: int  # from where the tensors start


@dataclass(frozen=True)
class Header:
    facts: Mapping[str, Any]
    tensors: tuple[Tensor, ...]
    tensors_start: int

    @property
    def parameters(self) -> int:
        return sum(math.prod(tensor.shape) for tensor in self.tensors)


class Damaged(ValueError):
    """The bytes end too early, or say what no GGUF file says."""


class Cursor:
    def __init__(self, content: mmap.mmap | bytes):
        self.content = content
        self.at = 0

    def number(self, kind: str) -> Any:
        try:
            (value,) = struct.unpack_from("<" + kind, self.content, self.at)
        except struct.error:
            raise Damaged("it ends inside its header") from None
        self.at += struct.calcsize("<" + kind)
        return value

    def string(self) -> str:
        length = self.number("Q")
        if self.at + length > len(self.content):
            raise Damaged("it ends inside its header")
        self.at += length
        return self.content[self.at - length : self.at].decode("utf-8", errors="replace")

    def value(self, kind: int) -> Any:
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            of, count = self.number("I"), self.number("Q")
            return [self.value(of) for _ in range(count)]
        if kind not in NUMBERS:
            raise Damaged(f"a value of type {kind}, which GGUF does not have")
        return self.number(NUMBERS[kind])


def is_gguf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read_header(path: Path) -> Header:
    """Refuses what is no GGUF file, and one that was cut off."""
    if not is_gguf(path):
        raise UserError("is no GGUF file (it does not begin with GGUF)", where=str(path), hint="name a .gguf file")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            header = parsed(Cursor(content))
            missing = end_of(header, path) - len(content)
        except UserError:
            raise
        except (Damaged, RecursionError, ValueError, TypeError, OverflowError) as error:
            raise UserError(f"is a damaged GGUF file: {error}", where=str(path), hint="fetch it again") from None
    if missing > 0:
        raise UserError(
            f"is cut off: {missing:,} bytes of its tensors are missing", where=str(path), hint="fetch it again"
        )
    return header


def parsed(cursor: Cursor) -> Header:
    cursor.at = len(MAGIC)
    version = cursor.number("I")
    if version not in VERSIONS:
        raise Damaged(f"version {version} or another byte order; versions {VERSIONS[0]} and {VERSIONS[1]} are read")
    tensor_count, fact_count = cursor.number("Q"), cursor.number("Q")
    facts = {}
    for _ in range(fact_count):
        key = cursor.string()
        facts[key] = cursor.value(cursor.number("I"))
    tensors = []
    for _ in range(tensor_count):
        name = cursor.string()
        shape = tuple(cursor.number("Q") for _ in range(cursor.number("I")))
        tensors.append(Tensor(name, shape, cursor.number("I"), cursor.number("Q")))
    step = int(facts.get("general.alignment", 32)) or 1
    return Header(facts, tuple(tensors), -(-cursor.at // step) * step)


def end_of(header: Header, path: Path) -> int:
    """Where the last tensor ends. How many bytes a block of each type takes, the package `gguf` knows."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    sizes = {int(kind): GGML_QUANT_SIZES[kind] for kind in GGMLQuantizationType if kind in GGML_QUANT_SIZES}
    unknown = sorted({tensor.kind for tensor in header.tensors} - set(sizes))
    if unknown:
        raise UserError(
            f"holds tensors of type {unknown[0]}, which the installed package gguf does not know",
            where=str(path),
            hint="pip install -U gguf",
        )
    ends = (
        tensor.offset + math.prod(tensor.shape) // sizes[tensor.kind][0] * sizes[tensor.kind][1]
        for tensor in header.tensors
    )
    return header.tensors_start + max(ends, default=0)
