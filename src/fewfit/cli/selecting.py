"""`fewfit select-demos`: which demonstrations to put into a prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fewfit.cli import flags as f
from fewfit.cli import output
from fewfit.errors import UserError

SEARCH, QUESTIONS = "Search", "Questions"
INSTRUCTED = ("rules", "mt-bench")  # judges of answers to instructions
WRITTEN, PENALTY = 128, 1.15  # tokens of an answer and the penalty of repeated ones, where nobody says


@f.takes(*f.MODELS, *f.ENDPOINTS, "choices", "answer_pattern", *f.PROMPTS, "input", "output", "labels", "skip_bad",
         "keep_duplicates", "quiet", "json_")  # fmt: skip
def select_demos(
    data: Annotated[
        str,
        typer.Argument(metavar="DATA", help="Prompts and answers: the candidates come from it.", show_default=False),
    ],
    judge: Annotated[
        str,
        typer.Option(
            metavar="METRIC|rules|mt-bench",
            help="Who scores an answer: a metric, as for fit. rules and mt-bench: DATA are conversations, and what is "
            "asked is a file of IFEval's or MT-Bench's shape.",
            rich_help_panel=QUESTIONS,
        ),
    ] = "auto",
    judge_model: Annotated[
        str | None, typer.Option(metavar="NAME", help="mt-bench: who grades.", rich_help_panel=QUESTIONS)
    ] = None,
    judge_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Where it is served.", rich_help_panel=QUESTIONS)
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="rules and mt-bench: rules and examples, as URIAL has them.",
            show_default="ours",
            rich_help_panel=QUESTIONS,
        ),
    ] = None,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="rules and mt-bench: of an answer.", show_default=str(WRITTEN), rich_help_panel=QUESTIONS
        ),
    ] = None,
    repetition_penalty: Annotated[
        float | None,
        typer.Option(
            metavar="R", help="rules and mt-bench: 1 is none.", show_default=f"{PENALTY:g}", rich_help_panel=QUESTIONS
        ),
    ] = None,
    k: Annotated[int, typer.Option("--k", metavar="K", help="Demonstrations to find.", rich_help_panel=SEARCH)] = 3,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Demonstrations that stay, next to the question.",
            show_default="none",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    questions: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="What is asked.",
            show_default="rows of DATA that are no candidates",
            rich_help_panel=QUESTIONS,
        ),
    ] = None,
    number: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="rules and mt-bench: so many of --questions.",
            show_default="all",
            rich_help_panel=QUESTIONS,
        ),
    ] = None,
    held_out: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Questions that tell what the set is worth; the search does not see them.",
            show_default="half of the questions",
            rich_help_panel=QUESTIONS,
        ),
    ] = None,
    strategy: Annotated[
        str,
        typer.Option(
            metavar="greedy|racing|screen|random",
            help="greedy: every candidate on every question. racing: those that are ahead on more of them. screen: the "
            "same, with the quarter under which right answers are likeliest. random: the best of some random sets.",
            rich_help_panel=SEARCH,
        ),
    ] = "racing",
    pool: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Candidates.",
            show_default="a third of the rows, all with --questions; at most 100",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(
            metavar="CALLS",
            help="Answers judged before the search ends.",
            show_default="a quarter of greedy's; of greedy no limit",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="SCORE",
            help="greedy: what a candidate has to reach in the first round to be tried again.",
            show_default="the better three quarters are",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    repeats: Annotated[
        int,
        typer.Option(
            metavar="N", help="greedy: how often later rounds ask a judge that varies.", rich_help_panel=SEARCH
        ),
    ] = 1,
    seed: Annotated[int, typer.Option(metavar="S", help="How rows are dealt out.", rich_help_panel=SEARCH)] = 0,
    out: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Scores and the set.", show_default="runs/demos-<data>-<model>"),
    ] = None,
    **flags: Any,
) -> None:
    """Search for the demonstrations that make a model answer best.

    Searched on some questions, believed on others: what it prints is the score on questions that the search did not
    see, beside that of no addition and of random sets. Stopped, the same command goes on; nothing is asked twice.
    """
    from fewfit.search import Strategy
    from fewfit.search import strategy as find
    from fewfit.search.greedy import Greedy
    from fewfit.search.selecting import select_demos as run
    from fewfit.settings import READING
    from fewfit.writing import Decoding

    asked = f.values(flags)
    model = one_model(asked.pop("model"))
    how: Strategy = find(strategy)
    if threshold is not None or repeats != 1:
        if strategy != "greedy":
            raise UserError(f"{'--repeats' if threshold is None else '--threshold'} with {strategy}", hint="for greedy")
        if repeats < 1:
            raise UserError(f"--repeats {repeats}", hint="give 1 or more")
        if threshold is not None and not 0 <= threshold <= 1:
            hint = "scores lie between 0 and 1; of MT-Bench's 10 points 1 is 0 and 6.2 are 0.58"
            raise UserError(f"--threshold {threshold:g}", hint=hint)
        how = Greedy(threshold, repeats)
    asked["template_kwargs"] = asked.pop("chat_template_kwargs")
    loading = {name: asked.pop(name) for name in (*f.MODELS[1:], *f.ENDPOINTS)}
    columns = {name: asked.pop(name) for name in READING}
    tell = (lambda what: None) if flags["quiet"] else output.say
    folder = Path(out) if out else Path("runs") / f"demos-{Path(data).stem}-{Path(model).name}"

    def on_step(added: Any, calls: Any) -> None:
        where = ", held out" if calls.held_out else ""
        tell(f"{calls.used} answers judged{where}: {len(added)} of {k} found")

    if judge in INSTRUCTED:
        refuse_unused(judge, start, how, repeats, asked | columns, judge_model or judge_url)
        if questions is None:
            raise UserError(
                f"--judge {judge} without questions", hint="give --questions FILE of IFEval's or MT-Bench's shape"
            )
        decoding = Decoding(
            WRITTEN if max_new_tokens is None else max_new_tokens,
            repetition_penalty=PENALTY if repetition_penalty is None else repetition_penalty,
        )
        selected = instructed(
            data, model, judge, (judge_model, judge_url), prompt, (questions, held_out), how, loading, tell,
            decoding=decoding, number=number, k=k, pool=pool, budget=budget, seed=seed,
            out=folder, on_step=on_step,
        )  # fmt: skip
        tell_result(selected, flags["json_"], tell)
        return
    given = {
        "prompt": prompt,
        "judge_model": judge_model,
        "judge_url": judge_url,
        "max_new_tokens": max_new_tokens,
        "repetition_penalty": repetition_penalty,
        "number": number,
    }
    refuse_instructed(judge, repeats, given)
    selected = run(
        data,
        model,
        judge=judge,
        answer_patterns=asked.pop("answer_pattern"),
        k=k,
        start=start,
        questions=questions,
        held_out=held_out,
        strategy=how,
        pool=pool,
        budget=budget,
        seed=seed,
        out=folder,
        render=asked,
        columns=columns,
        load={**loading, "tell": tell},
        on_step=on_step,
    )
    tell_result(selected, flags["json_"], tell)


def refuse_unused(judge: str, start: Any, how: Any, repeats: int, given: dict[str, Any], grader: Any) -> None:
    """Flags of examples, which conversations have no use for."""
    from fewfit.settings import DEFAULTS

    for name, value in {"start": start, **given}.items():
        usual = DEFAULTS.get({"template_kwargs": "chat_template_kwargs"}.get(name, name))
        if value not in (None, usual, [], ()):
            raise UserError(
                f"--{name.replace('_', '-')} with --judge {judge}", hint="the prompt file says it: --prompt"
            )
    if how.name == "screen":
        raise UserError(f"--strategy screen with --judge {judge}", hint="no answer is the right one: take racing")
    if judge == "rules" and (grader or repeats != 1):
        flag = "--judge-model" if grader else "--repeats"
        raise UserError(f"{flag} with --judge rules", hint="a program says the same every time")


def refuse_instructed(judge: str, repeats: int, given: dict[str, Any]) -> None:
    """Flags of conversations, which a metric has no use for."""
    if flag := next((name for name, value in given.items() if value is not None), None):
        raise UserError(f"--{flag.replace('_', '-')} with --judge {judge}", hint=f"for {' and '.join(INSTRUCTED)}")
    if repeats != 1:
        raise UserError(f"--repeats with --judge {judge}", hint="a metric says the same every time")


def tell_result(selected: Any, as_json: bool, tell: Any) -> None:
    if as_json:
        output.line(selected.as_json())
        return
    for notice in selected.notices:
        tell(f"note: {notice}")
    show(selected)


def instructed(
    data: str,
    model: str,
    judge: str,
    grader: tuple[str | None, str | None],
    prompt: str | None,
    files: tuple[str, str | None],
    how: Any,
    loading: dict[str, Any],
    tell: Any,
    *,
    decoding: Any,
    number: int | None,
    pool: int | None,
    seed: int,
    **search: Any,
) -> Any:
    """Conversations, searched for by a judge of instructions."""
    from fewfit.cli.judging import PROMPTS, judge_of
    from fewfit.judges import mt_bench, rules
    from fewfit.prompts import conversations, load, ours
    from fewfit.search.instructions import Prompted, candidates, select_instructions
    from fewfit.search.selecting import identity, load_model
    from fewfit.writing import EndpointWriter, LocalWriter

    some = conversations(data)
    urial = load(prompt) if prompt else ours()
    source = Path(files[0])
    published = (source if source.is_dir() else source.parent) / PROMPTS
    by = rules.RulesJudge() if judge == "rules" else judge_of(*grader, None, published, tell)
    if by is None:
        raise UserError(
            "--judge mt-bench without a model", hint="name a --judge-model, with --judge-url if it is served"
        )
    varies = hasattr(by, "again") and not isinstance(by, mt_bench.LikelyJudge)
    if how.name == "greedy" and how.repeats != 1 and not varies:
        raise UserError("--repeats with a judge that says the same every time", hint="leave it out")
    read = rules.load if judge == "rules" else mt_bench.load
    asked = short_enough(read(files[0]), decoding.max_new_tokens, number, tell)
    held_out = None if files[1] is None else short_enough(read(files[1]), decoding.max_new_tokens, None, tell)
    shown = candidates(some, [*asked, *(held_out or [])], pool, seed)
    tell(
        foretold(
            len(shown), len(asked), None if held_out is None else len(held_out), how, search["k"], search["budget"]
        )
    )
    loaded = load_model(model, **loading, tell=tell)
    chat = bool(loaded.tokenizer.chat_template)
    writer: Any
    if loaded.is_remote:
        writer = EndpointWriter(loaded.model.endpoint, chat=chat)
    else:
        writer = LocalWriter(loaded.model, loaded.tokenizer, together=True)
    prompted = Prompted(writer, urial, shown, decoding, chat)
    about = {"model": identity(loaded), "dtype": loaded.dtype, "quantize": loading["quantize"]}
    return select_instructions(some, asked, prompted, by, how, held_out=held_out, seed=seed, about=about, **search)


def foretold(pool: int, asked: int, held_out: int | None, how: Any, k: int, budget: int | None) -> str:
    from fewfit.search.comparison import RANDOM_SETS
    from fewfit.search.pool import Pool
    from fewfit.search.strategy import Problem

    searched, others = (asked // 2, asked - asked // 2) if held_out is None else (asked, held_out)
    problem = Problem(Pool(tuple(map(str, range(pool)))), tuple(map(str, range(searched))), k)
    most = budget or how.budget(problem) or problem.greedy_calls
    return (
        f"{pool} candidates by {searched} questions: about {most:,} answers to search, at the most, and then "
        f"{(RANDOM_SETS + 2) * others:,} to tell what the set is worth on {others} held out"
    )


def short_enough(found: list[Any], tokens: int, number: int | None, tell: Any) -> list[Any]:
    """So many, drawn by hash, of those that answers of so many tokens can keep to."""
    from fewfit import draw
    from fewfit.suites.instruct.questions import asks_for_much

    if number is not None and number < 2:
        raise UserError(f"--number {number}", hint="give 2 or more")
    kept = [one for one in found if not asks_for_much(one, tokens)]
    if gone := len(found) - len(kept):
        tell(f"{gone} of {len(found)} questions want longer answers than {tokens} tokens (--max-new-tokens)")
    return draw.shuffled(kept, lambda one: one.id, seed=0, purpose="questions searched on")[:number]


def one_model(given: Any) -> str:
    if isinstance(given, str):
        return given
    if given:
        raise UserError("--model is given more than once", hint="search for each")
    raise UserError("no model", hint="name one: --model smollm2, a folder, or a Hugging Face name")


def show(selected: Any) -> None:
    from fewfit.cli.suite.shown import print_table
    from fewfit.examples.text import shorten

    found = selected.found
    rows = []
    for name, mean in found.worth.means.items():
        calls = f"{found.calls:,}" if name == "searched" else "–"
        interval = f"{100 * mean.low:.1f} to {100 * mean.high:.1f}"
        rows.append([name, calls, f"{100 * mean.score:.1f}", interval])
    print_table(["set", "calls", f"score on {found.worth.n} held out", "95%"], rows)
    print()
    for one in found.worth.gains:
        gain = round(100 * one.gain, 1) or 0.0  # never -0.0
        print(f"{one.verdict.capitalize()}: {gain:+.1f} points ({100 * one.low:.1f} to {100 * one.high:.1f})")
    print(f"On the {found.asked} questions that it was chosen by it scored {100 * found.seen:.1f}.")
    if not found.is_whole:
        more = "no more may stand together" if found.budget is None else "calls ran out, and a larger --budget goes on"
        print(f"{len(found.added)} of {found.k} were found: {more}.")
    print("\nDemonstrations, the last next to the question:")
    for one in selected.demonstrations:
        prompt = one.prompt if isinstance(one.prompt, str) else one.prompt[-1].content
        print(f"  {shorten(prompt)!r} → {shorten(one.completion)!r}")
    if selected.out is not None:
        from fewfit.search.selecting import SET

        print(f"in {selected.out / SET}")
