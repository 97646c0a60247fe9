"""`fewfit lab`: train, measure, describe and sample the bundled models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The small models that fewfit brings along: train, eval, info, sample.", no_args_is_help=True)

Size = Annotated[str, typer.Option("--size", help="lab, lab-s or lab-control")]
Model = Annotated[str, typer.Option("--model", help="a bundled model or a model folder")]


def _folder(model: str) -> Path:
    from fewfit.errors import UserError
    from fewfit.models.installed import bundled_folder

    folder = bundled_folder(model) or Path(model)
    if not (folder / "config.json").exists():
        raise UserError(
            f"no model at {model!r}",
            where="--model",
            mend="name lab, lab-s, lab-control or a folder that holds config.json",
        )
    return folder


@app.command()
def train(
    size: Size = "lab",
    minutes: Annotated[
        float, typer.Option(help="how long the run may take, earlier parts included; one that had ended goes on")
    ] = 90.0,
    out: Annotated[Path | None, typer.Option(help="the run's folder; default runs/SIZE")] = None,
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

    from fewfit.errors import UserError
    from fewfit.lab.net import SHAPES
    from fewfit.lab.train import Training

    if size not in SHAPES:
        raise UserError(f"there is no size {size!r}", where="--size", mend=f"choose one of {', '.join(SHAPES)}")
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"--device {device}", mend="choose auto, cpu or cuda")
    if start is not None and not (start / "config.json").exists():
        raise UserError("holds no config.json", where=str(start), mend="name a model folder: --start FOLDER")
    folder = out or Path("runs") / size
    if not resume and (folder / "state.pt").exists():
        raise UserError("holds a run already", where=str(folder), mend="go on with --resume, or name another --out")
    torch.set_num_threads(threads)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    run = Training(size, folder, seed=seed, resume=resume, start=start, device=device)
    run.run(minutes, current=folder / "model")
    typer.echo(str(folder / "model"))


@app.command("eval")
def evaluate(
    model: Model = "lab",
    documents: Annotated[int, typer.Option(help="documents a family; fewer is faster and noisier", min=1)] = 60,
    as_json: Annotated[bool, typer.Option("--json", help="one line of JSON")] = False,
) -> None:
    """Measure a model on every family, with words that training never showed."""
    from fewfit.lab.evaluate import evaluate as measure

    report = measure(_folder(model), documents)
    if as_json:
        typer.echo(json.dumps(report, allow_nan=False))
        return
    for part in ("seen", "held_out"):
        typer.echo(f"\n{part.replace('_', ' ')}  (shots 0, 1, 2, 4, 8, 16)")
        for name, row in report[part].items():
            figures = "  ".join(f"{value:4.2f}" for value in row["shots"].values())
            chance = f"  chance {row['chance']:.2f}" if row["chance"] else ""
            typer.echo(f"  {name:22s} {figures}{chance}")
    for part in (
        "summary",
        "label_words",
        "copying",
        "many_shots",
        "reversals",
        "held_out_reversals",
        "syllogisms",
        "instructions",
    ):
        typer.echo(f"\n{part.replace('_', ' ')}")
        for name, value in report[part].items():
            typer.echo(f"  {name:38s} {value}")


@app.command()
def info(
    model: Model = "lab", as_json: Annotated[bool, typer.Option("--json", help="one line of JSON")] = False
) -> None:
    """Where a bundled model lies and what it is."""
    from fewfit.lab.info import info as describe
    from fewfit.models.installed import BUNDLED

    if model not in BUNDLED:
        from fewfit.errors import UserError

        raise UserError(f"{model!r} is no bundled model", where="--model", mend=f"choose one of {', '.join(BUNDLED)}")
    facts = describe(model)
    if as_json:
        typer.echo(json.dumps(facts, allow_nan=False))
        return
    training = facts.pop("training") or {}
    facts |= {f"trained {name}": training[name] for name in ("tokens", "steps", "minutes") if name in training}
    facts["card"] = str(Path(facts["path"]) / "README.md") if facts["path"] else None
    for name, value in facts.items():
        typer.echo(f"{name:16s} {value}")


@app.command()
def sample(
    prompt: Annotated[str, typer.Argument(help="what the user says; without it, a training document is shown")] = "",
    model: Model = "lab",
    seed: Annotated[int, typer.Option(help="which document")] = 0,
    tokens: Annotated[int, typer.Option(help="at most so many new tokens", min=1)] = 40,
) -> None:
    """The model's answer to a prompt, or a document of the kind it was trained on."""
    if not prompt:
        from fewfit.lab.corpus import document
        from fewfit.lab.phases import phase_at

        _folder(model)
        phase = phase_at(1e8, "lab" if model == "lab" else "lab-s")  # the last one of its curriculum
        typer.echo("".join(text for text, _ in document(seed, seed, phase, control=model == "lab-control")))
        return
    from fewfit.lab.evaluate import Subject

    typer.echo(Subject(_folder(model)).answer([{"role": "user", "content": prompt}], tokens))
