"""The whole method for ONE lane, as a flat loop to be read from top to bottom: predict each example, then train on it.

It shares nothing with the engine but how prompts are written (`render`) and what is drawn (`draw`), so what both agree
on is not a common mistake. After arXiv 2512.19879, Algorithm 1; its line numbers stand at the lines that follow it.

    rows, trained = reference(model, renderer, examples, lane)
"""

import torch
from peft import LoraConfig, get_peft_model
from transformers.optimization import Adafactor

from fewfit import draw

WARMUP, CLIP = 10, 1.0


def log_probabilities(model, ids, start):
    """log p of ids[start:], token by token, and whether each was the arg-max."""
    logits_TV = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, start - 1 : -1]
    logits_TV = logits_TV if logits_TV.dtype == torch.float64 else logits_TV.float()
    wanted_T = torch.tensor(ids[start:])
    logp_T = torch.log_softmax(logits_TV, -1).gather(-1, wanted_T[:, None])[:, 0]
    return logp_T, logits_TV.argmax(-1) == wanted_T


def make_trainable(model, lane, seed):
    """The parameters that train, and the model that has them."""
    if lane.tune == "full":
        model.requires_grad_(True)
        return model, list(model.parameters())
    config = LoraConfig(
        r=lane.rank, lora_alpha=2 * lane.rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    model = get_peft_model(model, config)
    for name, parameter in model.named_parameters():
        if ".lora_A." in name:  # the values are PEFT's own (uniform, bound 1/sqrt(inputs)); the hash makes them repeat
            module = name.removeprefix("base_model.model.").partition(".lora_")[0]
            generator = torch.Generator().manual_seed(draw.init_seed(seed, module))
            bound = parameter.shape[1] ** -0.5
            parameter.data = torch.rand(parameter.shape, generator=generator).to(parameter) * (2 * bound) - bound
    return model, [parameter for parameter in model.parameters() if parameter.requires_grad]


def make_optimizer(lane, parameters):
    if lane.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=lane.lr, weight_decay=lane.weight_decay)
    return Adafactor(parameters, lr=lane.lr, scale_parameter=False, relative_step=False, weight_decay=lane.weight_decay)


def loss_of(model, rendered, lane):
    """Mean over the tokens that carry loss: answers and their ends, of all items or of the last."""
    ids = list(rendered.ids)
    logp_T, _ = log_probabilities(model, ids, 1)  # logp_T[t] is of token t + 1
    spans = rendered.spans if lane.loss == "every-answer" else rendered.spans[-1:]
    places = [t - 1 for start, end in spans for t in range(start, end)]
    return -logp_T[places].mean()


def reference(model, renderer, examples, lane, *, seed=0, order="shuffle", choices=()):
    """Prediction rows and what was trained on. The model is changed: hand in a copy.

    Studies' coordinates (batch, block, schedule, shots at use, upper half) are the engine's alone.
    """
    assert (lane.batch, lane.block, lane.schedule, lane.layers) == (1, 1, "constant", "all"), lane.name
    model.eval()
    model.requires_grad_(False)
    stream = list(examples) if order == "file" else draw.order(examples, seed)
    if lane.trains:
        model, parameters = make_trainable(model, lane, seed)
        model.eval()
        optimizer = make_optimizer(lane, parameters)
    rows, trained, step = [], [], 0
    for i, example in enumerate(stream, 1):  # line 1: for i = 1..N
        # lines 2 and 3: demonstrations from the earlier examples only, then the prediction
        demos = draw.demonstrations(stream[: i - 1], example, lane.shots, seed=seed, i=i, update=1)
        prompted = renderer.render(demos, example)
        with torch.no_grad():
            logp_T, hit_T = log_probabilities(model, list(prompted.ids), prompted.prompt_tokens)
            row = {"i": i, "id": example.id, "demos": list(prompted.demos), "nll": -logp_T.double().sum().item()}
            row |= {"tokens": len(logp_T), "hit": bool(hit_T.all())}
            if choices:
                prompt = renderer.prompt(demos, example)
                row["logp"] = {}
                for choice, continuation in zip(choices, renderer.continuations(prompt, choices), strict=True):
                    whole = list(prompt.ids) + list(continuation)
                    row["logp"][choice] = log_probabilities(model, whole, len(prompt.ids))[0].double().sum().item()
        rows.append(row)  # line 4: written down before anything is learnt from it
        for update in range(1, lane.updates + 1):  # line 5: E gradient steps
            target = example
            if update > 1:
                target = stream[draw.replayed(i, update, seed=seed, replay=lane.replay) - 1]
                # Ours: update 1 keeps the prompt that was scored, where line 5 redraws it; later ones redraw, from
                # all that has been predicted.
                demos = draw.demonstrations(stream[:i], target, lane.shots, seed=seed, i=i, update=update)
            rendered = renderer.render(demos, target)
            loss_of(model, rendered, lane).backward()
            torch.nn.utils.clip_grad_norm_(parameters, CLIP)
            step += 1
            for group in optimizer.param_groups:
                group["lr"] = lane.lr * min(1.0, step / WARMUP)
            optimizer.step()
            optimizer.zero_grad()
            trained.append({"i": i, "update": update, "ids": [*rendered.demos, target.id]})
    return rows, trained
