"""Examples to tokens: k-shot prompts and chat templates, with the spans of their answers."""

from fewfit.render.rendered import Layout, Loss, Piece, Prompt, Rendered, loss_mask, shared_prefix
from fewfit.render.renderer import Renderer
from fewfit.render.settings import RenderSettings

__all__ = [
    "Layout",
    "Loss",
    "Piece",
    "Prompt",
    "RenderSettings",
    "Rendered",
    "Renderer",
    "loss_mask",
    "shared_prefix",
]
