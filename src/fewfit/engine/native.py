"""`native.c`, compiled on first use where there is a C compiler; without one the layers take torch's operations.

In bf16 on one thread only: what is left beside the products there are passes over memory, and torch takes five to ten
of them where one is enough. Compiling takes a second, once a machine; `FEWFIT_NATIVE=0` leaves it out.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

# Sums in any order and no errno, so that loops become vectors; not -ffast-math, which changes the whole process's
# rounding of tiny numbers when it is linked.
FLAGS = (
    "-O3", "-march=native", "-mprefer-vector-width=512", "-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros",
    "-fassociative-math", "-freciprocal-math", "-shared", "-fPIC",
)  # fmt: skip
SOURCE = Path(__file__).with_name("native.c")

Pointer, Count, Float = ctypes.c_void_p, ctypes.c_longlong, ctypes.c_float
TAKES: dict[str, tuple[Any, ...]] = {
    "norm": (Pointer, Pointer, Float, Pointer, Pointer, Count, Count),
    "norm_backward": (Pointer, Pointer, Pointer, Pointer, Pointer, Pointer, Count, Count),
    "gated": (Pointer, Pointer, Pointer, Count),
    "gated_backward": (Pointer, Pointer, Pointer, Pointer, Count),
    "rotate": (Pointer, Pointer, Pointer, Pointer, Pointer, Pointer, Count, Float, Pointer),
    "widen": (Pointer, Pointer, Pointer, Pointer, Pointer),
    "weights": (Pointer, Pointer, Count, Count, Count, Count, Count),
}


def serves(x: Tensor) -> bool:
    return (
        x.dtype == torch.bfloat16
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
    except (OSError, subprocess.SubprocessError):
        return None
    for name, takes in TAKES.items():
        function = getattr(found, name)
        function.argtypes, function.restype = takes, None
    return found


def compiled() -> Path:
    compiler = next((path for name in ("cc", "gcc", "clang") if (path := shutil.which(name))), None)
    if compiler is None:
        raise FileNotFoundError("no C compiler")
    known = [SOURCE.read_bytes(), repr((compiler, os.stat(compiler).st_mtime, FLAGS)).encode(), processor()]
    name = hashlib.sha256(b"\0".join(known)).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fewfit"
    target = folder / f"native-{name}.so"
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:  # several workers may come here at once
            made = Path(scratch) / target.name
            subprocess.run(
                [compiler, *FLAGS, "-o", str(made), str(SOURCE)], check=True, capture_output=True, timeout=60
            )
            made.replace(target)
    return target


def processor() -> bytes:
    """What `-march=native` depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor().encode()
    return "\n".join(line for line in lines if line.startswith(("model name", "flags")))[:8000].encode()


# ---- the functions ---------------------------------------------------------------------------------------------------


def norm(x: Tensor, weight_D: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    x = x.contiguous()
    out, scale = torch.empty_like(x), x.new_empty(*x.shape[:-1], 1, dtype=torch.float32)
    width = x.shape[-1]
    machine_code().norm(
        x.data_ptr(), weight_D.data_ptr(), epsilon, out.data_ptr(), scale.data_ptr(), x.numel() // width, width
    )
    return out, scale


def norm_backward(grad: Tensor, x: Tensor, scale: Tensor, weight_D: Tensor, beside: Tensor | None) -> Tensor:
    grad, x = grad.contiguous(), x.contiguous()
    beside = None if beside is None else beside.contiguous()
    out, width = torch.empty_like(x), x.shape[-1]
    machine_code().norm_backward(
        grad.data_ptr(), x.data_ptr(), scale.data_ptr(), weight_D.data_ptr(),
        None if beside is None else beside.data_ptr(), out.data_ptr(), x.numel() // width, width,
    )  # fmt: skip
    return out


def gated(gate: Tensor, up: Tensor) -> Tensor:
    out = torch.empty_like(gate)
    machine_code().gated(gate.data_ptr(), up.data_ptr(), out.data_ptr(), gate.numel())
    return out


def gated_backward(grad: Tensor, gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    """Overwrites `grad`."""
    up_grad = torch.empty_like(up)
    machine_code().gated_backward(grad.data_ptr(), gate.data_ptr(), up.data_ptr(), up_grad.data_ptr(), grad.numel())
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


def numbers(some: Any) -> Any:
    return (Count * len(some))(*some)
