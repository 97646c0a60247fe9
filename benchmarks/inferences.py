"""How true is what models infer of the generalization suite's worlds, by the reader of today?

    python -m benchmarks.inferences results/generalization-inferences.jsonl [--gather FOLDER ...]

`--gather` adds what runs of `fewfit suite generalization` kept (their `--out`), one row an inference; what is there is
left as it is. Then every sentence is judged anew, whatever the reader of the time made of it, and the table printed.
"right" and "wrong options" are the shares of questions (rephrasings apart) of which the right, and some wrong option is
stated, in the same direction: what a model that is trained on it would answer. Which people are wrongly said to be what
is not told apart.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.records import markdown
from fewfit import draw
from fewfit.suites.generalization.checking import make_judge
from fewfit.suites.generalization.judging import judged
from fewfit.suites.generalization.suite import INFERENCES
from fewfit.suites.generalization.world import World
from fewfit.suites.generalization.worlds import WORLDS, build
from fewfit.suites.results import ROWS

OF = ("model", "dtype", "names", "world", "seed", "by")
COLUMNS = [
    "model", "dtype", "world", "seed", "by", "kept", "sentences read", "true of those", "of all", "right options",
    "wrong options",
]  # fmt: skip


def gathered(run: Path) -> Iterator[dict[str, Any]]:
    """Files are named by world, seed, strategy and a hash of whose they are, which rows tell."""
    whose: dict[str, dict[str, Any]] = {}
    for row in map(json.loads, (run / ROWS).read_text().splitlines()):
        number = draw.number(row["model"], row["digest"], row["dtype"], row["data"])
        whose[f"{number:016x}"] = {name: row[name] for name in OF[:-1]}
    for path in sorted((run / INFERENCES).glob("*.jsonl")):
        *_, strategy, by = path.stem.split("-")
        for row in map(json.loads, path.read_text().splitlines()):
            yield {**whose[by], "by": strategy, "id": row["id"], "text": row["text"]}


def table(rows: list[dict[str, Any]]) -> list[list[str]]:
    texts: defaultdict[tuple[Any, ...], list[str]] = defaultdict(list)
    for row in rows:
        texts[tuple(row[name] for name in OF)].append(row["text"])
    out = []
    for (model, dtype, names, name, seed, by), some in sorted(texts.items()):
        world = build(name, scale="small", seed=seed, names=names)
        found = judged(world, some)
        read = found["true"] + found["false"]
        shares = (found["precision"], found["precision_at_least"], found["recall"], misled(world, some))
        told = ["–" if share is None else f"{100 * share:.0f}" for share in shares]
        out.append([model, dtype, f"{name}, {names}", str(seed), by, str(len(some)), str(read), *told])
    return out


def misled(world: World, texts: list[str]) -> float | None:
    if world.name == "curse":
        return None
    reader = make_judge(world).reader
    stated = {fact for text in texts for fact in reader.facts(text)}
    asked = [one for one in world.questions if one.split != "rephrasing"]
    wrong = [[f"{one.prompt} {option}" for option in one.options if option not in one.right] for one in asked]
    said = [any(stated & set(reader.facts(sentence)) for sentence in some) for some in wrong]
    return sum(said) / len(said)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--gather", type=Path, nargs="+", default=[])
    given = parser.parse_args()
    rows = [json.loads(line) for line in given.file.read_text().splitlines()] if given.file.exists() else []
    there = {(*(row[name] for name in OF), row["id"]) for row in rows}
    for row in (row for run in given.gather for row in gathered(run)):
        if (*(row[name] for name in OF), row["id"]) not in there and row["world"] in WORLDS:
            rows.append(row)
    given.file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    print(markdown([COLUMNS, *table(rows)]))


if __name__ == "__main__":
    main()
