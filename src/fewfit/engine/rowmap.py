"""Which lane's matrices each row of a pass meets, and how a lane's matrices lie in its vector.

Every forward carries an explicit map of its rows; nothing is guessed from their order. Lanes alike that stand next to
each other are one bundle, so that their products can be batched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from fewfit.engine import native, thin
from fewfit.engine.plain import initial_a
from fewfit.engine.products import Frozen


@dataclass(frozen=True, eq=False)
class Siblings:
    """Linear layers that see the same input (q, k and v; gate and up): their A's are one product."""

    names: tuple[str, ...]
    modules: tuple[nn.Module, ...]
    fast: bool  # plain weights, so that the frozen product may be ours
    frozen: Frozen

    @cached_property
    def width(self) -> int:
        return width_in_out(self.modules[0])[0]


@dataclass(frozen=True, eq=False)
class Place:
    """Where one sibling group's matrices stand in a lane's vector: A_(kR)D of all siblings, then each one's B_OR."""

    a: int
    b: tuple[int, ...]


class Layout:
    """How the adapters of one choice of modules and one rank lie in a vector."""

    def __init__(self, groups: Sequence[Siblings], names: Sequence[str], rank: int):
        wanted = set(names)
        self.rank = rank
        self.groups = [group for group in groups if group.names[0] in wanted]
        self.places: dict[Siblings, Place] = {}
        by_module: dict[str, tuple[int, tuple[int, int], int, tuple[int, int]]] = {}
        offset = 0
        for group in self.groups:
            width, start = group.width, offset
            offset += len(group.names) * rank * width
            b = []
            for index, (name, module) in enumerate(zip(group.names, group.modules, strict=True)):
                out = width_in_out(module)[1]
                by_module[name] = (start + index * rank * width, (rank, width), offset, (out, rank))
                b.append(offset)
                offset += out * rank
            self.places[group] = Place(start, tuple(b))
        self.size = offset
        self._at: dict[tuple[Siblings, tuple[int, ...]], tuple[int, tuple[int, ...]]] = {}
        # PEFT's names in PEFT's order: the record of a lane is the same for every engine.
        self.parameters: dict[str, tuple[int, tuple[int, int]]] = {}
        for name in names:
            a_at, a_shape, b_at, b_shape = by_module[name]
            self.parameters[f"base_model.model.{name}.lora_A.default.weight"] = (a_at, a_shape)
            self.parameters[f"base_model.model.{name}.lora_B.default.weight"] = (b_at, b_shape)
        self.modules = tuple(names)

    def at(self, group: Siblings, members: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
        """Where the A's of these siblings begin in a lane's vector, and the B of each."""
        found = self._at.get((group, members))
        if found is None:
            place = self.places[group]
            found = place.a + members[0] * self.rank * group.width, tuple(place.b[m] for m in members)
            self._at[group, members] = found
        return found

    def view(self, flat_P: Tensor, name: str) -> Tensor:
        at, shape = self.parameters[name]
        return flat_P[at : at + shape[0] * shape[1]].view(shape)

    def fresh(self, seed: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        """A as the one-lane learner draws it, B zero: no effect on the model."""
        flat_P = torch.zeros(self.size, dtype=dtype)
        for name in self.modules:
            a_RD = self.view(flat_P, f"base_model.model.{name}.lora_A.default.weight")
            a_RD.copy_(initial_a(seed, name, tuple(a_RD.shape)))
        return flat_P.to(device)


class Matrices:
    """Vectors of several lanes seen as matrices: for each sibling group A_G(kR)D and a list of B_GOR."""

    def __init__(self, layout: Layout, flat_GP: Tensor):
        self.layout, self.flat_GP = layout, flat_GP
        self.written: set[Siblings] = set()  # of gradients: the groups that hold anything yet

    @cached_property
    def of(self) -> dict[Siblings, tuple[Tensor, list[Tensor]]]:
        """Made where it is asked for: thin.py goes by the vectors."""
        of: dict[Siblings, tuple[Tensor, list[Tensor]]] = {}
        layout, flat_GP = self.layout, self.flat_GP
        rank, lanes = layout.rank, len(flat_GP)
        for group, place in layout.places.items():
            rows, width = len(group.names) * rank, group.width
            a_GKD = flat_GP[:, place.a : place.a + rows * width].view(lanes, rows, width)
            b = []
            for module, at in zip(group.modules, place.b, strict=True):
                out = width_in_out(module)[1]
                b.append(flat_GP[:, at : at + out * rank].view(lanes, out, rank))
            of[group] = (a_GKD, b)
        return of

    def finish(self) -> None:
        """Groups that the backward did not reach have no gradient."""
        for group in self.layout.places.keys() - self.written:
            a_GKD, b = self.of[group]
            for part in (a_GKD, *b):
                part.zero_()


class Adapter:
    """One lane's matrices."""

    def __init__(self, layout: Layout, weight_P: Tensor):
        self.layout, self.weight_P = layout, weight_P


class Bundle:
    """Lanes next to each other in a pass, alike in layout and rows: their adapters are batched products."""

    def __init__(self, adapters: Sequence[Adapter], compute: torch.dtype):
        self.adapters = list(adapters)
        self.layout = adapters[0].layout
        self.rank = self.layout.rank
        self.weights = Matrices(self.layout, torch.stack([one.weight_P for one in adapters]).to(compute))
        self.gradients: Matrices | None = None
        self.serves = native.serves(self.weights.flat_GP)  # thin.py does

    def reads(self, *some: Tensor | None) -> bool:
        return all(one is None or native.readable(one, self.weights.flat_GP) for one in some)

    def collect(self) -> None:
        """From now on a backward writes gradients."""
        like = self.adapters[0].weight_P
        self.gradients = Matrices(self.layout, like.new_empty(len(self.adapters), self.layout.size))


Piece = tuple[Bundle, int, int]  # lanes, and the tokens of the flattened input that are theirs, in equal shares


class Pieces(list[Piece]):
    """Of a sibling group in a pass. `tables` is what has been made of them for thin.py, by the siblings wanted."""

    def __init__(self, some: Iterable[Piece] = ()):
        super().__init__(some)
        self.tables: dict[tuple[int, ...], thin.Table] = {}

    def native(self, *some: Tensor | None) -> bool:
        return all(bundle.serves for bundle, _, _ in self) and self[0][0].reads(*some)


class Shape(NamedTuple):
    """Of one row: its tokens, padding included, and how many places the head is asked for."""

    tokens: int
    places: int


class Segment(NamedTuple):
    """Rows of one length, next to each other: their tokens in the flattened batch, and how long each row is."""

    start: int
    end: int
    length: int


class Pass:
    """The explicit map of one forward: which adapter each row of the batch meets, None for rows without one.

    Rows of unlike lengths stand end to end in a batch of one (`segments`), where every layer is ours and knows it.
    """

    def __init__(
        self, adapters_B: Sequence[Adapter | None], compute: torch.dtype, shapes_B: Sequence[Shape] | None = None
    ):
        self.rows = len(adapters_B)
        self.offsets = [0]  # where each row's tokens begin; no more than the 0 where rows are even
        self.segments: list[Segment] = []
        for shape in shapes_B or ():
            start, end = self.offsets[-1], self.offsets[-1] + shape.tokens
            if self.segments and self.segments[-1].length == shape.tokens:
                start = self.segments.pop().start
            self.segments.append(Segment(start, end, shape.tokens))
            self.offsets.append(end)
        self.packed = len(self.segments) > 1
        runs: list[tuple[Adapter, int, int]] = []  # consecutive rows of one adapter
        for b, adapter in enumerate(adapters_B):
            if adapter is None:
                continue
            if runs and runs[-1][0] is adapter and runs[-1][2] == b:
                runs[-1] = (adapter, runs[-1][1], b + 1)
            else:
                runs.append((adapter, b, b + 1))
        self.runs: list[tuple[Bundle, int, int]] = []
        start = 0
        for end in range(1, len(runs) + 1):
            if end < len(runs) and alike(runs[end - 1], runs[end], shapes_B):
                continue
            bundle = Bundle([one for one, _, _ in runs[start:end]], compute)
            self.runs.append((bundle, runs[start][1], runs[end - 1][2]))
            start = end
        self.touched = {group for bundle, _, _ in self.runs for group in bundle.layout.places}
        self.keeps = False  # whether the cache of this forward only remembers
        self.answers: Tensor | None = None  # places of the flattened batch that the head is asked for, and
        self.starts: list[int] = []  # where each row's places begin among them
        self.shared: Any = None  # which rows were one below the first adapter
        self.trimmed = False  # whether the last layer gave those places only
        self.stash: tuple[Any, dict[int, Tensor]] | None = None

    def pieces(self, group: Siblings, tokens: int) -> Pieces:
        if group not in self.touched:
            return Pieces()
        if tokens == self.offsets[-1]:
            at = self.offsets
            return Pieces((one, at[s], at[e]) for one, s, e in self.runs if group in one.layout.places)
        each, rest = divmod(tokens, self.rows)
        if rest:
            raise RuntimeError(f"{group.names[0]} saw {tokens} tokens in a pass of {self.rows} rows")
        return Pieces((one, s * each, e * each) for one, s, e in self.runs if group in one.layout.places)

    def stepped(self) -> Pass:
        """The same rows and adapters where each row is one token."""
        other = copy(self)
        other.offsets = list(range(self.rows + 1))
        other.segments, other.packed = [Segment(0, self.rows, 1)], False
        return other

    def even(self) -> bool:
        """Whether the lanes of each bundle ask for equally many places, so that places can be batched too."""
        for bundle, s, e in self.runs:
            each = (e - s) // len(bundle.adapters)
            counts = {self.starts[b + each] - self.starts[b] for b in range(s, e, each)}
            if len(counts) > 1 or 0 in counts:
                return False
        return True

    def answer_pieces(self, group: Siblings) -> Pieces:
        return Pieces((one, self.starts[s], self.starts[e]) for one, s, e in self.runs if group in one.layout.places)


def alike(one: tuple[Adapter, int, int], other: tuple[Adapter, int, int], shapes_B: Sequence[Shape] | None) -> bool:
    if shapes_B is not None and shapes_B[one[1] : one[2]] != shapes_B[other[1] : other[2]]:
        return False
    return (
        one[0].layout is other[0].layout
        and one[2] == other[1]
        and one[2] - one[1] == other[2] - other[1]
        and one[0] is not other[0]
    )


def width_in_out(module: nn.Module) -> tuple[int, int]:
    if isinstance(module, Conv1D):
        return int(module.nx), int(module.nf)
    return int(module.in_features), int(module.out_features)  # type: ignore[arg-type]
