"""How fast is text written behind a prompt that all queries share? LocalWriter beside transformers' `generate`.

    python -m benchmarks.writing --questions ../shared/data/mt_bench/question.jsonl --json results/writing.json

First turns of MT-Bench's questions, two of each category, behind one prompt of rules and examples (fewfit's own, or
--prompt FILE), in one batch, greedy with a repetition penalty, up to the same number of new tokens; only the model's
own end of text ends a row. "Together" is how suites of instructions write. All have written two tokens before they are
timed. What LocalWriter spends on the shared beginning is counted: it has kept nothing yet. Seconds are those of the
clock: nothing else should run.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.records import markdown, publish
from fewfit.prompts import UrialPrompt, load, ours
from fewfit.writing import Asked, Decoding, LocalWriter, Written

ROWS, NEW, WARM = 16, 64, 2
Write = Callable[[Any, Sequence[Asked], int, float], list[Written]]


def asked_of(questions: Path, prompt: UrialPrompt, rows: int) -> list[Asked]:
    lines = questions.read_text(encoding="utf-8").splitlines()
    apart = len(lines) // rows
    return [prompt.asked((), json.loads(lines[n * apart])["turns"][0]) for n in range(rows)]


def by_writer(loaded: Any, asked: Sequence[Asked], new: int, penalty: float, together: bool = False) -> list[Written]:
    writer = LocalWriter(loaded.model, loaded.tokenizer, together=together)
    return writer.write(asked, [str(n) for n in range(len(asked))], Decoding(new, repetition_penalty=penalty))


def by_generate(loaded: Any, asked: Sequence[Asked], new: int, penalty: float) -> list[Written]:
    import torch

    tokenizer, texts = loaded.tokenizer, [one.text for one in asked]
    batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="left")
    width, end = batch["input_ids"].shape[1], tokenizer.eos_token_id
    with torch.inference_mode():
        out = loaded.model.generate(
            **batch, do_sample=False, max_new_tokens=new, eos_token_id=end, pad_token_id=end, repetition_penalty=penalty
        )  # fmt: skip
    written = []
    for row, given in zip(out.tolist(), batch["attention_mask"], strict=True):
        ids = row[width:]
        ended = end in ids
        ids = ids[: ids.index(end)] if ended else ids
        text = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        written.append(Written(text, ended, int(given.sum()), len(ids) + ended))
    return written


WAYS: dict[str, Write] = {
    "generate": by_generate,
    "LocalWriter": by_writer,
    "LocalWriter, together": partial(by_writer, together=True),
}


def measure(
    loaded: Any, asked: Sequence[Asked], new: int, ways: dict[str, Write], penalty: float = 1.0
) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    texts: list[list[str]] = []
    for way, write in ways.items():
        write(loaded, asked[:2], WARM, penalty)
        start = time.perf_counter()
        written = write(loaded, asked, new, penalty)
        seconds = time.perf_counter() - start
        tokens = sum(one.new_tokens for one in written)
        texts.append([one.text for one in written])
        records.append(
            {
                "way": way,
                "rows": len(asked),
                "prompt_tokens": sum(one.prompt_tokens for one in written),
                "new_tokens": tokens,
                "seconds": round(seconds, 2),
                "tokens_a_second": round(tokens / seconds, 2),
                "over_generate": 1.0,
                "rows_that_differ": sum(a != b for a, b in zip(texts[0], texts[-1], strict=True)),
            }
        )
    for record in records:
        record["over_generate"] = round(record["tokens_a_second"] / records[0]["tokens_a_second"], 2)
    return records


def table(records: Sequence[dict[str, Any]]) -> str:
    head = ["written by", "prompt tokens computed", "new tokens", "seconds", "new tokens a second", "over generate"]
    rows = [
        [
            one["way"],
            str(one["prompt_tokens"]),
            str(one["new_tokens"]),
            f"{one['seconds']:.1f}",
            f"{one['tokens_a_second']:.1f}",
            f"{one['over_generate']:.2f}",
            f"{one['rows_that_differ']} of {one['rows']}",
        ]
        for one in records
    ]
    return markdown([[*head, "texts that differ from it"], *rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--prompt", type=Path)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--new", type=int, default=NEW)
    parser.add_argument("--penalty", type=float, default=1.15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    import torch

    from fewfit.models import local

    torch.set_num_threads(asked.threads)
    loaded = local.load(asked.model, device="cpu", dtype=asked.dtype)
    prompts = asked_of(asked.questions, ours() if asked.prompt is None else load(asked.prompt), asked.rows)
    records = measure(loaded, prompts, asked.new, WAYS, asked.penalty)
    text = table(records)
    print(text)
    publish(asked.json, __doc__, text, model=asked.model, records=records)


if __name__ == "__main__":
    main()
