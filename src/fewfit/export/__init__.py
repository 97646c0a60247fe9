"""A bundle carried elsewhere: what other libraries and servers load, and whether they answer as the bundle does.

    fewfit export last --to out --as peft,merged,template,ollama,prompt,messages
    fewfit push last user/name

pick.py chooses the demonstrations, bake.py writes them into a chat template, weights.py writes folders, serving.py what
servers are told, texts.py prompts for people and hosted models, check.py compares, exporting.py does it in order.
"""

from fewfit.export.check import Check
from fewfit.export.exporting import KINDS, export
from fewfit.export.push import Pushed, push
from fewfit.export.record import Export

__all__ = ["KINDS", "Check", "Export", "Pushed", "export", "push"]
