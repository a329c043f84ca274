"""Near-identical passages: stored once, listed with every document, never mixed up with others."""

from __future__ import annotations

import pytest

from goni_core.contract import Place
from goni_rag import database, likeness, retrieve, store
from goni_rag.semantic import Semantic
from tests.unit.test_rag_filters import NEAR, put

LETTER = (
    "Dear Mrs Weber, the heating was checked on 14 March 2025 and found to be in good order. Please"
    " remember to bleed the radiators before the cold season begins, and call us when the pressure"
    " falls below 1.2 bar. Kind regards, Stadtwerke Freiburg"
)
SCANNED = LETTER.replace("radiators", "radiat0rs".replace("0", "o")).replace(
    "remember", "rernember"
)
SCANNED = SCANNED.replace("season begins", "sea- son begins").replace("found to be", "found be")


@pytest.fixture
def db(tmp_path):
    connection = database.open_writer(tmp_path / "index.db")
    yield connection
    connection.close()


def indexed(db) -> int:
    return db.execute("SELECT COUNT(*) FROM lexical").fetchone()[0]


def ask(db, owner: str, query: str) -> list[tuple[str, tuple[Place, ...]]]:
    found = retrieve.search(db, Semantic(), owner, query, NEAR, 9)
    return [(source.document, source.also) for source in found]


def test_a_scan_of_a_letter_is_indexed_once_and_listed(db):
    put(db, "ann", "letter.docx", LETTER)
    put(db, "ann", "scan.pdf", SCANNED)
    assert indexed(db) == 1
    assert ask(db, "ann", "radiators") == [("letter.docx", (Place("scan.pdf", 0, "ann"),))]


def test_what_remains_takes_over(db):
    put(db, "ann", "letter.docx", LETTER)
    put(db, "ann", "scan.pdf", SCANNED)
    with database.transaction(db):
        store.forget(db, ("ann", "letter.docx"))
    assert ask(db, "ann", "heating pressure") == [("scan.pdf", ())]
    put(db, "ann", "letter.docx", LETTER)
    assert indexed(db) == 1
    with database.transaction(db):
        store.forget(db, ("ann", "letter.docx"))
        store.forget(db, ("ann", "scan.pdf"))
    assert db.execute("SELECT COUNT(*) FROM likenesses").fetchone() == (0,)


def test_owners_never_share(db):
    put(db, "ann", "letter.docx", LETTER)
    put(db, "bob", "scan.pdf", SCANNED)
    assert indexed(db) == 2
    assert ask(db, "ann", "radiators") == [("letter.docx", ())]
    assert ask(db, "bob", "heating pressure") == [("scan.pdf", ())]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("1.2 bar", "1.5 bar"),
        ("14 March", "15 March"),
        ("Weber", "Weger"),
        ("in good order", "in bad order"),
        ("found to be", "not found to be"),
        ("remember to bleed", "never bleed"),
        ("Kind regards, Stadtwerke Freiburg", "Stadtwerke Freiburg, kind regards"),
    ],
)
def test_what_says_something_else_is_something_else(before, after):
    assert not likeness.alike(LETTER, LETTER.replace(before, after))


def test_short_passages_are_never_nearly_the_same():
    assert likeness.keys("the boiler is in the cellar") == []


def test_many_forms_that_differ_in_a_number_stay_apart(db):
    for number in range(30):
        put(db, "ann", f"{number}.txt", LETTER.replace("1.2", f"1.{number}"))
    assert indexed(db) == 30


def test_near_texts_nearly_always_share_a_key():
    body = [f"word{chr(97 + n % 26)}{chr(97 + n // 26)}".lower() for n in range(80)]
    text = " ".join(body)
    met = 0
    for place in range(80):
        changed = [*body[:place], body[place] + "x", *body[place + 1 :]]
        met += not set(likeness.keys(text)).isdisjoint(likeness.keys(" ".join(changed)))
    assert met >= 72
