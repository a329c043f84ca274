"""goni_rag.retrieve and store on a database of their own: fusion, floor, owners, quoting."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest

from goni_core.contract import EMBEDDING_DIMENSIONS
from goni_rag import database, embed, lexical, postings, retrieve, store, words
from goni_rag.chunk import Chunk
from goni_rag.embed import REFUSED
from goni_rag.lexical import Question
from goni_rag.retrieve import Candidates, Found
from goni_rag.semantic import Semantic


def vector(*numbers: float) -> bytes:
    filled = np.zeros(EMBEDDING_DIMENSIONS, dtype="<f4")
    filled[: len(numbers)] = numbers
    return (filled / np.linalg.norm(filled)).tobytes()


@pytest.fixture
def db(tmp_path):
    connection = database.open_writer(tmp_path / "index.db")
    yield connection
    connection.close()


def put(db, owner: str, name: str, *passages: tuple[str, bytes | None]) -> None:
    entry = store.Entry(owner, name, 1, "sha", "signature", 0, "indexed")
    chunks = [Chunk(text, 0, "", 0, len(text)) for text, _ in passages]
    with database.transaction(db):
        store.put(db, entry, chunks, [there for _, there in passages])


def found(db, owner: str, query: str, near: bytes | None = None) -> list[str]:
    searched = retrieve.search(db, Semantic(), owner, query, near, 10)
    return [source.text for source in searched]


def test_meaning_finds_what_words_do_not_and_the_floor_holds(db):
    put(db, "ann", "a.txt", ("near", vector(1, 1)), ("far", vector(0.1, 1)))
    assert found(db, "ann", "unrelated", vector(1, 0)) == ["near"]


def test_what_both_methods_find_comes_first(db):
    for name, text, near in (
        *(("a.txt", "heron", vector(0, 1)), ("b.txt", "heron too", vector(1, 1))),
        ("c.txt", "x", vector(1)),
    ):
        put(db, "ann", name, (text, near))
    assert found(db, "ann", "heron", vector(1, 0))[0] == "heron too"


def test_another_owners_nearest_passages_crowd_nobody_out(db):
    others = [(f"secret {n}", vector(1)) for n in range(3 * retrieve.DEPTH)]
    put(db, "bob", "b.txt", *others)
    put(db, "ann", "a.txt", ("mine secret", vector(1, 1)))
    assert found(db, "ann", "secret", vector(1)) == ["mine secret"]
    assert found(db, "eve", "secret", vector(1)) == []


def test_shared_passages_compete_with_ones_own(db):
    put(db, "shared", "s.txt", ("common", vector(1)))
    put(db, "ann", "a.txt", ("own", vector(1, 1)))
    assert found(db, "ann", "", vector(1)) == ["common", "own"]
    assert found(db, "shared", "", vector(1)) == ["common"]


def test_a_forgotten_document_leaves_no_row_behind(db):
    put(db, "ann", "a.txt", ("one", vector(1)), ("two", None))
    with database.transaction(db):
        assert store.forget(db, ("ann", "a.txt"))
        assert not store.forget(db, ("ann", "a.txt"))
    for table in ("documents", "chunks", "lexical", "vectors", "fine"):
        assert db.execute(f"SELECT COUNT(*) FROM {table}").fetchone() == (0,)


def test_a_late_vector_for_a_replaced_passage_is_dropped(db):
    put(db, "ann", "a.txt", ("old", None))
    waiting = store.pending(db, 10)
    put(db, "ann", "a.txt", ("new", None))
    with database.transaction(db):
        store.fill(db, {chunk: vector(1) for chunk in waiting})
    assert db.execute("SELECT COUNT(*) FROM vectors").fetchone() == (0,)
    assert list(store.pending(db, 10).values()) == ["a\nnew"]


def test_a_refused_passage_is_not_asked_for_again(db):
    put(db, "ann", "a.txt", ("old", None))
    with database.transaction(db):
        store.fill(db, dict.fromkeys(store.pending(db, 10), REFUSED))
    assert store.pending(db, 10) == {}
    assert db.execute("SELECT COUNT(*) FROM vectors").fetchone() == (0,)


def test_a_document_that_fails_halfway_leaves_the_old_one(db):
    put(db, "ann", "a.txt", ("old heron", vector(1)))
    with pytest.raises(sqlite3.OperationalError):
        put(db, "ann", "a.txt", ("new", vector(1)), ("wrong dimensions", b"1234"))
    assert found(db, "ann", "heron") == ["old heron"]
    assert found(db, "ann", "new") == []


@pytest.mark.parametrize(
    ("query", "terms"),
    [
        ("Where is the boiler?", {"boiler"}),
        ("Wo ist die Heizung und der Boiler", {"heizung", "boil"}),
        ('a" OR "b* NEAR(c)', {"b", "near", "c"}),
        ("what is it", set()),
        ("?!", set()),
        ("boiler BOILER", {"boiler"}),
        ("東京駅", {"東京", "京駅"}),
        ("parseHTTPHeader", {"pars", "http", "header", "parsehttpheader"}),
    ],
)
def test_questions_become_content_words(db, query: str, terms: set[str]):
    asked = lexical.question(db, ["ann"], query)
    assert terms == {variant for word in asked.words for variant in word.variants}


def test_names_that_are_mere_ids_say_nothing(db):
    entry = store.Entry("ann", "heron.txt", 1, "sha", "signature", 0, "indexed")
    with database.transaction(db):
        store.put_all(db, [(entry, [Chunk("a bird", 0, "", 0, 6)], [None])])
    assert found(db, "ann", "heron") == []
    assert found(db, "ann", "bird") == ["a bird"]


def test_a_passage_that_two_documents_share_survives_one_of_them(db):
    put(db, "ann", "a.txt", ("The same words.", vector(1)))
    put(db, "ann", "b.txt", ("the SAME words", vector(1)))
    put(db, "bob", "c.txt", ("The same words.", vector(1)))
    assert db.execute("SELECT COUNT(*) FROM lexical").fetchone() == (2,)
    with database.transaction(db):
        store.forget(db, ("ann", "a.txt"))
    assert found(db, "ann", "same", vector(1)) == ["the SAME words"]
    with database.transaction(db):
        store.forget(db, ("ann", "b.txt"))
    assert found(db, "ann", "same", vector(1)) == []
    assert found(db, "bob", "same", vector(1)) == ["The same words."]


def test_vectors_of_an_older_model_answer_until_they_are_made_anew(db, monkeypatch):
    put(db, "ann", "a.txt", ("heron", vector(1)))
    monkeypatch.setattr(embed, "VERSION", embed.VERSION + 1)
    assert found(db, "ann", "", vector(1)) == ["heron"]
    (chunk,) = store.pending(db, 9)
    with database.transaction(db):
        store.fill(db, {chunk: vector(0, 1)})
    assert found(db, "ann", "", vector(1)) == []
    assert found(db, "ann", "", vector(0, 1)) == ["heron"]
    assert store.pending(db, 9) == {}


def test_terms_of_an_older_version_are_made_anew(db, monkeypatch):
    put(db, "ann", "a.txt", ("heron", None))
    monkeypatch.setattr(words, "VERSION", words.VERSION + 1)
    some = store.outworded(db, 0, 9)
    assert len(some) == 1
    with database.transaction(db):
        store.reword(db, [*some, 999])
    assert store.outworded(db, 0, 9) == []
    assert found(db, "ann", "herons") == ["heron"]
    assert db.execute("SELECT passages, terms FROM owners").fetchone() == (1, 1)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Die Gasheizungswartung war teuer und ist nicht bezahlt.", "Heizung"),
        ("Les chevaux sont dans les écuries de la ferme.", "ecurie"),
        ("東京タワーの高さは333メートルです。", "タワー"),
        ("北京的秋天是最好的季节。", "秋天"),
        ("The Wi-Fi password is on the fridge.", "wifi"),
        ("def load_userProfile(path): pass", "user profile"),
    ],
)
def test_words_are_found_in_other_forms_and_languages(db, text, query):
    put(db, "ann", "a.txt", (text, None))
    assert found(db, "ann", query) == [text]


def test_a_match_expression_quotes_every_term(db):
    put(db, "ann", "a.txt", ("heron", None))
    asked = lexical.question(db, ["ann"], 'x" OR "y* NEAR(z) 1:heron')
    terms = [variant for word in asked.words for variant in word.variants]
    expression = postings.of(db, 7).quoted(terms)
    assert expression.count('"7:') == len(terms)
    assert set(expression.split('"')[::2]) <= {"", " OR "}


def test_long_questions_are_bounded(db):
    query = " ".join(f"word{number}" for number in range(1000))
    assert len(lexical.question(db, ["ann"], query).words) == lexical.MOST_WORDS


ASKED = Question((), (), (), (), 1.0, "en")


def test_fusion_weighs_both_scores():
    both = (Found(1, 4.0, 0.5), Found(2, 2.0, 0.5), Found(3, 0.0, -1.0))
    assert retrieve.fused(Candidates(both, ASKED)) == [(1, 1.0), (2, pytest.approx(0.8)), (3, 0.0)]
