"""`fewfit suite instruct`: a base model made to follow instructions by its prompt, by training, or both."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from statistics import stdev
from typing import Annotated, Any

import typer

from fewfit.cli import flags as f
from fewfit.cli import output
from fewfit.cli.judging import PROMPTS, judge_of
from fewfit.cli.suite.shown import SCHEMA, TRAINING, print_table

ASKING, JUDGING = "Asking", "Judging"
QUICK = {"conditions": ("base", "urial", "ft-3"), "number": 4, "max_new_tokens": 24}


@f.takes("quiet", "json_")
def instruct(
    model: Annotated[str, typer.Option(metavar="NAME", help="As for fit.", show_default=False)],
    study: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="comparison, quality, decoding, scaling, divergence, likelihood.",
            show_default="comparison",
        ),
    ] = None,
    conditions: Annotated[
        str | None, typer.Option(metavar="A,B", help="Prompts and weights.", show_default="those of the study")
    ] = None,
    questions: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="ours, ifeval, ifbench, ifeval-split, ifbench-split, chain-8, mt-bench.",
            show_default="ours",
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option(metavar="DIR", help="Holds ifeval/, ifbench/, mt_bench/ as published.")
    ] = None,
    number: Annotated[
        int | None,
        typer.Option(metavar="N", help="Questions of each set.", show_default="40, references 200; quick: 4"),
    ] = None,
    demonstrations: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Conversations to show and train on.", show_default="the prompt's own"),
    ] = None,
    foreign: Annotated[
        str | None, typer.Option(metavar="FILE", help="Conversations of another style, for an ablation.")
    ] = None,
    references: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="likelihood: conversations whose answers are right.",
            show_default="some of --demonstrations, kept back",
        ),
    ] = None,
    searched: Annotated[str | None, typer.Option(metavar="FILE", help="Conversations that select-demos chose.")] = None,
    prompt: Annotated[
        str | None, typer.Option(metavar="FILE", help="Rules and examples, as URIAL has them.", show_default="ours")
    ] = None,
    seeds: Annotated[int, typer.Option(metavar="N", help="Each with examples of its own.")] = 1,
    lr: Annotated[float, typer.Option(metavar="RATE", help="Learning rate.", rich_help_panel=TRAINING)] = 2e-4,
    chat: Annotated[
        str, typer.Option(metavar="auto|on|off", help="The model's chat template.", rich_help_panel=ASKING)
    ] = "auto",
    temperature: Annotated[float, typer.Option(metavar="T", help="0 is greedy.", rich_help_panel=ASKING)] = 0.0,
    top_p: Annotated[float, typer.Option(metavar="P", help="Nucleus.", rich_help_panel=ASKING)] = 1.0,
    repetition_penalty: Annotated[float, typer.Option(metavar="R", help="1 is none.", rich_help_panel=ASKING)] = 1.15,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(metavar="N", help="Of an answer.", show_default="128; quick: 24", rich_help_panel=ASKING),
    ] = None,
    judge_model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Grades answers, 1 to 10.", rich_help_panel=JUDGING),
    ] = None,
    judge_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Where it is served.", rich_help_panel=JUDGING)
    ] = None,
    judge_by: Annotated[
        str | None,
        typer.Option(
            metavar="text|likelihood",
            help="What it writes, or how likely it finds each rating.",
            show_default="text if it is served",
            rich_help_panel=JUDGING,
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Three conditions, four questions: a minute.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Tell what would be asked and trained, and do nothing.")] = False,
    out: Annotated[
        str | None, typer.Option(metavar="DIR", help="Finished cells are kept there.", show_default="runs/instruct")
    ] = None,
    save: Annotated[str | None, typer.Option(metavar="DIR", help="The best condition goes there, as a bundle.")] = None,
    dtype: Annotated[str, typer.Option(metavar="auto|float32|bfloat16", help="Numbers to compute in.")] = "auto",
    base_url: Annotated[str | None, typer.Option(metavar="URL", help="An endpoint that serves the model.")] = None,
    **flags: Any,
) -> None:
    """Does a model follow instructions: by its prompt, by training on the same examples, or by both (arXiv 2405.19874)?

    Prompts of rules and examples, instruction fine-tuning, questions in two turns, judges. Stopped, the same command
    goes on; what is there is not made again.
    """
    from fewfit.errors import UserError
    from fewfit.prompts import conversations, load, ours
    from fewfit.search.instructions import searched_on
    from fewfit.suites.instruct import questions as sets
    from fewfit.suites.instruct import saving, suite
    from fewfit.suites.instruct.agreement import agreements, with_itself
    from fewfit.suites.instruct.examples import Material
    from fewfit.suites.instruct.planning import planned
    from fewfit.suites.instruct.references import with_references
    from fewfit.suites.instruct.studies import Sampling
    from fewfit.suites.instruct.subject import Asked

    if chat not in ("auto", "on", "off"):
        raise UserError(f"--chat {chat}", hint="auto, on or off")
    usual: dict[str, Any] = QUICK if quick else {}
    asked = Asked(
        model,
        studies=tuple(f.names(study or "comparison", "--study")),  # type: ignore[arg-type]
        conditions=tuple(f.names(conditions, "--conditions")) if conditions else usual.get("conditions"),
        questions=tuple(dict.fromkeys(f.names(questions, "--questions"))) if questions else (sets.OWN,),
        number=usual.get("number", 40) if number is None else number,
        seeds=seeds,
        sampling=Sampling(temperature, top_p, repetition_penalty),
        max_new_tokens=usual.get("max_new_tokens", 128) if max_new_tokens is None else max_new_tokens,
        lr=lr,
        chat={"auto": None, "on": True, "off": False}[chat],
    )
    if save is not None and base_url is not None:
        raise UserError("--save with --base-url", hint="a bundle holds a model of this machine")
    urial = load(prompt) if prompt else ours()
    material = Material(
        urial,
        conversations(demonstrations) if demonstrations else urial.demonstrations,
        conversations(foreign) if foreign else (),
        conversations(searched) if searched else (),
    )
    if "likelihood" in asked.studies:
        given = conversations(references) if references else None
        many = None if number is None and not quick else asked.number
        material = with_references(material, given, many, asked.max_new_tokens)
    elif references:
        raise UserError("--references without --study likelihood", hint="name the study, or leave them out")
    folder = Path(data) if data else None
    known = searched_on(Path(searched)) if searched else set()
    some = [sets.load(one, folder, asked.number, asked.max_new_tokens, known) for one in asked.questions]
    if plan:
        show_plan(planned(asked, material, some, remote=base_url is not None), flags["json_"])
        return
    tell = (lambda what: None) if flags["quiet"] else output.say
    grader = judge_of(judge_model, judge_url, judge_by, folder / "mt_bench" / PROMPTS if folder else None, tell)
    two = {one.name for one in some if all(len(question.turns) <= 2 for question in one.questions)}
    judges = {one.name: [*suite.usual_judges(one), *([grader] if grader and one.name in two else [])] for one in some}
    if unjudged := [name for name, those in judges.items() if not those]:
        raise UserError(f"nobody judges {unjudged[0]}", hint="name a --judge-model, with --judge-url if it is served")
    comparers = [pairs_of(grader)] if grader else []
    if base_url and dtype != "auto":
        raise UserError("--dtype with --base-url", hint="leave it out: the endpoint runs the model as it does")
    subject = served(asked, base_url) if base_url else here(asked, dtype, tell)
    at = Path(out or "runs/instruct")
    outcome = suite.run(asked, subject, material, some, judges, at, tell, comparers, Path(save) if save else None)
    if flags["json_"]:
        told = {
            "saved": save,
            "rows": outcome.rows,
            "left_out": outcome.left_out,
            "agreement": agreements(outcome.rows),
            "with_itself": with_itself(outcome.rows),
            "claims": [{"judge": judge, **asdict(one)} for judge, one in claimed(outcome.rows)],
        }
        output.line({"schema": SCHEMA, **told, "file": str(at / suite.ROWS)})
        return
    show(outcome.rows)
    for one in agreements(outcome.rows):
        names = [f"{judge} of {questions}" for judge, questions in zip(one["judges"], one["questions"], strict=True)]
        print(f"Order of {one['conditions']} conditions by {' and '.join(names)}: Kendall's tau {between(one['tau'])}")
    for one in with_itself(outcome.rows):
        same, apart, rank = (between(one[name]) for name in ("same", "apart", "correlation"))
        print(
            f"{one['judge']} of {one['questions']}, asked twice for {one['n']} verdicts: the same share {same}, "
            f"apart by {apart} of 1, rank correlation {rank}"
        )
    print(f"\nEvery row: {at / suite.ROWS}")
    if outcome.saved is not None:
        best = saving.best(outcome.rows)["condition"]
        print(f"Best by these questions (on others it may be less good): {best}. fewfit predict {save} 'Tell me of …'")


def show_plan(made: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        output.line({"schema": SCHEMA, "studies": made})
        return
    names = ("cells", "trainings", "answers", "new_tokens", "read")
    heads = ["study", "cells", "trainings", "answers", "tokens of them, at most", "references read"]
    print_table(heads, [[row["study"], *(f"{row[name]:,}" for name in names)] for row in made])
    for name, why in {name: why for row in made for name, why in row["left_out"].items()}.items():
        print(f"{name} is left out: {why}")


def here(asked: Any, dtype: str, tell: Any) -> Any:
    from fewfit.models import local
    from fewfit.suites.instruct.subject import subject_of

    return subject_of(asked, local.load(asked.model, dtype=dtype, tell=tell))


def served(asked: Any, url: str) -> Any:
    from fewfit.models.remote import Endpoint
    from fewfit.suites.instruct.subject import Subject
    from fewfit.writing import EndpointWriter

    chat = asked.chat is not False
    endpoint = Endpoint(asked.model, url)
    return Subject(asked.model, EndpointWriter(endpoint, chat=chat), chat, url=endpoint.url)


def pairs_of(grader: Any) -> Any:
    """The same judge, asked to prefer."""
    from fewfit.judges.mt_bench import LikelyJudge, PairJudge

    return grader if isinstance(grader, LikelyJudge) else PairJudge(grader.model, grader.prompts)


def between(found: dict[str, Any]) -> str:
    if found["value"] is None:
        return "none: all are alike"
    low, high = found["interval"] or (None, None)
    return f"{found['value']:.2f}" + ("" if low is None else f" ({low:.2f} to {high:.2f})")


def show(rows: list[dict[str, Any]]) -> None:
    """A table for each study and judge, the decoding grid as a heat map, and the paper's claims."""
    from fewfit.suites.instruct import references
    from fewfit.suites.instruct.claims import JUDGE

    for study in dict.fromkeys(row["study"] for row in rows):
        some = [row for row in rows if row["study"] == study]
        if study in ("decoding", "likelihood"):
            (show_grid if study == "decoding" else show_likely)(some)
            continue
        for judge, questions in dict.fromkeys((row["judge"], row["questions"]) for row in some):
            mine = [row for row in some if (row["judge"], row["questions"]) == (judge, questions)]
            turns = sorted({row["turn"] for row in mine})
            lines = []
            for name in dict.fromkeys(row["condition"] for row in mine):
                cells = [cell(mine, name, turn, 1 if study == "divergence" else 100) for turn in turns]
                lines.append([name, *cells])
            print_table([f"{study}: {questions} by {judge}", *(f"turn {turn}" for turn in turns)], lines)
            if told := noise_of(mine):
                print(told)
            print()
    for judge, claim in claimed(rows):
        by = "" if judge in (JUDGE, references.JUDGE) else f" by {judge}"
        if claim.holds != "not run":
            figures = f". {claim.figures}" if claim.figures else ""
            print(f"({claim.letter}) {claim.says}{by}: {claim.holds}{figures}")


def claimed(rows: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """The paper's claims, by every judge that gives means."""
    from fewfit.suites.instruct.agreement import WIN_RATE
    from fewfit.suites.instruct.claims import claims

    judges = dict.fromkeys(row["judge"] for row in rows)
    means = [judge for judge in judges if judge != "rules-loose" and not judge.startswith(WIN_RATE)]
    return [(judge, one) for judge in means for one in claims(rows, judge)]


def noise_of(rows: list[dict[str, Any]]) -> str:
    """What a judge could not be read on, and how far it goes by length or by place."""
    unread, n = sum(row.get("unread", 0) for row in rows), sum(row["n"] for row in rows)
    told = [f"{unread} of {n + unread} verdicts could not be read"] if unread else []
    names = {
        "length": "score and length correlate by",
        "turned": "swapped, winners change by",
        "first": "first place wins by",
    }
    for name, says in names.items():
        values = [row[name]["value"] for row in rows if row.get(name) and row[name]["value"] is not None]
        if values:
            told.append(f"{says} {min(values):.2f} to {max(values):.2f}")
    return "; ".join(told)


def cell(rows: list[dict[str, Any]], name: str, turn: int, unit: int) -> str:
    """With the standard error of the questions, of each the mean over seeds; a win rate's interval is its own."""
    some = [row for row in rows if row["condition"] == name and row["turn"] == turn and row["n"]]
    if not some:
        return "–"
    digits = 0 if unit == 100 else 2
    score = sum(row["score"] for row in some) / len(some)
    if "interval" in some[0]:
        shown = ", ".join("{:.0f} to {:.0f}".format(*(unit * end for end in row["interval"])) for row in some)
        return f"{unit * score:.{digits}f} ({shown})"
    by_question = [[one for one in scores if one is not None] for scores in zip(*(row["scores"] for row in some))]
    means = [sum(scores) / len(scores) for scores in by_question if scores]
    error = f" ± {unit * stdev(means) / len(means) ** 0.5:.{digits}f}" if len(means) > 1 else ""
    return f"{unit * score:.{digits}f}{error}"


def show_likely(rows: list[dict[str, Any]]) -> None:
    """Log-likelihoods, and what they are above those of the query alone, answer by answer."""
    from fewfit.suites.instruct import references
    from fewfit.suites.instruct.claims import BASE, Table, in_nats, interval

    table, turns = Table(rows, references.JUDGE), sorted({row["turn"] for row in rows})
    lines = []
    for name in dict.fromkeys(row["condition"] for row in rows):
        line = [name]
        for turn in turns:
            own = list(table.by_question("likelihood", name, turn).values())
            over = table.weighed("likelihood", {(name, turn): 1, (BASE, turn): -1})
            line += [f"{sum(own) / len(own):.3f}", "–" if name == BASE or len(over) < 2 else in_nats(interval(over))]
        lines.append(line)
    number = max(row["n"] for row in rows)
    heads = [head for turn in turns for head in (f"turn {turn}", f"over {BASE}")]
    print_table([f"likelihood of {number} right answers, nats a token", *heads], lines)
    print()


def show_grid(rows: list[dict[str, Any]]) -> None:
    """First turns, temperatures beside each other, as the paper has its figure."""
    for judge, questions, name, penalty in dict.fromkeys(
        (row["judge"], row["questions"], row["condition"], row["repetition_penalty"]) for row in rows
    ):
        mine = [
            row for row in rows
            if (row["judge"], row["questions"], row["condition"], row["repetition_penalty"])
            == (judge, questions, name, penalty) and row["turn"] == 1
        ]  # fmt: skip
        temperatures = sorted({row["temperature"] for row in mine})
        lines = []
        for nucleus in sorted({row["top_p"] for row in mine}):
            line = [f"top-p {nucleus:g}"]
            for temperature in temperatures:
                # Greedy is the same for every nucleus.
                some = [
                    row for row in mine
                    if row["temperature"] == temperature and (row["top_p"] == nucleus or temperature == 0)
                ]  # fmt: skip
                line.append(cell(some, name, 1, 100))
            lines.append(line)
        head = f"{name}, penalty {penalty:g}: {questions} by {judge}"
        print_table([head, *(f"T {temperature:g}" for temperature in temperatures)], lines)
        print()
