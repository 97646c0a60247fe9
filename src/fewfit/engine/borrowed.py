"""A model that a learner works in for a while and gives back as it came."""

from __future__ import annotations

from typing import Any

from fewfit.models.library import checkpoints


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
