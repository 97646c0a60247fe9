"""The product: a folder that fewfit, plain PEFT and plain transformers can load."""

from fewfit.bundle.folder import load, save
from fewfit.bundle.record import Base, Bundle

__all__ = ["Base", "Bundle", "load", "save"]
