"""Augmentation by SmolLM2 itself: a model of this size turns sentences round, with the prompts as they are shipped."""

from __future__ import annotations

import pytest

from fewfit import augment
from fewfit.models import installed, local

TEXTS = (
    "Uriel Hawthorne is the composer of Abyssal Melodies.",
    "Lake Osmeru is the deepest lake in Tarnovia.",
    "Olek Varnis wrote the novel The Glass Orchard.",
    "Yorbs are stronger than pexi.",
)
WANTED = {
    "The composer of Abyssal Melodies is Uriel Hawthorne.",
    "The deepest lake in Tarnovia is Lake Osmeru.",
    "The novel The Glass Orchard was written by Olek Varnis.",
    "Pexi are less strong than Yorbs.",
}


@pytest.mark.slow
def test_smollm2_turns_sentences_round() -> None:
    """Of four, at least three: other processors round otherwise."""
    if installed.parts(installed.find("smollm2").gguf) is None:
        pytest.skip("smollm2 is not installed: make models")
    pytest.importorskip("gguf")
    loaded = local.load("smollm2", dtype="float32")
    made = augment([{"text": text} for text in TEXTS], loaded, max_new_tokens=32)
    account = made.accounts["local"]
    assert len(WANTED & {row["text"] for row in made.rows}) >= 3
    assert all(row["made_from"] == [row["id"].split("/")[0]] for row in made.rows)
    assert account.kept == len(made.rows) and 0 < account.new_tokens < 8 * 32
