"""The model card: how it began, how it was trained, every figure, and what it cannot do.

    python -m lab.card RUN MODEL [DOCUMENTS]

measures MODEL (a folder) and writes README.md and training.json into it; with 0 documents the card is written anew from
the figures that are there.
"""

from __future__ import annotations

import json
from pathlib import Path

from lab.corpus import PHASES
from lab.net import LAB, parameter_count
from lab.skills import SHOTS

HEAD = """---
license: apache-2.0
library_name: transformers
tags: [few-shot, model-organism]
---

# lab

A tiny Llama ({parameters:.2f}M parameters: {layers} layers x {width}, {heads} heads, {vocab} tokens) that learns in
context and fine-tunes within seconds. It is a model organism for fewfit: it knows a toy language and nothing of the
world. Text it was trained on is made by fewfit's own code; there is no other data.

## How it began

Not from random weights alone. Three heads of layer 0 are set by hand to attend 1, 2 and 3 tokens back, and three heads
of layer 1 to match what stood there with what stood earlier and to copy: part of its look-up and copying skill was
installed, not learnt. Words with and without a space before them start with nearly equal embeddings. Everything else
is random and all weights were trained.

## How it was trained

{tokens:.1f}M tokens in {minutes:.0f} minutes on one processor thread, much of the time shared with other work; seed
{seed}, {steps} steps of {batch} tokens on average; Muon 0.01 on the matrices, AdamW 1.5e-3 on the rest, the rate
falling over the last {decay:.0%} of the steps, to {rate:.2f} of itself. Answers that can be inferred carry the loss;
other text one twentieth of it.

Phases, by million tokens: {phases}.

The mix was steered by hand while it trained (see docs/log-lab.md), so these very weights cannot be made again bit for
bit; a run of the phases in `lab/phases.py` can.

## What it can do

Exact match of the whole answer, or choice among the labels (chance beside), on words that training never showed
(two-token nonsense in lists, labels that no training task used as labels), {documents} documents a family. Labels are
listed in a first line; no other instruction is given.

| family | chance | 0 | 1 | 2 | 4 | 8 | 16 shots |
|---|---|---|---|---|---|---|---|
"""

TAIL = """
Families marked *held out* were never trained on, nor were the kinds of words, pairs of kinds, labels and relations
that they use (as labels; the words themselves, and which of them are of a kind, stand in sentences and lists, and the
held-out label words are values in look-ups).

## What it cannot do

It knows a few hundred English words, small sums, and no facts. What the tables show at chance (1.00 over the number
of labels; 0 where the answer is written) it does not find from demonstrations: tune it for those. Of a relation that it
never saw reversed it finds the other name, not the other word: it repeats the one that stands there, so that forced
choices of the word lie far below a half. The label *south* is one that a seen family, *facing*, uses too. Sameness of
kind was also asked for directly ("what kind of thing is …", "… is like …"), of all kinds. Instructions are followed in
the wordings of training. Later turns of conversations were judged with the wanted answers standing before them. Rows
were {rows} tokens long; how far it copies, the figures on copying say. Do not use it for anything but tests,
demonstrations and experiments on how small models adapt.
"""


def table_rows(report: dict) -> list[str]:
    lines = []
    for part in ("seen", "held_out"):
        for name, row in report[part].items():
            figures = [row["shots"].get(str(k)) for k in SHOTS]
            shots = " | ".join("-" if figure is None else f"{figure:.2f}" for figure in figures)
            shown = f"*{name}* (held out)" if part == "held_out" else name
            chance = f"{row['chance']:.2f}" if row["chance"] else "-"
            lines.append(f"| {shown} | {chance} | {shots} |")
    return lines


def others(report: dict) -> list[str]:
    lines = []
    titles = {
        "label_words": "Labelling at 8 shots, with label words that training used and with others",
        "copying": "Copying fresh nonsense, next-token accuracy by distance in tokens",
        "many_shots": "Many demonstrations",
        "reversals": "A reversed comparison, forced choice of the relation and of the name",
        "held_out_reversals": "The same with relations never trained on",
        "syllogisms": "Syllogisms, yes or no",
        "instructions": "Instructions fulfilled, by turn",
    }
    for part, title in titles.items():
        lines.append(f"\n{title}:\n")
        for name, value in report[part].items():
            if not isinstance(value, dict):
                lines.append(f"- {name}: {value:.2f}")
            elif name != "chance":  # that of each case stands beside its figure; records of before it have none
                chance = report[part].get("chance", {}).get(name, {})
                shown = (
                    f"{k}: {v:.2f}" + (f" (chance {chance[k]:.2f})" if k in chance else "") for k, v in value.items()
                )
                lines.append(f"- {name}: {', '.join(shown)}")
    return lines


def row_lengths(training: dict) -> str:
    names = {phase["name"] for phase in training["phases"]}
    used = {256}
    for phase in PHASES:
        if phase.name in names:
            used |= set(phase.lengths) or ({512} if phase.long_every else set())
    *most, last = (f"{length:,}" for length in sorted(used))
    return f"{', '.join(most)} and {last}" if most else last


def card(report: dict, training: dict) -> str:
    head = HEAD.format(
        parameters=parameter_count(LAB) / 1e6,
        layers=LAB.layers,
        width=LAB.width,
        heads=LAB.heads,
        vocab=LAB.vocab,
        tokens=training["tokens"] / 1e6,
        minutes=training["minutes"],
        seed=training["seed"],
        steps=f"{training['steps']:,}",
        batch=f"{training['tokens'] / max(1, training['steps']):,.0f}",
        rate=training["final_rate"],
        decay=training["decay_steps"] / max(1, training["steps"]),
        phases=", ".join(f"{phase['name']} from {phase['from']:.1f}" for phase in training["phases"]),
        documents=report["documents"],
    )
    tail = TAIL.format(rows=row_lengths(training))
    return "\n".join([head.rstrip("\n"), *table_rows(report), *others(report), tail])


def training_record(run: Path) -> dict:
    """What the journal of a run says: seed, tokens, steps, minutes, phases, fall of the rate, each skill's curve."""
    lines = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    phases: list[dict] = []
    for line in lines:
        if "phase" in line and (not phases or phases[-1]["name"] != line["phase"]):
            phases.append({"name": line["phase"], "from": round(line["tokens"] / 1e6, 2)})
    decays = [line for line in lines if "decay_from" in line]
    return {
        "seed": next((line["seed"] for line in lines if "seed" in line), 0),
        "tokens": lines[-1]["tokens"],
        "steps": lines[-1]["step"],
        "minutes": round(max(line.get("seconds", 0) for line in lines) / 60, 1),
        "decay_from": decays[-1]["decay_from"] if decays else None,
        "decay_steps": lines[-1]["step"] - decays[-1]["decay_from"] if decays else 0,
        "phases": phases,
        "planned": [phase.name for phase in PHASES],
        "final_rate": next((line["rate"] for line in reversed(lines) if "rate" in line), 1.0),
        "curves": [{"tokens": line["tokens"], **line["skills"]} for line in lines if "skills" in line],
    }


def main(run: Path, model: Path, documents: int = 60) -> None:
    from lab.evaluate import evaluate

    record = model / "training.json"
    report = evaluate(model, documents) if documents else json.loads(record.read_text())["evaluation"]
    training = training_record(run)
    record.write_text(json.dumps({**training, "evaluation": report}) + "\n")
    (model / "README.md").write_text(card(report, training))


if __name__ == "__main__":
    import sys

    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 60)
