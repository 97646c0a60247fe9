"""What `python -m lab eval --json` reports: a model folder measured with words that training never showed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from statistics import mean

import torch
from torch import Tensor

from lab import chats, families_lists, skills, worlds
from lab import words as W
from lab.corpus import HELD_OUT, SEEN, Family
from lab.document import CHAT, PLAIN, Encoder, Source, Task
from lab.words import digest

SUMMARY = {
    "copying": ("copy", "reverse", "first", "last", "drop first", "drop last", "twice", "double"),
    "look-up and membership": ("mapping", "look up in text", "after", "membership", "given list"),
    "labelling": ("kinds", "topic", "size", "age", "mood", "sentiment", "keyword", "count", "same"),
    "held-out labels by position or list": ("first word", "hidden list"),
    "held-out meanings": ("held-out pair", "held-out kinds", "four held-out kinds", "held-out words"),
    "held-out rewriting": tuple(families_lists.HELD_OUT),
}


class Subject:
    """A model folder, loaded the stock way."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        backend = self.tokenizer.backend_tokenizer
        self.encoder = Encoder(lambda text: backend.encode(text, add_special_tokens=False).ids)

    def forward(self, ids_BT: Tensor) -> Tensor:
        with torch.no_grad():
            return self.model(ids_BT).logits

    def choose(self, prefix: str, choices: Sequence[str]) -> int:
        """The choice with the highest log-likelihood of all its tokens."""
        start = self.encoder.text(prefix)
        ends = [self.encoder.text(choice) for choice in choices]
        width = len(start) + max(map(len, ends))
        ids = torch.tensor([start + end + [0] * (width - len(start) - len(end)) for end in ends])
        logp = torch.log_softmax(self.forward(ids), -1)
        totals = []
        for row, end in enumerate(ends):
            at = range(len(start) - 1, len(start) - 1 + len(end))
            totals.append(sum(float(logp[row, t, ids[row, t + 1]]) for t in at))
        return totals.index(max(totals))

    def answer(self, messages: list[dict[str, str]], limit: int = 24) -> str:
        text = str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
        ids = torch.tensor([self.encoder.text(text)])
        with torch.no_grad():
            out = self.model.generate(ids, max_new_tokens=limit, do_sample=False, attention_mask=torch.ones_like(ids))
        return str(self.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)).strip()


def families(subject: Subject, documents: int) -> dict[str, dict]:
    """Accuracy by family and shots, with the chance level where there is a choice."""
    out: dict[str, dict] = {"seen": {}, "held_out": {}}
    for part, table in (("seen", SEEN), ("held_out", HELD_OUT)):
        for name, family in table.items():
            shots = skills.curve(name, family, subject.forward, subject.encoder, documents)
            labels = [
                len(family(Source(Random(digest("probe", f"{name}/{i}")), fresh=True)).labels) for i in range(documents)
            ]
            chance = round(mean(1 / n for n in labels), 3) if all(labels) else None
            out[part][name] = {
                "metric": "choice" if all(labels) else "match",
                "chance": chance,
                "shots": {str(k): v for k, v in shots.items()},
            }
    return out


def label_words(subject: Subject, documents: int) -> dict[str, dict[str, float]]:
    """Labelling at 8 shots with label words of training and with held-out ones: does it take what stands there?"""
    out: dict[str, dict[str, float]] = {}
    for name in (
        "kinds",
        "topic",
        "sentiment",
        "mood",
        "keyword",
        "held-out pair",
        "held-out kinds",
        "four held-out kinds",
    ):
        family = SEEN.get(name) or HELD_OUT[name]

        def usual(source: Source, family: Family = family) -> Task:
            source.usual_labels = True
            return family(source)

        row = {}
        for which, made in (("usual", usual), ("held out", family)):
            shots = skills.curve(name, made, subject.forward, subject.encoder, documents, items=10, spread=2)
            row[which] = shots[8]
        out[name] = row
    return out


def copying(subject: Subject, sequences: int = 16) -> dict[str, float]:
    """Next-token accuracy on the second showing of fresh nonsense, by how many tokens lie between."""
    out = {}
    for distance in (64, 256, 512, 1024, 1900):
        hits = total = 0
        for i in range(sequences):
            rng = Random(digest("copying", distance, i))
            stretch = subject.encoder.text("".join(f" {word}" for word in rng.sample(W.FRESH_NONSENSE, 12)))
            filler: list[int] = []
            while len(filler) < distance - len(stretch):
                filler += subject.encoder.text(f" {rng.choice(W.SYLLABLES)}")
            ids = stretch + filler[: distance - len(stretch)] + stretch
            best = subject.forward(torch.tensor([ids]))[0].argmax(-1).tolist()
            begin = len(ids) - len(stretch)
            hits += sum(best[t] == ids[t + 1] for t in range(begin + 1, len(ids) - 1))
            total += len(stretch) - 2
        out[str(distance)] = round(hits / total, 3)
    return out


def reversals(subject: Subject, questions: int, held_out: bool) -> dict[str, dict]:
    """A is taller than B: is B shorter or taller than A, and who is shorter than A? By number of facts and shots.

    `chance` has the same kinds and cases: one over the number of choices, which for names grows with the facts.
    """
    chance: dict[str, dict[str, float]] = {"relation": {}, "name": {}}
    out: dict[str, dict] = {"relation": {}, "name": {}, "chance": chance}
    pairs = worlds.HELD_OUT_RELATIONS if held_out else worlds.RELATIONS
    for shots in (0, 8):
        for facts in (1, 2, 3):
            case = f"{facts} facts, {shots} shots"
            right = {"relation": 0, "name": 0}
            for i in range(questions):
                rng = Random(digest("reversal", held_out, shots, facts, i))

                def world(rng: Random = rng, facts: int = facts) -> tuple[str, list[tuple[str, str, str, str]]]:
                    things = rng.sample(W.FRESH_NONSENSE, 2 * facts)
                    told = []
                    for a, b in zip(things[::2], things[1::2], strict=True):
                        forward, backward = rng.choice(pairs)[:: rng.choice((1, -1))]
                        told.append((a, forward, b, backward))
                    return " ".join(f"{a} is {f} {b}." for a, f, b, _ in told), told

                demos = {"relation": "", "name": ""}
                for _ in range(shots):
                    text, told = world()
                    a, _, b, backward = rng.choice(told)
                    demos["relation"] += f"Input: {text} {b} is\nOutput: {backward} {a}\n\n"
                    demos["name"] += f"Input: {text} who is {backward} {a}?\nOutput: {b}\n\n"
                text, told = world()
                a, forward, b, backward = rng.choice(told)
                options = [f" {backward} {a}\n\n", f" {forward} {a}\n\n"]
                chance["relation"][case] = 1 / len(options)
                right["relation"] += subject.choose(demos["relation"] + f"Input: {text} {b} is\nOutput:", options) == 0
                others = [name for fact in told for name in (fact[0], fact[2]) if name not in (a, b)]
                options = [f" {name}\n\n" for name in (b, a, *others)]
                chance["name"][case] = round(1 / len(options), 3)
                ask = demos["name"] + f"Input: {text} who is {backward} {a}?\nOutput:"
                right["name"] += subject.choose(ask, options) == 0
            for kind, count in right.items():
                out[kind][case] = round(count / questions, 3)
    return out


def syllogisms(subject: Subject, questions: int) -> dict[str, float]:
    """Does it follow? Yes or no; half of the claims turn the conclusion round or leave the chain."""
    options = [" yes\n\n", " no\n\n"]
    out = {}
    for shots in (0, 8):
        right = 0
        for i in range(questions):
            task = None
            for attempt in range(20):
                task = worlds.syllogism(Source(Random(digest("syllogism", shots, i, attempt)), fresh=True))
                if task.make().y in ("yes", "no"):
                    break
            assert task is not None
            text = "".join(f"Input: {item.x}\nOutput: {item.y}\n\n" for item in (task.make() for _ in range(shots)))
            item = task.make()
            said = subject.choose(f"{text}Input: {item.x}\nOutput:", options)
            right += ("yes", "no")[said] == item.y
        out[f"{shots} shots"] = round(right / questions, 3)
    return {**out, "chance": 1 / len(options)}


def instructions(subject: Subject, conversations: int, turns: int = 3) -> dict[str, float]:
    """The share of requests fulfilled, by turn; later turns are judged on the conversation as the model made it."""
    right = [0] * turns
    for i in range(conversations):
        source = Source(Random(digest("instructions", i)), fresh=True)
        order, wanted = chats.chat(source, turns)
        messages = [{"role": "system", "content": order}] if order else []
        for n, turn in enumerate(wanted):
            messages.append({"role": "user", "content": turn.user})
            said = subject.answer(messages)
            right[n] += turn.check(said)
            # What follows asks about the answer that was wanted, so that is what stands in the conversation.
            messages.append({"role": "assistant", "content": turn.answer})
    return {f"turn {n + 1}": round(count / conversations, 3) for n, count in enumerate(right)}


def many_shots(subject: Subject, documents: int) -> dict[str, dict[str, float]]:
    """16 and 32 demonstrations: rows longer than most of those trained on."""
    out = {}
    for name in ("copy", "reverse", "mapping", "keyword", "kinds", "held-out kinds"):
        family = SEEN.get(name) or HELD_OUT[name]
        probes = [
            skills.probe(family, f"{name}/many/{i}", 33, (PLAIN, CHAT)[i % 2], subject.encoder)
            for i in range(documents)
        ]
        table = skills.hits(probes, subject.forward, batch=4)
        out[name] = {
            str(shots): round(mean(float(t[s]) for t in table for s in range(shots - 2, shots + 1)), 3)
            for shots in (8, 16, 32)
        }
    return out


def evaluate(folder: Path, documents: int = 60) -> dict:
    """The whole report; `documents` is the number of documents a family."""
    subject = Subject(folder)
    table = families(subject, documents)
    every = {**table["seen"], **table["held_out"]}
    summary = {}
    for name, members in SUMMARY.items():
        rows = [every[m] for m in members]
        summary[name] = {
            "0 shots": round(mean(r["shots"].get("0", 0.0) for r in rows), 3),
            "8 shots": round(mean(r["shots"]["8"] for r in rows), 3),
            "chance": round(mean(r["chance"] or 0.0 for r in rows), 3),
        }
    return {
        "schema": 1,
        "model": folder.name,
        "documents": documents,
        "summary": summary,
        **table,
        "label_words": label_words(subject, documents),
        "copying": copying(subject),
        "many_shots": many_shots(subject, max(8, documents // 3)),
        "reversals": reversals(subject, documents, held_out=False),
        "held_out_reversals": reversals(subject, documents, held_out=True),
        "syllogisms": syllogisms(subject, documents),
        "instructions": instructions(subject, documents),
    }
