"""Training the bundled model from structured initial weights, on rows that are made as they are needed.

    python -m lab train --minutes 90

Reproducible from the seed and the journal (which records the steps at which phases began and the rate fell). Stops and
resumes: everything needed lies in `state.pt`; where that is missing, the weights of a model folder are a valid start.
"""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from fewfit.errors import UserError
from lab import corpus, initial, skills, store, tokens
from lab.document import CONTEXT, Encoder
from lab.muon import Optimizer
from lab.net import LAB, Shape, hidden_states, rope, weighted_loss

BATCH_TOKENS = 2048
LOSS_TOKENS = 768  # of a batch; answers are a quarter of all tokens
WARM_UP = 100
AVERAGE = 200  # steps that the running mean of the weights reaches back
DECAY = 0.4  # the last part of the time, in which the rate falls to zero


@dataclass
class Progress:
    """What a run has done so far: with the seed, all that the next step depends on."""

    step: int = 0
    row: int = 0
    tokens: int = 0
    seconds: float = 0.0
    decay_from: int = -1
    decay_steps: int = 0
    warm_from: int = 0
    window_from: float = 0.0  # the second at which the present stretch of training began


def forward_of(params: dict[str, Tensor], shape: Shape, dtype: torch.dtype) -> skills.Forward:
    """Logits of the current weights, for watching skills."""

    def forward(ids_BT: Tensor) -> Tensor:
        T = -(-ids_BT.shape[1] // 128) * 128
        device = params["model.norm.weight"].device
        ids_BT = torch.nn.functional.pad(ids_BT, (0, T - ids_BT.shape[1])).to(device)
        cos, sin = rope(shape, T, device)
        h = hidden_states(params, ids_BT, shape, cos, sin, dtype)
        return (h.to(dtype) @ params["model.embed_tokens.weight"].to(dtype).T).float().cpu()

    return forward


def _seed(asked: int | None, state: dict | None, folder: Path) -> int:
    """The run's own where it goes on: the rows to come are drawn by it. States of before it was kept have none."""
    begun = state.get("seed") if state else None
    if begun is None:
        return asked or 0
    if asked not in (None, begun):
        raise UserError(
            f"the run began with seed {begun}, not {asked}",
            where=str(folder),
            hint=f"leave --seed out, or --seed {begun}",
        )
    return begun


class Training:
    """One run: weights, optimizer, data and journal in a folder."""

    def __init__(
        self,
        folder: Path,
        shape: Shape = LAB,
        seed: int | None = None,
        resume: bool = True,
        start: Path | None = None,
        device: str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.folder, self.shape = folder, shape
        folder.mkdir(parents=True, exist_ok=True)
        # bf16 products pay where the processor has units for them; elsewhere they are emulated, slowly.
        fast = device != "cpu" or torch.cpu._is_amx_tile_supported()
        self.dtype = torch.bfloat16 if fast else torch.float32
        # The run keeps its own tokenizer: a later change of the word list must not move the ids under the weights.
        tokenizer = tokens.load(start or folder)
        tokenizer.save(str(folder / "tokenizer.json"))
        self.tokenizer = tokenizer
        self.encoder = Encoder(lambda text: tokenizer.encode(text).ids)
        self.progress = Progress()
        saved = folder / "state.pt"
        state = torch.load(saved, weights_only=True, map_location=self.device) if resume and saved.exists() else None
        self.seed = _seed(seed, state, folder)
        if state:
            params = state["params"]
            self.progress = Progress(**state["progress"])
        elif start is not None:
            params = store.read_weights(start)
        else:
            params = initial.structured(self.shape, tokens.twins(tokenizer), self.seed)
        self.params = {n: p.float().clone().to(self.device).requires_grad_() for n, p in params.items()}
        self.optimizer = Optimizer(self.params)
        if state:
            self.optimizer.restore(state["optimizer"])
        # A running mean of the weights: what they would be had the rate fallen. Watched and published, never trained.
        averaged = state.get("averaged", params) if state else params
        self.averaged = {n: p.detach().float().clone().to(self.device) for n, p in averaged.items()}
        self._compiled: dict[int, object] = {}

    def rows(self, length: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The next batch: ids [B, T], and the places, targets and weights of what carries loss, [K] each.

        Every answer token, and as many of the others, chosen at random, as fill K: these weigh so little that the
        output layer need not run on all of them.
        """
        phase = self.phase()
        packed = corpus.Rows(self.encoder, self.seed, length)
        batch = [packed.row(self.progress.row + i, phase) for i in range(BATCH_TOKENS // length)]
        self.progress.row += len(batch)
        ids = torch.tensor([ids for ids, _ in batch])
        weights = torch.tensor([w for _, w in batch])
        flat = weights[:, 1:].flatten()
        answer = flat > CONTEXT
        noise = torch.rand(len(flat), generator=torch.Generator().manual_seed(self.progress.row))
        at = (noise + answer.float() + (flat > 0).float()).topk(LOSS_TOKENS).indices.sort().values
        chosen = flat[at]
        rare = ~answer[at] & (chosen > 0)
        chosen[rare] *= float((~answer & (flat > 0)).sum()) / max(1, int(rare.sum()))
        targets = ids[:, 1:].flatten()[at]
        batch_ids = ids[:, :-1].contiguous()
        return tuple(t.to(self.device) for t in (batch_ids, at, targets, chosen))  # type: ignore[return-value]

    def _loss(self, length: int):
        if length not in self._compiled:
            cos, sin = rope(self.shape, length, self.device)

            def loss(params: dict[str, Tensor], ids: Tensor, at: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
                return weighted_loss(params, ids, at, targets, weights, self.shape, cos, sin, self.dtype)

            eager = os.environ.get("FEWFIT_LAB_COMPILE") == "0"
            self._compiled[length] = loss if eager else torch.compile(loss, dynamic=False)
        return self._compiled[length]

    def published(self) -> dict[str, Tensor]:
        """The mean while the rate is high, the weights themselves once it has fallen."""
        return self.params if self.rate() < 0.1 and self.progress.decay_from >= 0 else self.averaged

    def phase(self) -> int:
        """Where the curriculum stands."""
        return corpus.phase_at(self.progress.tokens)

    def rate(self) -> float:
        p = self.progress
        rate = min(1.0, (p.step - p.warm_from + 1) / WARM_UP)
        if p.decay_from >= 0:
            rate = min(rate, max(0.0, 1 - (p.step - p.decay_from) / p.decay_steps))
        return rate

    def step(self) -> float:
        length = corpus.PHASES[self.phase()].row_length(self.progress.step)
        ids, at, targets, weights = self.rows(length)
        loss = self._loss(length)(self.params, ids, at, targets, weights)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.params.values(), 1.0)
        self.optimizer.step(self.rate())
        for p in self.params.values():
            p.grad = None
        with torch.no_grad():
            torch._foreach_lerp_(list(self.averaged.values()), [self.params[n] for n in self.averaged], 1 / AVERAGE)
        self.progress.step += 1
        self.progress.tokens += ids.numel()
        return float(loss.detach())

    def save(self, current: Path | None = None) -> None:
        state = {
            "params": {n: p.detach() for n, p in self.params.items()},
            "averaged": self.averaged,
            "optimizer": self.optimizer.state(),
            "progress": asdict(self.progress),
            "seed": self.seed,
        }
        torch.save(state, self.folder / "state.tmp")
        os.replace(self.folder / "state.tmp", self.folder / "state.pt")
        if current is not None:
            store.write_model(current, self.published(), self.shape, self.tokenizer)

    def journal(self, **what: object) -> None:
        with open(self.folder / "journal.jsonl", "a") as file:
            file.write(json.dumps({"step": self.progress.step, "tokens": self.progress.tokens, **what}) + "\n")

    def run(
        self, minutes: float, save_every: float = 180, watch_every: float = 360, current: Path | None = None
    ) -> None:
        """Train until `minutes` have passed since the run (not this process) began.

        A run that had ended goes on for `minutes` more, at the full rate first.
        """
        p = self.progress
        clock = time.monotonic()
        last_save = last_watch = last_log = clock
        over = p.decay_from >= 0 and p.step >= p.decay_from + p.decay_steps
        if over or p.seconds >= p.window_from + minutes * 60:
            p.decay_from, p.decay_steps, p.warm_from, p.window_from = -1, 0, p.step, p.seconds
        began, end = p.seconds, p.window_from + minutes * 60
        phase, losses, step0 = -1, [], p.step
        stop: list[int] = []
        before = {
            number: signal.signal(number, lambda number, frame: stop.append(number))
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        while p.seconds < end and not stop:
            if self.phase() != phase:
                phase = self.phase()
                self.journal(phase=corpus.PHASES[phase].name, seed=self.seed)
            losses.append(self.step())
            now = time.monotonic()
            p.seconds += now - clock
            clock = now
            if p.decay_from < 0 and p.seconds > end - minutes * 60 * DECAY and p.step > step0 + 50:
                per_step = (p.seconds - began) / (p.step - step0)
                p.decay_from, p.decay_steps = p.step, max(1, int((end - p.seconds) / per_step))
                self.journal(decay_from=p.decay_from, decay_steps=p.decay_steps)
            if now - last_log > 30:
                self.journal(
                    loss=round(sum(losses) / len(losses), 4), seconds=round(p.seconds), rate=round(self.rate(), 4)
                )
                losses, last_log = [], now
            if now - last_watch > watch_every:
                forward = forward_of(self.published(), self.shape, self.dtype)
                self.journal(skills=skills.watch(forward, self.encoder))
                last_watch = time.monotonic()
            if now - last_save > save_every:
                self.save(current)
                last_save = time.monotonic()
            if p.decay_from >= 0 and p.step >= p.decay_from + p.decay_steps:
                break
        self.save(current)
        for number, handler in before.items():
            signal.signal(number, handler)
        if stop:
            self.journal(stopped=True)
            return
        forward = forward_of(self.published(), self.shape, self.dtype)
        self.journal(skills=skills.watch(forward, self.encoder, documents=40), end=True)
