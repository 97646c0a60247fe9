"""The models that fewfit brings along, found by name without a network."""

from __future__ import annotations

from pathlib import Path

NAMES = ("lab", "lab-s", "lab-control")
WEIGHTS = Path(__file__).parent.parent / "lab" / "weights"


def resolve(name: str) -> Path | None:
    """The folder of a bundled model, or None where there is none of that name (or it has not been trained yet)."""
    folder = WEIGHTS / name
    return folder if name in NAMES and (folder / "model.safetensors").exists() else None
