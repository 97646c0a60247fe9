"""Each inference put to the model again, behind what it was inferred from: kept is what it affirms."""

from __future__ import annotations

from collections.abc import Sequence

from fewfit.augment.prompts import Template
from fewfit.augment.target import Made, Target, one_line, statement
from fewfit.writing import Writer


def checked(writer: Writer, made: Sequence[Made], template: Template) -> list[Made]:
    places = [(one, row) for one in made for row in one.inferences]
    told = writer.affirm([template.filled(basis(one.target), claim=statement(row.example)) for one, row in places])
    affirmed = {row.example.id for (_, row), answer in zip(places, told, strict=True) if answer.yes}
    for (one, _), answer in zip(places, told, strict=True):
        one.account.prompt_tokens += answer.prompt_tokens
        one.account.new_tokens += answer.new_tokens
    out = []
    for one in made:
        kept = [row for row in one.inferences if row.example.id in affirmed]
        denied = tuple(statement(row.example) for row in one.inferences if row.example.id not in affirmed)
        if denied:
            one.account.dropped["denied"] += len(denied)
        one.account.kept = len(kept)
        out.append(Made(one.target, kept, one.account, denied))
    return out


def basis(target: Target) -> str:
    """What it has to follow from."""
    if target.context:  # a long one is a part of all, of which the target need not be
        own = () if target.example in target.context else (target.example,)
        return " ".join(map(statement, (*target.context, *own)))
    return one_line(target.text) if target.example.is_document else statement(target.example)
