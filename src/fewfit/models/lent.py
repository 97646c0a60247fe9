"""A model that somebody has lent: it carries a bundle's adapter for a while, and is as it was afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from fewfit.errors import UserError
from fewfit.models import local
from fewfit.models.library import checkpoints


def adapter_weights(folder: Path) -> dict[str, Any]:
    """Of safetensors alone: PEFT would fall back to a pickle, and to the hub."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / "adapter_model.safetensors"
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        hint = "copy the bundle's folder again, whole"
        raise UserError(f"the adapter cannot be read: {local.first_line(error)}", where=str(path), hint=hint) from None


def put_adapter_on(model: Any, folder: Path) -> Any:
    """The bundle's adapter inside the model's own layers, by plain PEFT; off again where it does not fit."""
    from peft import PeftConfig, get_peft_model
    from peft.utils import set_peft_model_state_dict

    weights = adapter_weights(folder)
    problem = ""
    peft = None
    try:
        config = PeftConfig.from_pretrained(str(folder))
        config.inference_mode = True
        config.base_model_name_or_path = None  # else a warning where a folder goes by another name
        # In the numbers of the model, as the lane computed: PEFT would take fp32 for adapters beside bf16.
        peft = get_peft_model(model, config, autocast_adapter_dtype=False).eval()
        told: Any = set_peft_model_state_dict(peft, weights)
        lacking = [key for key in told.missing_keys if ".lora_" in key]
        if lacking or told.unexpected_keys:
            problem = f"{len(lacking)} weights too few and {len(told.unexpected_keys)} too many"
    except (RuntimeError, ValueError) as error:
        problem = local.first_line(error)
    if problem:
        take_adapter_off(model, peft)
        raise UserError(
            f"the adapter does not fit the model: {problem}",
            where=str(folder),
            hint="give the base model that the bundle was made with",
        )
    return peft


def take_adapter_off(model: Any, peft: Any) -> None:
    if peft is not None:
        peft.unload()
    if hasattr(model, "peft_config"):
        del model.peft_config


@contextmanager
def as_it_was(model: Any) -> Iterator[None]:
    """Puts modes, gradient flags and the library's checkpointing back; meanwhile the model is in eval mode, without."""
    modes = {name: module.training for name, module in model.named_modules()}
    wanted = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    checkpointing = checkpoints(model)
    model.eval()
    if checkpointing:
        model.gradient_checkpointing_disable()
    try:
        yield
    finally:
        if checkpointing:
            model.gradient_checkpointing_enable()
        for name, module in model.named_modules():
            module.training = modes.get(name, False)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(wanted.get(name, False))


def borrowed(model: Any) -> ExitStack:
    """Frozen as well, until this is closed."""
    until = ExitStack()
    until.enter_context(as_it_was(model))
    model.requires_grad_(False)
    return until
