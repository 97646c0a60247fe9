"""One process of `benchmarks.sweep`: builds its contender, then trains a round each time it is told to."""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.shapes import shaped
from fewfit.engine.forward import logits_at
from fewfit.engine.learner import Row, Track
from fewfit.engine.stack import StackLearner
from fewfit.grid import Lane

ANSWERS, ANSWER_TOKENS = 5, 2
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
Round = Callable[[int], int]  # batch (of fewfit: tokens of a pass) -> lane-steps made


def rows_of(task: dict[str, Any], count: int, vocabulary: int) -> list[Row]:
    """Rows with five answers, evenly spread; the last one ends the row."""
    rng = random.Random(task["index"])
    length = task["tokens"]
    ends = [length * (k + 1) // ANSWERS for k in range(ANSWERS)]
    spans = tuple((end - ANSWER_TOKENS, end) for end in ends)
    out: list[Row] = []
    ids: tuple[int, ...] = ()
    for number in range(count):
        if not (task["shared"] and number):
            ids = tuple(rng.randrange(3, vocabulary) for _ in range(length))
        out.append(Row(Track(f"lane-{number}", 0), ids, spans, spans))
    return out


def fewfit_rounds(task: dict[str, Any]) -> Round:
    model = shaped(task["shape"], dtype=DTYPES[task["dtype"]], attention=task["attention"])
    learner = StackLearner(model, end_ids=frozenset({2}))
    lane = Lane(lr=1e-3, updates=1, layers=task["layers"])
    rows = rows_of(task, task["lanes"], model.config.vocab_size)
    for row in rows:
        learner.open(row.track, lane)
    score = getattr(learner, "score", None) or getattr(learner, "predict")  # noqa: B009 - its name in earlier engines
    turn = 0

    def round_(tokens: int) -> int:
        nonlocal turn
        width = min(len(rows), max(1, tokens // task["tokens"]))
        made = 0
        while made < task["steps"]:
            some = [rows[(turn + k) % len(rows)] for k in range(width)]
            score(some)  # scores every row as well, which the rivals do not
            learner.update(some)
            made, turn = made + width, turn + width
        return made

    return round_


def peft_rounds(task: dict[str, Any]) -> Round:
    """What a careful user writes: frozen base, head on answer places, fused AdamW."""
    from peft import get_peft_model

    from fewfit.engine.targets import lora_config

    model = shaped(task["shape"], dtype=DTYPES[task["dtype"]], attention=task["attention"])
    vocabulary = model.config.vocab_size
    peft = get_peft_model(model, lora_config(model, Lane(lr=1e-3, updates=1, layers=task["layers"]))).eval()
    trained = [p for p in peft.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.0, fused=True)
    rows = rows_of({**task, "shared": False}, 32, vocabulary)
    turn = 0

    def round_(batch: int) -> int:
        nonlocal turn
        made = 0
        while made < task["steps"]:
            some = [rows[(turn + k) % len(rows)] for k in range(batch)]
            places = [[p - 1 for s, e in row.loss for p in range(s, e)] for row in some]
            wanted = torch.tensor([row.ids[p + 1] for row, at in zip(some, places, strict=True) for p in at])
            logits_NV = logits_at(model, [row.ids for row in some], places)
            torch.nn.functional.cross_entropy(logits_NV, wanted).backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            made, turn = made + batch, turn + batch
        return made

    return round_


def trl_rounds(task: dict[str, Any]) -> Round:
    """A trainer for each batch size; a round is `train()`, by its own clock: from its first step to its last."""
    from datasets import Dataset
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from fewfit.engine.targets import lora_config

    vocabulary = shaped(task["shape"], meta=True).config.vocab_size
    rows = rows_of({**task, "shared": False}, 32, vocabulary)
    data = Dataset.from_list([{"input_ids": list(row.ids), "labels": labels_of(row)} for row in rows])
    words = {f"w{n}": n for n in range(3)}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="w0")), pad_token="w0", eos_token="w2"
    )

    class Clock(TrainerCallback):
        start = end = cpu = 0.0

        def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
            self.start, self.cpu = time.perf_counter(), time.process_time()

        def on_train_end(self, *args: Any, **kwargs: Any) -> None:
            self.end, self.cpu = time.perf_counter(), time.process_time() - self.cpu

    def trainer(batch: int) -> tuple[Any, Clock]:
        model = shaped(task["shape"], dtype=DTYPES[task["dtype"]], attention=task["attention"])
        config = lora_config(model, Lane(lr=1e-3, updates=1, layers=task["layers"]))
        settings = SFTConfig(
            output_dir=tempfile.mkdtemp(),
            per_device_train_batch_size=batch,
            max_steps=-(-task["steps"] // batch),
            learning_rate=1e-3,
            lr_scheduler_type="constant",
            max_grad_norm=1.0,
            weight_decay=0.0,
            optim="adamw_torch_fused",
            gradient_checkpointing=False,
            bf16=False,  # no autocast: the model itself is in the dtype asked for
            use_cpu=True,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            dataset_kwargs={"skip_prepare_dataset": True},
            max_length=None,
            remove_unused_columns=False,
        )
        clock = Clock()
        made = SFTTrainer(
            model=model, args=settings, train_dataset=data, processing_class=tokenizer, peft_config=config,
            callbacks=[clock],
        )  # fmt: skip
        return made, clock

    made: dict[int, tuple[Any, Clock]] = {}

    def round_(batch: int) -> int:
        if batch not in made:
            made[batch] = trainer(batch)
        one, clock = made[batch]
        one.train()
        round_.wall, round_.cpu = clock.end - clock.start, clock.cpu  # type: ignore[attr-defined]
        return one.args.max_steps * batch

    return round_


def labels_of(row: Row) -> list[int]:
    return [token if any(s <= p < e for s, e in row.loss) else -100 for p, token in enumerate(row.ids)]


def peak_rounds(task: dict[str, Any]) -> Round:
    """Operations of the best of a few matrix products, into memory that is there already."""
    cases = [
        [torch.randn(*size).to(DTYPES[task["dtype"]]) for size in ((n, k), (k, o), (n, o))]
        for n, k, o in ((256, 256, 768), (512, 512, 512), (1024, 1024, 1024))
    ]

    def round_(_batch: int) -> int:
        best = 0.0
        for left, right, out in cases:
            for _ in range(4):
                start = time.perf_counter()
                for _ in range(20):
                    torch.mm(left, right, out=out)
                operations = 20 * 2 * left.shape[0] * left.shape[1] * right.shape[1]
                best = max(best, operations / (time.perf_counter() - start))
        round_.wall, round_.cpu = 1.0, 0.0  # type: ignore[attr-defined]
        return int(best)

    return round_


def main() -> None:
    task = json.loads(sys.argv[1])
    torch.set_num_threads(task["threads"])
    kinds: dict[str, Callable[[dict[str, Any]], Round]] = {
        "fewfit": fewfit_rounds,
        "old": fewfit_rounds,
        "peft": peft_rounds,
        "trl": trl_rounds,
        "peak": peak_rounds,
    }
    round_ = kinds[task["kind"]](task)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        wall, cpu = time.perf_counter(), time.process_time()
        work = round_(order["size"])
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        # A trainer's own clock leaves out what `train()` does before its first step and after its last.
        told = {"wall": getattr(round_, "wall", wall), "cpu": getattr(round_, "cpu", cpu), "work": work}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
