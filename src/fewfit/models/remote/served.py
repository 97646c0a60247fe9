"""A model behind an endpoint as a run has it: what it can be asked is found out once, before anything is paid for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fewfit.errors import UserError
from fewfit.examples.example import Message
from fewfit.metrics import Metric, metric
from fewfit.models.local import Loaded, ModelRef
from fewfit.models.remote.budget import Budget
from fewfit.models.remote.endpoint import Endpoint
from fewfit.models.remote.exchange import Completion, Echoed, Request
from fewfit.models.remote.tokens import byte_tokenizer
from fewfit.models.remote.trouble import NOT_THERE, REFUSED

PROBE = "2 + 2 ="
# Of several tokens under any tokenizer, the last of them surely not the likeliest.
PROOF, ANSWER = "Monday Tuesday Wednesday", " Thursday Friday green cloud"


NO_LIKELIHOOD = "the endpoint tells no likelihood of a given answer"


@dataclass(frozen=True)
class Served:
    """`chat`: it is asked by messages, else by text. `likelihood`: it has proved that it tells the log-probabilities of
    a text that is given."""

    endpoint: Endpoint
    chat: bool
    likelihood: bool


def load(
    name: str,
    base_url: str,
    *,
    chat: str = "auto",
    concurrency: int | None = None,
    budget: Budget | None = None,
    known: tuple[bool, bool] | None = None,
    tell: Callable[[str], None] = lambda what: None,
) -> Loaded:
    """`known` is what an earlier session found out: whether it takes messages, and tells likelihoods."""
    endpoint = Endpoint(name, base_url, concurrency=concurrency, budget=budget, tell=tell)
    by_messages, likelihood = known or find_out(endpoint, chat)
    # What stands behind a name, an endpoint does not prove.
    ref = ModelRef(name, None, None, f"endpoint:{endpoint.url}", base_url=endpoint.url)
    return Loaded(Served(endpoint, by_messages, likelihood), byte_tokenizer(chat=by_messages), ref)


def judged_as_told(loaded: Loaded, judge: Metric, *, flag: str | None, answer_patterns: Sequence[str]) -> Metric:
    """Where an endpoint does not tell how likely an answer is, answers can only be judged as they are written. `flag`
    is what asked for the judge, if anything did."""
    if not loaded.is_remote or loaded.model.likelihood or judge.needs == "text":
        return judge
    if flag is not None:
        message = f"{NO_LIKELIHOOD}, which {flag} {judge.name} needs"
        raise UserError(message, where=loaded.ref.base_url, hint=f"give {flag} match")
    return metric("match", answer_patterns=answer_patterns)


def find_out(endpoint: Endpoint, chat: str) -> tuple[bool, bool]:
    """Messages where it takes them and nobody asked otherwise: what an instructed model was trained for."""
    by_messages = Request((Message("user", PROBE),), max_tokens=1)
    by_text = Request(PROBE, max_tokens=1)
    no_messages = None if chat == "off" else refusal(endpoint, by_messages)
    if chat != "off" and no_messages is None:
        return True, False
    no_text = refusal(endpoint, by_text) if chat != "on" else None
    if chat == "auto" and no_text is not None:
        raise no_messages or no_text
    if chat == "on" and no_messages is not None:
        raise only(endpoint, by_text, "off", no_messages)
    if no_text is not None:
        raise only(endpoint, by_messages, "on", no_text)
    return False, tells_likelihood(endpoint)


def refusal(endpoint: Endpoint, request: Request) -> UserError | None:
    """Why such requests are not answered, if so."""
    try:
        next(endpoint.complete([request]))
    except UserError as error:
        if error.code not in (NOT_THERE, REFUSED):
            raise
        return error
    return None


def only(endpoint: Endpoint, other: Request, chat: str, error: UserError) -> UserError:
    """The other kind of request may be answered, and then that is what helps."""
    if refusal(endpoint, other) is not None:
        return error
    return UserError(f"{error.message}, but it has {other.path}", where=endpoint.url, hint=f"give --chat {chat}")


# ---- likelihoods -----------------------------------------------------------------------------------------------------


def tells_likelihood(endpoint: Endpoint) -> bool:
    """The proof: text that was sent comes back as tokens that spell it, each with its log-probability and the
    likeliest token there. Some endpoints pass over what they do not know, and tell of the written token alone."""
    request = Request(PROOF + ANSWER, max_tokens=1, echo=len(ANSWER))
    if refusal(endpoint, request) is not None:
        return False
    found = tokens_of(ANSWER, next(endpoint.complete([request])))
    return found is not None and any(not is_likeliest(one) for one in found[0])


def tokens_of(answer: str, completion: Completion) -> tuple[Sequence[Echoed], bool] | None:
    """The echoed tokens that hold the answer at the end of what was sent, and whether they begin where it begins; None
    where the tokens do not spell it (some stand for a part of a letter) or lack their log-probabilities."""
    # The last one was written, unless that was the end of text, which some endpoints leave out.
    for echoed in (completion.echoed[:-1], completion.echoed):
        text, start = "", len(echoed)
        while start > 0 and len(text) < len(answer):
            start -= 1
            text = echoed[start].text + text
        if text.endswith(answer):
            held = echoed[start:]
            told = all(one.logp is not None and one.logp <= 1e-3 and one.top for one in held)
            return (held, text == answer) if told else None
    return None


def is_likeliest(one: Echoed) -> bool:
    return one.logp is not None and one.text == one.top[0][0]
