"""The addresses of the server, for FastAPI."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException

from fewfit import __version__
from fewfit.serve import playground
from fewfit.serve.asked import ChatBody, CompletionBody, LabelBody, Written, query_of
from fewfit.serve.exchange import ClientGone, Exchange, Post
from fewfit.serve.forms import DONE, ChatForm, CompletionForm, Form, Usage, event, gathered
from fewfit.serve.gate import Gate
from fewfit.serve.hosted import Hosted
from fewfit.serve.house import House
from fewfit.serve.limits import Limits
from fewfit.serve.metrics import Metrics
from fewfit.serve.refusal import Refusal, broken
from fewfit.serve.scheduler import Scheduler
from fewfit.writing import Decoding

LOG = logging.getLogger(__name__)
ERROR: dict[str, Any] = {"description": "What cannot be done, in OpenAI's form."}
WRITING = ("/v1/completions", "/v1/chat/completions", "/v1/label")
PATHS = frozenset({"/", "/health", "/metrics", "/openapi.json", "/v1/models", *WRITING})
STATUSES: tuple[int | str, ...] = (400, 401, 403, 404, 408, 413, 415, 429, 500, 503, 504)
ERRORS = dict.fromkeys(STATUSES, ERROR)


class Service:
    """What all requests share."""

    def __init__(self, house: House, limits: Limits):
        self.house, self.limits = house, limits
        self.metrics = Metrics()
        self.scheduler: Scheduler
        self.post: Post

    def open(self) -> None:
        self.post = Post(asyncio.get_running_loop())
        self.scheduler = Scheduler(
            self.house.model,
            lambda: self.house.begin(self.limits.texts),
            queue=self.limits.queue,
            metrics=self.metrics,
            flush=self.post.flush,
        )
        self.scheduler.start()

    def hosted(self, name: str) -> Hosted:
        found = self.house.hosted.get(name)
        if found is None:
            there = ", ".join(self.house.hosted)
            raise Refusal(404, f"no model {name!r}; there are: {there}", code="model_not_found", param="model")
        return found

    def exchange(self, hosted: Hosted, decoding: Decoding) -> Exchange:
        return Exchange(self.scheduler, self.post, hosted, decoding, seconds=self.limits.seconds)

    async def asked(
        self, body: Written, prompts: list[Any], *, chat: bool, most: int | None, top: int | None
    ) -> Exchange:
        """What a body asks for, with the scheduler."""
        hosted = self.hosted(body.model)
        if most is not None and most > self.limits.new_tokens and not hosted.by_choice:
            raise Refusal(400, f"max_tokens {most}, and {self.limits.new_tokens} are the most", param="max_tokens")
        wanted = hosted.new_tokens if most is None else most
        if len(prompts) * (body.n or 1) > self.limits.answers:
            raise Refusal(400, f"more answers than the {self.limits.answers} of one request", param="n")
        seed = body.seed if body.seed is not None else secrets.randbits(62)
        usual = hosted.sampling
        decoding = Decoding(
            wanted,
            body.stops,
            temperature=usual.temperature if body.temperature is None else body.temperature,
            top_p=usual.top_p if body.top_p is None else body.top_p,
            repetition_penalty=usual.repetition_penalty,
            seed=seed,
        )
        exchange = self.exchange(hosted, decoding)
        for prompt in prompts:
            if hosted.by_choice:
                asked = await asyncio.to_thread(hosted.judged, prompt, None)
                exchange.ask_for_labels(asked, n=body.n or 1, top=top)
            else:
                asked = await asyncio.to_thread(hosted.written, prompt, chat=chat, max_new_tokens=wanted)
                exchange.ask_for_text(asked, n=body.n or 1, chat=chat, top=top, streamed=bool(body.stream))
        exchange.submit(self.limits.answers)
        return exchange

    async def answer(self, request: Request, body: Written, exchange: Exchange, form: Form) -> Response:
        if body.stream:
            with_usage = body.stream_options is not None and body.stream_options.include_usage
            chunks = self.chunks(request, exchange, form, with_usage)
            return StreamingResponse(chunks, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        deltas = [delta async for delta in exchange.deltas(request.receive)]
        answers = [gathered(deltas, index) for index in range(exchange.answers)]
        return JSONResponse(form.whole(answers, usage(exchange, sum(one.new_tokens for one in answers))))

    async def chunks(self, request: Request, exchange: Exchange, form: Form, with_usage: bool) -> AsyncIterator[str]:
        """Events of a stream; what goes wrong once it has begun is the last of them."""
        sent: dict[int, int] = {}
        new_tokens = 0
        try:
            async for delta in exchange.deltas(request.receive):
                if delta.index not in sent and (first := form.first(delta.index)) is not None:
                    yield form.chunk([first])
                yield form.chunk([form.more(delta, sent.get(delta.index, 0))])
                sent[delta.index] = sent.get(delta.index, 0) + len(delta.text)
                new_tokens += delta.new_tokens if delta.finish is not None else 0
            if with_usage:
                yield form.chunk([], usage(exchange, new_tokens))
            yield DONE
        except ClientGone:
            return
        except Refusal as refusal:
            yield event(refusal.body())
        except Exception as error:  # of ours, since nobody above hears of it
            LOG.error("a stream failed", exc_info=error)
            yield event(broken(error).body())


def usage(exchange: Exchange, new_tokens: int) -> Usage:
    return Usage(exchange.prompt_tokens, exchange.reused, new_tokens)


def application(service: Service, *, hosts: frozenset[str] | None, key: str | None) -> Gate:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.open()
        yield
        await asyncio.to_thread(service.scheduler.close)

    # The pages about it that FastAPI offers load scripts from elsewhere.
    app = FastAPI(title="fewfit", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan)

    @app.get("/", response_class=HTMLResponse)
    async def page() -> HTMLResponse:
        """The playground."""
        return HTMLResponse(playground.page(), headers=playground.headers())

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> PlainTextResponse:
        return PlainTextResponse(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [model(one) for one in service.house.hosted.values()]}

    @app.get("/v1/models/{name}", responses={404: ERROR})
    async def one_model(name: str) -> dict[str, Any]:
        return model(service.hosted(name))

    @app.post("/v1/completions", responses=ERRORS)
    async def completions(body: CompletionBody, request: Request) -> Response:
        exchange = await service.asked(body, body.prompts, chat=False, most=body.max_tokens, top=body.logprobs)
        form = CompletionForm(body.model, body.logprobs is not None)
        return await service.answer(request, body, exchange, form)

    @app.post("/v1/chat/completions", responses=ERRORS)
    async def chat(body: ChatBody, request: Request) -> Response:
        if body.top_logprobs is not None and not body.logprobs:
            raise Refusal(400, "top_logprobs goes with logprobs", param="top_logprobs")
        most = body.max_completion_tokens or body.max_tokens
        top = (body.top_logprobs or 0) if body.logprobs else None
        exchange = await service.asked(body, [query_of(body.messages)], chat=True, most=most, top=top)
        return await service.answer(request, body, exchange, ChatForm(body.model, bool(body.logprobs)))

    @app.post("/v1/label", responses=ERRORS)
    async def label(body: LabelBody, request: Request) -> dict[str, Any]:
        """An extension: how likely a bundle finds each of its choices, or each of those given, for a query."""
        hosted = service.hosted(body.model)
        query = body.input if isinstance(body.input, str) else query_of(body.input)
        asked = await asyncio.to_thread(hosted.judged, query, body.choices)
        exchange = service.exchange(hosted, Decoding(1))
        exchange.ask_for_labels(asked)
        exchange.submit(service.limits.answers)
        (delta,) = [delta async for delta in exchange.deltas(request.receive)]
        used = usage(exchange, 0).form()
        return {"object": "label", "model": body.model, "label": delta.text, "probs": delta.probs, "usage": used}

    @app.exception_handler(Refusal)
    async def refusal(_: Request, error: Refusal) -> Response:
        return told(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        return told(explained(error))

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        found = told(Refusal(error.status_code, str(error.detail)))
        found.headers.update(error.headers or {})
        return found

    @app.exception_handler(ClientGone)
    async def gone(_: Request, error: ClientGone) -> Response:
        return Response(status_code=499)

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> Response:
        return told(broken(error))

    return Gate(app, service.limits, service.metrics, hosts, key, PATHS)


def told(refusal: Refusal) -> Response:
    return Response(refusal.content(), refusal.status, refusal.headers(), "application/json")


def explained(error: RequestValidationError) -> Refusal:
    """The first of what is wrong with a body."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return Refusal(400, f"the body is not JSON: {first['ctx']['error']}", code="invalid_value")
    place = [str(part) for part in first["loc"] if part != "body"]
    where = ".".join(place)
    if first["type"] == "extra_forbidden":
        return Refusal(400, f"{where} is not offered here", code="unknown_parameter", param=place[0])
    message = f"{where}: {first['msg']}" if where else str(first["msg"])
    return Refusal(400, message, code="invalid_value", param=place[0] if place else None)


def model(hosted: Hosted) -> dict[str, Any]:
    return {"id": hosted.name, "object": "model", "created": 0, "owned_by": "fewfit", "fewfit": hosted.about()}
