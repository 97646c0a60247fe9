"""Every flag that commands share, once: its type, default, help, and how its text becomes a value.

    @takes("model", "shots", "json_")
    def command(data: str, **flags): ...

gives the command these options. `values(flags)` reads the texts and refuses what cannot be done, before anything is
loaded: a flag is never silently ignored.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from fewfit.errors import UserError
from fewfit.examples.text import shorten

REFUSAL = "Not supported: refused."  # known by name, so that a script learns why; not worth a line of --help
C = TypeVar("C", bound=Callable[..., Any])


@dataclass(frozen=True)
class Flag:
    """`shown` is the default as --help tells it; `read` makes a value of what was typed; `known` are all it may be."""

    kind: Any
    default: Any
    help: str
    panel: str
    shown: str | bool = True
    metavar: str | None = None
    names: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    read: Callable[[str, str], Any] | None = None

    def option(self, name: str) -> Any:
        spelled = self.names or (f"--{name.rstrip('_').replace('_', '-')}",)
        shown = f"  [default: {self.default if self.shown is True else self.shown}]"
        return typer.Option(
            *spelled,
            help=self.help + (shown if self.default is not False else ""),
            show_default=False,
            metavar=self.metavar or ("|".join(self.known) or None),
            hidden=REFUSAL in self.help,
            rich_help_panel=self.panel,
        )


# ---- reading ---------------------------------------------------------------------------------------------------------


def listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def names(text: str, flag: str) -> list[str]:
    found = listed(text)
    if not found:
        raise UserError(f"{flag} is empty", mend=f"leave {flag} out, or name one or more")
    return found


def numbers(text: str, flag: str) -> list[float]:
    return [_number(part, flag, float, "numbers such as 3e-4,1e-3") for part in names(text, flag)]


def counts(text: str, flag: str) -> list[int]:
    like = "whole numbers such as 4,8"
    if flag == "--shots" and "0" in listed(text):
        raise UserError(f"{flag} {text}", mend="prompts without demonstrations are the methods zero-shot and ft")
    return [_number(part, flag, int, like) for part in names(text, flag)]


def _number(text: str, flag: str, kind: Callable[[str], Any], like: str) -> Any:
    shown = f"{flag} {shorten(text)}"
    try:
        value = kind(text)
    except ValueError:
        raise UserError(shown, mend=f"give {like}") from None
    if not 0 < value < float("inf"):
        raise UserError(shown, mend="give numbers above 0")
    return value


def duration(text: str, flag: str) -> str:
    """Stays text; what is none is told here, before a model is loaded."""
    import re

    if not re.fullmatch(r"(\d+(\.\d+)?h)?(\d+(\.\d+)?m)?(\d+(\.\d+)?s?)?", text.strip()) or not text.strip():
        raise UserError(f"{flag} {text!r} is no duration", mend="write it like 90s, 10m or 1h30m")
    return text.strip()


def line_breaks(text: str, flag: str) -> str:
    return text.replace("\\n", "\n")


def template_kwargs(text: str, flag: str) -> dict[str, Any]:
    """JSON, or name=value,name=value with JSON values where they are some."""
    if text.lstrip().startswith("{"):
        try:
            return dict(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise UserError(f"{flag} is not JSON: {error}", mend='write {"enable_thinking": true}') from None
    found: dict[str, Any] = {}
    for part in listed(text):
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise UserError(f"{flag}: {part!r} is no name=value", mend="write enable_thinking=true")
        try:
            found[name.strip()] = json.loads(value)
        except (ValueError, RecursionError):
            found[name.strip()] = value.strip()
    return found


# ---- the table -------------------------------------------------------------------------------------------------------

GRID, MODEL, SCORE, PROMPT, DATA, RUN = "Lanes", "Model", "Scores", "Prompts", "Data", "Run"

FLAGS: dict[str, Flag] = {
    "model": Flag(
        list[str] | None, None, "A Hugging Face name, a folder, a GGUF file, or one that needs no network: lab (a "
        "bundled toy), smollm2, gemma3-270m (see `fewfit models`). Repeat it to compare several in one grid.", MODEL,
        shown="none; it has to be named", metavar="NAME|FOLDER|FILE.gguf|lab",
    ),
    "revision": Flag(str | None, None, "Branch, tag or commit of a Hugging Face model.", MODEL, shown="its newest"),
    "base_url": Flag(
        str | None, None, "A model behind an OpenAI-compatible endpoint. Not supported: refused.", MODEL, shown="none",
        metavar="URL",
    ),
    "device": Flag(str, "auto", "auto takes a GPU where there is one.", MODEL, metavar="auto|cpu|cuda|mps"),
    "dtype": Flag(
        str, "auto", "auto: bfloat16 on CUDA, and on a CPU where that is measured to be faster; else float32.", MODEL,
        known=("auto", "float32", "bfloat16", "float16", "float64"),
    ),
    "quantize": Flag(str | None, None, "4-bit base weights (CUDA).", MODEL, shown="no", known=("nf4",)),
    "preset": Flag(
        str, "quick", "The grid to begin from; flags below change it.", GRID, known=("quick", "thorough", "paper")
    ),
    "methods": Flag(
        str | None, None, "Which kinds run.", GRID, shown="zero-shot,icl,ft,icl+ft", metavar="zero-shot,icl,ft,icl+ft",
        read=names,
    ),
    "shots": Flag(
        str | None, None, "Demonstrations in the prompt, for icl and icl+ft.", GRID, shown="quick: 4,8", metavar="K,K",
        read=counts,
    ),
    "lr": Flag(
        str | None, None, "Learning rates, for ft and icl+ft.", GRID, shown="quick: 3e-4,1e-3", metavar="RATE,RATE",
        read=numbers,
    ),
    "updates": Flag(
        str | None, None, "Gradient updates per new example, for ft and icl+ft.", GRID, shown="quick: 1,5",
        metavar="E,E", read=counts,
    ),
    "rank": Flag(int | None, None, "Rank of the LoRA adapters; alpha is twice that.", GRID, shown="8", metavar="R"),
    "tune": Flag(
        str | None, None, "Train adapters, or all weights.", GRID, shown="lora; preset paper: full",
        known=("lora", "full"),
    ),
    "optimizer": Flag(
        str | None, None, "What makes the updates.", GRID, shown="adamw; preset paper: adafactor",
        known=("adamw", "adafactor"),
    ),
    "loss": Flag(
        str | None, None, "Which answers of a sequence carry loss.", GRID, shown="every-answer",
        known=("every-answer", "last-answer"),
    ),
    "replay": Flag(
        str | None, None, "Which earlier examples updates 2, 3, … train on.", GRID,
        shown="balanced; preset paper: newest", known=("balanced", "uniform", "newest"),
    ),
    "layers": Flag(
        str | None, None, "Which layers carry adapters.", GRID, shown="all", known=("all", "upper-half")
    ),
    "augment": Flag(
        str | None, None, "Learn from in-context inferences too. Not supported: refused.", GRID, shown="none",
        metavar="local,global",
    ),
    "seeds": Flag(
        int | None, None, "Seeds 0 to N-1, each an order of the examples of its own.", GRID, shown="1; preset paper: 5",
        metavar="N",
    ),
    "budget": Flag(
        str | None, None, "The quick grid is cut to what fits into it; one that you give first halves the field on the "
        "way, without the promise of --race. A grid that was spelled out is left alone.", GRID,
        shown="10m", metavar="10m", read=duration,
    ),
    "race": Flag(
        bool, True, "Lanes surely behind leave early (a would-be winner in at most 5 of 100 runs).", GRID,
        shown="--race", names=("--race/--no-race",),
    ),
    "metric": Flag(
        str, "auto", "auto: choice where answers are labels, else match.", SCORE,
        metavar="auto|choice|match|exact|contains|token-f1|rouge-l|chrf|json|regex:…",
    ),
    "choices": Flag(
        str, "auto", "The labels: found, none, spelled out, or one a line in a file.", SCORE,
        metavar="auto|none|a,b|@file",
    ),
    "answers": Flag(
        str, "one", "How many right answers a row has. Only one is supported.", SCORE, known=("one", "any", "set")
    ),
    "answer_pattern": Flag(
        list[str] | None, None, "Regular expression that picks the answer out of the text, tried in turn (`paper` is a "
        "preset). Repeat it.", SCORE, shown="none", metavar="REGEX",
    ),
    "select": Flag(
        str, "z23", "What lanes are chosen by: the last two thirds of the stream, accuracy or likelihood.", SCORE,
        known=("z23", "accuracy", "nll"),
    ),
    "test": Flag(
        str | None, None, "A file of further examples: judges the best lane of every kind.", SCORE, shown="none",
        metavar="FILE",
    ),
    "instruction": Flag(
        str | None, None, "What stands before everything.", PROMPT, shown="with labels, one line that lists them"
    ),
    "no_instruction": Flag(bool, False, "Bare prompts, no labels listed.", PROMPT, names=("--no-instruction",)),
    "system": Flag(str | None, None, "The system turn of chat prompts.", PROMPT, shown="none"),
    "template": Flag(
        str | None, None, r"One item of a prompt without chat; \n is a line break.", PROMPT,
        shown=r"Input: {prompt}\nOutput: {completion}", read=line_breaks,
    ),
    "chat": Flag(str, "auto", "Use the tokenizer's chat template.", PROMPT, known=("auto", "on", "off")),
    "chat_template_kwargs": Flag(
        str | None, None, "For the chat template, as name=value,… or JSON.", PROMPT,
        shown="enable_thinking=false where it is known", metavar="NAME=VALUE", read=template_kwargs,
    ),
    "max_length": Flag(
        int | None, None, "Tokens of a sequence; longer prompts lose demonstrations.", PROMPT, shown="the model's",
        metavar="TOKENS",
    ),
    "input": Flag(str | None, None, "The column of the prompt.", DATA, shown="by its usual names", metavar="COL"),
    "output": Flag(str | None, None, "The column of the answer.", DATA, shown="by its usual names", metavar="COL"),
    "labels": Flag(
        str | None, None, "What the values of the answer column mean.", DATA, shown="themselves",
        metavar="0=negative,1=positive",
    ),
    "order": Flag(str, "shuffle", "file: as the rows stand, for time series.", DATA, known=("shuffle", "file")),
    "skip_bad": Flag(bool, False, "Leave bad rows out.", DATA, names=("--skip-bad",)),
    "keep_duplicates": Flag(bool, False, "Keep rows that are exactly the same.", DATA, names=("--keep-duplicates",)),
    "probe": Flag(
        str | None, None, "Questions that measure what was learnt from documents. Not supported: refused.", DATA,
        shown="none", metavar="FILE",
    ),
    "final": Flag(
        str, "stream", "refit trains the winner afresh, in i.i.d. order, on all examples.", RUN,
        known=("stream", "refit"),
    ),
    "out": Flag(str | None, None, "Where the run is written.", RUN, shown="runs/<data>-<model>-<time>", metavar="DIR"),
    "watch": Flag(
        bool, False, "A page that follows the run. Not supported: refused.", RUN, names=("--watch",)
    ),
    "quiet": Flag(bool, False, "No progress on stderr.", RUN, names=("--quiet", "-q")),
    "json_": Flag(bool, False, "One line of JSON on stdout.", RUN, names=("--json",)),
    "yes": Flag(bool, False, "Never ask.", RUN, names=("--yes", "-y")),
}  # fmt: skip

MODELS = ("model", "revision", "base_url", "device", "dtype", "quantize")
LANES = (
    "preset", "methods", "shots", "lr", "updates", "rank", "tune", "optimizer", "loss", "replay", "layers", "augment",
    "seeds", "budget", "race",
)  # fmt: skip
SCORES = ("metric", "choices", "answers", "answer_pattern", "select", "test")
PROMPTS = ("instruction", "no_instruction", "system", "template", "chat", "chat_template_kwargs", "max_length")
ROWS = ("input", "output", "labels", "order", "skip_bad", "keep_duplicates", "probe")

# (flag, whether what was given is refused, what is said, the mend)
REFUSED: tuple[tuple[str, Callable[[Any], bool], str, str], ...] = (
    ("base_url", bool, "models behind an endpoint are not supported", "name a folder or a Hugging Face model: --model"),
    ("augment", bool, "learning from in-context inferences is not supported", "leave it out: examples alone are used"),
    (
        "answers", lambda v: v != "one", "rows with several right answers are not supported",
        "give one answer a row, or take a metric such as token-f1 or regex:…",
    ),
    ("probe", bool, "documents are not supported", "give prompts and answers, and measure with --test FILE"),
    ("watch", bool, "a page that follows the run is not supported", "the table on the terminal follows it"),
)  # fmt: skip


def takes(*wanted: str, **defaults: Any) -> Callable[[C], C]:
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
                default=defaults.get(name, FLAGS[name].default),
                annotation=Annotated[FLAGS[name].kind, FLAGS[name].option(name)],
            )
            for name in wanted
        ]
        signature = own.replace(parameters=[*kept, *added], return_annotation=None)
        command.__signature__ = signature  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
        return command

    return give


def spelled(name: str) -> str:
    flag = FLAGS[name]
    return flag.names[0].split("/")[0] if flag.names else f"--{name.replace('_', '-')}"


def values(flags: dict[str, Any]) -> dict[str, Any]:
    """What was typed as what `fewfit.fit` takes; flags of the terminal (json, quiet, yes, watch) are left out."""
    for name, refused, what, mend in REFUSED:
        if name in flags and flags[name] is not None and refused(flags[name]):
            raise UserError(what, where=spelled(name), mend=mend)
    out = {}
    for name, given in flags.items():
        flag = FLAGS[name]
        refuse_odd(given, spelled(name))
        if given is not None and flag.known and given not in flag.known:
            raise UserError(f"{spelled(name)} {given}", mend=f"choose among {', '.join(flag.known)}")
        out[name] = flag.read(given, spelled(name)) if flag.read and given is not None else given
    for name in ("json_", "quiet", "yes", "watch", "augment", "probe", "answers"):
        out.pop(name, None)
    if "model" in out:
        out["model"] = models(out["model"])
    if "answer_pattern" in out:
        out["answer_pattern"] = tuple(out["answer_pattern"] or ())
    return out


def refuse_odd(given: Any, flag: str) -> None:
    """What comes in by bytes and is no text."""
    for text in given if isinstance(given, list | tuple) else (given,):
        if isinstance(text, str) and ("\0" in text or text != text.encode(errors="replace").decode()):
            kind = "a NUL character" if "\0" in text else "bytes that are no UTF-8"
            raise UserError(f"{flag} holds {kind}", mend="write it in UTF-8")


def models(given: Sequence[str] | None) -> str | list[str]:
    if not given:
        raise UserError(
            "no model",
            mend="name one: --model lab (bundled toy, offline), smollm2, a folder, a GGUF file, or a Hugging Face name "
            "such as --model Qwen/Qwen3-0.6B; fewfit models lists those found without a network",
        )
    return given[0] if len(given) == 1 else list(given)
