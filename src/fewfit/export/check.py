"""Whether what was exported answers as the bundle does, on the run's own examples (promise 6).

The exported folder is loaded by plain transformers or PEFT, asked through the template in it, and decoded as its own
generation_config.json says, one query at a time, as a server would that knows nothing of fewfit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewfit.bundle import Bundle
from fewfit.engine.likelihood import logp
from fewfit.engine.task import best_choice
from fewfit.examples.example import Example
from fewfit.export.bake import written
from fewfit.models.messages import without_bars
from fewfit.render import Renderer


@dataclass(frozen=True)
class Check:
    """How many of `asked` queries are answered otherwise than by the bundle."""

    of: str
    asked: int
    prompts: int  # whose prompt is read as other tokens
    choices: int | None  # where the likeliest choice is another; None without choices, or where nothing was run
    texts: int | None  # where the greedy text up to the end is another answer

    def line(self) -> str:
        if not self.asked:
            return f"{self.of}: no example of the run's is left to compare answers on"
        parts = [f"prompts {self.prompts}"]
        parts += [f"likeliest choices {self.choices}"] if self.choices is not None else []
        parts += [f"greedy texts {self.texts}"] if self.texts is not None else []
        return f"{self.of}: other than the bundle's on {self.asked} of the run's examples: {', '.join(parts)}"


class Exported:
    """What was exported, as others run it."""

    def __init__(self, bundle: Bundle, renderer: Renderer, template: str, model: Any, generation: Path):
        from transformers import GenerationConfig

        self.bundle, self.renderer, self.template, self.model = bundle, renderer, template, model.eval()
        self.config = GenerationConfig.from_pretrained(str(generation))

    def ids(self, query: Example) -> tuple[int, ...]:
        """A server tokenises what the template writes, which writes its own special tokens."""
        text = written(self.renderer, self.template, query)
        return tuple(self.renderer.tokenizer(text, add_special_tokens=False)["input_ids"])

    def text(self, query: Example) -> str:
        import torch

        prompt = torch.tensor([self.ids(query)], device=self.model.device)
        with torch.no_grad():
            out = self.model.generate(
                input_ids=prompt, attention_mask=torch.ones_like(prompt), generation_config=self.config
            )
        new = out[0, prompt.shape[1] :].tolist()
        if new and new[-1] in self.config.eos_token_id:
            new = new[:-1]
        text = self.renderer.encoder.decode(new)
        return text.split(self.bundle.end_text)[0].strip() if self.bundle.end_text else text.strip()

    def choice(self, query: Example, demos: Sequence[Example]) -> str:
        names = query.choices or self.bundle.choices or ()
        ends = self.renderer.continuations(self.renderer.prompt(demos, query), names)
        return best_choice(names, logp(self.model, None, [self.ids(query)], [ends])[0])[0]


def compare(
    of: str, exported: Exported, demos: Sequence[Example], queries: Sequence[Example], answers: Sequence[str]
) -> Check:
    """`answers` are the bundle's."""
    by_choice = exported.bundle.by_choice
    pairs = list(zip(queries, answers, strict=True))
    return Check(
        of,
        len(queries),
        other_prompts(exported.renderer, exported.template, demos, queries),
        sum(exported.choice(query, demos) != answer for query, answer in pairs) if by_choice else None,
        sum(exported.text(query) != answer for query, answer in pairs),
    )


def other_prompts(renderer: Renderer, template: str, demos: Sequence[Example], queries: Sequence[Example]) -> int:
    """How many are read as other tokens than the bundle's own behind these demonstrations."""
    other = 0
    for query in queries:
        text = written(renderer, template, query)
        ids = tuple(renderer.tokenizer(text, add_special_tokens=False)["input_ids"])
        other += ids != renderer.prompt(demos, query).ids
    return other


def load_exported(kind: str, folder: Path, dtype: str, device: str) -> Any:
    """By the libraries that the folder is for."""
    model: Any
    with without_bars():
        if kind == "peft":
            from peft import AutoPeftModelForCausalLM

            model = AutoPeftModelForCausalLM.from_pretrained(str(folder), dtype=dtype)
        else:
            from transformers import AutoModelForCausalLM

            model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=dtype)
    return model.to(device)
