"""Does the interval of the length-controlled win rate hold, and is the rate what alpaca-eval gives?

    python -m benchmarks.win_rate [--simulations 1000] [--json FILE]

A judge is made that sees a known strength, and that gives a known weight to length: its preferences are wins and
losses, ties among them, or shares, for answers of log-normal lengths, mine 1.4 times as long in the middle. A second
judge only counts letters, and mine are copies of the baseline's answers that were made 1 to 2.5 times as long. A third
part fits the same preferences by alpaca-eval's own function, where that is installed; what it would download is made
up, which its `minimal` formula does not read.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.records import markdown, publish
from fewfit.judges.win_rate import logistic, win_rate

KINDS = ("wins", "ties", "shares")
LENGTH = 1.5  # log-odds that the judge gives for length at its most


def made(n: int, strength: float, length: float, seed: int, ratio: float = 1.0, kind: str = "wins") -> Any:
    """Preferences of a judge that sees `strength` and likes what is long; mine are `ratio` as long in the middle."""
    random = np.random.default_rng(seed)
    theirs = np.exp(random.normal(6.5, 0.7, n)).round()
    mine = np.exp(random.normal(6.5 + np.log(ratio), 0.7, n)).round()
    return preferred(random, mine - theirs, strength, length, kind), mine.tolist(), theirs.tolist()


def copies(n: int, length: float, seed: int) -> Any:
    """Of a judge that only counts letters; mine are the baseline's answers made longer."""
    random = np.random.default_rng(seed)
    theirs = np.exp(random.normal(6.5, 0.8, n)).round()
    mine = (theirs * random.uniform(1.0, 2.5, n)).round()
    return preferred(random, mine - theirs, 0.0, length, "wins"), mine.tolist(), theirs.tolist()


def preferred(random: Any, longer: Any, strength: float, length: float, kind: str) -> list[float]:
    chance = logistic(strength + length * np.tanh(longer / longer.std(ddof=1)))
    won = (random.random(len(longer)) < chance).astype(float)
    if kind == "ties":
        won = (won + (random.random(len(longer)) < chance)) / 2
    elif kind == "shares":
        won = random.beta(3 * chance, 3 * (1 - chance))
    return [float(one) for one in won]


def cell(kind: str, n: int, strength: float, simulations: int) -> dict[str, Any]:
    true = 100 * float(logistic(np.array(strength)))
    found = [
        win_rate(*(copies(n, LENGTH, seed) if kind == "copies" else made(n, strength, LENGTH, seed, 1.4, kind)))
        for seed in range(simulations)
    ]
    return {
        "preferences": kind,
        "n": n,
        "true": true,
        "raw": float(np.mean([one.raw for one in found])),
        "rate": float(np.mean([one.rate for one in found])),
        "width": float(np.mean([one.interval[1] - one.interval[0] for one in found])),
        "covered": float(np.mean([one.interval[0] <= true <= one.interval[1] for one in found])),
        "simulations": simulations,
    }


def beside(n: int, strength: float, length: float, seed: int) -> dict[str, Any]:
    won, mine, theirs = made(n, strength, length, seed, 1.4, "shares")
    return {
        "n": n,
        "true": 100 * float(logistic(np.array(strength))),
        "length": length,
        "seed": seed,
        "fewfit": win_rate(won, mine, theirs).rate,
        "alpaca-eval": alpaca(won, mine, theirs)["length_controlled_winrate"],
    }


def alpaca(won: Sequence[float], mine: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Its own fit, with nothing downloaded: the minimal formula reads neither difficulties nor gamed baselines."""
    import pandas as pd
    from alpaca_eval.metrics import glm_winrate

    n = len(won)
    gamed = {"model": "none", "index": np.arange(n), "instruction_difficulty": 0.0, "preference": 0.5}
    texts = {"output_1": ["x" * int(k) for k in theirs], "output_2": ["x" * int(k) for k in mine]}
    frame = pd.DataFrame({"index": np.arange(n), "preference": np.array(won) + 1, **texts, "annotator": "made"})
    frame["generator_1"], frame["generator_2"] = "baseline", "mine"
    fetch = glm_winrate.hf_hub_download
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "gamed.csv"
        pd.DataFrame({**gamed, "std_delta_len": 0.0, "not_gamed_baseline": False}).to_csv(file)
        glm_winrate.hf_hub_download = lambda **asked: file
        try:
            found = glm_winrate.get_length_controlled_winrate(
                frame, glm_name="length_controlled_minimal", save_weights_dir=None, is_warn_extreme_changes=False
            )
        finally:
            glm_winrate.hf_hub_download = fetch
    return {name: float(value) for name, value in found.items() if isinstance(value, (int, float))}


def tables(cells: Sequence[dict[str, Any]], pairs: Sequence[dict[str, Any]]) -> str:
    rows = [["preferences", "n", "true", "raw", "at equal lengths", "interval's width", "covered"]]
    for one in cells:
        figures = [f"{one[name]:.1f}" for name in ("true", "raw", "rate", "width")]
        rows.append([one["preferences"], str(one["n"]), *figures, f"{one['covered']:.1%}"])
    text = markdown(rows)
    if pairs:
        rows = [["n", "true", "given for length", "fewfit", "alpaca-eval", "largest difference"]]
        for n, true, length in dict.fromkeys((one["n"], one["true"], one["length"]) for one in pairs):
            some = [one for one in pairs if (one["n"], one["true"], one["length"]) == (n, true, length)]
            means = [f"{np.mean([one[name] for one in some]):.1f}" for name in ("fewfit", "alpaca-eval")]
            apart = max(abs(one["fewfit"] - one["alpaca-eval"]) for one in some)
            rows.append([str(n), f"{true:.1f}", f"{length:.1f}", *means, f"{apart:.2f}"])
        text += "\n\nThe same preferences by both, ten times each:\n\n" + markdown(rows)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    cells = [
        cell(kind, n, strength, asked.simulations)
        for kind in (*KINDS, "copies")
        for n in (30, 80, 300)
        for strength in ((0.0,) if kind == "copies" else (-1.0, 0.0, 2.0))
    ]
    try:
        import alpaca_eval  # noqa: F401
    except ImportError:
        pairs = []
    else:
        judges = ((-1.0, LENGTH), (0.0, LENGTH), (2.0, LENGTH), (0.0, 0.0))
        pairs = [beside(n, *judge, seed) for n in (100, 805) for judge in judges for seed in range(10)]
    text = tables(cells, pairs)
    print(text)
    publish(asked.json, __doc__, text, cells=cells, pairs=pairs)


if __name__ == "__main__":
    main()
