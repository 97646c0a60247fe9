"""`fewfit suite NAME`: the papers' experiments, a file each."""

import typer

from fewfit.cli.suite import generalization, instruct, study, tasks

app = typer.Typer(help="The papers' experiments, on any model.", rich_markup_mode=None)
app.command("generalization")(generalization.generalization)
app.command("instruct")(instruct.instruct)
app.command("bbh")(tasks.bbh)
app.command("tasks")(tasks.tasks)
app.command("study")(study.study)
