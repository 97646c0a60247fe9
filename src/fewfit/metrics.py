"""How a prediction is scored: a name or a function of one's own, always a number in [0, 1].

`needs` says what the engine has to supply:

    choices    the arg-max among the row's choices
    teacher    one forward over the right answer: a hit, or the text up to the first wrong token
    text       greedy text up to the end mark. A teacher-forced hit is that text already, so only misses are generated.
"""

from __future__ import annotations

import json
import math
import re
import signal
import string
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from fewfit.errors import UserError
from fewfit.examples.example import Example

PATTERN_SECONDS = 2.0
OWN = "own:"  # before the name of a function of the user's: it must not be taken for one of ours

Needs = Literal["choices", "teacher", "text"]
Score = Callable[[str, Example, Sequence[str] | None], float]

# arXiv 2512.19879, section 4: tried in turn, the first that matches counts. The stars are the text's own.
PAPER_PATTERNS = (r"Answer: (.+)", r"The answer is (.+)", r"\*\*(.+)\*\*", r"(.+)")
PATTERN_PRESETS: dict[str, tuple[str, ...]] = {"paper": PAPER_PATTERNS}


@dataclass(frozen=True)
class Metric:
    name: str
    needs: Needs
    how: Score

    def score(self, prediction: str, example: Example, choices: Sequence[str] | None = None) -> float:
        value = self.how(prediction, example, choices)
        number = float(value) if isinstance(value, (int, float)) or hasattr(value, "__float__") else math.nan
        if not 0.0 <= number <= 1.0:
            raise UserError(
                f"metric {self.name} gave {value!r}", where=f"example {example.id}", mend="a score lies in [0, 1]"
            )
        return number


def metric(wanted: str | Metric | Callable[[str, Example], Any], *, answer_patterns: Sequence[str] = ()) -> Metric:
    """The metric of that name, or a function f(prediction, example) of one's own."""
    if isinstance(wanted, Metric):
        return wanted
    patterns = compiled(answer_patterns)
    if not isinstance(wanted, str):
        if patterns:
            raise UserError("answer patterns with a function of your own", mend="they belong to --metric match")
        return own(wanted)
    if patterns and wanted != "match":
        raise UserError(f"answer patterns with metric {wanted!r}", mend="they belong to --metric match")
    if wanted.startswith("regex:"):
        return Metric(wanted, "text", regex(wanted.removeprefix("regex:")))
    if wanted == "match":
        return Metric(wanted, "text", lambda prediction, example, _: match(prediction, example.completion, patterns))
    if wanted in SIMPLE:
        needs, function = SIMPLE[wanted]
        return Metric(wanted, needs, lambda prediction, example, _: function(prediction, example.completion))
    if wanted.startswith(OWN):
        name = wanted.removeprefix(OWN)
        raise UserError(
            f"scored by a function of your own, {name!r}", mend=f"hand it in again: fewfit.resume(RUN, metric={name})"
        )
    raise UserError(f"unknown metric {wanted!r}", mend=f"one of: auto, {', '.join(NAMES)}")


def auto(dataset: Any) -> str:
    """What `auto` resolves to: `choice` where the data have choices, else `match`. Takes a data set or its examples."""
    examples = getattr(dataset, "examples", dataset)
    if getattr(dataset, "choices", None) or any(example.choices for example in examples):
        return "choice"
    return "match"


def own(function: Callable[[str, Example], Any]) -> Metric:
    if not callable(function):
        raise UserError(
            f"a metric of type {type(function).__name__}", mend="give a name or a function f(prediction, example)"
        )
    name = getattr(function, "__name__", type(function).__name__).strip("<>")
    return Metric(OWN + name, "text", lambda prediction, example, _: function(prediction, example))


# ---- the text that counts ----------------------------------------------------------------------------------------


def folded(text: str) -> str:
    """Trimmed, every run of white space one space."""
    return " ".join(text.split())


def compiled(answer_patterns: Sequence[str]) -> tuple[re.Pattern[str], ...]:
    """Presets expanded, each pattern checked."""
    out = []
    for given in (answer_patterns,) if isinstance(answer_patterns, str) else answer_patterns:
        for pattern in PATTERN_PRESETS.get(given, (given,)):
            out.append(checked(pattern, "answer pattern"))
    return tuple(out)


def checked(pattern: str, what: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise UserError(f"{what} {shortened(pattern)} is no regular expression: {error}", mend="mend it") from None


@contextmanager
def a_while(pattern: str) -> Iterator[None]:
    """Ends a search that would not: nested repetitions, as in (a+)+$, take a time exponential in the text.

    By an alarm, which Python's matcher heeds and which only the main thread can set (a run scores there); elsewhere,
    and on Windows, the search goes on until it ends.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: object) -> None:
        raise UserError(
            f"the pattern {shortened(pattern)} searches a text for more than {PATTERN_SECONDS:g} seconds",
            mend="write it without a repetition inside a repetition",
        )

    before = signal.signal(signal.SIGALRM, ring)
    left, interval = signal.setitimer(signal.ITIMER_REAL, PATTERN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left, interval)  # one that somebody else had set goes on, a little late
        signal.signal(signal.SIGALRM, before)


def answer_in(text: str, patterns: Sequence[re.Pattern[str]]) -> str:
    """What the first pattern that matches picks out (its group 1, or all of the match), else the whole text."""
    text = text.strip()  # not folded yet: `.` ends at a line's end, and the paper's last pattern takes the first line
    for pattern in patterns:
        with a_while(pattern.pattern):
            found = pattern.search(text)
        if found:
            return folded(found.group(1 if pattern.groups else 0) or "")
    return folded(text)


# ---- the metrics -------------------------------------------------------------------------------------------------


def match(prediction: str, answer: str, patterns: Sequence[re.Pattern[str]] = ()) -> float:
    return float(answer_in(prediction, patterns) == answer_in(answer, patterns))


def exact(prediction: str, answer: str) -> float:
    """On text; the engine takes the teacher-forced hit itself. Edges are trimmed, as chat templates trim them."""
    return float(prediction.strip() == answer.strip())


def contains(prediction: str, answer: str) -> float:
    """The answer stands in the prediction, as whole words: "no" is not in "I know"."""
    wanted = folded(answer)
    before = r"(?<!\w)" if wanted[:1].isalnum() else ""
    after = r"(?!\w)" if wanted[-1:].isalnum() else ""
    return float(re.search(before + re.escape(wanted) + after, folded(prediction)) is not None)


ARTICLES = re.compile(r"\b(a|an|the)\b")


def token_f1(prediction: str, answer: str) -> float:
    """SQuAD's F1: lower case, no punctuation, no English articles, words by white space."""
    got, wanted = squad_words(prediction), squad_words(answer)
    if not got or not wanted:  # nothing but punctuation or articles: then those are what counts
        return float(folded(prediction) == folded(answer))
    return f_score(sum((Counter(got) & Counter(wanted)).values()), len(got), len(wanted))


def squad_words(text: str) -> list[str]:
    bare = "".join(c for c in text.lower() if c not in string.punctuation)
    return ARTICLES.sub(" ", bare).split()


def rouge_l(prediction: str, answer: str) -> float:
    """F1 of the longest common subsequence of words, lower case, no stemming.

    Words are runs of letters and digits of any script (the usual implementation keeps a-z and 0-9 only).
    """
    got, wanted = re.findall(r"[^\W_]+", prediction.lower()), re.findall(r"[^\W_]+", answer.lower())
    if not got or not wanted:
        return float(folded(prediction) == folded(answer))
    return f_score(common_subsequence(got, wanted), len(got), len(wanted))


def common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    lengths = [0] * (len(b) + 1)
    for x in a:
        diagonal = 0
        for j, y in enumerate(b, 1):
            diagonal, lengths[j] = lengths[j], diagonal + 1 if x == y else max(lengths[j], lengths[j - 1])
    return lengths[-1]


def f_score(hits: float, got: int, wanted: int) -> float:
    return 2 * hits / (got + wanted)


def chrf(prediction: str, answer: str, *, order: int = 6, beta: float = 2.0) -> float:
    """chrF2 of one sentence (Popović 2015): F of the mean precision and recall of character n-grams, spaces left out.

    Orders longer than either text do not count, as in sacreBLEU.
    """
    got, wanted = "".join(prediction.split()), "".join(answer.split())
    if not wanted:
        return float(not got)
    precisions, recalls = [], []
    for n in range(1, order + 1):
        mine, theirs = ngrams(got, n), ngrams(wanted, n)
        if mine and theirs:
            hits = sum((mine & theirs).values())
            precisions.append(hits / mine.total())
            recalls.append(hits / theirs.total())
    if not any(precisions):
        return 0.0
    precision, recall = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    return min(1.0, (1 + beta**2) * precision * recall / (beta**2 * precision + recall))


def ngrams(text: str, n: int) -> Counter[str]:
    return Counter(text[i : i + n] for i in range(len(text) - n + 1))


FENCE = re.compile(r"```(?:json)?\s*\n(.*?)\n?\s*```", re.DOTALL)
NOT_JSON = object()


def json_equal(prediction: str, answer: str) -> float:
    """Both parsed: order of keys, white space and 1 against 1.0 do not matter. A code fence around it is taken off."""
    wanted = parsed(answer)
    if wanted is NOT_JSON:
        raise UserError(f"metric json: the answer {shortened(answer)} is no JSON", mend="mend the row, or take match")
    return float(same_value(parsed(prediction), wanted))


def parsed(text: str) -> Any:
    fenced = FENCE.fullmatch(text.strip())
    try:
        return json.loads(fenced.group(1) if fenced else text, parse_constant=no_constant)
    except (ValueError, RecursionError):
        return NOT_JSON


def no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def same_value(a: Any, b: Any) -> bool:
    if isinstance(a, bool) or isinstance(b, bool):  # Python holds True and 1 equal
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same_value(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same_value(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def shortened(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "…")


def regex(pattern: str) -> Score:
    """The trimmed prediction matches the whole pattern; `{answer}` in it stands for the row's answer, literally."""
    checked(pattern.replace("{answer}", "x"), "--metric regex:")

    def how(prediction: str, example: Example, choices: Sequence[str] | None) -> float:
        full = pattern.replace("{answer}", re.escape(example.completion.strip()))
        with a_while(pattern):
            return float(re.fullmatch(full, prediction.strip()) is not None)

    return how


def choice(prediction: str, answer: str) -> float:
    return float(prediction.strip() == answer.strip())


SIMPLE: dict[str, tuple[Needs, Callable[[str, str], float]]] = {
    "choice": ("choices", choice),
    "exact": ("teacher", exact),
    "contains": ("text", contains),
    "token-f1": ("text", token_f1),
    "rouge-l": ("text", rouge_l),
    "chrf": ("text", chrf),
    "json": ("text", json_equal),
}
NAMES = ("choice", "match", "exact", "contains", "token-f1", "rouge-l", "chrf", "json", "regex:PATTERN", "a function")
