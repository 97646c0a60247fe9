"""Many LoRA lanes over one frozen model: every forward, and every backward, serves rows of any lanes.

Each row of a pass is named its lane by an explicit map; rows never share an attention row, so a lane that goes to NaN
harms itself alone. Equal, lane by lane, to `plain.PlainLearner`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fewfit.engine import keyvalue, memory, optim, recompute, sharing
from fewfit.engine.adapters import Wrapped
from fewfit.engine.forward import logits_at, padded_ids, trained_attention
from fewfit.engine.generate import greedy
from fewfit.engine.head import Pull, Read, read, read_logits, says_all, wide
from fewfit.engine.learner import LaneState, Row, Scored, Track
from fewfit.engine.places import BUCKET, alike, bucket, offsets, spans_of, within
from fewfit.engine.rowmap import Adapter, Layout, Pass
from fewfit.engine.score import choice_rows, one_token_apart, read_off, scores_of, several, sum_logp
from fewfit.engine.targets import adaptable, adapted_modules, lora_config
from fewfit.grid import Lane
from fewfit.models import library
from fewfit.models.lent import borrowed


@dataclass
class _Track:
    """What a lane that trains is under one seed: its vector, and what trains in it, which are views of that."""

    adapter: Adapter
    trained: optim.Trained


@dataclass
class _Graph:
    """The losses of one forward, kept until the update."""

    loss_N: Tensor
    now: Pass
    tokens: int  # of its longest row
    places: dict[Row, tuple[list[int], int]] = field(default_factory=dict)  # where in loss_N, and how many tokens


class StackLearner:
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
        self.device = next(model.parameters()).device
        self._borrowed = borrowed(model)
        self._tracks: dict[Track, _Track] = {}
        self._wrapped: Wrapped | None = None
        self._layouts: dict[tuple[int, str], Layout] = {}
        self._graphs: list[_Graph] = []
        self._recomputes = False  # memory: layers keep their input only

    # ---- tracks ----------------------------------------------------------------------------------------------------

    def open(self, track: Track, lane: Lane) -> None:
        self.forget(track)
        if not lane.trains:
            return
        if lane.tune != "lora":
            raise ValueError(f"{lane.name} tunes the whole model: a lane for PlainLearner")
        layout = self._layout(lane)
        dtype = torch.float64 if self.model.dtype == torch.float64 else torch.float32
        weight_P = layout.fresh(track.seed, dtype, self.device)
        named = [(name, torch.nn.Parameter(layout.view(weight_P, name))) for name in layout.parameters]
        self._tracks[track] = _Track(Adapter(layout, weight_P), optim.Trained(lane, named))

    def _adapter(self, track: Track) -> Adapter | None:
        one = self._tracks.get(track)
        return None if one is None else one.adapter

    def _learning(self, track: Track) -> _Track | None:
        one = self._tracks.get(track)
        return None if one is None or one.trained.diverged else one

    def _kl(self, row: Row) -> float:
        one = self._tracks.get(row.track)
        return 0.0 if one is None else one.trained.lane.kl

    @property
    def wrapped(self) -> Wrapped:
        if self._wrapped is None:
            self._bare = library.proven(self.model, "the head by itself", says_all, aloud=False)
            self._prefixes = sharing.layers_where_proven(self.model)
            self._wrapped = Wrapped(self.model, adaptable(self.model))
            self._decoder = recompute.layers_of(self.model)
        return self._wrapped

    def _layout(self, lane: Lane) -> Layout:
        key = (lane.rank, lane.layers)
        if key not in self._layouts:
            self._layouts[key] = Layout(self.wrapped.modules, adapted_modules(self.model, lane), lane.rank)
        return self._layouts[key]

    def state(self, track: Track) -> LaneState:
        one = self._tracks.get(track)
        return LaneState() if one is None else one.trained.state()

    def restore(self, track: Track, lane: Lane, state: LaneState) -> None:
        self.open(track, lane)
        if lane.trains:
            self._tracks[track].trained.load(state)

    def forget(self, track: Track) -> None:
        self._graphs.clear()  # they hold the adapters of all rows just predicted
        self._tracks.pop(track, None)

    def export(self, track: Track, folder: Path) -> None:
        """A stock PEFT adapter, written without touching the model."""
        from safetensors.torch import save_file

        one = self._tracks.get(track)
        if one is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        config = lora_config(self.model, one.trained.lane)
        config.base_model_name_or_path = getattr(self.model.config, "_name_or_path", None) or None
        config.inference_mode = True
        config.save_pretrained(str(folder))
        weights = {
            name.replace(".default.", "."): optim.copied(parameter).contiguous()
            for name, parameter in one.trained.parameters.items()
        }
        save_file(weights, str(folder / "adapter_model.safetensors"), metadata={"format": "pt"})

    def drop_graphs(self) -> None:
        self._graphs.clear()

    def enable_recompute(self) -> bool:
        if self._recomputes:
            return False
        self._recomputes = recompute.stacked(self.wrapped)
        return self._recomputes

    def close(self) -> None:
        """Also after an exception: nothing of ours stays in a model that was handed in."""
        self._graphs.clear()
        if self._wrapped is not None:
            self._wrapped.close()
            self._wrapped, self._recomputes = None, False
        self._tracks.clear()
        self._layouts.clear()
        self._borrowed.close()

    # ---- rows ------------------------------------------------------------------------------------------------------

    def score(self, rows: Sequence[Row]) -> list[Scored | None]:
        self._graphs.clear()
        out: list[Scored | None] = [None] * len(rows)
        # Rows that train nothing need no graph: in a pass of their own they cost a third. Lanes that adapt the upper
        # layers only need none below, beside others they would have one. Lanes that are pulled ask the frozen model.
        parts: dict[str, list[int]] = {}
        for i, row in enumerate(rows):
            one = self._learning(row.track) if row.loss else None
            parts.setdefault("none" if one is None else f"{one.trained.lane.layers}{self._kl(row) > 0}", []).append(i)
        longest = max((len(row.ids) for row in rows), default=0)  # padded alike whatever the others need
        for kind, part in parts.items():
            found = self._forward([rows[i] for i in part], train=kind != "none", longest=longest)
            for i, result in zip(part, found, strict=True):
                out[i] = result
        return out

    def _forward(self, rows: Sequence[Row], train: bool, longest: int = 0) -> list[Scored | None]:
        """One forward over the rows; with `train` their losses are kept for the update."""
        if not rows or not any(row.scored or train for row in rows):
            return [None] * len(rows)
        asked = [spans_of(row, train) for row in rows]
        rows_in_order = by_track(rows, [self._adapter(row.track) for row in rows])
        batch, spans = [rows[i] for i in rows_in_order], [asked[i] for i in rows_in_order]
        places = [[p - 1 for s, e in some for p in range(s, e)] for some in spans]
        starts = list(offsets(places))
        wanted = [row.ids[p + 1] for row, some in zip(batch, places, strict=True) for p in some]
        cache = None
        if any(several(row) for row in batch) and keyvalue.usable(self.model):
            cache = library.kept_cache()
        last = [
            within(some, (row.spans[-1],), start) if row.scored else []
            for row, some, start in zip(batch, spans, starts, strict=True)
        ]
        telling = {b: one_token_apart(row.choices) for b, row in enumerate(batch) if row.choices and last[b]}
        keep = [last[b][place or 0] for b, place in telling.items()]
        longest = max(longest, *(len(row.ids) for row in batch))
        attention = trained_attention(self.model, longest) if train else nullcontext()
        with torch.set_grad_enabled(train), attention, self._using([row.track for row in batch]) as now:
            tell = [n for some in last for n in some]
            pulls = [self._kl(row) if train else 0.0 for row, some in zip(batch, places, strict=True) for _ in some]
            said = self._read(now, batch, places, wanted, tell, keep, cache, longest, pulls)
        if train:
            graph = _Graph(said.trained_N, now, longest)
            for row, some, start in zip(batch, spans, starts, strict=True):
                carried = sum(e - s for s, e in row.loss)
                graph.places[row] = (within(some, row.loss, start), carried)
            self._graphs.append(graph)
        choices = self._choices(batch, last, telling, said.kept, cache, now.shared)
        out: list[Scored | None] = [None] * len(rows)
        for i, result in zip(rows_in_order, scores_of(batch, last, said, choices), strict=True):
            out[i] = result
        return out

    def _read(
        self,
        now: Pass,
        batch: Sequence[Row],
        places: list[list[int]],
        wanted: list[int],
        tell: Sequence[int],
        keep: Sequence[int],
        cache: Any,
        longest: int,
        pulls: Sequence[float],
    ) -> Read:
        """What the head says at the places of all rows: it sees no others."""
        found = now.shared = sharing.shared(now, self._prefixes, [row.ids for row in batch])
        few = batch if found is None else [batch[b] for b in found.rows]
        longest = bucket(longest)
        ids_BT = padded_ids([row.ids for row in few], longest=longest)
        flat = [b * longest + p for b, some in enumerate(places) for p in some]
        # Products of fewer than 16 rows, and what a vector register does not fill, are rounded otherwise: the last
        # place stands in for what lacks to a multiple.
        flat_N = torch.tensor(flat + flat[-1:] * (-len(flat) % BUCKET), device=self.device)

        def gather(_module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
            return (args[0].reshape(-1, args[0].shape[-1])[flat_N][None], *args[1:])

        head = self.model.get_output_embeddings()
        bare = self._bare
        hook = head.register_forward_pre_hook(gather)
        self.wrapped.headless = bare
        frozen = None
        try:
            if any(pulls):
                with torch.no_grad(), self.wrapped.using(None):
                    all_BT = padded_ids([row.ids for row in batch], longest=longest).to(self.device)
                    frozen = self.model(input_ids=all_BT, use_cache=False).logits[0]
            with sharing.widened(self._decoder, found):
                how = library.cache_argument(self.model, cache)
                out = self.model(input_ids=ids_BT.to(self.device), use_cache=cache is not None, **how).logits[0]
        finally:
            hook.remove()
            self.wrapped.headless = False
        wanted_N, asked = torch.tensor(wanted, device=self.device), len(wanted)
        pull = None
        if frozen is not None:
            weights = [*pulls, *[0.0] * (len(out) - asked)]
            pull = Pull(frozen, torch.tensor(weights, dtype=wide(frozen[:0]).dtype, device=self.device))
        if bare:
            filled_N = torch.cat([wanted_N, wanted_N[-1:].expand(len(out) - asked)])
            said = read(head, out, filled_N, tell, keep, pull)
            return said._replace(loss_N=said.loss_N[:asked], trained_N=said.trained_N[:asked])
        if pull is not None:
            pull = Pull(wide(pull.frozen[:asked]), pull.weight_N[:asked])
        return read_logits(wide(out[:asked]), wanted_N, tell, keep, pull)

    @contextmanager
    def _using(self, tracks: Sequence[Track]) -> Iterator[Pass]:
        now = self.wrapped.over([self._adapter(track) for track in tracks])
        with self.wrapped.using(now):
            yield now

    @torch.no_grad()
    def _choices(
        self,
        batch: Sequence[Row],
        last: list[list[int]],
        telling: dict[int, int | None],
        kept: dict[int, Tensor],
        cache: Any,
        below: sharing.Shared | None,
    ) -> list[tuple[float, ...]]:
        """Log p of each row's choices. `telling` is the place of the answer that tells them apart, None where it takes
        several; `kept` are the logits there, or at the answer's first token."""
        out: list[tuple[float, ...]] = [()] * len(batch)
        for b, place in telling.items():
            if place is not None:
                out[b] = read_off(kept[last[b][place]], batch[b].choices, place)
        longer = [b for b, place in telling.items() if place is None]
        if not longer:
            return out
        tracks = [row.track for row in batch]
        if cache is not None:
            found = keyvalue.logp_after(
                self.model,
                cache,
                [(b, batch[b]) for b in longer],
                torch.stack([kept[last[b][0]] for b in longer]),
                lambda places: self._using([tracks[b] for b in places]),
                below,
            )
            for b, logp in zip(longer, found, strict=True):
                out[b] = logp
            return out
        for b in longer:
            ids, places = choice_rows(batch[b])
            with self._using([tracks[b]] * len(ids)):
                out[b] = sum_logp(logits_at(self.model, ids, places), batch[b].choices)
        return out

    def update(self, rows: Sequence[Row]) -> list[bool]:
        groups: dict[Track, list[Row]] = {}
        for row in rows:
            groups.setdefault(row.track, []).append(row)
        for track in groups:
            if track not in self._tracks:
                raise ValueError(f"{track.lane} trains nothing")
        learning = {track: some for track, some in groups.items() if self._learning(track)}
        known = {row for graph in self._graphs for row in graph.places}
        missing = [row for some in learning.values() for row in dict.fromkeys(some) if row not in known]
        for part in alike(missing):
            bare = {row: Row(row.track, row.ids, row.spans, row.loss, scored=False) for row in part}
            self._forward(list(bare.values()), train=True)
            places = self._graphs[-1].places
            self._graphs[-1].places = {row: places[short] for row, short in bare.items()}
        try:
            self._backward(learning)
            with memory.no_second_try():  # some lanes may have stepped
                for track in learning:
                    self._step(self._tracks[track])
        finally:
            self._graphs.clear()
        return [self._learning(row.track) is not None for row in rows]

    def _backward(self, learning: dict[Track, list[Row]]) -> None:
        """Each learning lane's gradient, in the groups of the graphs that hold its rows."""
        weights: list[list[float]] = [[0.0] * graph.loss_N.shape[0] for graph in self._graphs]
        for some in learning.values():
            for row in some:
                g = next(g for g, graph in enumerate(self._graphs) if row in graph.places)
                places, carried = self._graphs[g].places[row]
                for n in places:  # a row's loss is the mean over its tokens, a lane's the mean over its rows
                    weights[g][n] += 1.0 / carried / len(some)
        for graph, weight in zip(self._graphs, weights, strict=True):
            if any(weight):
                weight_N = torch.tensor(weight, dtype=graph.loss_N.dtype, device=self.device)
                groups = [group for group, _, _ in graph.now.groups]
                leaves = [leaf for group in groups for leaf in group.all_leaves()]
                with trained_attention(self.model, graph.tokens):  # layers may be run again
                    found = iter(torch.autograd.grad([graph.loss_N], leaves, [weight_N], allow_unused=True))
                for group in groups:
                    group.collect(found)

    def _step(self, one: _Track) -> None:
        gradient_P = torch.zeros_like(one.adapter.weight_P)
        for graph in self._graphs:
            for group, _, _ in graph.now.groups:
                for lane, adapter in enumerate(group.adapters):
                    if adapter is one.adapter and group.gradient_GP is not None:
                        gradient_P.add_(group.gradient_GP[lane])
        for name, parameter in one.trained.parameters.items():
            parameter.grad = one.adapter.layout.view(gradient_P, name)
        one.trained.step(self.totals(one.trained.lane))

    def generate(
        self, rows: Sequence[Row], max_new_tokens: int, begun: Sequence[Sequence[int]] | None = None
    ) -> list[tuple[int, ...]]:
        return greedy(
            self.model,
            [row.ids[: row.prompt_tokens] for row in rows],
            max_new_tokens=max_new_tokens,
            end_ids=self.end_ids,
            ended=self.ended,
            begun=begun,
            around=lambda indices: self._using([rows[i].track for i in indices]),
        )


def by_track(rows: Sequence[Row], adapters: Sequence[Adapter | None]) -> list[int]:
    """Rows of one track next to each other, and tracks that are alike: their adapters are batched products."""
    first: dict[Track, int] = {}
    count: dict[Track, int] = {}
    layouts: list[Layout] = []  # in the order of the rows: nothing hangs on where an object lies
    for row, adapter in zip(rows, adapters, strict=True):
        if adapter is not None and adapter.layout not in layouts:
            layouts.append(adapter.layout)
        first.setdefault(row.track, len(first))
        count[row.track] = count.get(row.track, 0) + 1

    def place(i: int) -> tuple[int, int, int]:
        adapter = adapters[i]
        layout = layouts.index(adapter.layout) if adapter else -1
        return (layout, count[rows[i].track], first[rows[i].track])

    return sorted(range(len(rows)), key=place)
