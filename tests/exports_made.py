"""Runs as far as an export looks at them: a bundle of a lane trained for a moment, beside the examples of its run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bundles_made import Made

from fewfit import bundle, examples
from fewfit.examples.example import Example
from fewfit.run import folders


def run_of(folder: Path, trained: Made, shown: Sequence[Example], **saved: object) -> bundle.Bundle:
    folder.mkdir(parents=True)
    (folder / folders.RECORD).write_text("{}")
    dataset = examples.Dataset(tuple(shown), None, (), "made", examples.digest(shown))
    examples.save(dataset, folder / folders.EXAMPLES)
    return trained.save(folder / folders.BUNDLE, **saved)
