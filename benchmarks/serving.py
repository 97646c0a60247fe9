"""How many requests does `fewfit serve` answer, and what do shared forwards and the shared beginning give?

    OMP_NUM_THREADS=1 python -m benchmarks.serving --requests 5000 --json results/serving.json
    OMP_NUM_THREADS=1 python -m benchmarks.serving --model smollm2 --json results/serving-smollm2.json

A bundle with 8 demonstrations in its prompt answers the demo's test file, one short text a request (the toy `lab`:
words rotated; `smollm2`: which team a customer's message is for). The server has a process of its own, and clients of
plain HTTP/1.1, each with one connection and one request at a time, share another. Every answer is compared with what
`fewfit predict` says to the same query. On the toy:

load        so many requests of 64 clients
together    32 clients, as it is served, and with one text a forward
beginning   32 clients, with the demonstrations' keys kept (that is `together`), and with every prompt computed whole,
            also with fewer at a time: in a row of tokens that share nothing, all are compared with all

On `smollm2`: the 100 queries of the file by OpenAI's own client, one at a time and 32 at once; and `beginning` with 200
(the file twice).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.records import markdown, publish

SHOTS, CLIENTS, MANY = 8, 32, 64
DATA = Path(__file__).parents[1] / "src" / "fewfit" / "demo" / "data"


@dataclass(frozen=True)
class Course:
    """What a model is asked: files of the demo, and the instruction."""

    examples: str
    test: str
    instruction: str | None = None


COURSES = {
    "lab": Course("rotate.jsonl", "rotate-test.jsonl"),
    "smollm2": Course("english/support.jsonl", "english/support-test.jsonl", "Which team answers it, in a word?"),
}


def rows(name: str) -> list[tuple[str, str]]:
    """Prompts and answers, whatever they are called."""
    told = [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]
    return [(prompt, answer) for prompt, answer in (one.values() for one in told)]


def save_bundle(folder: Path, model: str) -> None:
    from fewfit import bundle
    from fewfit.examples.example import Example
    from fewfit.grid import Lane
    from fewfit.models import local
    from fewfit.render import Renderer

    course, loaded = COURSES[model], local.load(model, device="cpu", dtype="float32")
    examples = [Example(str(n), *row) for n, row in enumerate(rows(course.examples), 1)]
    renderer = Renderer.resolve(
        loaded.tokenizer, examples, max_new_tokens=32, instruction=course.instruction, chat="off"
    )
    bundle.save(
        folder,
        lane=Lane(shots=SHOTS),
        seed=0,
        n=len(examples),
        loaded=loaded,
        settings=renderer.settings,
        metric="match",
        sets=[examples[:SHOTS]],
        end_ids=renderer.end_ids,
        end_text=renderer.end_text,
    )


# ---- the server, in a process of its own -----------------------------------------------------------------------------


def serve_until_told(folder: str, texts: int, reuse: bool, pipe: Any) -> None:
    import torch

    from fewfit.serve import Limits
    from fewfit.serve.house import load
    from fewfit.serve.serving import running

    torch.set_num_threads(1)
    house = load([f"served={folder}"], device="cpu", reuse=reuse)
    with running(house, limits=Limits(texts=texts, seconds=600)) as (url, _):
        pipe.send(url)
        while pipe.recv() != "stop":
            pipe.send(time.process_time())


@contextmanager
def server(folder: Path, *, texts: int = 32, reuse: bool = True) -> Iterator[tuple[str, Callable[[], float]]]:
    """Its address, and the seconds of the processor that it has taken so far."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=serve_until_told, args=(str(folder), texts, reuse, there))
    process.start()
    try:
        url = here.recv()

        def spent() -> float:
            here.send("time")
            return float(here.recv())

        yield url, spent
        here.send("stop")
    finally:
        process.join(30)
        process.kill()


# ---- clients ---------------------------------------------------------------------------------------------------------


async def one_client(url: str, queries: Sequence[str], numbers: Iterator[int], told: list[Any]) -> None:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for number in numbers:
        body = json.dumps({"model": "served", "prompt": queries[number % len(queries)]}).encode()
        start = time.perf_counter()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        size = int(answer.split("content-length: ")[1].split("\r\n")[0])
        content = json.loads(await reader.readexactly(size))
        status = int(answer.split(" ")[1])
        text = content["choices"][0]["text"] if status == 200 else content["error"]["message"]
        told.append((number, status, text, time.perf_counter() - start))
    writer.close()


async def openai_client(url: str, queries: Sequence[str], numbers: Iterator[int], told: list[Any]) -> None:
    from openai import AsyncOpenAI

    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=600) as client:
        for number in numbers:
            start = time.perf_counter()
            answer = await client.chat.completions.create(
                model="served", messages=[{"role": "user", "content": queries[number % len(queries)]}]
            )
            told.append((number, 200, answer.choices[0].message.content, time.perf_counter() - start))


async def ask_all(
    url: str, queries: Sequence[str], requests: int, clients: int, ask: Any = one_client
) -> tuple[list[Any], float]:
    told: list[Any] = []
    numbers = iter(range(requests))
    start = time.perf_counter()
    await asyncio.gather(*(ask(url, queries, numbers, told) for _ in range(clients)))
    return told, time.perf_counter() - start


def measured(
    folder: Path,
    what: str,
    queries: Sequence[str],
    wanted: Sequence[str],
    requests: int,
    clients: int,
    ask: Any = one_client,
    **settings: Any,
) -> dict[str, Any]:
    with server(folder, **settings) as (url, spent):
        asyncio.run(ask_all(url, queries, min(clients, requests), clients))  # the first are slower: threads, caches
        before = spent()
        told, seconds = asyncio.run(ask_all(url, queries, requests, clients, ask))
        processor = spent() - before
    latency = sorted(one[3] for one in told)
    record = {
        "what": what,
        "clients": clients,
        "requests": requests,
        "answered": sum(status == 200 for _, status, _, _ in told),
        "as_predict": sum(text == wanted[n % len(wanted)] for n, _, text, _ in told),
        "seconds": round(seconds, 2),
        "processor_seconds": round(processor, 2),
        "a_second": round(requests / seconds, 1),
        "median_ms": round(1000 * statistics.median(latency), 1),
        "p99_ms": round(1000 * latency[min(len(latency) - 1, int(0.99 * len(latency)))], 1),
    }
    print(json.dumps(record), flush=True)
    return record


def table(records: Sequence[dict[str, Any]]) -> str:
    columns = {
        "what": "",
        "clients": "clients",
        "requests": "requests",
        "answered": "answered",
        "as_predict": "as predict says",
        "seconds": "seconds",
        "processor_seconds": "of the processor",
        "a_second": "a second",
        "median_ms": "median ms",
        "p99_ms": "99% ms",
    }
    return markdown([[*columns.values()], *([str(one[key]) for key in columns] for one in records)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=sorted(COURSES), default="lab")
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--compared", type=int, default=200)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    from fewfit.predict import Predictor

    queries = [prompt for prompt, _ in rows(COURSES[asked.model].test)]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "bundle"
        save_bundle(folder, asked.model)
        wanted = [row["prediction"] for row in Predictor(folder, device="cpu").predict(queries, nll=False)]
        records = (on_the_toy if asked.model == "lab" else on_a_real_one)(folder, queries, wanted, asked)
    text = table(records)
    print(text)
    publish(asked.json, __doc__, text, model=asked.model, records=records)


def on_the_toy(folder: Path, queries: Sequence[str], wanted: Sequence[str], asked: Any) -> list[dict[str, Any]]:
    compared = (queries, wanted, asked.compared, CLIENTS)
    return [
        measured(folder, "together: one text a forward", *compared, texts=1),
        measured(folder, "together: as it is served", *compared),
        measured(folder, "beginning: every prompt whole", *compared, reuse=False),
        measured(folder, "beginning: the same, 4 texts a forward", *compared, reuse=False, texts=4),
        measured(folder, "load", queries, wanted, asked.requests, MANY),
    ]


def on_a_real_one(folder: Path, queries: Sequence[str], wanted: Sequence[str], asked: Any) -> list[dict[str, Any]]:
    every, compared = (queries, wanted, len(queries)), (queries, wanted, asked.compared, CLIENTS)
    return [
        measured(folder, "openai client: one at a time", *every, 1, ask=openai_client),
        measured(folder, "openai client: 32 at once", *every, CLIENTS, ask=openai_client),
        measured(folder, "beginning: kept", *compared),
        measured(folder, "beginning: every prompt whole", *compared, reuse=False),
        measured(folder, "beginning: the same, 4 texts a forward", *compared, reuse=False, texts=4),
    ]


if __name__ == "__main__":
    main()
