"""The README of an export: what lies in it, how it is served and asked, how far it answers as the bundle does."""

from __future__ import annotations

import json

from fewfit.bundle import Bundle
from fewfit.bundle.card import KINDS as LANES
from fewfit.bundle.card import base_name
from fewfit.export.record import Export
from fewfit.export.serving import without_template

WHAT = {
    "peft": "`peft/`: the adapter, for PEFT, vLLM and whatever takes LoRA adapters",
    "merged": "`merged/`: the whole model, the adapter merged in fp32, for whatever loads safetensors",
    "template": "`template.jinja`: a chat template that writes the prompt around one user message",
    "ollama": "`ollama/Modelfile`: for `ollama create` (it was not run here: answers were compared on `merged/`)",
    "prompt": "`prompt.txt`: the prompt as text, with a slot for the query",
    "messages": "`messages.json`: the body of a chat request for a hosted model, with a slot for the query",
}


def guide(made: Export, bundle: Bundle) -> str:
    lines = [
        f"# {bundle.lane.name} on {base_name(bundle)}, exported by fewfit {bundle.version}",
        "",
        f"Made from {bundle.n} examples: {LANES[bundle.lane.kind]}.",
        "",
        *(f"- {WHAT[kind]}" for kind in made.kinds),
        "- `generation_config.json`: how answers are written, up to their end",
    ]
    if made.commands:
        lines += [
            "",
            "## Serving",
            "",
            "In this folder, with vLLM:",
            "",
            "```sh",
            *made.commands,
            "```",
            "",
            *asking(made, bundle),
        ]
    lines += ["", "## Compared with the bundle", "", *(f"- {check.line()}" for check in made.checks)]
    lines += [f"- {note}" for note in made.notes if note != without_template(bundle)]
    lines += [f"- no {kind}: {why}" for kind, why in made.left_out.items()]
    return "\n".join([*lines, "", "## Before sharing this folder", "", *sharing(made, bundle), ""])


def asking(made: Export, bundle: Bundle) -> list[str]:
    if "template" in made.left_out:
        return [f"How to ask: {without_template(bundle)}."]
    call = ['messages=[{"role": "user", "content": query}]', f"temperature={bundle.sampling.temperature:g}"]
    call += [f"max_tokens={bundle.max_new_tokens}"]
    call += [f"stop={json.dumps(list(made.stop), ensure_ascii=False)}"] if made.stop else []
    lines = ["Ask for chat completions with one user message:", "", "```python"]
    lines += [f'client.chat.completions.create(model="{bundle.lane.name}", {", ".join(call)})', "```"]
    if made.stop:
        lines += ["", "The end of an answer is text, which no server's files can hold: give it as `stop`."]
    if bundle.by_choice:
        lines += [
            "",
            "The bundle answers with the likeliest of its choices, servers write text. vLLM writes a choice with "
            '`extra_body={"structured_outputs": {"choice": […]}}`.',
        ]
    if bundle.settings.max_length:
        lines += [
            "",
            f"Prompts longer than {bundle.settings.max_length} tokens with their answer lose demonstrations in "
            "fewfit; a template cannot leave any out.",
        ]
    return lines


def sharing(made: Export, bundle: Bundle) -> list[str]:
    lines = []
    if bundle.demonstrations and (any(kind != "peft" for kind in made.kinds) or "template" not in made.left_out):
        lines.append("Templates, prompts and messages hold demonstrations word for word, also those beside weights.")
    if bundle.lane.trains:
        lines.append("Trained weights may give parts of the examples away.")
    return lines or ["The instruction in templates and prompts is yours; no example stands in it."]
