"""A small model behind an endpoint, so that what is asked of it there can be compared with what it says here.

python -m tests.endpoint_real        serves the toy `lab` at http://127.0.0.1:8765/v1 until it is stopped
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from fewfit.models import local

Answer = Callable[[str, dict[str, Any]], dict[str, Any]]


def answering(name: str = "lab") -> Answer:
    import torch

    loaded = local.load(name, device="cpu", dtype="float32")
    model, tokenizer, lock = loaded.model, loaded.tokenizer, threading.Lock()

    def written(prompt: str, body: dict[str, Any], special: bool) -> tuple[str, dict[str, int]]:
        ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=special)
        penalty = body.get("repetition_penalty", 1.0)
        out = model.generate(**ids, do_sample=False, max_new_tokens=body["max_tokens"], repetition_penalty=penalty)
        new = out[0, ids["input_ids"].shape[1] :]
        text = tokenizer.decode(new, skip_special_tokens=True)
        for stop in body.get("stop", ()):
            text = text.partition(stop)[0]
        return text, {"prompt_tokens": ids["input_ids"].shape[1], "completion_tokens": len(new)}

    def echoed(prompt: str, body: dict[str, Any]) -> dict[str, Any]:
        found = tokenizer(prompt, return_offsets_mapping=True)
        ids = found["input_ids"]
        logp_TV = model(torch.tensor([ids])).logits[0].float().log_softmax(-1)
        best = logp_TV.topk(body["logprobs"])
        named = [[tokenizer.decode([int(v)]) for v in some] for some in best.indices]
        tops: list[Any] = [None] + [dict(zip(names, some.tolist())) for names, some in zip(named, best.values)]
        logps: list[Any] = [None] + [float(logp_TV[t, id]) for t, id in enumerate(ids[1:])]
        next_one = int(logp_TV[-1].argmax())
        return {
            "tokens": [prompt[start:end] for start, end in found["offset_mapping"]] + [tokenizer.decode([next_one])],
            "token_logprobs": logps + [float(logp_TV[-1, next_one])],
            "top_logprobs": tops,
        }

    def answer(path: str, body: dict[str, Any]) -> dict[str, Any]:
        with lock, torch.no_grad():
            if path == "/chat/completions":
                prompt = tokenizer.apply_chat_template(body["messages"], tokenize=False, add_generation_prompt=True)
                text, usage = written(prompt, body, special=False)
                choice: dict[str, Any] = {"message": {"role": "assistant", "content": text}}
            else:
                text, usage = written(body["prompt"], body, special=True)
                choice = {"text": text}
                if body.get("echo"):
                    choice = {"text": body["prompt"] + text, "logprobs": echoed(body["prompt"], body)}
        return {"choices": [{"index": 0, "finish_reason": "stop", **choice}], "usage": usage}

    return answer


if __name__ == "__main__":
    from tests.endpoint_made import serving

    with serving(answer=answering(), paths=("/completions",), port=8765) as server:
        print(server.url, flush=True)
        threading.Event().wait()
