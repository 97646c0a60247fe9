"""One lane at a time on stock PEFT and stock optimizers: slow and right. Also the engine of full tuning.

The model stays in eval mode and adapters have no dropout, so that the scored forward is the trained forward.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, cast

import torch

from fewfit.engine.forward import logits_at
from fewfit.engine.generate import greedy
from fewfit.engine.head import Pull, read_logits
from fewfit.engine.learner import LaneState, Row, Scored, Track
from fewfit.engine.optim import Trained
from fewfit.engine.places import spans_of, within
from fewfit.engine.score import choice_rows, one_token_apart, read_off, scores_of, sum_logp
from fewfit.engine.targets import adapted_name, initial_a, lora_config
from fewfit.grid import Lane
from fewfit.models.lent import borrowed


class PlainLearner:
    """`totals` gives the planned optimizer steps of a lane (schedules other than constant need it)."""

    def __init__(
        self,
        model: Any,
        *,
        end_ids: frozenset[int],
        ended: Callable[[Sequence[int]], bool] | None = None,
        totals: Callable[[Lane], int] = lambda lane: 1,
    ):
        self.model = model
        self.end_ids, self.ended, self.totals = end_ids, ended, totals
        self._borrowed = borrowed(model)
        self._lanes: dict[Track, Lane] = {}
        self._stored: dict[Track, LaneState] = {}
        self._active: _Active | None = None
        self._graph: dict[Row, Any] = {}  # the loss of rows just predicted
        self._undo_recompute: Callable[[], None] | None = None  # takes recomputation off again

    # ---- tracks ----------------------------------------------------------------------------------------------------

    def open(self, track: Track, lane: Lane) -> None:
        self.forget(track)
        if lane.trains:
            self._lanes[track] = lane

    def state(self, track: Track) -> LaneState:
        if self._active is not None and self._active.track == track:
            return LaneState() if self._active.trained is None else self._active.trained.state()
        return self._stored.get(track, LaneState())

    def restore(self, track: Track, lane: Lane, state: LaneState) -> None:
        self.open(track, lane)
        self._stored[track] = state

    def forget(self, track: Track) -> None:
        if self._active is not None and self._active.track == track:
            self._drop_active()
        self._stored.pop(track, None)
        self._lanes.pop(track, None)

    def export(self, track: Track, folder: Path) -> None:
        active = self._activate(track)
        active.export(folder)

    def drop_graphs(self) -> None:
        self._graph.clear()
        if self._active is not None and self._active.trained is not None:
            self._active.trained.optimizer.zero_grad(set_to_none=True)

    def enable_recompute(self) -> bool:
        if self._undo_recompute is not None:
            return False
        from fewfit.engine import recompute

        self._undo_recompute = recompute.alone(self.model)
        return True

    def close(self) -> None:
        """Also after an exception: nothing of ours stays in a model that was handed in."""
        self._graph.clear()
        if self._undo_recompute is not None:
            self._undo_recompute()
            self._undo_recompute = None
        if self._active is not None:
            self._drop_active()
        self._borrowed.close()

    def _drop_active(self) -> None:
        assert self._active is not None
        self._graph.clear()
        self._active.leave()
        self._active = None

    def _activate(self, track: Track) -> _Active:
        if self._active is not None and self._active.track == track:
            return self._active
        if self._active is not None:
            self._stored[self._active.track] = self.state(self._active.track)
            self._drop_active()
        if track in self._lanes:
            lane = self._lanes[track]
            self._active = (_Full if lane.tune == "full" else _Lora)(self.model, track, lane)
        else:
            self._active = _Active(self.model, track)
        kept = self._stored.pop(track, None)
        if kept is not None and self._active.trained is not None:
            self._active.trained.load(kept)
        return self._active

    # ---- rows ------------------------------------------------------------------------------------------------------

    def score(self, rows: Sequence[Row]) -> list[Scored | None]:
        self._graph.clear()
        return [self._predict(row) for row in rows]

    def _predict(self, row: Row) -> Scored | None:
        active = self._activate(row.track)
        result, loss = self._forward(active, row)
        if loss is not None:
            self._graph[row] = loss
        return result

    def _forward(self, active: _Active, row: Row) -> tuple[Scored | None, Any]:
        train = bool(row.loss) and active.learns
        spans = spans_of(row, train)
        if not spans:
            return None, None
        places = [p - 1 for s, e in spans for p in range(s, e)]
        last = within(spans, row.spans[-1:]) if row.scored else []
        apart = one_token_apart(row.choices) if row.choices else None
        keep = last[apart : apart + 1] if apart is not None else []
        pull = None
        if train and active.trained is not None and active.trained.lane.kl:
            with torch.no_grad(), active.frozen():
                frozen_NV = logits_at(active.model, [row.ids], [places])
            pull = Pull(frozen_NV, torch.tensor(active.trained.lane.kl, dtype=frozen_NV.dtype, device=frozen_NV.device))
        with torch.set_grad_enabled(train):
            logits_NV = logits_at(active.model, [row.ids], [places])
            wanted_N = torch.tensor([row.ids[p + 1] for p in places], device=logits_NV.device)
            said = read_logits(logits_NV, wanted_N, last, keep, pull)
            loss = said.trained_N[within(spans, row.loss)].sum() / sum(e - s for s, e in row.loss) if train else None
        choices: tuple[float, ...] = ()
        if keep and apart is not None:
            choices = read_off(said.kept[keep[0]], row.choices, apart)
        elif row.choices and row.scored:
            with torch.no_grad():
                choices = sum_logp(logits_at(active.model, *choice_rows(row)), row.choices)
        return scores_of([row], [last], said, [choices])[0], loss

    def update(self, rows: Sequence[Row]) -> list[bool]:
        groups: dict[Track, list[Row]] = {}
        for row in rows:
            groups.setdefault(row.track, []).append(row)
        alive = {track: self._step(self._activate(track), batch) for track, batch in groups.items()}
        self._graph.clear()
        return [alive[row.track] for row in rows]

    def _step(self, active: _Active, rows: list[Row]) -> bool:
        if active.trained is None:
            raise ValueError(f"{active.track.lane} trains nothing")
        if active.trained.diverged:
            return False
        for row in rows:
            loss = self._graph.pop(row, None)
            if loss is None:
                _, loss = self._forward(active, Row(row.track, row.ids, row.spans, row.loss, scored=False))
            (loss / len(rows)).backward()
        return active.trained.step(self.totals(active.trained.lane))

    def generate(
        self, rows: Sequence[Row], max_new_tokens: int, begun: Sequence[Sequence[int]] | None = None
    ) -> list[tuple[int, ...]]:
        out = []
        for k, row in enumerate(rows):
            out += greedy(
                self._activate(row.track).model,
                [row.ids[: row.prompt_tokens]],
                max_new_tokens=max_new_tokens,
                end_ids=self.end_ids,
                ended=self.ended,
                begun=None if begun is None else [begun[k]],
            )
        return out


class _Active:
    """The track that the model embodies just now: as it is, with an adapter (`_Lora`), or trained whole (`_Full`)."""

    trained: Trained | None = None

    def __init__(self, model: Any, track: Track):
        self.model, self.track = model, track

    @property
    def learns(self) -> bool:
        return self.trained is not None and not self.trained.diverged

    def frozen(self) -> AbstractContextManager[Any]:
        """Within, the model is as it was before anything was trained."""
        raise NotImplementedError

    def leave(self) -> None:
        pass

    def export(self, folder: Path) -> None:
        pass


class _Lora(_Active):
    """Stock PEFT around the model, taken off again on leaving."""

    def __init__(self, model: Any, track: Track, lane: Lane):
        from peft import get_peft_model

        super().__init__(model, track)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of PEFT about transformers: nothing to act on
            self.peft = get_peft_model(model, lora_config(model, lane))
        self.peft.eval()
        named = [(name, p) for name, p in self.peft.named_parameters() if p.requires_grad]
        with torch.no_grad():
            for name, parameter in named:
                module = adapted_name(name)
                if ".lora_A." in name:
                    parameter.copy_(initial_a(track.seed, module, tuple(parameter.shape)))
                else:
                    parameter.zero_()
        self.model = model  # PEFT has put its layers into the very modules of the model
        self.trained = Trained(lane, named)

    def frozen(self) -> AbstractContextManager[Any]:
        return cast(AbstractContextManager[Any], self.peft.disable_adapter())

    def export(self, folder: Path) -> None:
        self.peft.save_pretrained(str(folder), save_embedding_layers=False)

    def leave(self) -> None:
        self.peft.unload()
        if hasattr(self.model, "peft_config"):
            del self.model.peft_config
        self.model.requires_grad_(False)


class _Full(_Active):
    """Every parameter of the model trains; a copy on the CPU gives the base back."""

    def __init__(self, model: Any, track: Track, lane: Lane):
        super().__init__(model, track)
        named = list(model.named_parameters())  # tied weights come once
        self.base = [parameter.detach().cpu().clone() for _, parameter in named]
        for _, parameter in named:
            parameter.requires_grad_(True)
        self.trained = Trained(lane, named)

    def export(self, folder: Path) -> None:
        self.model.save_pretrained(str(folder))

    def leave(self) -> None:
        with torch.no_grad():
            for parameter, kept in zip(self.model.parameters(), self.base, strict=True):
                parameter.copy_(kept)
                parameter.grad = None
        self.model.requires_grad_(False)
