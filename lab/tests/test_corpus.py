"""The corpus: a pure function of seed, index and phase, in which nothing held out ever stands."""

from __future__ import annotations

import re
from random import Random

import pytest

from lab import corpus, families_labels, worlds
from lab import words as W
from lab.document import BLIND, CONTEXT, Encoder, Source, Task, write_task

PHASES = range(len(corpus.PHASES))


def text_of(seed: int, index: int, phase: int) -> str:
    return "".join(text for text, _ in corpus.document(seed, index, phase))


def test_a_document_depends_on_seed_index_and_phase_alone():
    assert text_of(0, 5, 2) == text_of(0, 5, 2)
    assert len({text_of(seed, index, phase) for seed in (0, 1) for index in (5, 6) for phase in (1, 2)}) == 8


@pytest.mark.parametrize("phase", PHASES)
def test_no_held_out_word_or_relation_stands_in_training_text(phase):
    fresh, relations = set(W.FRESH_NONSENSE), [r for pair in worlds.HELD_OUT_RELATIONS for r in pair]
    for index in range(700):
        text = text_of(0, index, phase)
        assert not fresh & set(re.findall(r"[a-z]+", text))
        assert not any(f" is {relation} " in text for relation in relations)


def test_no_held_out_family_is_asked_for(monkeypatch):
    def refuse(source):
        raise AssertionError("a held-out family was called")

    for name in corpus.HELD_OUT:
        monkeypatch.setitem(corpus.HELD_OUT, name, refuse)
    names = {name for phase in corpus.PHASES for name, _ in phase.shares}
    reachable = {member for name in names for member in corpus.GROUPS.get(name, (name,))}
    assert reachable <= set(corpus.SEEN) | set(corpus.TEXTS) | set(corpus.TEXT_TASKS)
    assert not reachable & set(corpus.HELD_OUT)
    assert not set(corpus.SEEN) & set(corpus.HELD_OUT)


def test_labels_never_stand_for_held_out_kinds_pairs_or_words(monkeypatch):
    seen: list[tuple[list[list[str]], tuple[str, ...]]] = []
    original = families_labels._by_groups

    def record(name, source, groups, longest, labels=()):
        task = original(name, source, groups, longest, labels)
        seen.append((groups, task.labels))
        return task

    monkeypatch.setattr(families_labels, "_by_groups", record)
    for phase in PHASES:
        for index in range(800):
            corpus.document(1, index, phase)
    assert len(seen) > 100
    for groups, labels in seen:
        words = [word for group in groups for word in group]
        assert not set(words) & W.HELD_OUT_WORDS
        assert not {W.LEXICON[word] for word in words} & set(W.HELD_OUT_KINDS)
        assert not set(labels) & W.HELD_OUT_LABELS
        kinds = [{W.LEXICON[word] for word in group} for group in groups]
        if all(len(kind) == 1 for kind in kinds):
            chosen = sorted(kind.pop() for kind in kinds)
            assert not any((a, b) in W.HELD_OUT_PAIRS for a in chosen for b in chosen)


def test_phases_follow_one_another_to_the_last():
    names = [corpus.PHASES[corpus.phase_at(tokens)].name for tokens in (0, 2.6e6, 21e6, 1e9 - 1)]
    assert names == ["association", "lists", "binding", "in context"]


def test_long_rows_hold_what_comes_back_from_far():
    rows = corpus.Rows(Encoder(lambda text: [len(word) for word in text.split()]), 0, 2048)
    phase = corpus.phase_at(1e9)
    assert all(len(rows.row(number, phase)[0]) == 2049 for number in range(5))
    text = "".join(t for t, _ in corpus.TEXTS["distant repetition"](Source(Random(2)), 1500))
    assert len(text.split()) > 800


def test_topics_and_pairs_respect_the_split():
    for index in range(300):
        source = Source(Random(index))
        pair = families_labels.seen_pair(source, 4)
        assert not set(pair) & set(W.HELD_OUT_KINDS)
        assert not {(min(a, b), max(a, b)) for a in pair for b in pair} & W.HELD_OUT_PAIRS


def test_what_cannot_be_inferred_weighs_little():
    task = corpus.SEEN["mapping"](Source(Random(0)))
    parts = write_task(task, Source(Random(1)), 200)
    answers = [(text, weight) for text, weight in parts if weight != CONTEXT]
    seen: set[str] = set()
    for (text, weight), before in zip(answers, range(len(answers)), strict=True):
        assert (weight == BLIND) == (text not in seen), before
        seen.add(text)


def test_parts_encode_as_the_whole_text_does():
    from lab import tokens

    tokenizer = tokens.train()
    encoder = Encoder(lambda text: tokenizer.encode(text).ids)
    for phase in PHASES:
        for index in range(200):
            parts = corpus.document(2, index, phase)
            whole = tokenizer.encode("".join(text for text, _ in parts)).ids
            assert encoder.parts(parts)[0] == whole


def test_every_family_makes_items_for_training_and_for_evaluation():
    for table in (corpus.SEEN, corpus.HELD_OUT):
        for name, family in table.items():
            for fresh in (False, True):
                task: Task = family(Source(Random(3), fresh=fresh))
                for _ in range(20):
                    item = task.make()
                    assert item.x == item.x.strip(), name
                    assert item.y == item.y.strip(), name
                    assert item.y, name
                    assert not task.labels or item.y in task.labels, name


def test_rows_are_full_and_padding_carries_no_loss():
    from lab import tokens

    tokenizer = tokens.train()
    rows = corpus.Rows(Encoder(lambda text: tokenizer.encode(text).ids), 0, 256)
    for number in range(20):
        ids, weights = rows.row(number, 3)
        assert len(ids) == len(weights) == 257
        assert (ids, weights) == rows.row(number, 3)
        while ids and ids[-1] == 0 and weights[-1] == 0:
            ids.pop(), weights.pop()
        assert len(ids) > 200
