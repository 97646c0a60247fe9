"""A causal language model from a Hugging Face name, a folder, an installed name, a GGUF file, or an object in memory.

Safetensors only and no code from the model's folder: neither a pickle nor a repository's own Python is ever run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewfit.errors import EnvironmentProblem, UserError
from fewfit.models import gguf, hub, installed
from fewfit.models.device import check_settings, dtype_name, nf4, pick_device, pick_dtype
from fewfit.models.digest import of_folder, of_object
from fewfit.models.messages import first_line, memory_errors, without_bars

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tekken.json", "tiktoken.model")
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
CAUSAL = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")


@dataclass(frozen=True)
class ModelRef:
    """Which model it was.

    `digest` is the hub's commit, or `files:…` of a folder, `gguf:…` of a GGUF file, `weights:…` of an object,
    `endpoint:…` of one behind `base_url`. `hub` is the Hugging Face model that an installed one or a GGUF file was made
    from, where that is known.
    """

    name: str
    revision: str | None
    folder: str | None
    digest: str
    hub: str | None = None
    base_url: str | None = None

    @property
    def short_name(self) -> str:
        """The name without a machine's path."""
        return Path(self.name).name if self.folder is not None and self.name not in installed.NAMES else self.name


@dataclass
class Loaded:
    model: Any  # None where only the tokenizer was asked for; a `Served` where it is behind an endpoint
    tokenizer: Any
    ref: ModelRef

    @property
    def is_remote(self) -> bool:
        return self.ref.base_url is not None

    @property
    def config(self) -> Any:
        return None if self.is_remote else self.model.config

    @property
    def attention(self) -> str | None:
        return getattr(self.config, "_attn_implementation", None)

    @property
    def dtype(self) -> str:
        return "unknown" if self.is_remote else dtype_name(self.model)


def load(
    name: str | Path,
    *,
    revision: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    quantize: str | None = None,
    tokenizer_only: bool = False,
    attention: str | None = None,
    digest: str | None = None,
    tell: gguf.Tell | None = None,
) -> Loaded:
    """`attention` None leaves the backend to transformers (sdpa where the model allows it). `digest` is that of an
    earlier load: by it a GGUF file is found that was moved since, and the commit that a branch then was. `tell` hears
    what takes long; None: stderr does."""
    check_settings(dtype, quantize)
    ref, folder = resolve(name, revision, weights=not tokenizer_only, digest=digest, tell=tell)
    config = config_of(folder, ref)
    tokenizer = tokenizer_of(folder, ref)
    model = None if tokenizer_only else model_of(folder, ref, config, device, dtype, quantize, attention)
    return Loaded(model, tokenizer, ref)


def load_model(
    name: str | Path,
    *,
    revision: str | None,
    device: str,
    dtype: str,
    quantize: str | None,
    attention: str | None,
    digest: str | None = None,
) -> tuple[Any, ModelRef]:
    """Without a tokenizer: a bundle brings its own."""
    check_settings(dtype, quantize)
    ref, folder = resolve(name, revision, weights=True, digest=digest)
    return model_of(folder, ref, config_of(folder, ref), device, dtype, quantize, attention), ref


def wrap(model: Any, tokenizer: Any = None) -> Loaded:
    """A model already loaded. Where no tokenizer is given, that of the name it was loaded from."""
    name = str(getattr(model, "name_or_path", "") or "")
    shown = name or type(model).__name__
    if not hasattr(model, "config") or not hasattr(model, "get_output_embeddings"):
        raise UserError(f"a model of type {type(model).__name__}", hint="give a name or a transformers model")
    if hasattr(model, "peft_config"):
        raise UserError(f"{shown} carries adapters already", hint="give the base model: merge_and_unload() or unload()")
    refuse_non_causal(model.config, shown, type(model).__name__)
    if tokenizer is None:
        if not name:
            raise UserError("the model handed in has no name to find its tokenizer by", hint="give tokenizer=… as well")
        found, folder = resolve(name, None, weights=False)
        tokenizer = tokenizer_of(folder, found)
    at = Path(name).expanduser()
    folder_name = str(at.resolve()) if name and at.is_dir() else None
    # The object may have been trained on since it was loaded: what it is now is told by its weights alone.
    return Loaded(model, tokenizer, ModelRef(name, None, folder_name, of_object(model)))


def load_config_and_tokenizer(
    name: str | Path, revision: str | None = None, *, digest: str | None = None
) -> tuple[Any, Any]:
    """For `plan`: what a model is, without its weights."""
    ref, folder = resolve(name, revision, weights=False, digest=digest)
    return config_of(folder, ref), tokenizer_of(folder, ref)


# ---- where it is -----------------------------------------------------------------------------------------------------


def resolve(
    name: str | Path,
    revision: str | None,
    *,
    weights: bool,
    digest: str | None = None,
    tell: gguf.Tell | None = None,
) -> tuple[ModelRef, Path]:
    """The reference, and the folder that holds config, tokenizer and (with `weights`) the safetensors."""
    text = str(name)
    if not text.strip():
        raise UserError("no model is named", hint="give --model NAME or FOLDER, for instance --model lab")
    made = gguf.converted(digest.removeprefix(gguf.DIGEST)) if digest and digest.startswith(gguf.DIGEST) else None
    if made is not None:
        return from_gguf(text, made)
    path = Path(text).expanduser()
    known = installed.find(text)
    if revision is not None and (known is not None or path.exists()):
        raise UserError("what is on this machine has no --revision", where=text, hint="leave --revision out")
    # Another folder that happens to have the name of an installed model (`lab/` of this repository) does not hide it.
    if path.is_dir() and (known is None or (path / "config.json").is_file()):
        path = path.resolve()
        refuse_folder(path, text, weights)
        return ModelRef(text, None, str(path), of_folder(path)), path
    if known is not None:
        return from_gguf(text, gguf.from_installed(known, tell)) if known.gguf else from_bundled(text)
    if path.is_file():
        if not gguf.is_named(path):
            raise UserError(
                "is a file, and a model is a folder or a GGUF file", where=text, hint="name the folder that it lies in"
            )
        return from_gguf(str(path.resolve()), gguf.from_file(path, tell))
    if text.lower().endswith(".gguf"):
        raise UserError(f"no such file (looked for {path.absolute()})", where=text, hint="check the path")
    if text.startswith((".", "/", "~")) or text.count("/") > 1 or "\\" in text:
        raise UserError(f"no such model folder (looked for {path.absolute()})", where=text, hint="check the path")
    # A branch goes on; what an earlier load took of it is a commit.
    folder = hub.fetch(text, digest if digest and ":" not in digest else revision, weights)
    lacks = missing_files(folder, weights)
    refuse_folder(folder, text, weights, hub.listed(text, folder.name, lacks) if lacks else ())
    return ModelRef(text, revision, None, folder.name), folder


def from_bundled(name: str) -> tuple[ModelRef, Path]:
    at = installed.bundled_folder(name)
    if at is None:
        raise UserError(
            f"this installation does not hold the bundled model {name!r}",
            hint="install fewfit again, or name a Hugging Face model",
        )
    return ModelRef(name, None, str(at), of_folder(at)), at


def from_gguf(name: str, made: tuple[Path, gguf.Source]) -> tuple[ModelRef, Path]:
    """The name stays the file's; plain libraries load the folder that it was converted into."""
    folder, source = made
    return ModelRef(name, None, str(folder), gguf.DIGEST + source.sha256, source.hub), folder


def missing_files(folder: Path, weights: bool) -> list[str]:
    """What a model's folder lacks; nothing of an adapter's, which is no model whatever else it holds."""
    if not (folder / "config.json").is_file():
        return [] if (folder / "adapter_config.json").is_file() else ["config.json"]
    if not weights or (folder / WEIGHTS).is_file():
        return []
    try:
        parts = sorted(set(json.loads((folder / INDEX).read_text())["weight_map"].values()))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):  # none, or none that transformers reads
        return [] if any(folder.glob("*.safetensors")) else [WEIGHTS]
    return [part for part in parts if not (folder / part).is_file()]


def refuse_folder(folder: Path, name: str, weights: bool, held: Sequence[str] = ()) -> None:
    """`held` are the files of a repository, of which only those that are read here are fetched."""
    lacks = missing_files(folder, weights)
    files = sorted(held) or sorted(path.name for path in folder.iterdir())
    if lacks and (found := next((file for file in files if file.lower().endswith(".gguf")), None)):
        fetch = f"hf download {name} {found} --local-dir DIR, then " if held else ""
        hint = f"name the file: {fetch}--model {'DIR' if held else name}/{found}"
        raise UserError("holds GGUF files, and the model is one of them", where=name, hint=hint)
    if not (folder / "config.json").is_file():
        if (folder / "adapter_config.json").is_file():
            raise UserError(
                "holds an adapter, not a model", where=name, hint="give the base model that the adapter was made for"
            )
        raise UserError("holds no config.json, so it is no model folder", where=name, hint="name the folder with it")
    if not lacks:
        return
    if (folder / INDEX).is_file():
        raise UserError(
            f"lacks {len(lacks)} of the files that {INDEX} names, {lacks[0]} first", where=name, hint="fetch it again"
        )
    kind = "pickled weights (.bin)" if any(file.endswith(".bin") for file in files) else "no safetensors"
    raise UserError(
        f"holds {kind}, and fewfit reads safetensors only",
        where=name,
        hint=f'if you trust it, convert: python -c "from transformers import AutoModelForCausalLM as M; '
        f"M.from_pretrained('{name}').save_pretrained('NEW')\", and copy its tokenizer files",
    )


# ---- what it is ------------------------------------------------------------------------------------------------------


def config_of(folder: Path, ref: ModelRef) -> Any:
    from transformers import AutoConfig

    from fewfit.models.configs import reason_of, refuse_impossible

    try:
        config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
        refuse_impossible(config)
    except Exception as e:  # classes of transformers' own, and whatever its code meets in a file made by others
        raise UserError(
            f"its config.json is none that transformers knows without code from the model: {reason_of(e)}",
            where=ref.name,
            hint="take a model that transformers supports itself, or fix the file",
        ) from e
    refuse_non_causal(config, ref.name)
    return config


def refuse_non_causal(config: Any, name: str, class_name: str | None = None) -> None:
    """`class_name` is that of an object in memory, which transformers need not know; else the config has to tell."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING

    kind = getattr(config, "model_type", "") or type(config).__name__
    hint = "take a causal language model (Llama, Qwen, Gemma, …)"
    if getattr(config, "is_encoder_decoder", False):
        raise UserError(f"is an encoder-decoder model ({kind})", where=name, hint=hint)
    known = class_name is not None or type(config) in MODEL_FOR_CAUSAL_LM_MAPPING
    classes = [class_name] if class_name is not None else getattr(config, "architectures", None) or ()
    wrong = [one for one in classes if not one.endswith(CAUSAL)]
    # Some encoders have a causal class too; what tells is whether the config asks for causal attention.
    encoder = type(config) in MODEL_FOR_MASKED_LM_MAPPING and not getattr(config, "is_decoder", False)
    if not known or encoder or wrong:
        shown = f"{kind}, {wrong[0]}" if wrong else kind
        raise UserError(f"is no causal language model ({shown})", where=name, hint=hint)


def tokenizer_of(folder: Path, ref: ModelRef) -> Any:
    from transformers import AutoTokenizer

    # Without any of its files an empty tokenizer might be made up from the config.
    if not any((folder / file).is_file() for file in TOKENIZER_FILES):
        raise UserError(
            f"has no tokenizer (none of {', '.join(TOKENIZER_FILES)})",
            where=ref.name,
            hint="copy the tokenizer files of the model beside its weights",
        )
    try:
        return AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    except Exception as e:  # the tokenizers library raises bare exceptions for damaged files
        raise UserError(
            f"its tokenizer cannot be read: {first_line(e)}", where=ref.name, hint="save the tokenizer files again"
        ) from e


def model_of(
    folder: Path, ref: ModelRef, config: Any, device: str, dtype: str, quantize: str | None, attention: str | None
) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    place = pick_device(device)
    settings: dict[str, Any] = {"dtype": pick_dtype(dtype, place, config)}
    if attention is None and getattr(config, "model_type", "") == "gemma2":
        attention = "eager"  # some releases of transformers load sdpa, and then refuse to run it
    if attention is not None:
        settings["attn_implementation"] = attention
    if quantize:
        settings |= {"quantization_config": nf4(), "device_map": {"": place}}
    try:
        with memory_errors(ref.name), without_bars():
            got: Any = AutoModelForCausalLM.from_pretrained(
                str(folder),
                config=config,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
                **settings,
            )
            model, told = got
            if not quantize:
                model = model.to(torch.device(place))
    except (ValueError, OSError, KeyError) as e:
        raise UserError(f"cannot be loaded: {first_line(e)}", where=ref.name, hint="check the model's folder") from e
    except RuntimeError as e:  # among others, shapes that do not fit the config
        raise UserError(f"does not fit its config.json: {first_line(e)}", where=ref.name, hint="fetch it again") from e
    except ImportError as e:  # of a version that transformers does not take
        raise EnvironmentProblem(f"cannot be loaded: {first_line(e)}", where=ref.name) from e
    except Exception as e:
        if "Safetensor" not in type(e).__name__:
            raise
        raise UserError(f"its weights cannot be read: {first_line(e)}", where=ref.name, hint="fetch it again") from e
    if told["missing_keys"]:
        missing = sorted(told["missing_keys"])
        raise UserError(
            f"lacks {len(missing)} weights that its config.json promises, {missing[0]} first",
            where=ref.name,
            hint="fetch it again",
        )
    return model.eval()
