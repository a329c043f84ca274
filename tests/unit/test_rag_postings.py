"""goni_rag.postings and what lexical makes of it: candidates as an exhaustive search would rank
them, bounded work where words are common, and owners apart.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from goni_rag import database, lexical, postings, store
from goni_rag.chunk import Chunk

VOCABULARY = [f"wort{number}" for number in range(300)]
PASSAGES = 1000


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Passages of ann and bob by turns, of words by Zipf's law; every word of bob's is common."""
    path = tmp_path_factory.mktemp("postings") / "index.db"
    draw = random.Random(5)
    odds = [1 / rank for rank in range(1, len(VOCABULARY) + 1)]
    with closing(database.open_writer(path)) as db, database.transaction(db):
        for number in range(PASSAGES // 5):
            for owner in ("ann", "bob"):
                texts = [
                    " ".join(draw.choices(VOCABULARY, odds, k=draw.randrange(5, 40)))
                    for _ in range(5)
                ]
                chunks = [
                    Chunk(f"{owner} {text}", 0, draw.choice(VOCABULARY), 0, 1) for text in texts
                ]
                entry = store.Entry(owner, f"{number}.txt", 1, "sha", "sig", 0, "indexed")
                store.put(db, entry, chunks, [None] * len(chunks))
    return path


@pytest.fixture
def db(path: Path) -> Iterator:
    with closing(database.open_reader(path)) as db:
        yield db


def every(db, owner: str) -> list[int]:
    rows = db.execute("SELECT id FROM chunks WHERE owner = ? AND twin IS NULL", (owner,))
    return [row[0] for row in rows]


def ranking(db, owner: str, asked: lexical.Question) -> list[tuple[int, float]]:
    """All passages that have a score, best first."""
    scored = lexical.scores(db, owner, asked, every(db, owner))
    return sorted(
        ((one, score) for one, (score, _) in scored.items() if score), key=lambda x: (-x[1], x[0])
    )


QUERIES = ["wort250", "wort40 wort90", "wort3 wort120 wort200 wort7", "wort0 wort1 wort2", "ann"]


@pytest.mark.parametrize("query", QUERIES[:-1])  # of the last's only the lengths tell
def test_candidates_are_those_of_an_exhaustive_search(db, query):
    asked = lexical.question(db, ["ann"], query)
    right = [one for one, _ in ranking(db, "ann", asked)[:10]]
    assert lexical.candidates(db, "ann", asked, 10) == right
    assert right


@pytest.mark.parametrize("query", QUERIES)
def test_little_work_still_finds_good_ones(db, query, monkeypatch):
    monkeypatch.setattr(postings, "ROWS", 150)
    monkeypatch.setattr(lexical, "ROWS", 150)
    monkeypatch.setattr(lexical, "PROMISING", 100)
    asked = lexical.question(db, ["ann"], query)
    best = dict(ranking(db, "ann", asked)[:1000])
    found = lexical.candidates(db, "ann", asked, 10)
    assert len(found) == min(10, len(best))
    assert set(found) <= set(every(db, "ann"))
    mean = sum(sorted(best.values(), reverse=True)[:10]) / min(10, len(best))
    assert sum(best.get(one, 0.0) for one in found) / len(found) > 0.7 * mean


def test_common_words_read_a_bounded_part_the_newest(db, monkeypatch):
    monkeypatch.setattr(postings, "ROWS", 50)
    lists = postings.of(db, 1)
    ids = lists.matching(lists.quoted(["ann"]), lists.count("ann"))
    assert 0 < len(ids) <= 50
    assert ids.min() > lists.top * 0.9
    assert (ids[:-1] > ids[1:]).all()


def test_counts_of_common_words_are_estimated_well(db, monkeypatch):
    exact = {word: postings.of(db, 1).count(word) for word in ["ann", *VOCABULARY[::20]]}
    assert exact["ann"] == PASSAGES
    monkeypatch.setattr(postings, "FEW", 100)
    monkeypatch.setattr(postings, "WIDTH", 100)
    monkeypatch.setattr(postings, "SURE", 32)
    for word, count in exact.items():
        assert postings.of(db, 1).count(word) == pytest.approx(count, rel=0.3, abs=3)
    assert postings.of(db, 1).count("bob") == 0
    assert postings.of(db, 2).count("ann") == 0


def test_occurrences_say_how_often_and_where(tmp_path):
    with closing(database.open_writer(tmp_path / "index.db")) as db:
        entry = store.Entry("ann", "heron.txt", 1, "sha", "sig", 0, "indexed")
        chunks = [Chunk("heron heron", 0, "", 0, 1), Chunk("stork", 0, "heron", 0, 1)]
        with database.transaction(db):
            store.put(db, entry, chunks, [None, None])
        found = postings.of(db, 1).occurrences(["heron", "stork"])
        assert found.ids.tolist() == [1, 2]
        assert found.often.tolist() == [[2, 0, 1], [1, 1, 1]]
        assert postings.of(db, 2).occurrences(["heron"]).ids.tolist() == []


def test_parts_of_compounds_are_found_by_their_letters_in_order(tmp_path):
    with closing(database.open_writer(tmp_path / "index.db")) as db:
        entry = store.Entry("ann", "a.txt", 1, "sha", "sig", 0, "indexed")
        texts = ["Die Gasheizungswartung ist der Anfang.", "Das ist die Zungheieizeizu und nicht."]
        with database.transaction(db):
            store.put(db, entry, [Chunk(text, 0, "", 0, 1) for text in texts], [None, None])
        lists = postings.of(db, 1)
        assert lists.inside(["hei", "eiz", "izu", "zun", "ung"]).tolist() == [1]
        assert postings.of(db, 2).inside(["hei", "eiz"]).tolist() == []
        assert lists.count("hei") == 0  # letters of a compound are no word


@pytest.mark.parametrize("size", [40, 400])
def test_candidates_are_among_those_that_are_left(db, size, monkeypatch):
    monkeypatch.setattr(lexical, "ALL_OF", 100)
    among = np.array(sorted(random.Random(size).sample(every(db, "ann"), size)))
    asked = lexical.question(db, ["ann"], "wort3 wort40 ann")
    right = [one for one, _ in ranking(db, "ann", asked) if one in set(among.tolist())][:10]
    assert lexical.candidates(db, "ann", asked, 10, among) == right
    assert lexical.candidates(db, "bob", asked, 10, among) == []
    assert lexical.candidates(db, "ann", asked, 10, among[:0]) == []
    monkeypatch.setattr(postings, "ROWS", 30)
    monkeypatch.setattr(lexical, "ROWS", 30)
    found = lexical.candidates(db, "ann", lexical.question(db, ["ann"], "ann wort0"), 10, among)
    assert len(found) == 10
    assert set(found) <= set(among.tolist())
