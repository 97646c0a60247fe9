"""What the bundled models are: where they lie, how large they are, how they were trained."""

from __future__ import annotations

import json

from fewfit.models.installed import BUNDLED, bundled_folder


def info(name: str = "lab") -> dict:
    """Facts about one bundled model; `path` is None where it is not in this installation."""
    folder = bundled_folder(name)
    out: dict = {"schema": 1, "name": name, "path": str(folder) if folder else None, "available": available()}
    if folder is None:
        return out
    config = json.loads((folder / "config.json").read_text())
    width, hidden, vocab = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    layers = config["num_hidden_layers"]
    out["parameters"] = vocab * width + layers * (4 * width**2 + 3 * width * hidden + 2 * width) + width
    out["layers"], out["width"], out["vocabulary"] = layers, width, vocab
    out["context"] = config["max_position_embeddings"]
    out["bytes"] = sum(path.stat().st_size for path in folder.iterdir())
    record = folder / "training.json"
    out["training"] = json.loads(record.read_text()) if record.exists() else None
    return out


def available() -> list[str]:
    return [name for name in BUNDLED if bundled_folder(name) is not None]
