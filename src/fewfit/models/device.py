"""Where a model runs and in which numbers: --device, --dtype, --quantize."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

from fewfit.errors import UserError
from fewfit.models.configs import text_config

DTYPES = ("auto", "float32", "bfloat16", "float16", "float64")
PAYS_FROM = 512  # width: narrower models spend their time in calls, not in products
LEAST_GAIN = 1.2


def check_settings(dtype: str, quantize: str | None) -> None:
    if dtype not in DTYPES:
        raise UserError(f"--dtype {dtype}", hint=f"one of: {', '.join(DTYPES)}")
    if quantize not in (None, "nf4"):
        raise UserError(f"--quantize {quantize}", hint="only nf4 is known")


def pick_device(wanted: str) -> str:
    import torch

    mps = torch.backends.mps.is_available()
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    there = {"cpu": 1, "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0, "mps": int(mps)}
    try:
        device = torch.device(wanted)
    except (RuntimeError, ValueError):
        device = None
    if device is None or device.type not in there:  # torch knows many more, some of which no machine has
        raise UserError(f"--device {wanted}", hint="one of: auto, cpu, cuda, cuda:1, mps")
    if (device.index or 0) >= there[device.type]:
        found = "no such one" if there[device.type] else "none"
        raise UserError(f"--device {wanted}, and torch finds {found} here", hint="--device auto takes what there is")
    return "cpu" if device.type == "cpu" else wanted


def pick_dtype(wanted: str, device: str, config: Any) -> Any:
    """auto: on a CPU bf16 where it pays, on a GPU bf16, elsewhere the model's own."""
    import torch

    if wanted != "auto":
        return getattr(torch, wanted)
    kind = torch.device(device).type
    if kind == "cpu":
        wide = (getattr(text_config(config), "hidden_size", None) or 0) >= PAYS_FROM
        return torch.bfloat16 if wide and bf16_gain() > LEAST_GAIN else torch.float32
    return torch.bfloat16 if kind == "cuda" else getattr(config, "dtype", None) or torch.float32


@cache
def bf16_gain() -> float:
    """How many times as fast this processor multiplies in bf16 as in fp32: measured, in its own time on one thread,
    since it is about 2 with units for bf16 (AVX-512 BF16, AMX) and far below 1 without."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        took = {}
        for dtype in (torch.float32, torch.bfloat16):
            left, right = torch.ones(128, 1024, dtype=dtype), torch.ones(1024, 1024, dtype=dtype)
            torch.mm(left, right)
            tries = []
            for _ in range(5):
                start = time.thread_time()
                torch.mm(left, right)
                tries.append(time.thread_time() - start)
            took[dtype] = max(min(tries), 1e-9)
        return took[torch.float32] / took[torch.bfloat16]
    finally:
        torch.set_num_threads(before)


def dtype_name(model: Any) -> str:
    return str(next(p.dtype for p in model.parameters() if p.dtype.is_floating_point)).removeprefix("torch.")


def nf4() -> Any:
    import importlib.util

    import torch

    if importlib.util.find_spec("bitsandbytes") is None:
        raise UserError("--quantize nf4 needs bitsandbytes", hint="pip install 'fewfit[nf4]'")
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
