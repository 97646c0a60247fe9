"""What is asked of every lane: the examples, how they are rendered, how a prediction is judged; and the rows of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from fewfit import draw
from fewfit.demonstrations import CHOOSERS, Chooser, Moment
from fewfit.demonstrations.delivery import Nll, Set, drawn_sets, first_of, likeliest, purpose, sets_to_choose_among
from fewfit.engine.learner import Row, Scored, Track
from fewfit.engine.source import SOURCES, Item, Source
from fewfit.examples.example import Example
from fewfit.grid import SEARCHED, Lane
from fewfit.metrics import Metric
from fewfit.render import Rendered, Renderer

TINY = 1e-300  # a probability that is not there
MISS_SHARE = 0.5  # of answers that have to be generated, where it has to be guessed beforehand


class SetKey(NamedTuple):
    """Lanes that choose among the same sets of demonstrations."""

    seed: int
    shots: int
    chooser: str


class Searched(NamedTuple):
    """A set that knows the first `after` examples of the order: later ones alone are predicted behind it."""

    after: int
    demos: Set


@dataclass(frozen=True)
class Seen:
    """One row with where it came from: enough to write its prediction down."""

    row: Row
    rendered: Rendered
    example: Example
    choices: tuple[str, ...]
    i: int
    update: int
    made_from: tuple[str, ...]  # ids of the examples that the target was made from: its own, unless it was inferred


class Task:
    """The examples in each seed's order, and the sequences that lanes see of them.

    `choosers` and `sources` are what lanes name as theirs: who chooses demonstrations, and what is learnt from.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        renderer: Renderer,
        judge: Metric,
        *,
        order: str = "shuffle",
        choosers: Mapping[str, Chooser] = CHOOSERS,
        sources: Mapping[tuple[str, ...], Source] = SOURCES,
    ):
        self.examples, self.renderer, self.judge, self.order_name = tuple(examples), renderer, judge, order
        self.choosers, self.sources = choosers, sources
        self._orders: dict[int, tuple[Example, ...]] = {}
        self._sets: dict[SetKey, list[Set]] = {}
        self.set_nll: dict[SetKey, Nll] = {}  # what the untrained model makes of the examples behind each set
        self.searched: dict[SetKey, Sequence[Searched]] = {}  # in the order of their release
        # Lanes of equal shots share what they see.
        self.render = lru_cache(maxsize=4096)(self._render)
        self.predicted = lru_cache(maxsize=4096)(self._predicted)
        self.choice_ids = lru_cache(maxsize=4096)(self._choice_ids)

    def __len__(self) -> int:
        return len(self.examples)

    def order(self, seed: int) -> tuple[Example, ...]:
        if seed not in self._orders:
            same = self.order_name == "file"
            self._orders[seed] = self.examples if same else tuple(draw.order(self.examples, seed))
        return self._orders[seed]

    def choices(self, example: Example) -> tuple[str, ...]:
        if self.judge.needs != "choices":
            return ()
        return example.choices or self.renderer.settings.choices or ()

    def _render(
        self,
        seed: int,
        i: int,
        update: int,
        shots: int,
        target: int,
        slot: int = 0,
        chooser: str = "random",
        source: tuple[str, ...] = (),
    ) -> Rendered:
        """What stands before a lane of so many shots at update `update` of example i, its target being the `target`-th
        of what its source has released by then."""
        own = self.order(seed)[i - 1]
        first = update == 1 and slot == 0
        example, made_from = Item(own, (own.id,)) if first else self.released(seed, i, source)[target - 1]
        demos = self.demonstrations(seed, i, update, shots, example, chooser, slot, apart=made_from)
        return self.renderer.render(demos, example)

    def demonstrations(
        self,
        seed: int,
        i: int,
        update: int,
        shots: int,
        target: Example,
        chooser: str = "random",
        slot: int = 0,
        apart: Sequence[str] = (),
    ) -> list[Example]:
        """Update 1 has the examples before i as candidates: nothing of i was known. Later ones have all predicted, but
        for those that the target was made of (`apart`)."""
        order = self.order(seed)
        known = order[: i - 1] if update == 1 and slot == 0 else order[:i]
        candidates = [one for one in known if one.id not in apart]
        # The rows of one batch have demonstrations of their own.
        at = Moment(seed, i, update, "demos" if slot == 0 else f"demos of slot {slot}")
        return self.choosers[chooser].choose(candidates, target, shots, at) if shots else []

    def sets(self, key: SetKey) -> list[Set]:
        """Those that one is chosen among for lanes whose queries all have the same."""
        if key not in self._sets:
            chooser = self.choosers[key.chooser]
            self._sets[key] = sets_to_choose_among(chooser, self.order(key.seed), key.shots, key.seed)
        return self._sets[key]

    def likeliest_set(self, key: SetKey, i: int) -> Set:
        """By the examples before i. Where nobody asked the model (a plan, a probe of time) the first will do."""
        if key.chooser == SEARCHED:
            released = [one.demos for one in self.searched.get(key, ()) if one.after < i]
            return released[-1] if released else self.sets(key)[0]
        nll = self.set_nll.get(key)
        return self.sets(key)[0 if nll is None else likeliest(nll, i)]

    def delivered_sets(self, lane: Lane, seed: int) -> tuple[Set, ...]:
        """What the bundle of a lane holds; nothing where its chooser looks at the query."""
        how, shots = self.choosers[lane.demonstrations], lane.shots_at_use
        if not shots:
            return ((),)
        if lane.is_fixed:
            return (self.likeliest_set(SetKey(seed, shots, lane.demonstrations), len(self) + 1),)
        return () if how.per_query else drawn_sets(how, self.order(seed), lane, seed)

    def released(self, seed: int, i: int, source: tuple[str, ...]) -> Sequence[Item]:
        """What may be learnt from when i examples have been predicted."""
        return self.sources[source].released(self.order(seed), i)

    def scored_rows(self, track: Track, lane: Lane, i: int, *, train: bool) -> list[Seen]:
        """The rows whose answers, averaged, are the prediction of example i: mostly one."""
        return [self.scored_row(track, lane, i, train=train and k == 0, draw=k) for k in range(lane.members)]

    def scored_row(self, track: Track, lane: Lane, i: int, *, train: bool, draw: int = 0) -> Seen:
        """Row i as it is predicted; with `train`, the very forward of it is trained on."""
        example = self.order(track.seed)[i - 1]
        key = (track.seed, i, lane.shots_at_use, lane.demonstrations, lane.is_fixed, draw)
        rendered = self.predicted(*key)
        choices = self.choices(example)
        loss = loss_spans(lane, rendered) if train else ()
        row = Row(track, rendered.ids, rendered.spans, loss, self.choice_ids(*key) if choices else ())
        return Seen(row, rendered, example, choices, i, 1, (example.id,))

    def _predicted(self, *key: Any) -> Rendered:
        target = self.order(key[0])[key[1] - 1]
        return self.renderer.render(self._at_use(*key), target)

    def _choice_ids(self, *key: Any) -> tuple[tuple[int, ...], ...]:
        target = self.order(key[0])[key[1] - 1]
        prompt = self.renderer.prompt(self._at_use(*key), target)
        return tuple(self.renderer.continuations(prompt, self.choices(target)))

    def _at_use(self, seed: int, i: int, shots: int, chooser: str, is_fixed: bool, draw: int) -> list[Example]:
        """Demonstrations for predicting example i: of those before it, or of the first of them, always the same."""
        order = self.order(seed)
        target = order[i - 1]
        if is_fixed and i > first_of(len(order), shots):
            fixed = self.likeliest_set(SetKey(seed, shots, chooser), i)
            return [one for one in fixed if not one.conflicts_with(target)]
        at = Moment(seed, i, 1, purpose(draw))
        return self.choosers[chooser].choose(order[: i - 1], target, shots, at) if shots else []

    def trained_rows(self, track: Track, lane: Lane, i: int, update: int) -> list[Seen]:
        """The rows of one update that is not a prediction's own: update 1 in the prompt of training, 2..E replayed."""
        rows = []
        seed, source = track.seed, lane.augment
        own = self.order(seed)[i - 1]
        for slot in range(lane.batch):
            target, item = i, Item(own, (own.id,))
            if update > 1 or slot > 0:
                items = self.released(seed, i, source)
                target = draw.replayed(i, update, seed=seed, replay=lane.replay, slot=slot, among=len(items))
                item = items[target - 1]
            rendered = self.render(seed, i, update, lane.shots, target, slot, lane.demonstrations, source)
            row = Row(track, rendered.ids, rendered.spans, loss_spans(lane, rendered), scored=False)
            rows.append(Seen(row, rendered, item.example, (), i, update, item.made_from))
        return rows

    # ---- what is written down ----------------------------------------------------------------------------------------

    def needs_text(self, seen: Seen, scored: Scored) -> bool:
        """Only misses are generated: a hit proves what greedy decoding gives."""
        return self.judge.needs == "text" and not scored.hit

    def prediction(self, seen: Seen, scored: Scored, generated: tuple[int, ...] | None) -> dict[str, Any]:
        example, cut, probs, margin = seen.example, False, None, scored.margin
        if self.judge.needs == "choices":
            probs = softmax(seen.choices, scored.choices)
            prediction, margin = best_choice(seen.choices, scored.choices)
            score = 1.0 if prediction == example.completion else 0.0
        else:
            if scored.hit:
                prediction = example.completion
            elif generated is not None:
                prediction, _ = self.renderer.answer_text(generated)
            else:
                prediction = self.renderer.answer_text(scored.argmax)[0]
                cut = True
            score = 0.0 if cut else self.judge.score(prediction, example, example.choices)
        return {
            "lane": seen.row.track.lane,
            "model": None,
            "seed": seen.row.track.seed,
            "i": seen.i,
            "id": example.id,
            "shots": len(seen.rendered.demos),
            "demos": list(seen.rendered.demos),
            "nll": scored.nll,
            "tokens": scored.tokens,
            "prompt_tokens": seen.rendered.prompt_tokens if scored.prompt_tokens is None else scored.prompt_tokens,
            "score": score,
            "correct": score >= 1.0,
            "gold": example.completion,
            "prediction": prediction,
            "cut": cut,
            "probs": probs,
            "margin": margin,
        }

    def averaged(self, rows: Sequence[dict[str, Any]], example: Example) -> dict[str, Any]:
        """One row of several prompts' rows: their probabilities averaged, or the text that most of them gave."""
        row = rows[0]
        if len(rows) == 1:
            return row
        if self.judge.needs == "choices":
            probs = mean_probs([one["probs"] for one in rows])
            names = list(probs)
            prediction, margin = best_choice(names, [math.log(max(probs[name], TINY)) for name in names])
            told: dict[str, Any] = {"probs": probs, "prediction": prediction, "margin": margin, "cut": False}
            told["score"] = 1.0 if prediction == example.completion else 0.0
        else:
            texts = [one["prediction"] for one in rows]
            most = rows[texts.index(max(texts, key=texts.count))]
            told = {name: most[name] for name in ("prediction", "score", "cut", "margin")}
        told |= {"correct": told["score"] >= 1.0, "nll": mean_nll([one["nll"] for one in rows])}
        tokens = sum(one["prompt_tokens"] for one in rows)
        return row | told | {"members": [one["demos"] for one in rows], "prompt_tokens": tokens}

    def trained(self, seen: Sequence[Seen]) -> dict[str, Any]:
        ids = [one for s in seen for one in (*s.rendered.demos, *s.made_from)]
        track = seen[0].row.track
        inferred = {s.example.id: list(s.made_from) for s in seen if s.example.id not in s.made_from}
        return {
            "lane": track.lane,
            "model": None,
            "seed": track.seed,
            "i": seen[0].i,
            "update": seen[0].update,
            "ids": ids,
            **({"inferred": inferred} if inferred else {}),
        }


def loss_spans(lane: Lane, rendered: Rendered) -> tuple[tuple[int, int], ...]:
    """Answers and their ends carry loss, nothing else (arXiv 2512.19879, section 4); of all items, or the target's."""
    return rendered.spans if lane.loss == "every-answer" else rendered.spans[-1:]


def softmax(names: Sequence[str], logp: Sequence[float]) -> dict[str, float]:
    top = max(logp)
    weights = [math.exp(value - top) for value in logp]
    return {name: weight / sum(weights) for name, weight in zip(names, weights, strict=True)}


def mean_probs(several: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: sum(one[name] for one in several) / len(several) for name in several[0]}


def mean_nll(nll: Sequence[float | None]) -> float | None:
    """Of the mean of the probabilities; unknown where one of them is."""
    known = [one for one in nll if one is not None]
    if len(known) < len(nll):
        return None
    least = min(known)
    return least - math.log(sum(math.exp(least - one) for one in known) / len(known))


def best_choice(names: Sequence[str], logp: Sequence[float]) -> tuple[str, float]:
    """The likeliest choice (the first of equals) and its lead over the next."""
    ranked = sorted(range(len(names)), key=lambda k: -logp[k])
    lead = logp[ranked[0]] - logp[ranked[1]] if len(ranked) > 1 else math.inf
    return names[ranked[0]], lead
