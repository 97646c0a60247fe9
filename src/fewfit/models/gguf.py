"""A GGUF file as a model folder: its weights dequantised once, by transformers, into a cache of safetensors.

    <cache>/models/smollm2-b179c9523d0e6a0f/    config, safetensors, tokenizer, and source.json: where it came from

The cache is $FEWFIT_CACHE, else $XDG_CACHE_HOME/fewfit, else ~/.cache/fewfit. A folder in it is found by the SHA-256 of
the whole GGUF file, so it serves a file that was moved, and it is there whole or not at all.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.metadata
import importlib.util
import io
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fewfit.errors import EnvironmentProblem, UserError
from fewfit.files import cache_folder, sync_folder
from fewfit.models import installed
from fewfit.models.gguf_header import Header, is_gguf, read_header
from fewfit.models.gguf_tokenizer import refuse_wrong_tokenizer
from fewfit.models.messages import first_line, memory_errors, without_bars

DIGEST = "gguf:"
SOURCE = "source.json"
SCHEMA = 1
HUB = re.compile(r"^(?:https?://(?:huggingface\.co|hf\.co)/)?([\w.-]+/[\w.-]+)/?$")
ROOM = 1.02  # beside the weights: config and tokenizer
OLD = 24 * 3600  # seconds after which what a killed conversion left is cleared away

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Source:
    """What a converted folder was made from, and by what."""

    file: str
    sha256: str
    bytes: int
    name: str | None
    hub: str | None
    licence: str | None
    transformers: str
    gguf: str


@dataclass(frozen=True)
class Wanted:
    """A GGUF file to be had as a folder, and the name that the folder and the messages give it."""

    name: str
    file: str
    parts: tuple[Path, ...]
    sha256: str

    @property
    def where(self) -> str:
        return self.name if len(self.parts) > 1 else str(self.parts[0])


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def is_named(path: Path) -> bool:
    """Some programs keep GGUF files under names of their own, so the first bytes count too."""
    return path.suffix.lower() == ".gguf" or is_gguf(path)


def from_file(path: Path, tell: Tell | None = None) -> tuple[Path, Source]:
    if not is_gguf(path):
        read_header(path)  # which refuses it
    wanted = Wanted(path.stem, path.name, (path,), sha256_of((path,)))
    return converted(wanted.sha256) or convert(wanted, tell or say)


def from_installed(model: installed.Installed, tell: Tell | None = None) -> tuple[Path, Source]:
    assert model.gguf is not None
    found = converted(model.gguf.sha256)
    if found is not None:
        return found  # without the packages: they were needed for the conversion alone
    parts = installed.need_parts(model)
    if sha256_of(parts) != model.gguf.sha256:
        raise EnvironmentProblem(
            "its installed file is damaged (its SHA-256 differs)", where=model.name, hint=f"again: {model.install}"
        )
    return convert(Wanted(model.name, model.gguf.file, parts, model.gguf.sha256), tell or say)


def converted(sha256: str) -> tuple[Path, Source] | None:
    """The folder that was made from the file with this SHA-256, if there is one."""
    for folder in sorted(models_folder().glob(f"*-{sha256[:16]}")):
        try:
            record = json.loads((folder / SOURCE).read_text(encoding="utf-8"))
            source = Source(**{name: record[name] for name in Source.__dataclass_fields__})
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if source.sha256 == sha256:
            return folder, source
    return None


def models_folder() -> Path:
    return cache_folder() / "models"


def sha256_of(parts: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in parts:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


# ---- conversion ------------------------------------------------------------------------------------------------------


def convert(wanted: Wanted, tell: Tell) -> tuple[Path, Source]:
    """Made beside its place and then renamed: of two that convert at once, the first one's folder stands."""
    if importlib.util.find_spec("gguf") is None:
        raise UserError("a GGUF file needs the package gguf", where=wanted.where, hint="pip install 'fewfit[gguf]'")
    models = models_folder()
    stem = re.sub(r"[^\w.-]+", "-", wanted.name).strip("-.") or "model"
    folder = models / f"{stem}-{wanted.sha256[:16]}"
    with disk_errors(wanted, models):
        models.mkdir(mode=0o700, parents=True, exist_ok=True)
        clear_old(models)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=models))  # its owner's alone
        try:
            file, out = work / "source" / "model.gguf", work / "model"
            # transformers looks beside the file for configs and adapters, so it gets a folder with nothing else in it.
            file.parent.mkdir()
            out.mkdir(mode=0o700)
            refuse_full_disk(wanted, sum(part.stat().st_size for part in wanted.parts), models)
            one_file(wanted.parts, file)
            header = header_of(file, wanted)
            refuse_full_disk(wanted, header.parameters * 4, models)
            tell(f"converting {wanted.file} once, to {header.parameters * 4 / 1e9:.2f} GB of safetensors")
            write_folder(file, out, header, wanted)
            source = source_of(header, wanted)
            (out / SOURCE).write_text(json.dumps({"schema": SCHEMA, **asdict(source)}, indent=2) + "\n")
            publish_folder(out, folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    found = converted(wanted.sha256)
    if found is None:
        raise EnvironmentProblem("a folder of another origin stands there", where=str(folder), hint="remove it")
    return found


def one_file(parts: Sequence[Path], file: Path) -> None:
    if len(parts) == 1:
        file.symlink_to(parts[0].resolve())
        return
    with file.open("wb") as whole:
        for part in parts:
            with part.open("rb") as piece:
                shutil.copyfileobj(piece, whole, 1 << 20)


def header_of(file: Path, wanted: Wanted) -> Header:
    try:
        return read_header(file)
    except UserError as error:  # the user knows the file by another name
        raise UserError(error.message, where=wanted.where, hint=error.hint) from None


def write_folder(file: Path, out: Path, header: Header, wanted: Wanted) -> None:
    """Everything that is read here is foreign, and transformers raises what it likes over it."""
    try:
        # The bar of the dequantisation is none of those that can be turned off.
        with memory_errors(wanted.where), without_bars(), redirect_stderr(io.StringIO()):
            write_tokenizer(file, out)
            refuse_wrong_tokenizer(out, header, wanted.where)
            missing = write_weights(file, out)
    except (UserError, EnvironmentProblem):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # transformers raises bare ones for what it misses
            raise
        if "No space left" in str(error):  # the safetensors library has errors of its own
            raise OSError(errno.ENOSPC, "No space left on device") from error
        raise UserError(
            f"transformers {version('transformers')} cannot convert it (architecture "
            f"{header.facts.get('general.architecture')}): {first_line(error)}",
            where=wanted.where,
            hint="pip install -U transformers, or take the model's safetensors",
        ) from error
    if missing:
        raise UserError(
            f"lacks {len(missing)} weights, {missing[0]} first", where=wanted.where, hint="take another file of it"
        )


def write_tokenizer(file: Path, out: Path) -> None:
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(
        str(file.parent), gguf_file=file.name, local_files_only=True, trust_remote_code=False
    ).save_pretrained(str(out))


def write_weights(file: Path, out: Path) -> list[str]:
    """The names of weights that the file lacks: transformers would make them up."""
    import torch
    from transformers import AutoModelForCausalLM

    got: Any = AutoModelForCausalLM.from_pretrained(
        str(file.parent),
        gguf_file=file.name,
        dtype=torch.float32,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    model, told = got
    # What follows is an ordinary model: nothing of it may say that it is quantised (newer releases do).
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    if not told["missing_keys"]:
        model.save_pretrained(str(out))
    return sorted(told["missing_keys"])


def source_of(header: Header, wanted: Wanted) -> Source:
    known = installed.by_sha256(wanted.sha256)
    name, licence = header.facts.get("general.name"), header.facts.get("general.license")
    return Source(
        file=wanted.file,
        sha256=wanted.sha256,
        bytes=sum(part.stat().st_size for part in wanted.parts),
        name=None if name is None else str(name),
        hub=known.hub if known else hub_model(header),
        licence=known.licence if known else None if licence is None else str(licence),
        transformers=version("transformers"),
        gguf=version("gguf"),
    )


def hub_model(header: Header) -> str | None:
    """The Hugging Face model that the file was converted from, where its facts say so."""
    facts = header.facts
    for key in ("general.source.huggingface.repository", "general.source.repo_url", "general.source.url"):
        found = HUB.match(str(facts.get(key, "")))
        if found:
            return found[1]
    # A base model is what the file was quantised from, or else what its fine-tuning began with: only the first is it.
    found = HUB.match(str(facts.get("general.base_model.0.repo_url", "")))
    tuned = plain(str(facts.get("general.finetune", "")))
    return found[1] if found and facts.get("general.base_model.count", 1) == 1 and tuned in plain(found[1]) else None


def plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def version(package: str) -> str:
    return importlib.metadata.version(package)


# ---- disk ------------------------------------------------------------------------------------------------------------


def publish_folder(made: Path, folder: Path) -> None:
    """The bytes reach the disk before the name does."""
    for path in made.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(made)
    try:
        os.replace(made, folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return  # another process was first
    sync_folder(folder.parent)


def refuse_full_disk(wanted: Wanted, size: int, models: Path) -> None:
    free = shutil.disk_usage(models).free
    if free < size * ROOM:
        raise EnvironmentProblem(
            f"its conversion takes {size / 1e9:.1f} GB, and {models} has {free / 1e9:.1f} GB left",
            where=wanted.where,
            hint="free some disk, or set FEWFIT_CACHE to a folder elsewhere",
            code="disk",
        )


def clear_old(models: Path) -> None:
    for left in models.glob(".*"):
        if left.is_dir() and left.stat().st_mtime < time.time() - OLD:
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def disk_errors(wanted: Wanted, models: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot be converted into {models}: {error.strerror or first_line(error)}",
            where=wanted.where,
            hint="free some disk, or set FEWFIT_CACHE to a folder that can be written",
            code="disk",
        ) from error
