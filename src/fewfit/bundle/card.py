"""The model card: what was made, how good it is and how to use it. No text of any example."""

from __future__ import annotations

import json
from pathlib import PurePath

from fewfit.bundle.record import GREEDY, Bundle
from fewfit.models import installed

KINDS = {
    "zero-shot": "prompted without demonstrations, nothing trained",
    "icl": "prompted with demonstrations, nothing trained",
    "ft": "tuned, prompted without demonstrations",
    "icl+ft": "tuned on prompts with demonstrations, and prompted with demonstrations",
}


def card(bundle: Bundle) -> str:
    return "\n".join([*front_matter(bundle), "", *body(bundle), "", *usage(bundle), "", *contents(bundle), ""])


def base_name(bundle: Bundle) -> str:
    """A local folder goes by its own name: a card tells nothing of the machine that it was written on."""
    base = bundle.model
    if base.from_gguf:
        return PurePath(base.name).name
    if base.name and (base.folder is None or not any(mark in base.name for mark in "/\\")):
        return base.name
    return PurePath(base.folder or base.name).name or "a model that was handed in as an object"


def front_matter(bundle: Bundle) -> list[str]:
    """What the hub reads."""
    lines = ["---"]
    hub = bundle.model.name if bundle.model.from_hub else bundle.model.hub
    if hub is not None:
        relation = {"adapter": "adapter", "model": "finetune"}.get(bundle.weights)
        lines += [f"base_model: {json.dumps(hub)}"]
        lines += [f"base_model_relation: {relation}"] if relation else []
    if bundle.weights == "adapter":
        lines.append("library_name: peft")
    elif bundle.weights == "model":
        lines.append("library_name: transformers")
    return [*lines, "pipeline_tag: text-generation", "tags:", "- fewfit", "---"]


def body(bundle: Bundle) -> list[str]:
    lane = bundle.lane
    lines = [
        f"# {lane.name} on {base_name(bundle)}",
        "",
        f"Made by fewfit {bundle.version} from {bundle.n} examples: {KINDS[lane.kind]}.",
        "",
        "| | |",
        "|---|---|",
        f"| base model | {base_name(bundle)} |",
        *origin_rows(bundle),
        f"| demonstrations in the prompt | {shots(bundle)} |",
    ]
    if lane.trains:
        what = "all weights" if lane.tune == "full" else f"LoRA of rank {lane.rank}"
        rate = f"{lane.lr:g} ({lane.optimizer}); updates for each example: {lane.updates}"
        lines += [f"| trained | {what} |", f"| learning rate | {rate} |", f"| seed | {bundle.seed} |"]
    lines.append(f"| metric | {bundle.metric} |")
    if bundle.score is not None:
        between = f" ({bundle.interval[0]:.3f} to {bundle.interval[1]:.3f})" if bundle.interval else ""
        lines += [
            f"| estimated score | {bundle.score:.3f}{between} |",
            "",
            "Each example was predicted before anything was trained on it; the score estimates new data like these"
            + (", and the interval allows for having chosen among lanes." if bundle.interval else "."),
        ]
    return lines


def origin_rows(bundle: Bundle) -> list[str]:
    base = bundle.model
    if base.is_remote:
        return [f"| behind | {base.base_url} (what it has under that name may change) |"]
    return [
        f"| its {'commit' if base.from_hub else 'digest'} | {base.digest} |",
        *gguf_rows(bundle),
        f"| ran in | {base.dtype}{f', {base.quantize}' if base.quantize else ''} |",
    ]


def gguf_rows(bundle: Bundle) -> list[str]:
    """What the hub's model has in full, a GGUF file has rounded: whoever uses the bundle has to know."""
    base = bundle.model
    if not base.from_gguf:
        return []
    known = installed.find(base.name)
    file = known.gguf.file if known and known.gguf else PurePath(base.name).name
    rows = [f"| made from | {base.hub} on the Hugging Face hub |"] if base.hub else []
    rows += [f"| its weights | dequantised from the GGUF file {file}, not those that the hub has |"]
    return rows + ([f"| its licence | {known.licence} |"] if known else [])


def usage(bundle: Bundle) -> list[str]:
    lines = [
        "## Use",
        "",
        "```python",
        "import fewfit",
        "",
        'predictor = fewfit.load("FOLDER")',
        'predictor.predict(["a new input"])',
        "```",
        "",
    ]
    if bundle.weights != "none":
        loader = "AutoPeftModelForCausalLM" if bundle.weights == "adapter" else "AutoModelForCausalLM"
        library = "peft" if bundle.weights == "adapter" else "transformers"
        lines += [
            "Without fewfit:",
            "",
            "```python",
            f"from {library} import {loader}",
            "from transformers import AutoTokenizer, GenerationConfig",
            "",
            # transformers would otherwise take the type that the weights are stored in: other numbers than were tested
            f'model = {loader}.from_pretrained("FOLDER", dtype="{bundle.model.dtype}")',
            'tokenizer = AutoTokenizer.from_pretrained("FOLDER")',
            'greedy = GenerationConfig.from_pretrained("FOLDER")',
            "```",
            "",
        ]
    stop = (
        "an end token of `generation_config.json`"
        if bundle.settings.chat
        else f"the mark {json.dumps(bundle.end_text)} (give it as a stop string) or the end of text"
    )
    how = "decode greedily" if bundle.sampling == GREEDY else "decode as it says (`decoding`)"
    lines.append(
        f"Other programs have to write the prompt as `bundle.json` says (`render`, `demonstrations`), {how} and stop "
        f"at {stop}."
    )
    if len(bundle.sets) > 1:
        lines.append(
            "Each query has its own of the `sets` there; who wants one prompt for all queries takes `demonstrations`, "
            "the first of them, whose score may be a little other."
        )
    if bundle.by_choice:
        lines.append("The answer is the likeliest of the choices there, not generated text.")
    return lines


def shots(bundle: Bundle) -> str:
    together = "the probabilities are averaged" if bundle.by_choice else "the text that most give is the answer"
    if not bundle.sets:
        several = f", {bundle.lane.members} times over, and {together}" if bundle.lane.members > 1 else ""
        return f"{bundle.lane.shots_at_use}, chosen anew for each query among {len(bundle.pool)}{several}"
    count, number = len(bundle.sets), len(bundle.demonstrations)
    if count == 1:
        return str(number)
    if bundle.lane.members > 1:
        return f"{number}, in {count} such sets, and {together}"
    return f"{number}, one of {count} sets, which a query's hash picks"


def contents(bundle: Bundle) -> list[str]:
    lines = ["## Before sharing this folder", ""]
    if kept := len(bundle.pool) or len(bundle.demonstrations):
        lines.append(f"`bundle.json` holds {kept} of the examples word for word.")
    if bundle.lane.trains:
        lines.append("Trained weights may give parts of the examples away.")
    if not kept and not bundle.lane.trains:
        lines.append("No example stands in it; the instruction and the choices in `bundle.json` are yours.")
    return lines
