"""Models behind an OpenAI-compatible endpoint: asked concurrently, patiently, and never twice for the same answer."""

from fewfit.models.remote.endpoint import Endpoint
from fewfit.models.remote.exchange import Completion, Echoed, Request

__all__ = ["Completion", "Echoed", "Endpoint", "Request"]
