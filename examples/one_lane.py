"""The whole method for ONE lane, to be read from top to bottom: predict each example, then train on it.

    python examples/one_lane.py                                     # 40 verbs and their past tenses, on a 135M model
    python examples/one_lane.py --data FILE --shots 0 --updates 5   # your own examples, tuning without demonstrations

After arXiv 2512.19879, Algorithm 1: "line 1" to "line 5" are the five steps inside its loop, and "ours" is what the
paper leaves open. Stock torch, transformers and PEFT. With the engine it shares only how prompts are written (`render`)
and what is drawn (`draw`), so what both agree on is not a common mistake: tests hold every lane to `reference`. Names
of tensors end in their axes: T tokens, V the vocabulary.
"""

import argparse
from importlib.resources import files

import torch
from peft import LoraConfig, get_peft_model
from transformers.optimization import Adafactor

from fewfit import draw
from fewfit.examples import load as load_examples
from fewfit.grid import Lane
from fewfit.models import installed, local
from fewfit.render import Renderer

WARMUP, CLIP = 10, 1.0  # ours: no schedule is named; the first steps are small, then the rate is constant


def read_tokens(model, ids, start):
    """Of every token of ids[start:] its log-probability, and the token that the model held to be likeliest there."""
    logits_TV = model(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits[0, start - 1 : -1]
    logits_TV = logits_TV if logits_TV.dtype == torch.float64 else logits_TV.float()
    wanted_T = torch.tensor(ids[start:], device=model.device)
    logp_T = torch.log_softmax(logits_TV, -1).gather(-1, wanted_T[:, None])[:, 0]
    return logp_T, logits_TV.argmax(-1)


def loss_of(model, rendered, lane):
    """Answers and their ends carry loss, of all items or of the last (section 4). That it is their mean is ours."""
    logp_T, _ = read_tokens(model, list(rendered.ids), 1)  # logp_T[t] is of token t + 1
    spans = rendered.spans if lane.loss == "every-answer" else rendered.spans[-1:]
    places = [t - 1 for start, end in spans for t in range(start, end)]
    return -logp_T[places].mean()


def make_trainable(model, lane, seed):
    """The model, and what trains in it: all its parameters (section 4), or LoRA beside every linear layer."""
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


def reference(model, renderer, examples, lane, *, seed=0, order="shuffle", choices=(), tell=lambda example, row: None):
    """Prediction rows, each told when it is made, and what was trained on. The model is changed: hand in a copy."""
    # Studies' coordinates (batch, block, schedule, upper half, kl) and other ways with demonstrations are the engine's
    # alone: here each prompt has a draw of its own.
    assert (lane.batch, lane.block, lane.schedule, lane.layers, lane.kl) == (1, 1, "constant", "all", 0), lane.name
    assert lane.delivery == "per-query" or not lane.shots, lane.name
    assert (lane.use_shots, lane.demonstrations, lane.augment) == (None, "random", ()), lane.name
    model.requires_grad_(False)
    if lane.trains:
        model, parameters = make_trainable(model, lane, seed)
        how = {"lr": lane.lr, "weight_decay": lane.weight_decay}
        if lane.optimizer == "adamw":
            optimizer = torch.optim.AdamW(parameters, **how)
        else:  # the paper's
            optimizer = Adafactor(parameters, scale_parameter=False, relative_step=False, **how)
    model.eval()  # no dropout: what is predicted and what is trained on are one forward
    stream = list(examples) if order == "file" else draw.order(examples, seed)
    rows, trained, step = [], [], 0
    for i, example in enumerate(stream, 1):
        # Line 1: up to K demonstrations, from the earlier examples only.
        demos = draw.demonstrations(stream[: i - 1], example, lane.shots, seed=seed, i=i, update=1)
        prompted = renderer.render(demos, example)
        # Lines 2 and 3: the prediction, by the weights that the earlier examples made, and its loss.
        with torch.no_grad():
            logp_T, best_T = read_tokens(model, list(prompted.ids), prompted.prompt_tokens)
            best = best_T.tolist()
            hits = [a == b for a, b in zip(best, prompted.ids[prompted.prompt_tokens :], strict=True)]
            # Behind its first wrong token the model has been shown the answer: what it says there is not its own.
            said = renderer.answer_text(best if all(hits) else best[: hits.index(False) + 1])[0]
            row = {"i": i, "id": example.id, "demos": list(prompted.demos), "nll": -logp_T.cpu().double().sum().item()}
            row |= {"tokens": len(hits), "hit": all(hits), "prediction": said, "right": all(hits)}
            if choices:  # section 4: the likeliest of them is the prediction
                prompt, row["logp"] = renderer.prompt(demos, example), {}
                for choice, continuation in zip(choices, renderer.continuations(prompt, choices), strict=True):
                    logp_T, _ = read_tokens(model, [*prompt.ids, *continuation], len(prompt.ids))
                    row["logp"][choice] = logp_T.cpu().double().sum().item()
                row["prediction"] = max(row["logp"], key=row["logp"].get)
                row["right"] = row["prediction"] == example.completion
        rows.append(row)  # line 4: it counts, before anything is learnt from the example
        tell(example, row)
        for update in range(1, lane.updates + 1):  # line 5: E gradient steps
            target = example
            if update > 1:  # ours: earlier examples return as targets; line 5 keeps to the newest (replay="newest")
                target = stream[draw.replayed(i, update, seed=seed, replay=lane.replay) - 1]
                # Redrawn from all that was predicted. Ours: update 1 keeps the prompt scored, which line 5 redraws.
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


def main():
    parser = argparse.ArgumentParser(description="One lane: predict each example, then train on it.")
    parser.add_argument("--data", help="a file of examples  [default: the demo's]")
    parser.add_argument("--model", default="smollm2", help="a Hugging Face name, a folder, or one of `fewfit models`")
    parser.add_argument("--shots", type=int, default=4, help="demonstrations in the prompt")
    parser.add_argument("--lr", type=float, default=1e-3, help="learning rate")
    parser.add_argument("--updates", type=int, default=1, help="gradient steps an example; 0: prompting alone")
    asked = parser.parse_args()
    real = installed.find("smollm2")
    if asked.model == real.name and installed.parts(real.gguf) is None:
        print(f"smollm2 is not installed ({real.install}); on lab then, a toy that knows a made-up language only")
        asked.model = "lab"
    loaded = local.load(asked.model, dtype="float32")
    demo = "facts.jsonl" if loaded.ref.name in installed.BUNDLED else "english/past-tense.jsonl"
    dataset = load_examples(asked.data or str(files("fewfit").joinpath("demo/data", demo)))
    renderer = Renderer.resolve(loaded.tokenizer, dataset.examples, chat="off", choices=dataset.choices)
    lane = Lane(
        shots=asked.shots, lr=asked.lr if asked.updates else 0.0, updates=asked.updates,
        deliver="per-query" if asked.shots and not asked.updates else None,
    )  # fmt: skip

    def tell(example, row):
        shown = f"{example.prompt!r:32.32} {example.completion!r:16.16} {row['prediction']!r:16.16}"
        print(f"{row['i']:4} {len(row['demos']):5}  {shown} {'right' if row['right'] else 'wrong'} {row['nll']:6.2f}")

    print(f"{lane.name}: {loaded.ref.short_name} on {len(dataset)} examples of {dataset.source}, predicted in turn\n")
    print(f"{'i':>4} shots  {'prompt':32} {'answer':16} {'predicted':16} {'nats':>12}")
    rows, trained = reference(loaded.model, renderer, dataset.examples, lane, choices=dataset.choices or (), tell=tell)
    print(f"\n{len(trained)} updates were made. What was predicted before them, L_N / N in Algorithm 1:")
    for name, part in (("the whole stream", rows), ("its last third", rows[-(len(rows) // 3) :])):
        right, nats = (sum(row[key] for row in part) / len(part) for key in ("right", "nll"))
        print(f"  {name:16} {100 * right:5.1f} of 100 right, {nats:5.2f} nats an answer")


if __name__ == "__main__":
    main()
