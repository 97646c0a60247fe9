"""What the bundled model is: where it lies, how large it is, how it was trained."""

from __future__ import annotations

import json

from fewfit.errors import EnvironmentProblem
from fewfit.models.installed import bundled_folder


def info() -> dict:
    folder = bundled_folder("lab")
    if folder is None:
        raise EnvironmentProblem("this installation does not hold the weights of lab", hint="install fewfit again")
    config = json.loads((folder / "config.json").read_text())
    width, hidden, vocab = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    layers = config["num_hidden_layers"]
    return {
        "schema": 1,
        "path": str(folder),
        "parameters": vocab * width + layers * (4 * width**2 + 3 * width * hidden + 2 * width) + width,
        "layers": layers,
        "width": width,
        "vocabulary": vocab,
        "context": config["max_position_embeddings"],
        "bytes": sum(path.stat().st_size for path in folder.iterdir()),
        "training": json.loads((folder / "training.json").read_text()),
    }
