"""The parts of bench-rag on small numbers: vectors, recall, leaks, wrong documents."""

from __future__ import annotations

import numpy as np
import pytest

from goni_core.contract import EMBEDDING_DIMENSIONS
from goni_rag import database, library, retrieve, store
from goni_rag.semantic import Semantic
from tests import questions
from tests.bench import crowd, leaks, rag, rag_kills, rag_pace, scale

COUNT = 8_000


@pytest.fixture(scope="module")
def centres() -> np.ndarray:
    drawn = np.random.default_rng(2).standard_normal((40, EMBEDDING_DIMENSIONS), dtype=np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def test_search_at_scale_finds_what_an_exact_scan_finds(centres, tmp_path):
    found = scale.measure(tmp_path, centres, COUNT)
    assert found.recall >= 0.97
    assert len(found.whole) == len(found.scan) == scale.QUESTIONS
    assert 0 < found.memory < 1 << 30
    assert "8,000 passages" in scale.picture({COUNT: found})
    assert not list(tmp_path.glob("scale-*.db"))


def test_nobody_sees_anothers_text_while_documents_change_hands(tmp_path):
    leaked, shown = leaks.count(tmp_path, 150)
    assert leaked == 0
    assert shown > 500


def test_a_leak_would_be_counted(tmp_path, monkeypatch):
    every = retrieve.search

    def careless(db, near, owner, *rest):
        return every(db, near, "bob", *rest)

    monkeypatch.setattr(leaks.retrieve, "search", careless)
    assert leaks.count(tmp_path, 60)[0] > 0


def test_wrong_documents_are_counted(tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    for name in ("a.txt", "b.txt", "c.txt"):
        (docs / name).write_text(f"This is {name}.")
    db = database.open_writer(tmp_path / "index.db")
    vector = np.ones(EMBEDDING_DIMENSIONS, "<f4").tobytes()
    with database.transaction(db):
        for name in ("a.txt", "b.txt"):
            chunks = library.read(docs / name).chunks
            entry = store.Entry("bench", name, 1, "sha", "signature", 0, "indexed")
            store.put(db, entry, chunks, [vector] * len(chunks))
    db.close()
    (docs / "b.txt").write_text("Something else.")
    assert rag_kills.wrong(docs, tmp_path / "index.db") == 2


def test_the_signs_follow_what_comes_and_goes(tmp_path, centres):
    db, near = database.open_writer(tmp_path / "index.db"), Semantic()
    blocks = scale.vectors(centres, 400, 1)
    vectors = next(iter(blocks))

    def put(name: str, rows: np.ndarray) -> None:
        chunks = [library.Chunk(f"{name} {n}", 0, "", 0, 1) for n in range(len(rows))]
        entry = store.Entry("ann", name, 1, "sha", "signature", 0, "indexed")
        with database.transaction(db):
            store.put(db, entry, chunks, [row.astype("<f4").tobytes() for row in rows])

    def nearest(row: np.ndarray) -> str:
        with database.transaction(db):
            (best,) = near.search(db, "ann", row.astype("<f4").tobytes(), 1)
            return store.names_of(db, [best[0]])[best[0]]

    put("a", vectors[:100])
    assert nearest(vectors[5]) == "a"
    put("b", vectors[100:300])
    assert nearest(vectors[250]) == "b"
    with database.transaction(db):
        store.forget(db, ("ann", "b"))
    assert nearest(vectors[250]) == "a"
    put("b", vectors[250:])
    assert nearest(vectors[250]) == "b"
    db.close()


def test_own_questions_have_their_answers_in_the_documents():
    documents = questions.documents()
    asked = questions.questions()
    assert len(documents) == len(questions.TOPICS) * len(questions.PEOPLE)
    assert {name for one in asked for name in one.documents} <= documents.keys()
    for one in asked:
        if one.kind == "exact":
            code = one.text.removeprefix("what is ")
            assert [name for name, text in documents.items() if code in text] == [*one.documents]


def test_every_small_file_is_noticed_and_missed(tmp_path):
    found = {row.figure.partition(": ")[2]: row for row in crowd.rows(tmp_path, 2000)}
    assert found["not noticed"].ok
    assert found["still there when they are gone"].ok
    assert found["memory"].ok


def test_a_part_alone_keeps_what_the_others_found(tmp_path):
    bench = rag.Bench(
        rag.QUICK, tmp_path, [rag.measured("a", [1], "x"), rag.measured("b", [2], "x")]
    )
    rag.keep(bench, tuple(rag.PARTS), tmp_path)
    part = rag.Bench(rag.QUICK, tmp_path, [rag.measured("b", [3], "x")], {"rag.svg": "<svg/>"})
    assert [row.value for row in rag.keep(part, ("kills",), tmp_path)] == [1, 3]
    assert (tmp_path / "rag.svg").read_text() == "<svg/>"


def test_pace_has_a_target_on_all_cores_only():
    slow, fast = rag_pace.Pace([10.0], [20.0]), rag_pace.Pace([19.0, 17.0, 18.0], [20.0] * 3)
    shown = rag_pace.rows({1: slow, 2: fast})
    assert [row.ok for row in shown if row.target] == [True]
    assert "2 cores" in rag_pace.picture({1: slow, 2: fast})
