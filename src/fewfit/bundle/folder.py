"""A bundle's folder, written whole or not at all, and read.

    adapter_config.json, adapter_model.safetensors   where the lane tunes by LoRA; a whole model where it tunes all
    bundle.json                                      lane, demonstrations, template, decoding: what a prediction needs
    generation_config.json, tokenizer files          for other libraries
    README.md                                        the model card; no example's text unless asked

Nothing here loads torch: a bundle is read before it is decided where it runs.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fewfit import __version__
from fewfit.bundle.card import card
from fewfit.bundle.record import GREEDY, SCHEMA, Base, Bundle, as_json, from_json
from fewfit.errors import EnvironmentProblem, UserError
from fewfit.examples.example import Example
from fewfit.files import sync_folder
from fewfit.grid import Lane
from fewfit.models.local import Loaded, without_bars
from fewfit.render import RenderSettings
from fewfit.writing.decoding import Sampling

FILE = "bundle.json"
ADAPTER = "adapter_config.json"
IN_A_RUN = "bundle"


def save(
    folder: Path,
    *,
    lane: Lane,
    seed: int,
    n: int,
    loaded: Loaded,
    settings: RenderSettings,
    metric: str,
    answer_patterns: Sequence[str] = (),
    sets: Sequence[Sequence[Example]] = ((),),
    pool: Sequence[Example] = (),
    export: Callable[[Path], None] | None = None,
    score: float | None = None,
    interval: tuple[float, float] | None = None,
    end_ids: frozenset[int],
    end_text: str,
    sampling: Sampling = GREEDY,
    with_tokenizer: bool = True,
) -> Bundle:
    """`export` writes the lane's weights into a folder. Without its tokenizer (large vocabularies take a second to
    write) a bundle is for whoever has that at hand."""
    folder = Path(folder)
    if lane.trains and export is None:
        raise ValueError(f"lane {lane.name} trains, so its weights have to be exported")
    quantized = getattr(loaded.config, "quantization_config", None) is not None
    base = Base(
        **asdict(loaded.ref), dtype=loaded.dtype, attention=loaded.attention, quantize="nf4" if quantized else None
    )
    made = Bundle(
        folder=folder,
        lane=lane,
        seed=seed,
        n=n,
        model=base,
        settings=settings,
        metric=metric,
        answer_patterns=tuple(answer_patterns),
        sets=tuple(tuple(one) for one in sets),
        pool=tuple(pool),
        end_ids=end_ids,
        end_text=end_text,
        score=score,
        interval=interval,
        version=__version__,
        sampling=sampling,
    )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))  # its owner's alone
        try:
            # The weights first: what they bring along beside themselves is then overwritten.
            if export is not None:
                with without_bars():
                    export(temporary)
            if with_tokenizer:
                loaded.tokenizer.save_pretrained(str(temporary))
            point_to_base(temporary, base)
            if not loaded.is_remote:  # no other library loads that
                write_json(temporary / "generation_config.json", generation_config(made, loaded.tokenizer))
            (temporary / "README.md").write_text(card(made), encoding="utf-8")
            write_json(temporary / FILE, as_json(made))
            put_in_place(temporary, folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot write the bundle: {error.strerror or error}", where=str(folder), hint="free some disk"
        ) from error
    return made


def put_in_place(temporary: Path, folder: Path) -> None:
    """A folder cannot replace a full one in one step, so the old one steps aside first."""
    aside = Path(f"{temporary}.old")
    if folder.exists():
        os.replace(folder, aside)
    os.replace(temporary, folder)
    sync_folder(folder.parent)
    shutil.rmtree(aside, ignore_errors=True)


def generation_config(bundle: Bundle, tokenizer: Any) -> dict[str, Any]:
    """Up to the end tokens. An end mark of plain text is no token: whoever generates has to stop at it."""
    pad, how = tokenizer.pad_token_id, bundle.sampling
    drawn = {"temperature": how.temperature, "top_p": how.top_p} if how.temperature else {}
    penalty = {"repetition_penalty": how.repetition_penalty} if how.repetition_penalty != 1 else {}
    return {
        "do_sample": bool(drawn),
        "num_beams": 1,
        **drawn,
        **penalty,
        "max_new_tokens": bundle.max_new_tokens,
        "eos_token_id": sorted(bundle.end_ids),
        "pad_token_id": min(bundle.end_ids, default=None) if pad is None else pad,
    }


def point_to_base(folder: Path, base: Base) -> None:
    """PEFT finds the base model by what its config says: the very one that was used, pinned where it can be."""
    path = folder / ADAPTER
    if not path.exists():
        return
    record = json.loads(path.read_text(encoding="utf-8"))
    record["base_model_name_or_path"] = base.folder or base.name or None
    record["revision"] = base.digest if base.from_hub else None
    write_json(path, record)


def write_json(path: Path, value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2)
    path.write_text(text + "\n", encoding="utf-8")


def load(path: str | Path) -> Bundle:
    """A bundle's folder, or the folder of a finished run."""
    folder = find(Path(path).expanduser())
    try:
        record = json.loads((folder / FILE).read_text(encoding="utf-8"))
        schema = record["schema"]
        if schema != SCHEMA:
            raise UserError(
                f"a bundle of schema {schema}, and this is fewfit {__version__}, which reads {SCHEMA}",
                where=str(folder),
                hint=f"use fewfit {record.get('fewfit', 'of the version that wrote it')}",
            )
        return from_json(record, folder)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{FILE} is damaged ({type(error).__name__}: {error})", where=str(folder), hint="export the bundle again"
        ) from error


def find(path: Path) -> Path:
    for folder in (path, path / IN_A_RUN):
        if (folder / FILE).is_file():
            return folder.resolve()
    if (path / "run.json").is_file():
        raise UserError("this run has no bundle yet", where=str(path), hint=f"finish it: fewfit resume {path}")
    if not path.exists():
        raise UserError("no such folder", where=str(path), hint="name a run, or a bundle's folder")
    raise UserError(f"holds no {FILE}", where=str(path), hint="name a run, or a bundle's folder")
