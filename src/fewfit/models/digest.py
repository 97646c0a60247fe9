"""What tells one model from another, quickly: hashes over all small files and samples of large ones."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

SUFFIXES = (".json", ".safetensors", ".model", ".txt", ".jinja", ".tiktoken")
NOT_THE_MODEL = ("bundle.json",)
WHOLE = 1 << 20  # smaller files are read whole
BLOCK, BLOCKS = 1 << 16, 64
ELEMENTS = 64  # of each weight of an object


def of_folder(folder: Path) -> str:
    """Names, sizes and contents; of large files the head (safetensors: their header) and blocks evenly spread."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix not in SUFFIXES or path.name in NOT_THE_MODEL or not path.is_file():
            continue
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            if size <= WHOLE:
                digest.update(file.read())
                continue
            head = WHOLE
            if path.suffix == ".safetensors":
                head = 8 + min(int.from_bytes(file.read(8), "little"), 64 << 20)
                file.seek(0)
            digest.update(file.read(head))
            for k in range(BLOCKS):
                file.seek(max(0, size - BLOCK) * k // (BLOCKS - 1))
                digest.update(file.read(BLOCK))
    return f"files:{digest.hexdigest()}"


def of_object(model: Any) -> str:
    """The config's shape of things and some elements of every weight, the same on every device."""
    digest = hashlib.sha256()
    digest.update(str(getattr(model.config, "model_type", "")).encode())
    for name, parameter in sorted(model.named_parameters()):
        flat = parameter.detach().flatten()
        digest.update(f"{name}\0{tuple(parameter.shape)}\0{parameter.dtype}\0".encode())
        step = max(1, flat.numel() // ELEMENTS)
        digest.update(flat[::step].cpu().double().numpy().tobytes())
    return f"weights:{digest.hexdigest()}"
