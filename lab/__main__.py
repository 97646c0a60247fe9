"""Trains, measures, describes and samples the toy model, from the root of the repository.

    python -m lab train --minutes 90
    python -m lab eval --model runs/lab/model
    python -m lab info
    python -m lab sample "say fox bear"

Its weights stand in src/fewfit/models/lab; what was tried stands in docs/log-lab.md.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from fewfit.errors import FewfitError, UserError

app = typer.Typer(
    help="The small model that fewfit brings along.", no_args_is_help=True, pretty_exceptions_enable=False
)

Model = Annotated[str, typer.Option("--model", help="lab, the bundled model, or a model folder")]
AsJson = Annotated[bool, typer.Option("--json", help="one line of JSON")]


def _folder(model: str) -> Path:
    from fewfit.models.installed import bundled_folder

    folder = bundled_folder(model) or Path(model)
    if not (folder / "config.json").exists():
        raise UserError(f"no model at {model!r}", where="--model", hint="name lab or a folder that holds config.json")
    return folder


@app.command()
def train(
    minutes: Annotated[
        float, typer.Option(help="how long the run may take, earlier parts included; one that had ended goes on")
    ] = 90.0,
    out: Annotated[Path, typer.Option(help="the run's folder")] = Path("runs/lab"),
    seed: Annotated[
        int | None, typer.Option(help="the same seed gives the same rows; default 0, or that of the run that goes on")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="go on from the run's last save")] = False,
    start: Annotated[Path | None, typer.Option(help="weights to start from, instead of structured ones")] = None,
    threads: Annotated[int, typer.Option(help="processor threads", min=1)] = 1,
) -> None:
    """Train a model; stop it at any time and go on with --resume."""
    import torch

    from lab.train import Training

    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"--device {device}", hint="choose auto, cpu or cuda")
    if start is not None and not (start / "config.json").exists():
        raise UserError("holds no config.json", where=str(start), hint="name a model folder: --start FOLDER")
    if not resume and (out / "state.pt").exists():
        raise UserError("holds a run already", where=str(out), hint="go on with --resume, or name another --out")
    torch.set_num_threads(threads)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    run = Training(out, seed=seed, resume=resume, start=start, device=device)
    run.run(minutes, current=out / "model")
    print(out / "model")


@app.command("eval")
def evaluate(
    model: Model = "lab",
    documents: Annotated[int, typer.Option(help="documents a family; fewer is faster and noisier", min=1)] = 60,
    as_json: AsJson = False,
) -> None:
    """Measure a model on every family, with words that training never showed."""
    from lab.evaluate import evaluate as measure

    report = measure(_folder(model), documents)
    if as_json:
        print(json.dumps(report, allow_nan=False))
        return
    for part in ("seen", "held_out"):
        print(f"\n{part.replace('_', ' ')}  (shots 0, 1, 2, 4, 8, 16)")
        for name, row in report[part].items():
            figures = "  ".join(f"{value:4.2f}" for value in row["shots"].values())
            chance = f"  chance {row['chance']:.2f}" if row["chance"] else ""
            print(f"  {name:22s} {figures}{chance}")
    for part, figures in report.items():
        if part not in ("seen", "held_out") and isinstance(figures, dict):
            print(f"\n{part.replace('_', ' ')}")
            for name, value in figures.items():
                print(f"  {name:38s} {value}")


@app.command()
def info(as_json: AsJson = False) -> None:
    """Where the bundled model lies and what it is."""
    from lab.info import info as describe

    facts = describe()
    if as_json:
        print(json.dumps(facts, allow_nan=False))
        return
    training = facts.pop("training")
    facts |= {f"trained {name}": training[name] for name in ("tokens", "steps", "minutes")}
    for name, value in facts.items():
        print(f"{name:16s} {value}")


@app.command()
def sample(
    prompt: Annotated[str, typer.Argument(help="what the user says; without it, a training document is shown")] = "",
    model: Model = "lab",
    seed: Annotated[int, typer.Option(help="which document")] = 0,
    tokens: Annotated[int, typer.Option(help="at most so many new tokens", min=1)] = 40,
) -> None:
    """The model's answer to a prompt, or a document of the kind it was trained on."""
    if prompt:
        from lab.evaluate import Subject

        print(Subject(_folder(model)).answer([{"role": "user", "content": prompt}], tokens))
    else:
        from lab.corpus import document, phase_at

        print("".join(text for text, _ in document(seed, seed, phase_at(1e8))))  # of the last phase


if __name__ == "__main__":
    try:
        app(prog_name="python -m lab")
    except FewfitError as error:
        print(f"lab: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
