"""What a delivered lane is worth elsewhere: how likely a text is that nothing was trained on, and what other tasks come
to with examples in the prompt, which was the base model's way to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from fewfit import bundle
from fewfit.bundle import Bundle
from fewfit.demonstrations import chooser
from fewfit.demonstrations.delivery import drawn_sets
from fewfit.files import one_line
from fewfit.grid import Lane
from fewfit.metrics import metric
from fewfit.models.local import Loaded
from fewfit.render import Renderer
from fewfit.suites.tasks.task import Task
from fewfit.suites.tasks.testing import as_text, test

SHOTS, LEARNT = 4, 30  # in a prompt, and of how many


@dataclass(frozen=True)
class Elsewhere:
    """`text` in paragraphs, each read by itself."""

    tasks: tuple[Task, ...]
    text: str

    @property
    def digest(self) -> str:
        """In whatever order the tasks were named."""
        named = sorted(self.tasks, key=lambda task: task.name)
        return sha256(one_line([self.text, [task.digest for task in named]]).encode()).hexdigest()[:16]

    def others(self, task: Task) -> list[Task]:
        return [one for one in self.tasks if one.name != task.name]

    def measure(self, loaded: Loaded, folder: Path, task: Task, chat: str) -> dict[str, Any]:
        """`text_nll` is in nats a token, `prompted` by task the score of each of its test examples."""
        made = bundle.load(folder)
        return {
            "text_nll": round(nats_a_token(loaded, made, paragraphs_of(self.text)), 5),
            "prompted": {one.name: prompted(loaded, made, one, chat) for one in self.others(task)},
        }


def paragraphs_of(text: str) -> list[str]:
    return [" ".join(one.split()) for one in text.strip().split("\n\n")]


def nats_a_token(loaded: Loaded, made: Bundle, paragraphs: Sequence[str]) -> float:
    import torch

    from fewfit.engine.forward import logits_at
    from fewfit.models.lent import as_it_was, put_adapter_on, take_adapter_off
    from fewfit.predict.loading import base_model

    whole = made.weights == "model"
    model = base_model(made, str(loaded.model.device)) if whole else loaded.model
    lost = tokens = 0.0
    with as_it_was(model), torch.no_grad():
        peft = put_adapter_on(model, made.folder) if made.weights == "adapter" else None
        try:
            for paragraph in paragraphs:
                ids = loaded.tokenizer(paragraph)["input_ids"]
                logits_NV = logits_at(model, [ids], [range(len(ids) - 1)])
                wanted_N = torch.tensor(ids[1:], device=logits_NV.device)
                lost += float(torch.nn.functional.cross_entropy(logits_NV, wanted_N, reduction="sum"))
                tokens += len(wanted_N)
        finally:
            take_adapter_off(model, peft)
    return lost / tokens


def prompted(loaded: Loaded, made: Bundle, task: Task, chat: str) -> str | list[float]:
    """Its weights behind a prompt of the other task: of several draws a query's hash picks one, as in any bundle."""
    asking, some = task.asking, task.stream(LEARNT, 0)
    renderer = Renderer.resolve(
        loaded.tokenizer,
        [*some, *task.test],
        chat=chat,
        instruction=asking.instruction,
        no_instruction=asking.bare and asking.instruction is None,
        max_length=made.settings.max_length,
        choices=asking.choices,
    )
    judge = metric(asking.metric, answer_patterns=asking.answer_patterns)
    at_use = {"use_shots": SHOTS, "deliver": "per-query", "demonstrations": "random"}
    lane = replace(made.lane, **at_use) if made.lane.trains else Lane(shots=SHOTS, deliver="per-query")  # type: ignore[arg-type]
    sets = drawn_sets(chooser("random"), some, lane, 0)
    other = replace(
        made, lane=lane, settings=renderer.settings, metric=judge.name, answer_patterns=asking.answer_patterns,
        sets=sets, pool=some, n=len(some), end_ids=renderer.end_ids, end_text=renderer.end_text,
    )  # fmt: skip
    return as_text(test(loaded, other, task.test, judge))
