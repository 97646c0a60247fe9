"""Who writes text: a model on this machine, or one behind an endpoint. Prompts in, texts with their cost out.

asked.py      a prompt: a text to go on with, or turns of a conversation
decoding.py   how it is gone on with: where it ends, temperature, top-p, repetition penalty
sampling.py   the same as what is done to the logits
writer.py     the face;  local.py  a loaded model;  endpoint.py  one behind an endpoint
"""

from fewfit.writing.asked import AnyAsked, Asked, AskedInTurns
from fewfit.writing.decoding import Decoding, Sampling, cut
from fewfit.writing.endpoint import EndpointWriter
from fewfit.writing.local import LocalWriter
from fewfit.writing.writer import Affirmed, Writer, Written

__all__ = [
    "Affirmed",
    "AnyAsked",
    "Asked",
    "AskedInTurns",
    "Decoding",
    "EndpointWriter",
    "LocalWriter",
    "Sampling",
    "Writer",
    "Written",
    "cut",
]
