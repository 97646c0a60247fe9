"""What stands in `c/`, compiled on first use where there is a C compiler; elsewhere torch does the work.

On one thread of a CPU only. `tiles.c`: products with frozen weights, several times as fast on processors that multiply
tiles of bf16. `thin.c`: adapters' products, so thin that calling them costs as much as they do; `lanes.c`: in bf16 by
tiles, within the frozen product. `attention.c`: rotary attention in fp32; `attention_tiles.c`: in bf16 by tiles.
`native.c`: what torch takes five to ten passes over memory for, norms and gates (`rows.h`, in fp32 and bf16) and in
bf16 what attention has beside its products.
Compiling takes a second or two, once a machine; `FEWFIT_NATIVE=0` leaves it out.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

# Sums in any order and no errno, so that loops become vectors; not -ffast-math, which changes the whole process's
# rounding of tiny numbers when it is linked.
FLAGS = (
    "-O3", "-march=native", *(("-mprefer-vector-width=512",) if platform.machine() in ("x86_64", "AMD64") else ()),
    "-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros",
    "-fassociative-math", "-freciprocal-math", "-shared", "-fPIC",
)  # fmt: skip
FOLDER = Path(__file__).parent / "c"
SOURCES = tuple(
    FOLDER / name for name in ("native.c", "thin.c", "lanes.c", "tiles.c", "attention.c", "attention_tiles.c")
)
INCLUDED = tuple(FOLDER / name for name in ("rows.h", "tiles.h", "heads.h", "table.h"))

Pointer, Count, Float = ctypes.c_void_p, ctypes.c_longlong, ctypes.c_float
ROWS: dict[str, tuple[Any, ...]] = {  # each in bf16 and in fp32
    "norm": (Pointer, Pointer, Float, Pointer, Pointer, Count, Count),
    "norm_backward": (Pointer, Pointer, Pointer, Pointer, Pointer, Pointer, Count, Count),
    "gated": (Pointer, Pointer, Pointer, Count),
    "gated_backward": (Pointer, Pointer, Pointer, Pointer, Count),
}
TAKES: dict[str, tuple[Any, ...]] = {
    **{f"{name}_{bits}": takes for name, takes in ROWS.items() for bits in (16, 32)},
    "rotate": (Pointer, Pointer, Pointer, Pointer, Pointer, Pointer, Count, Float, Pointer),
    "widen": (Pointer, Pointer, Pointer, Pointer, Pointer),
    "weights": (Pointer, Pointer, Count, Count, Count, Count, Count),
    "adapters_all": (
        Pointer, Count, Pointer, Count, Count, Count, Count, Pointer, Pointer, Pointer, Pointer, Float,
    ),
    "adapters_all_backward": (
        Pointer, Count, Pointer, Count, Count, Count, Count, Pointer, Pointer, Pointer, Pointer, Float, Pointer, Count,
    ),
    "lanes_forward": (
        Pointer, Count, Count, Pointer, Count, Count, Count, Pointer, Pointer, Pointer, Pointer, Float, Pointer,
        Pointer, Pointer, Pointer,
    ),
    "lanes_backward": (
        Pointer, Count, Count, Pointer, Count, Count, Count, Pointer, Pointer, Pointer, Pointer, Float, Pointer, Count,
        Pointer, Pointer,
    ),
    "attention": (
        Pointer, Pointer, Count, Pointer, Count, Pointer, Count, Pointer, Pointer, Pointer, Pointer, Pointer, Count,
    ),
    "attention_next": (
        Pointer, Pointer, Count, Pointer, Count, Pointer, Count, Pointer, Pointer, Pointer, Count,
    ),
    "attention_backward": (
        Pointer, Pointer, Count, Pointer, Count, Pointer, Count, Pointer, Count, Pointer, Pointer, Pointer, Pointer,
        Pointer, Pointer,
    ),
    "tiles_allowed": (),
    "tiles_packed": (Pointer, Count, Count, Count, Count, Count, Count, Pointer),
    "tiles_product": (
        Count, Count, Count, Pointer, Pointer, Pointer, Count, Pointer, Pointer, Pointer, Pointer, Pointer, Pointer,
        Pointer,
    ),
}  # fmt: skip

# These say 1, or 0 where it could not be done.
SAYS = {
    "adapters_all", "adapters_all_backward", "lanes_forward", "lanes_backward", "attention", "attention_next",
    "attention_backward", "tiles_allowed", "tiles_product",
}  # fmt: skip
TILED = (torch.float32, torch.bfloat16)


def serves_bf16(x: Tensor) -> bool:
    """Whether what is compiled for bf16 alone takes it."""
    return (
        x.dtype == torch.bfloat16
        and x.device.type == "cpu"
        and torch.get_num_threads() == 1
        and machine_code() is not None
    )


def serves(x: Tensor, *others: Tensor) -> bool:
    """Whether what is compiled takes these."""
    return (
        x.dtype in (torch.float32, torch.bfloat16)
        and all(other.dtype == x.dtype for other in others)
        and x.device.type == "cpu"
        and torch.get_num_threads() == 1
        and machine_code() is not None
    )


@cache
def machine_code() -> Any:
    """None where it cannot be had."""
    if os.environ.get("FEWFIT_NATIVE", "1") == "0":
        return None
    try:
        found = ctypes.CDLL(str(compiled()))
    except (OSError, RuntimeError, subprocess.SubprocessError):  # RuntimeError: nobody's home
        return None
    for name, takes in TAKES.items():
        function = getattr(found, name)
        function.argtypes, function.restype = takes, ctypes.c_int if name in SAYS else None
    return found


def compiled() -> Path:
    compiler = next((path for name in ("cc", "gcc", "clang") if (path := shutil.which(name))), None)
    if compiler is None:
        raise FileNotFoundError("no C compiler")
    known = [
        *(source.read_bytes() for source in SOURCES + INCLUDED),
        repr((compiler, os.stat(compiler).st_mtime, FLAGS)).encode(),
        processor(),
    ]
    name = hashlib.sha256(b"\0".join(known)).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fewfit"
    target = folder / f"native-{name}.so"
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:  # several workers may come here at once
            made = Path(scratch) / target.name
            subprocess.run(
                [compiler, *FLAGS, "-o", str(made), *map(str, SOURCES)], check=True, capture_output=True, timeout=300
            )
            made.replace(target)
    return target


def processor() -> bytes:
    """What `-march=native` depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor().encode()
    said = ("model name", "flags", "Features", "CPU implementer", "CPU part")
    found = dict.fromkeys(line for line in lines if line.startswith(said))
    return "\n".join([platform.machine(), *found])[:8000].encode()


# ---- the functions ---------------------------------------------------------------------------------------------------


def of_rows(name: str, x: Tensor) -> Any:
    return getattr(machine_code(), name + ("_16" if x.dtype == torch.bfloat16 else "_32"))


def norm(x: Tensor, weight_D: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    x = x.contiguous()
    out, scale = torch.empty_like(x), x.new_empty(*x.shape[:-1], 1, dtype=torch.float32)
    width = x.shape[-1]
    of_rows("norm", x)(
        x.data_ptr(), weight_D.data_ptr(), epsilon, out.data_ptr(), scale.data_ptr(), x.numel() // width, width
    )
    return out, scale


def norm_backward(grad: Tensor, x: Tensor, scale: Tensor, weight_D: Tensor, beside: Tensor | None) -> Tensor:
    grad, x = grad.contiguous(), x.contiguous()
    beside = None if beside is None else beside.contiguous()
    out, width = torch.empty_like(x), x.shape[-1]
    of_rows("norm_backward", x)(
        grad.data_ptr(), x.data_ptr(), scale.data_ptr(), weight_D.data_ptr(),
        None if beside is None else beside.data_ptr(), out.data_ptr(), x.numel() // width, width,
    )  # fmt: skip
    return out


def gated(gate: Tensor, up: Tensor) -> Tensor:
    gate, up = gate.contiguous(), up.contiguous()
    out = torch.empty_like(gate)
    of_rows("gated", gate)(gate.data_ptr(), up.data_ptr(), out.data_ptr(), gate.numel())
    return out


def gated_backward(grad: Tensor, gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    """Overwrites `grad`."""
    grad, gate, up = grad.contiguous(), gate.contiguous(), up.contiguous()
    up_grad = torch.empty_like(up)
    of_rows("gated_backward", grad)(grad.data_ptr(), gate.data_ptr(), up.data_ptr(), up_grad.data_ptr(), grad.numel())
    return grad, up_grad


def rotate(x: Tensor, cos: Tensor, sin: Tensor, back: bool, out: Tensor) -> None:
    """`x` and `out` are batch × key head × token × query head × width; the angles batch (or 1) × token × width."""
    cos, sin = cos.contiguous(), sin.contiguous()
    each = cos.stride(0) if cos.shape[0] > 1 else 0
    machine_code().rotate(
        x.data_ptr(), numbers(x.stride()), out.data_ptr(), numbers(out.stride()), cos.data_ptr(), sin.data_ptr(), each,
        -1.0 if back else 1.0, numbers(x.shape),
    )  # fmt: skip


def widen(grad: Tensor, given: Tensor, out: Tensor) -> None:
    machine_code().widen(grad.data_ptr(), numbers(grad.stride()), given.data_ptr(), out.data_ptr(), numbers(grad.shape))


def weights(p_IKS: Tensor, grad_IKS: Tensor, shared: int, start: int) -> None:
    items, keys, queries = p_IKS.shape
    machine_code().weights(p_IKS.data_ptr(), grad_IKS.data_ptr(), items, keys, queries // shared, shared, start)


class Lines(NamedTuple):
    """Rows of a pass: where each one's tokens begin, how many there are, and where its angles begin."""

    starts: Any
    lengths: Any
    turns: Any


@lru_cache(maxsize=256)
def lines(segments: tuple[tuple[int, int, int], ...], shared: bool) -> Lines:
    """Of (start, end, length of a row); `shared`: one row of angles serves all."""
    starts = [at for start, end, length in segments for at in range(start, end, length)]
    lengths = [length for start, end, length in segments for _ in range(start, end, length)]
    return Lines(numbers(starts), numbers(lengths), numbers([0 if shared else at for at in starts]))


class Heads(ctypes.Structure):
    _fields_ = (
        *((name, Count) for name in ("halves", "tiles", "rows", "groups", "shared", "width")),
        *((name, Pointer) for name in ("starts", "lengths", "turns", "cosine", "sine")),
        ("scaling", Float),
    )


def heads(q_BTHE: Tensor, groups: int, cos: Tensor, sin: Tensor, scaling: float, lines: Lines) -> Any:
    shared, width = q_BTHE.shape[2] // groups, q_BTHE.shape[3]
    places = [*map(ctypes.addressof, lines), cos.data_ptr(), sin.data_ptr()]
    halves = q_BTHE.dtype == torch.bfloat16
    return ctypes.byref(Heads(halves, has_tiles(), len(lines.starts), groups, shared, width, *places, scaling))


def flat(x_BTHE: Tensor) -> Tensor:
    """Tokens × what the heads of one hold next to each other."""
    return x_BTHE.reshape(-1, x_BTHE.shape[2] * x_BTHE.shape[3])


class KeptKeys(NamedTuple):
    """Of each row and key head of a layer."""

    keys_RGEC: Tensor  # rotated
    values_RGCE: Tensor


def attention(
    q_BTHE: Tensor,
    k_BTGE: Tensor,
    v_BTGE: Tensor,
    turn: tuple[Tensor, Tensor],
    scaling: float,
    lines: Lines,
    kept: KeptKeys | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The output as tokens × heads · width; each query's largest score and the inverse of the sum of its weights."""
    cos, sin = (part.contiguous() for part in turn)
    q, k, v = (flat(part) for part in (q_BTHE, k_BTGE, v_BTGE))
    out_ND = q.new_empty(q.shape)
    most_NH, share_NH = (q.new_empty(len(q), q_BTHE.shape[2], dtype=torch.float32) for _ in range(2))
    of = heads(q_BTHE, k_BTGE.shape[2], cos, sin, scaling, lines)
    done = machine_code().attention(
        of, q.data_ptr(), q.stride(0), k.data_ptr(), k.stride(0), v.data_ptr(), v.stride(0), out_ND.data_ptr(),
        most_NH.data_ptr(), share_NH.data_ptr(), *kept_places(kept),
    )  # fmt: skip
    enough(done)
    return out_ND, most_NH, share_NH


def attention_next(
    q_BTHE: Tensor,
    k_BTGE: Tensor,
    v_BTGE: Tensor,
    turn: tuple[Tensor, Tensor],
    scaling: float,
    lines: Lines,
    kept: KeptKeys,
) -> Tensor:
    """Of one more token a row, behind the `lengths` of the lines."""
    cos, sin = (part.contiguous() for part in turn)
    q, k, v = (flat(part) for part in (q_BTHE, k_BTGE, v_BTGE))
    out_ND = q.new_empty(q.shape)
    of = heads(q_BTHE, k_BTGE.shape[2], cos, sin, scaling, lines)
    done = machine_code().attention_next(
        of, q.data_ptr(), q.stride(0), k.data_ptr(), k.stride(0), v.data_ptr(), v.stride(0), out_ND.data_ptr(),
        *kept_places(kept),
    )  # fmt: skip
    enough(done)
    return out_ND


def kept_places(kept: KeptKeys | None) -> tuple[int | None, int | None, int]:
    if kept is None:
        return None, None, 0
    return kept.keys_RGEC.data_ptr(), kept.values_RGCE.data_ptr(), kept.keys_RGEC.shape[3]


def attention_backward(
    grad_BTHE: Tensor,
    given: tuple[Tensor, Tensor, Tensor],
    out_ND: Tensor,
    most_NH: Tensor,
    share_NH: Tensor,
    turn: tuple[Tensor, Tensor],
    scaling: float,
    lines: Lines,
) -> tuple[Tensor, ...]:
    """Gradients of q, k and v."""
    cos, sin = (part.contiguous() for part in turn)
    q, k, v, grad = (flat(part) for part in (*given, grad_BTHE))
    outs = [part.new_empty(part.shape) for part in given]
    of = heads(given[0], given[1].shape[2], cos, sin, scaling, lines)
    done = machine_code().attention_backward(
        of, grad.data_ptr(), grad.stride(0), q.data_ptr(), q.stride(0), k.data_ptr(), k.stride(0), v.data_ptr(),
        v.stride(0), out_ND.data_ptr(), most_NH.data_ptr(), share_NH.data_ptr(), *(out.data_ptr() for out in outs),
    )  # fmt: skip
    enough(done)
    return tuple(outs)


def readable(some: Tensor, like: Tensor) -> bool:
    """Whether it can be handed over as rows of numbers like those."""
    return some.dtype == like.dtype and some.device.type == "cpu" and some.stride(1) == 1


def enough(done: int) -> None:
    if not done:
        raise MemoryError("no room to put rows in the order that products want")


def has_tiles() -> bool:
    return machine_code() is not None and leave_for_tiles()


@cache
def leave_for_tiles() -> bool:
    """Whether the processor multiplies tiles and the system lets us."""
    return bool(machine_code().tiles_allowed())


def serves_tiles(x: Tensor) -> bool:
    return x.dtype in TILED and x.device.type == "cpu" and torch.get_num_threads() == 1 and has_tiles()


class Tiles(NamedTuple):
    """A weight as tiles, in how many parts, and how wide it is on the side of the outputs."""

    pack: Tensor
    parts: int
    outs: int


def tiles(weight_OD: Tensor, parts: int) -> Tiles:
    outs, ins = weight_OD.shape
    pack = torch.empty(-(-outs // 16) * -(-ins // 32) * 512 * parts, dtype=torch.bfloat16, device="cpu")
    machine_code().tiles_packed(
        weight_OD.data_ptr(), weight_OD.dtype == torch.bfloat16, *weight_OD.stride(), outs, ins, parts, pack.data_ptr()
    )
    return Tiles(pack, parts, outs)


def tiles_product(
    xs: Sequence[Tensor], weights: Sequence[Sequence[Tiles]], under: Sequence[Tensor | None]
) -> list[Tensor]:
    """For each output the sum over all inputs of their products with its weights, on top of what is `under` it: rows,
    or one row for all."""
    xs = [x if x.stride(1) == 1 else x.contiguous() for x in xs]
    under = [one if one is None or one.stride(-1) == 1 else one.contiguous() for one in under]
    rows, halves = len(xs[0]), xs[0].dtype == torch.bfloat16
    outs = [xs[0].new_empty(rows, some[0].outs) for some in weights]
    flat = [one for some in weights for one in some]
    done = machine_code().tiles_product(
        halves, rows, len(xs), *described(xs), len(outs), *described(outs),
        (Pointer * len(flat))(*[one.pack.data_ptr() for one in flat]), numbers([one.parts for one in flat]),
        (Pointer * len(outs))(*[None if one is None else one.data_ptr() for one in under]),
        numbers([0 if one is None or one.dim() == 1 else one.stride(0) for one in under]),
    )  # fmt: skip
    enough(done)
    return outs


def described(some: Sequence[Tensor]) -> tuple[Any, Any, Any]:
    """Of matrices whose rows are dense: where they lie, how far their rows are apart, how wide these are."""
    return (
        (Pointer * len(some))(*[one.data_ptr() for one in some]),
        numbers([one.stride(0) for one in some]),
        numbers([one.shape[1] for one in some]),
    )


def numbers(some: Any) -> Any:
    return (Count * len(some))(*some)
