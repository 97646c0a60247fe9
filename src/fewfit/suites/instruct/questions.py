"""What is asked, turn by turn: sets of our own, and of published files, each with the judges that can judge it.

ours      requests and checks of fewfit's own, for whoever has no files
ifeval    IFEval's prompts, with a further constraint in the second turn and those of the first still standing
ifbench   IFBench's, likewise
chain     IFEval's requests, and a constraint more in every turn: how long does a model keep to them?
          ifeval-split, ifbench-split: the request first, and all constraints in the second turn
mt-bench  MT-Bench's, for a model as judge
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fewfit import draw
from fewfit.errors import UserError
from fewfit.judges import Check, Question, mt_bench, rules
from fewfit.judges.rules.turns import ALSO, requests

FILES = {
    "ifeval": "ifeval/input_data.jsonl",
    "ifbench": "ifbench/IFBench_test.jsonl",
    "chain": "ifeval/input_data.jsonl",
    "mt-bench": "mt_bench",
}
OWN, SPLIT = "ours", "-split"
WORDS_A_TOKEN = 0.6  # that an answer of so many tokens may have, at the most
# Checks that most answers could keep and few keep by chance; one is asked for with the request, one in the second turn.
CHECKS = (
    Check("punctuation:no_comma"),
    Check("change_case:english_lowercase"),
    Check("startend:quotation"),
    Check("detectable_format:title"),
    Check("startend:end_checker", {"end_phrase": "That is all I know."}),
    Check("length_constraints:number_words", {"relation": "less than", "num_words": 40}),
    Check("length_constraints:number_sentences", {"relation": "less than", "num_sentences": 4}),
    Check("detectable_format:number_bullet_lists", {"num_bullets": 3}),
    Check("keywords:existence", {"keywords": ["morning", "simple"]}),
    Check("keywords:forbidden_words", {"forbidden_words": ["the", "very"]}),
    Check("detectable_content:postscript", {"postscript_marker": "P.S."}),
    Check("detectable_content:number_placeholders", {"num_placeholders": 2}),
)


@dataclass(frozen=True)
class QuestionSet:
    name: str
    questions: tuple[Question, ...]

    @property
    def has_checks(self) -> bool:
        return any(one.checks for one in self.questions)


def load(name: str, data: Path | None, number: int, tokens: int, without: Collection[str] = frozenset()) -> QuestionSet:
    """`number` of them, drawn by hash, of those that an answer of so many tokens can keep to; `without` requests that
    demonstrations were chosen by."""
    if name == OWN:
        return QuestionSet(name, tuple(own()[:number]))
    kind, _, turns = name.partition("-") if name.startswith("chain") else (name.removesuffix(SPLIT), "", "")
    splits = name in (f"ifeval{SPLIT}", f"ifbench{SPLIT}")
    if kind not in FILES or not (turns or "4").isdigit() or (name.endswith(SPLIT) and not splits):
        raise UserError(
            f"unknown questions {name!r}", hint=f"choose among {OWN}, {', '.join(FILES)}, ifeval{SPLIT}, ifbench{SPLIT}"
        )
    if data is None:
        raise UserError(f"no file of {name}", hint=f"give --data FOLDER, which holds {FILES[kind]}")
    found = mt_bench.load(data / FILES[kind]) if kind == "mt-bench" else rules.load(data / FILES[kind])
    kept = [one for one in found if one.turns[0] not in without and not asks_for_much(one, tokens)]
    if not kept:
        why = f"all {len(found)} were searched on, or want longer answers"
        raise UserError(f"no question of {name} is left: {why}", hint="take other questions, or more --max-new-tokens")
    some = draw.shuffled(kept, lambda one: one.id, seed=0, purpose=f"questions {name.removesuffix(SPLIT)}")[:number]
    if kind == "chain":
        some = rules.chain(some, int(turns or rules.MOST_TURNS))
    elif splits:
        some = [rules.split(one) for one in some]
    elif kind != "mt-bench":
        some = [followed(one, [check for other in some for check in other.checks[0]]) for one in some]
    return QuestionSet(name, tuple(some))


def own() -> list[Question]:
    """Each request with one check, and one more in the second turn."""
    found = []
    for number, request in enumerate(requests()):
        check = CHECKS[number % len(CHECKS)]
        told = f"{request} {rules.describe(check)}"
        found.append(followed(Question(f"ours/{number + 1}", (told,), checks=((check,),)), CHECKS))
    return found


def followed(question: Question, others: Sequence[Check]) -> Question:
    """With a second turn that asks for one thing more. In both, all that stands is checked; a question beside which
    nothing else can stand is asked in one turn."""
    standing = question.checks[0]
    some = draw.shuffled(list(enumerate(others)), lambda one: str(one[0]), seed=0, purpose=f"second turn {question.id}")
    for _, check in some:
        if all(rules.together(check, one) for one in standing):
            second = f"{ALSO} {rules.describe(check)}"
            return replace(question, turns=(*question.turns, second), checks=(standing, (*standing, check)))
    return question


def asks_for_much(question: Question, tokens: int) -> bool:
    """Whether a check wants more words than an answer of so many tokens can have."""
    most = tokens * WORDS_A_TOKEN
    for check in (check for some in question.checks for check in some):
        given = check.arguments
        least = max(
            given.get("min_words") or 0,
            (given.get("num_words") or 0) * (given.get("relation") == "at least"),
            15 * (given.get("num_sentences") or 0) * (given.get("relation") == "at least"),
            30 * (given.get("num_paragraphs") or 0),
            30 * (given.get("num_sections") or 0),
            *(len(given.get(name) or "") / 5 for name in ("prompt_to_repeat", "reference_text")),
            (given.get("N") or 0) * (not check.name.startswith(("sentence:", "keywords:"))),
            given.get("n_start") or 0,
        )
        if least > most:
            return True
    return False
