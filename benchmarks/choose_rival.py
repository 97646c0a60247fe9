"""One process of a rival in `benchmarks.choose`: TRL's SFTTrainer with PEFT, told by lines what to train and judge.

What a competent user would write. The model is loaded once and takes a fresh adapter for every job; prompts are
rendered by the same code as fewfit's, k-shot rows carry loss on all their answers and get fresh demonstrations in every
epoch; evaluation is batched; nothing is logged or saved but the adapter that is delivered. TRL's own defaults stand
where nothing speaks against them: the rate falls linearly, rows are shuffled.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BATCH = 32  # rows of one evaluation


class Rival:
    def __init__(self, model: str):
        from fewfit.models import local

        self.loaded = local.load(model)
        self.model, self.tokenizer = self.loaded.model, self.loaded.tokenizer
        self.delivered: Any = None

    def data(self, task: str, n: int, seed: int, test: int) -> None:
        """Reads the examples as `fit` does."""
        from fewfit.examples import load
        from fewfit.metrics import auto, metric
        from fewfit.render import Renderer
        from lab.tasks import held_out_task

        self.drop()
        rows = held_out_task(task, seed, n + test)
        read = load(rows[:n])
        self.train = read.examples
        self.test = load(
            rows[n:], choices="rows" if read.choices is None else read.choices, keep_duplicates=True
        ).examples
        self.judge = metric(auto(read))
        self.renderer = Renderer.resolve(
            self.tokenizer,
            read.examples,
            chat="auto",
            context_length=self.model.config.max_position_embeddings,
            choices=read.choices if self.judge.needs == "choices" else None,
        )
        self.seed = seed

    # ---- jobs --------------------------------------------------------------------------------------------------------

    def configuration(
        self, lane: dict[str, Any], train: Sequence[int], held: Sequence[int], batch: int
    ) -> dict[str, Any]:
        """Train on some examples, judge on others: hits, and nats of the right answers for ties."""
        some = [self.train[k] for k in train]
        model = self.trained(lane, some, batch)
        hits, nats = self.judged(model, lane["shots"], some, [self.train[k] for k in held], ties=True)
        self.drop(model)
        return {"hits": hits, "nats": nats}

    def final(self, lane: dict[str, Any], batch: int) -> dict[str, Any]:
        """The chosen configuration on all examples, kept and saved."""
        self.delivered = self.trained(lane, self.train, batch), lane["shots"]
        if self.delivered[0] is not self.model:
            with tempfile.TemporaryDirectory() as folder:
                self.delivered[0].save_pretrained(folder)
        return {}

    def tested(self) -> dict[str, Any]:
        model, shots = self.delivered
        hits, _ = self.judged(model, shots, self.train, self.test, ties=False)
        self.drop(model)
        return {"test": sum(hits) / len(hits)}

    # ---- training ----------------------------------------------------------------------------------------------------

    def trained(self, lane: dict[str, Any], examples: Sequence[Any], batch: int) -> Any:
        if not lane["updates"]:
            return self.model
        from datasets import Dataset
        from trl import SFTConfig, SFTTrainer

        from fewfit.engine.targets import lora_config
        from fewfit.grid import Lane

        settings = SFTConfig(
            output_dir="/tmp/unused",
            per_device_train_batch_size=batch,
            num_train_epochs=1,  # the rows hold all epochs, each with its own demonstrations
            learning_rate=lane["lr"],
            weight_decay=0.0,
            seed=self.seed,
            optim="adamw_torch_fused",
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=True,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            dataset_kwargs={"skip_prepare_dataset": True},
            max_length=None,
            remove_unused_columns=False,
        )
        trainer = SFTTrainer(
            model=self.model,
            args=settings,
            train_dataset=Dataset.from_list(self.rows(lane, examples)),
            processing_class=self.tokenizer,
            peft_config=lora_config(self.model, Lane.from_json(lane)),
        )
        trainer.train()
        tuned: Any = trainer.model
        return tuned.eval()

    def rows(self, lane: dict[str, Any], examples: Sequence[Any]) -> list[dict[str, Any]]:
        out = []
        for epoch in range(lane["updates"]):
            for target in examples:
                rendered = self.renderer.render(self.demonstrations(lane["shots"], examples, target, epoch), target)
                labels = [-100] * len(rendered.ids)
                for start, end in rendered.spans:
                    labels[start:end] = rendered.ids[start:end]
                out.append({"input_ids": list(rendered.ids), "labels": labels})
        return out

    def demonstrations(self, shots: int, examples: Sequence[Any], target: Any, epoch: int) -> list[Any]:
        from fewfit import draw

        return draw.demonstrations(examples, target, shots, seed=self.seed, i=0, update=epoch)

    def drop(self, model: Any = None) -> None:
        """The adapter comes off; the base model stays."""
        self.delivered = None
        if model is not None and model is not self.model:
            model.unload()
        if hasattr(self.model, "peft_config"):
            del self.model.peft_config
        self.model.eval().requires_grad_(False)

    # ---- evaluation --------------------------------------------------------------------------------------------------

    def judged(
        self, model: Any, shots: int, examples: Sequence[Any], held: Sequence[Any], *, ties: bool
    ) -> tuple[list[float], list[float]]:
        from fewfit.demonstrations.delivery import NEXT

        base = self.model  # PEFT puts its layers into the very modules of the model
        del model
        demos = self.demonstrations(shots, examples, NEXT, -1)  # as it will be served: the same for all queries
        prompts = [self.renderer.prompt(demos, example) for example in held]
        if self.judge.needs == "choices":
            return self.by_choice(base, prompts, held)
        return self.by_text(base, prompts, held, demos, ties)

    def by_choice(self, model: Any, prompts: Sequence[Any], held: Sequence[Any]) -> tuple[list[float], list[float]]:
        """Whole choices are compared; where one token tells them apart, that token alone, as fewfit does it."""
        from fewfit.engine.score import one_token_apart
        from fewfit.engine.task import best_choice, softmax

        names = [example.choices or self.renderer.settings.choices or () for example in held]
        asked, counts = [], []
        for prompt, some in zip(prompts, names, strict=True):
            ids = self.renderer.continuations(prompt, some)
            place = one_token_apart(ids)
            told = ids if place is None else [one[: place + 1] for one in ids]
            asked += [(prompt.ids, one) for one in told]
            counts.append(len(told))
        logp = iter(self.logp(model, asked))
        hits, nats = [], []
        for example, some, count in zip(held, names, counts, strict=True):
            values = [next(logp) for _ in range(count)]
            best, _ = best_choice(some, values)
            hits.append(float(best == example.completion))
            nats.append(-math.log(max(softmax(some, values)[example.completion], 1e-9)))
        return hits, nats

    def by_text(
        self, model: Any, prompts: Sequence[Any], held: Sequence[Any], demos: Sequence[Any], ties: bool
    ) -> tuple[list[float], list[float]]:
        from fewfit.engine.generate import greedy

        new = greedy(
            model,
            [prompt.ids for prompt in prompts],
            max_new_tokens=self.renderer.settings.max_new_tokens,
            end_ids=self.renderer.end_ids,
            ended=lambda ids: self.renderer.answer_text(ids)[1],
            batch=BATCH,
        )
        answers = [self.renderer.answer_text(ids)[0] for ids in new]
        hits = [self.judge.score(answer, example) for answer, example in zip(answers, held, strict=True)]
        if not ties:
            return hits, []
        asked = []
        for prompt, example in zip(prompts, held, strict=True):
            asked.append((prompt.ids, self.renderer.render(demos, example).ids[len(prompt.ids) :]))
        return hits, [-value for value in self.logp(model, asked)]

    def logp(self, model: Any, asked: Sequence[tuple[Any, Any]]) -> list[float]:
        """Log p of each continuation behind its prompt, in batches of about one length; equal inputs run once."""
        import torch

        from fewfit.engine.forward import logits_at
        from fewfit.engine.score import sum_logp

        out = [0.0] * len(asked)
        alike: dict[Any, list[int]] = {}
        for k, (prompt, answer) in enumerate(asked):
            alike.setdefault(prompt + answer[:-1], []).append(k)  # the last token itself need not be seen
        inputs = sorted(alike, key=len)
        for start in range(0, len(inputs), BATCH):
            chunk = inputs[start : start + BATCH]
            places = [list(range(len(asked[alike[ids][0]][0]) - 1, len(ids))) for ids in chunk]
            with torch.no_grad():
                logits_NV = logits_at(model, chunk, places)
            for ids, part_NV in zip(chunk, logits_NV.split([len(some) for some in places]), strict=True):
                for k in alike[ids]:
                    out[k] = sum_logp(part_NV, [asked[k][1]])[0]
        return out


def main() -> None:
    task = json.loads(sys.argv[1])
    import torch

    torch.set_num_threads(task["threads"])
    warnings.filterwarnings("ignore")
    told = os.fdopen(os.dup(1), "w")
    sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  (libraries print, too)
    rival = Rival(task["model"])
    import datasets
    from trl import SFTTrainer

    del SFTTrainer  # loaded before the clock starts
    datasets.disable_progress_bars()
    print(json.dumps({"ready": True}), file=told, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        cpu = time.process_time()
        with contextlib.redirect_stderr(sys.stdout):
            found = getattr(rival, order.pop("do"))(**order) or {}
        print(json.dumps({**found, "cpu": time.process_time() - cpu}), file=told, flush=True)


if __name__ == "__main__":
    main()
