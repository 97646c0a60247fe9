"""How well a model does each family, by number of demonstrations, with words that training never showed.

One forward pass over a document of n items scores 0, 1, ..., n-1 shots at once: teacher forcing, where every token of
the answer and its end being the arg-max is the same as generating it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

import torch
from torch import Tensor

from lab.corpus import HELD_OUT, SEEN, Family
from lab.document import CHAT, PLAIN, Encoder, Layout, Source, one_of
from lab.words import digest

Forward = Callable[[Tensor], Tensor]  # ids [B, T] to logits [B, T, V]
SHOTS = (0, 1, 2, 4, 8, 16)


@dataclass
class Probe:
    """One document to score: its tokens, and where each answer lies."""

    ids: list[int] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)  # first tokens of the labels, where there is a choice
    known: list[bool] = field(default_factory=list)


def probe(family: Family, seed: object, items: int, layout: Layout, encoder: Encoder, instruct: bool = False) -> Probe:
    """A document of `items` items in one of fewfit's own two layouts."""
    task = family(Source(Random(digest("probe", seed)), fresh=True))
    out = Probe()
    head = [one_of(task.labels)] if task.labels else []
    if instruct and task.instructions:
        head.insert(0, task.instructions[0])
    if head:
        text = "\n".join(head)
        out.ids += encoder.text(f"<|system|>{text}<|end|>" if layout.chat else f"{text}\n\n")
    space = "" if layout.chat else " "
    for _ in range(items):
        item = task.make()
        out.ids += encoder.text(f"{layout.before}{space}{item.x}{layout.between}")
        answer = encoder.text(f"{space}{item.y}{layout.end}")
        out.spans.append((len(out.ids), len(out.ids) + len(answer)))
        out.ids += answer
        out.known.append(item.known is not False)
    out.labels = [encoder.text(space + label)[0] for label in task.labels]
    return out


def hits(probes: list[Probe], forward: Forward, batch: int = 16) -> list[list[bool]]:
    """For every probe and item, whether the answer is right: by choice where there are labels, else to the letter."""
    out: list[list[bool]] = []
    for start in range(0, len(probes), batch):
        part = probes[start : start + batch]
        width = max(len(p.ids) for p in part)
        ids_BT = torch.tensor([p.ids + [0] * (width - len(p.ids)) for p in part])
        with torch.no_grad():
            logits_BTV = forward(ids_BT)
        best_BT = logits_BTV.argmax(-1)
        for row, p in enumerate(part):
            right = []
            for a, b in p.spans:
                if p.labels:
                    among = logits_BTV[row, a - 1, p.labels]
                    right.append(p.labels[int(among.argmax())] == p.ids[a])
                else:
                    right.append(bool((best_BT[row, a - 1 : b - 1] == ids_BT[row, a:b]).all()))
            out.append(right)
    return out


def curve(
    name: str, family: Family, forward: Forward, encoder: Encoder, documents: int, items: int = 17, spread: int = 1
) -> dict[int, float]:
    """Accuracy by shots; `spread` averages over neighbouring numbers of shots from 4 on, to calm small samples."""
    probes = [probe(family, f"{name}/{i}", items, (PLAIN, CHAT)[i % 2], encoder) for i in range(documents)]
    table = hits(probes, forward)
    out: dict[int, float] = {}
    for shots in SHOTS:
        near = range(shots, shots + 1) if shots < 4 else range(shots - spread + 1, shots + spread)
        scored = [t[s] for t, p in zip(table, probes, strict=True) for s in near if s < items and p.known[s]]
        if scored:
            out[shots] = round(sum(scored) / len(scored), 3)
    return out


def watch(forward: Forward, encoder: Encoder, documents: int = 16, names: Iterable[str] = ()) -> dict[str, str]:
    """A quick look at every skill while training: accuracy at 1, 4 and 8 shots."""
    chosen = list(names) or [*SEEN, *HELD_OUT]
    out = {}
    for name in chosen:
        family = SEEN.get(name) or HELD_OUT[name]
        c = curve(name, family, forward, encoder, documents, items=10, spread=2)
        out[name] = " ".join(f"{c[s]:.2f}" if s in c else "-" for s in (1, 4, 8))
    return out
