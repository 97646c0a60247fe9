"""All rules by the names that the published files give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fewfit.errors import UserError
from fewfit.judges.question import Check
from fewfit.judges.rules import case, ends, keywords, layout, lengths, tasks, wording
from fewfit.judges.rules.language import LANGUAGES
from fewfit.judges.rules.rule import Rule

RULES: dict[str, Rule] = {
    name: rule
    for family in (keywords, lengths, layout, case, ends, wording, tasks)
    for name, rule in family.RULES.items()
}


def rule_of(check: Check) -> Rule:
    if check.name not in RULES:
        raise UserError(f"unknown check {check.name!r}", hint="fewfit.judges.rules.RULES has all that there are")
    return RULES[check.name]


def describe(check: Check) -> str:
    """What the check asks for, as one English sentence of ours."""
    arguments: Mapping[str, Any] = check.arguments
    if "language" in arguments:
        arguments = {**arguments, "language": LANGUAGES.get(arguments["language"], arguments["language"])}
    return rule_of(check).describe(arguments)
