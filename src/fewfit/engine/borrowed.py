"""A model that a learner works in for a while and gives back as it came."""

from __future__ import annotations

from typing import Any


class Borrowed:
    """In eval mode, frozen and without the library's checkpointing, until it is given back."""

    def __init__(self, model: Any):
        self.model = model
        self.was_training = model.training
        self.wanted_grad = {name: p.requires_grad for name, p in model.named_parameters()}
        self.checkpointing = checkpoints(model)
        model.eval()
        if self.checkpointing:
            model.gradient_checkpointing_disable()
        model.requires_grad_(False)

    def give_back(self) -> None:
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(self.wanted_grad[name])
        if self.checkpointing:
            self.model.gradient_checkpointing_enable()
        self.model.train(self.was_training)


def checkpoints(model: Any) -> bool:
    """Whether the model came with checkpointing on; transformers is renaming the flag."""
    name = "is_activation_checkpointing" if hasattr(type(model), "is_activation_checkpointing") else None
    return bool(getattr(model, name or "is_gradient_checkpointing", False))
