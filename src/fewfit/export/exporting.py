"""One export, in order: which demonstrations, the template, the folders, and whether they answer as the bundle does."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from fewfit.bundle import Bundle
from fewfit.bundle.folder import FILE, write_json
from fewfit.errors import UserError
from fewfit.examples import restore
from fewfit.examples.example import Example
from fewfit.export import bake, serving, texts, weights
from fewfit.export.check import Check, Exported, compare, load_exported, other_prompts
from fewfit.export.guide import guide
from fewfit.export.pick import pick_set
from fewfit.export.record import Export
from fewfit.models.device import pick_device
from fewfit.predict import Predictor, predictor_of
from fewfit.predict.loading import base_model
from fewfit.render import Renderer
from fewfit.run import folders

KINDS = ("peft", "merged", "template", "ollama", "prompt", "messages")
RECORD = "export.json"
CHECKED = 100  # examples
NOT_COMPARED = "answers were not compared: what is here is no model with a template, which could be asked"
# What a kind needs beside the weights: one set of demonstrations for all queries.
BAKED = ("template", "ollama", "prompt", "messages")


@dataclass
class Work:
    """What one export has settled so far."""

    bundle: Bundle
    renderer: Renderer
    to: Path
    queries: list[Example]
    demos: tuple[Example, ...] | None = None
    template: str | None = None


def export(
    bundle: Bundle,
    to: Path,
    kinds: Sequence[str] = (),
    *,
    set_number: int | None = None,
    check: int = CHECKED,
    device: str = "auto",
    tell: Callable[[str], None] = lambda text: None,
) -> Export:
    """`kinds` none: all that can be had, but for merged weights, which are as large as the model."""
    refuse(bundle, to, kinds)
    predictor = predictor_of(bundle, device=device)
    try:
        work = Work(bundle, predictor.renderer, to, examples_of(bundle))
        wanted, left_out = settle(work, kinds, set_number)
        compares = work.template is not None and any(kind in ("peft", "merged", "template") for kind in wanted)
        answers, notes = asked(work, predictor, check, tell) if compares else ([], [NOT_COMPARED])
    finally:
        predictor.close()
    temporary = Path(tempfile.mkdtemp(prefix=f".{to.name}.", dir=to.parent))
    try:
        work.to = temporary
        checks = [one for kind in wanted for one in write(work, kind, answers, device, tell)]
        if not bundle.model.is_remote:
            weights.write_generation(bundle, work.renderer, temporary)
        if "template" in wanted and "peft" not in wanted and "merged" not in wanted:
            checks.append(template_alone(work, answers, device, tell))
        served = served_kinds(work, wanted)
        here, there = (
            tuple(serving.vllm_line(bundle, place, kind, template_file(work, kind, wanted)) for kind in served)
            for place in (None, to.absolute())
        )
        if "peft" in wanted:
            notes += [f"vLLM will not take the adapter: {one}" for one in serving.adapter_problems(temporary / "peft")]
        notes += [serving.without_template(bundle)] if served and work.template is None else []
        notes += serving.quantized(bundle)
        stop = tuple(serving.stops(bundle, work.renderer))
        made = Export(to, tuple(wanted), left_out, tuple(checks), there, stop, tuple(notes))
        told = {**made.as_json(), "folder": to.name, "commands": list(here), "bundle": digest_of(bundle)}
        write_json(temporary / RECORD, {"schema": 1, **told})
        (temporary / "README.md").write_text(guide(replace(made, commands=here), bundle), encoding="utf-8")
        os.replace(temporary, to)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return made


def digest_of(bundle: Bundle) -> str:
    """What tells later which bundle an export was made of."""
    return sha256((bundle.folder / FILE).read_bytes()).hexdigest()


def refuse(bundle: Bundle, to: Path, kinds: Sequence[str]) -> None:
    """What can be told before a model is loaded."""
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise UserError(f"--as {unknown[0]}", hint=f"choose among {', '.join(KINDS)}")
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UserError("is there already", where=str(to), hint="name another --to, or remove it")
    if not to.absolute().parent.is_dir():
        raise UserError("its parent folder is not there", where=str(to), hint="make it, or name another --to")
    if bundle.model.digest.startswith("weights:") and not bundle.model.name:
        raise UserError(
            "was made with a model that was handed in as an object",
            where=str(bundle.folder),
            hint="save that model to a folder and fit with it by name",
        )


def settle(work: Work, kinds: Sequence[str], number: int | None) -> tuple[list[str], dict[str, str]]:
    """The kinds that are made, and why others are not; what was asked for by name and cannot be had is refused."""
    wanted = list(dict.fromkeys(kinds or [kind for kind in KINDS if kind not in ("merged", "ollama")]))
    if "ollama" in wanted and "merged" not in wanted:
        wanted.insert(0, "merged")  # it reads them
    left_out: dict[str, str] = {}
    for kind in list(wanted):
        try:
            refuse_impossible(work, kind, number)
        except UserError as error:
            if kinds or (number is not None and kind in BAKED):
                raise
            left_out[kind] = without_place(error)
            wanted.remove(kind)
    if not wanted:
        raise UserError(left_out["messages"])  # every other kind wants more than they do
    if work.template is None:
        try:  # weights are served with one where it can be had
            bake_once(work, number)
        except UserError as error:
            left_out.setdefault("template", without_place(error))
    return wanted, left_out


def without_place(error: UserError) -> str:
    """An export is handed on: no path of this machine stands in it."""
    return UserError(error.message, hint=error.hint).line()


def refuse_impossible(work: Work, kind: str, number: int | None) -> None:
    bundle = work.bundle
    if kind == "peft" or (bundle.model.is_remote and kind in ("merged", "template", "ollama")):
        weights.refuse_no_weights(bundle, kind)
    if kind == "peft":
        weights.refuse_no_adapter(bundle)
    if kind in BAKED:
        work.demos = pick_set(bundle, number)
    if kind in ("template", "ollama"):
        bake_once(work, number)
    if kind == "prompt" and bundle.model.is_remote and bundle.settings.chat:
        raise UserError("its endpoint takes messages, and what it makes of them is not known", hint="--as messages")
    if kind in ("ollama", "prompt"):
        bake.surroundings(work.renderer, work.demos or ())


def bake_once(work: Work, number: int | None) -> None:
    if work.template is None and not work.bundle.model.is_remote:
        work.demos = pick_set(work.bundle, number)
        work.template = bake.bake(work.renderer, work.demos, work.queries)


# ---- the run's own examples ------------------------------------------------------------------------------------------


def examples_of(bundle: Bundle) -> list[Example]:
    """Of the run that the bundle lies in; none of a bundle that was copied out of it."""
    for folder in (bundle.folder.parent, bundle.folder.parent.parent):
        if (folder / folders.RECORD).is_file() and (folder / folders.EXAMPLES).is_file():
            return [one for one in restore(folder / folders.EXAMPLES).examples if not one.is_document]
    return []


def asked(work: Work, predictor: Predictor, most: int, tell: Callable[[str], None]) -> tuple[list[str], list[str]]:
    """The bundle's answers, and what there is to say of the queries; those that stand in the prompt are left out, since
    the bundle answers such a query behind the others, and a template cannot."""
    if most <= 0 or work.bundle.model.is_remote:
        reason = "each answer would be paid for" if most > 0 else "--check 0"
        work.queries = []
        return [], [f"answers were not compared: {reason}"]
    if not work.queries:
        return [], ["answers were not compared: the bundle lies in no run, whose examples it could be asked"]
    inside = [one for one in work.queries if stands_in(one, work.demos or ())]
    work.queries = [one for one in work.queries if one not in inside][:most]
    notes = [f"{len(inside)} of the run's examples stand in the prompt, and were not compared"] if inside else []
    lookalikes = sum(1 for one in work.queries if work.renderer.encoder.count(str(one.prompt)))
    if lookalikes:
        notes.append(
            f"{lookalikes} of the examples hold text that looks like a special token: fewfit reads it as text, other "
            "servers obey it"
        )
    tell(f"asking the bundle {len(work.queries)} of the run's examples")
    return [str(row["prediction"]) for row in predictor.predict(work.queries, nll=False)], notes


def stands_in(query: Example, demos: Sequence[Example]) -> bool:
    """As the bundle sees it, which knows no query's number: a document may have the same."""
    apart = replace(query, id="\0query")
    return any(demo.conflicts_with(apart) for demo in demos)


# ---- writing ---------------------------------------------------------------------------------------------------------


def write(work: Work, kind: str, answers: Sequence[str], device: str, tell: Callable[[str], None]) -> list[Check]:
    bundle, renderer, to = work.bundle, work.renderer, work.to
    if kind in ("peft", "merged"):
        tell(f"writing {kind}")
        write_weights(work, kind, device)
        if not answers or work.template is None:
            return []
        tell(f"asking {kind} the same")
        model = load_exported(kind, to / kind, bundle.model.dtype, pick_device(device))
        served = Exported(bundle, renderer, work.template, model, to / kind)
        return [compare(kind, served, work.demos or (), work.queries, answers)]
    if kind == "template":
        assert work.template is not None
        (to / "template.jinja").write_text(work.template, encoding="utf-8", newline="")
        return []
    around = bake.surroundings(renderer, work.demos or ())
    if kind == "ollama":
        (to / "ollama").mkdir()
        text = serving.modelfile(bundle, renderer, around, "../merged")
        (to / "ollama" / "Modelfile").write_text(text, encoding="utf-8", newline="")
    elif kind == "prompt":
        (to / "prompt.txt").write_text(texts.prompt_text(around), encoding="utf-8", newline="")
    else:
        write_json(to / "messages.json", texts.request(bundle, renderer, work.demos or ()))
    return []


def write_weights(work: Work, kind: str, device: str) -> None:
    folder = work.to / kind
    if kind == "peft":
        weights.write_adapter(work.bundle, folder)
    else:
        weights.write_merged(work.bundle, folder, device)
    weights.write_tokenizer(work.renderer, folder, work.template)
    weights.write_generation(work.bundle, work.renderer, folder)


def template_alone(work: Work, answers: Sequence[str], device: str, tell: Callable[[str], None]) -> Check:
    """Behind the base model as it is, where the lane trained nothing; else all that can be told is whether prompts are
    the same."""
    assert work.template is not None
    bundle, demos, queries = work.bundle, work.demos or (), work.queries if answers else []
    if bundle.lane.trains or not queries:
        return Check("template", len(queries), other_prompts(work.renderer, work.template, demos, queries), None, None)
    tell("asking the base model behind the template the same")
    model = base_model(bundle, device, dtype=bundle.model.dtype)  # as it is served: not quantized
    served = Exported(bundle, work.renderer, work.template, model, work.to)
    return compare("template", served, demos, queries, answers)


def served_kinds(work: Work, wanted: Sequence[str]) -> list[str]:
    found = [kind for kind in wanted if kind in ("peft", "merged")]
    if not found and "template" in wanted and not work.bundle.lane.trains:
        found = ["template"]
    return found


def template_file(work: Work, kind: str, wanted: Sequence[str]) -> str | None:
    """From the export's folder on; beside weights it lies anyhow."""
    if work.template is None:
        return None
    return "template.jinja" if "template" in wanted else f"{kind}/chat_template.jinja"
