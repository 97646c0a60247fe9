"""Every flag that commands share, once: its type, default, help, and how its text becomes a value.

    @takes("model", "shots", "json_")
    def command(data: str, **flags): ...

gives the command these options. `values(flags)` reads the texts and refuses what cannot be done, before anything is
loaded: a flag is never silently ignored.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from fewfit.demonstrations import CHOOSERS
from fewfit.errors import UserError
from fewfit.examples.text import shorten
from fewfit.grid import AUTO, KINDS, TTT
from fewfit.metrics import NAMED
from fewfit.settings import ALL_SHOTS, DEFAULTS, LIMITS, OPTIONS, TYPES, seconds

C = TypeVar("C", bound=Callable[..., Any])


@dataclass(frozen=True)
class Flag:
    """How a setting is shown and read; its type, default and what it may be are those of `Settings`. `shown` is the
    default as --help tells it; `read` makes a value of what was typed. What is the terminal's alone is a `switch`."""

    help: str
    panel: str
    shown: str | bool = True
    metavar: str | None = None
    names: tuple[str, ...] = ()
    read: Callable[[str, str], Any] | None = None
    switch: bool = False
    repeated: bool = False

    def default(self, name: str) -> Any:
        return False if self.switch else DEFAULTS[name] if not self.repeated else None

    def kind(self, name: str) -> Any:
        """As it is typed."""
        if self.switch or TYPES[name] is bool:
            return bool
        if TYPES[name] == bool | None:
            return bool | None
        if self.repeated:
            return list[str] | None
        if TYPES[name] == int | None:
            return int | None
        return str if isinstance(DEFAULTS[name], str) else str | None

    def option(self, name: str) -> Any:
        default = self.default(name)
        shown = f"  [default: {default if self.shown is True else self.shown}]"
        return typer.Option(
            *(self.names or (spelled(name),)),
            help=self.help + (shown if default is not False else ""),
            show_default=False,
            metavar=self.metavar or ("|".join(OPTIONS.get(name, ())) or None),
            rich_help_panel=self.panel,
        )


# ---- reading ---------------------------------------------------------------------------------------------------------


def listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def names(text: str, flag: str) -> list[str]:
    found = listed(text)
    if not found:
        raise UserError(f"{flag} is empty", hint=f"leave {flag} out, or name one or more")
    return found


def numbers(text: str, flag: str) -> list[float]:
    return [_number(part, flag, float, "numbers such as 3e-4,1e-3") for part in names(text, flag)]


def shots(text: str, flag: str) -> list[int] | str:
    return AUTO if text.strip() == AUTO else counts(text, flag)


def counts(text: str, flag: str) -> list[int]:
    like = "whole numbers such as 4,8"
    if flag == "--shots" and "0" in listed(text):
        raise UserError(f"{flag} {text}", hint="prompts without demonstrations are the methods zero-shot and ft")
    every = {"all": ALL_SHOTS} if flag == "--shots" else {}
    return [every.get(part) or _number(part, flag, int, like) for part in names(text, flag)]


def _number(text: str, flag: str, kind: Callable[[str], Any], like: str) -> Any:
    shown = f"{flag} {shorten(text)}"
    try:
        value = kind(text)
    except ValueError:
        raise UserError(shown, hint=f"give {like}") from None
    if not 0 < value < float("inf"):
        raise UserError(shown, hint="give numbers above 0")
    return value


def duration(text: str, flag: str) -> str:
    """Stays text, as run.json keeps it; what is none is told here."""
    seconds(text)
    return text.strip()


def line_breaks(text: str, flag: str) -> str:
    return text.replace("\\n", "\n")


def template_kwargs(text: str, flag: str) -> dict[str, Any]:
    """JSON, or name=value,name=value with JSON values where they are some."""
    if text.lstrip().startswith("{"):
        try:
            return dict(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise UserError(f"{flag} is not JSON: {error}", hint='write {"enable_thinking": true}') from None
    found: dict[str, Any] = {}
    for part in listed(text):
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise UserError(f"{flag}: {part!r} is no name=value", hint="write enable_thinking=true")
        try:
            found[name.strip()] = json.loads(value)
        except (ValueError, RecursionError):
            found[name.strip()] = value.strip()
    return found


# ---- the table -------------------------------------------------------------------------------------------------------

GRID, MODEL, SCORE, PROMPT, DATA, RUN = "Lanes", "Model", "Scores", "Prompts", "Data", "Run"

FLAGS: dict[str, Flag] = {
    "model": Flag(
        "A Hugging Face name, a folder, a GGUF file, or a model that is installed as a package: smollm2, gemma3-270m, "
        "lab (a toy); `fewfit models` lists them. Repeat the flag to compare several in one grid.", MODEL,
        shown="none: it has to be given", metavar="NAME|FOLDER|FILE.gguf|lab", repeated=True,
    ),
    "revision": Flag("Branch, tag or commit of a Hugging Face model.", MODEL, shown="its newest"),
    "device": Flag("auto takes a GPU where there is one.", MODEL, metavar="auto|cpu|cuda|mps"),
    "dtype": Flag("auto: bfloat16 on CUDA and on CPUs where it is measured to be faster, else float32.", MODEL),
    "quantize": Flag("4-bit base weights (CUDA).", MODEL, shown="no"),
    "base_url": Flag(
        "The model is one of this OpenAI-compatible endpoint: it is prompted, not tuned. The key is taken from "
        "FEWFIT_API_KEY, for OpenAI itself also from OPENAI_API_KEY.", MODEL, shown="none: the model runs here",
        metavar="URL",
    ),
    "concurrency": Flag("Requests at once, to an endpoint.", MODEL, shown="4", metavar="N"),
    "max_calls": Flag(
        "Requests to an endpoint before the run stops; resume goes on with as many again.", MODEL, shown="no limit",
        metavar="N",
    ),
    "max_tokens": Flag(
        "Tokens that an endpoint reads and writes before the run stops; resume goes on with as many again.", MODEL,
        shown="no limit", metavar="N",
    ),
    "preset": Flag("The grid to begin from; flags below change it.", GRID),
    "methods": Flag(
        "Which kinds of lanes are compared. ttt, test-time training: icl+ft in which each example in turn is left out "
        "and asked behind all others.", GRID, shown=f"{','.join(KINDS)}; preset ttt: ttt, too",
        metavar=",".join((*KINDS, TTT)), read=names,
    ),
    "shots": Flag(
        "Demonstrations in the prompt, for icl and icl+ft. auto: icl with 1 to 16, icl+ft with as many as make answers "
        "of the first examples likeliest before anything is trained.", GRID, shown="quick: 4,8", metavar="K,K|auto",
        read=shots,
    ),
    "lr": Flag("Learning rates, for ft and icl+ft.", GRID, shown="quick: 3e-4,1e-3", metavar="RATE,RATE", read=numbers),
    "updates": Flag(
        "Gradient updates per new example, for ft and icl+ft; of documents, how often each is seen.", GRID,
        shown="quick: 1,5; documents: 8",
        metavar="E,E", read=counts,
    ),
    "rank": Flag("Rank of the LoRA adapters; alpha is twice that.", GRID, shown="8", metavar="R"),
    "tune": Flag("Train adapters, or all weights.", GRID, shown="lora; preset paper: full"),
    "optimizer": Flag("The optimizer.", GRID, shown="adamw; preset paper: adafactor"),
    "loss": Flag(
        "Whether the demonstrations' answers are trained on too, or the last answer alone.", GRID,
        shown="every-answer",
    ),
    "replay": Flag("Which earlier examples updates 2, 3, … train on.", GRID, shown="balanced; preset paper: newest"),
    "layers": Flag("Which layers carry adapters.", GRID, shown="all"),
    "augment": Flag(
        "Lanes that train on the model's own inferences, too, beside those without: from each example by itself "
        "(local), from all examples so far (global), from both (local+global).", GRID,
        shown="none", metavar="local,global,local+global", read=names,
    ),
    "augment_with": Flag("Who infers: another model.", GRID, shown="the model itself", metavar="NAME"),
    "augment_url": Flag("The endpoint that serves it.", GRID, shown="none", metavar="URL"),
    "demonstrations": Flag(
        "Which earlier examples stand in a prompt: any (random), as many of each answer as can be (balanced), those "
        "most like the query (similar), half of them like it (mixed), or one set for all, searched for by the "
        "likelihood of other answers (searched).", GRID,
        shown="random", metavar="|".join(CHOOSERS), names=("--demos",),
    ),
    "deliver": Flag(
        "Demonstrations at use: the likeliest of 8 sets for all queries (fixed), one of 16 draws for each (per-query), "
        "or the answers behind m draws averaged (ensemble:m).", GRID, shown="fixed for icl, per-query for icl+ft",
        metavar="per-query|fixed|ensemble:m",
    ),
    "seeds": Flag(
        "Seeds 0 to N-1, each an order of the examples of its own.", GRID, shown="1; preset paper: 5",
        metavar="N",
    ),
    "budget": Flag(
        "How long the run may take, roughly. The quick grid is cut to fit; where the budget is given by hand and the "
        "grid is still too large, the worse half of the lanes is dropped on the way. Lanes chosen by --shots, --lr … "
        "are never cut.", GRID,
        shown="10m", metavar="10m", read=duration,
    ),
    "race": Flag(
        "Drop lanes early that are clearly behind. In at most 5 of 100 runs the lane that would have won is among "
        "them.", GRID,
        shown="--race from 30 examples on", names=("--race/--no-race",),
    ),
    "metric": Flag(
        "auto: choice where answers are labels, else match.", SCORE,
        metavar="|".join(("auto", *NAMED, "regex:…")),
    ),
    "choices": Flag(
        "The labels to choose among: found in the data, none (free text), a list, or a file of one a line.", SCORE,
        metavar="auto|none|a,b|@file",
    ),
    "answer_pattern": Flag(
        "Regular expression that picks the answer out of the text, tried in turn (`paper` is a "
        "preset). Repeat it.", SCORE, shown="none", metavar="REGEX", repeated=True,
    ),
    "select": Flag(
        "How the best lane is chosen: by score and likelihood over the last two thirds (z23), or by one of the two "
        "alone.", SCORE,
    ),
    "test": Flag(
        "Further examples, which the best lane of every kind is tested on.", SCORE, shown="none",
        metavar="FILE",
    ),
    "probe": Flag(
        "Where DATA are documents (rows of `text`): the questions that measure what is learnt from them.", SCORE,
        shown="none", metavar="FILE",
    ),
    "instruction": Flag(
        r"The first paragraph of every prompt; \n is a line break.", PROMPT,
        shown="where there are labels, a line that lists them", read=line_breaks,
    ),
    "no_instruction": Flag("No instruction, not even the list of labels.", PROMPT),
    "system": Flag(r"The system turn of chat prompts; \n is a line break.", PROMPT, shown="none", read=line_breaks),
    "template": Flag(
        r"How an example is written where no chat template is used; \n is a line break.", PROMPT,
        shown=r"Input: {prompt}\nOutput: {completion}", read=line_breaks,
    ),
    "chat": Flag("Use the tokenizer's chat template.", PROMPT),
    "chat_template_kwargs": Flag(
        "For the chat template, as name=value,… or JSON.", PROMPT,
        shown="enable_thinking=false where it is known", metavar="NAME=VALUE", read=template_kwargs,
    ),
    "max_length": Flag(
        "Tokens of a sequence; longer prompts lose demonstrations.", PROMPT, shown="the model's",
        metavar="TOKENS",
    ),
    "input": Flag("The column of the prompt.", DATA, shown="by its usual names", metavar="COL"),
    "output": Flag("The column of the answer.", DATA, shown="by its usual names", metavar="COL"),
    "labels": Flag(
        "Names for the values of the answer column.", DATA, shown="themselves",
        metavar="0=negative,1=positive",
    ),
    "order": Flag("file keeps the order of the rows, as time series need it.", DATA),
    "skip_bad": Flag("Leave bad rows out.", DATA),
    "keep_duplicates": Flag("Keep rows that are exactly the same.", DATA),
    "final": Flag(
        "What is delivered: the weights at the end of the stream, or (refit) trained again from scratch on all "
        "examples, shuffled.", RUN,
    ),
    "out": Flag("Where the run is written.", RUN, shown="runs/<data>-<model>-<time>", metavar="DIR"),
    "no_text": Flag("Leave the examples, and what was answered to them, out of the report and the live page.", RUN),
    "quiet": Flag("No progress on stderr.", RUN, names=("--quiet", "-q"), switch=True),
    "json_": Flag("One line of JSON on stdout.", RUN, switch=True),
    "yes": Flag("Accepted for scripts; nothing is ever asked.", RUN, names=("--yes", "-y"), switch=True),
}  # fmt: skip

ESCAPED = tuple(name for name, flag in FLAGS.items() if flag.read is line_breaks)
MODELS = ("model", "revision", "device", "dtype", "quantize")
ENDPOINTS = ("base_url", *LIMITS)
LANES = (
    "preset", "methods", "shots", "lr", "updates", "rank", "tune", "optimizer", "loss", "replay", "layers",
    "augment", "augment_with", "augment_url", "demonstrations", "deliver", "seeds", "budget", "race",
)  # fmt: skip
SCORES = ("metric", "choices", "answer_pattern", "select", "test", "probe")
PROMPTS = ("instruction", "no_instruction", "system", "template", "chat", "chat_template_kwargs", "max_length")
ROWS = ("input", "output", "labels", "order", "skip_bad", "keep_duplicates")


def takes(*wanted: str) -> Callable[[C], C]:
    """Gives a command with **flags these options, behind its own parameters, for typer to see."""

    def give(command: C) -> C:
        own = inspect.signature(command)
        hints = get_type_hints(command, include_extras=True)
        named = [p for p in own.parameters.values() if p.kind != p.VAR_KEYWORD]
        kept = [p.replace(annotation=hints.get(p.name, Any)) for p in named]
        added = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=FLAGS[name].default(name),
                annotation=Annotated[FLAGS[name].kind(name), FLAGS[name].option(name)],
            )
            for name in wanted
        ]
        signature = own.replace(parameters=[*kept, *added], return_annotation=None)
        command.__signature__ = signature  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
        return command

    return give


def spelled(name: str) -> str:
    known = FLAGS[name].names
    return known[0].split("/")[0] if known else f"--{name.rstrip('_').replace('_', '-')}"


def values(flags: dict[str, Any]) -> dict[str, Any]:
    """What was typed as settings; flags of the terminal (json, quiet, yes) are left out."""
    out = {}
    for name, given in flags.items():
        flag = FLAGS[name]
        if flag.switch:
            continue
        refuse_odd(given, spelled(name))
        if flag.repeated:
            given = tuple(given or ())
        out[name] = flag.read(given, spelled(name)) if flag.read and given is not None else given
    if "model" in out:
        out["model"] = out["model"][0] if len(out["model"]) == 1 else out["model"]
    return out


def refuse_odd(given: Any, flag: str) -> None:
    """What comes in by bytes and is no text."""
    for text in given if isinstance(given, list | tuple) else (given,):
        if isinstance(text, str) and ("\0" in text or text != text.encode(errors="replace").decode()):
            kind = "a NUL character" if "\0" in text else "bytes that are no UTF-8"
            raise UserError(f"{flag} holds {kind}", hint="write it in UTF-8")
