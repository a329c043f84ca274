"""What a search may be limited to, and how what it found is put together; on a real index."""

from __future__ import annotations

import json

import pytest

from goni_core import contract
from goni_core.contract import Place
from goni_core.errors import BadInput
from goni_rag import database, filters, results, retrieve, store
from goni_rag.chunk import Chunk
from goni_rag.filters import ALL, Filters
from goni_rag.semantic import Semantic
from tests.unit.test_rag_retrieve import vector

NEAR = vector(1)


@pytest.fixture
def db(tmp_path):
    connection = database.open_writer(tmp_path / "index.db")
    yield connection
    connection.close()


def put(db, owner: str, name: str, *passages: Chunk | str, modified: int = 1000) -> None:
    entry = store.Entry(owner, name, 1, "sha", "", 0, "indexed", modified=modified)
    chunks = [Chunk(one, 0, "", 0, 0) if isinstance(one, str) else one for one in passages]
    with database.transaction(db):
        store.put(db, entry, chunks, [NEAR] * len(chunks))


def found(db, owner: str, query: str, only: Filters, near: bytes | None = NEAR) -> list[str]:
    found = retrieve.search(db, Semantic(), owner, query, near, 10, only)
    return sorted(source.document for source in found)


@pytest.fixture
def household(db):
    put(db, "ann", "tax/2025/a.pdf", "heron one", modified=2000)
    put(db, "ann", "tax/2024/b.txt", "heron two", modified=1000)
    put(db, "ann", "tax 2025.pdf", "heron three", modified=3000)
    put(db, "ann", "Taxes/c.xlsx", "heron four", modified=4000)
    put(db, "shared", "tax/d.pdf", "heron five", modified=2500)
    put(db, "bob", "tax/e.pdf", "heron six", modified=2500)
    return db


@pytest.mark.parametrize(
    ("only", "names"),
    [
        (Filters(space="shared"), ["tax/d.pdf"]),
        (Filters(folder="tax"), ["tax/2024/b.txt", "tax/2025/a.pdf", "tax/d.pdf"]),
        (Filters(folder="tax/2025"), ["tax/2025/a.pdf"]),
        (Filters(folder="tax/2025/a.pdf"), []),
        (Filters(folder="%"), []),
        (Filters(folder="' OR 1=1 --"), []),
        (Filters(endings=("xlsx", "txt")), ["Taxes/c.xlsx", "tax/2024/b.txt"]),
        (Filters(since=2500), ["Taxes/c.xlsx", "tax 2025.pdf", "tax/d.pdf"]),
        (Filters(since=1000, until=2000), ["tax/2024/b.txt", "tax/2025/a.pdf"]),
        (Filters("private", "tax", ("pdf",)), ["tax/2025/a.pdf"]),
    ],
)
@pytest.mark.parametrize("near", [NEAR, None])
def test_filters_leave_only_what_they_name(household, only, names, near):
    assert found(household, "ann", "heron", only, near) == names


def test_what_is_left_out_takes_nobodys_place(db):
    for number in range(retrieve.DEPTH + 20):
        put(db, "ann", f"near{number}.txt", f"heron heron {number}")
    put(db, "ann", "far/away.txt", "A long note in which somewhere a heron is named, once.")
    assert found(db, "ann", "heron", Filters(folder="far")) == ["far/away.txt"]
    assert found(db, "ann", "heron", Filters(folder="far"), None) == ["far/away.txt"]


def test_a_file_from_before_1970_is_found_unless_dates_are_asked_for(db):
    put(db, "ann", "old.txt", "heron", modified=-5)
    assert found(db, "ann", "heron", ALL) == ["old.txt"]
    assert found(db, "ann", "heron", Filters(since=1)) == []


def test_a_filter_finds_a_twin_by_its_own_place(db):
    put(db, "ann", "a/first.txt", "The same heron.")
    put(db, "ann", "b/second.txt", "the same HERON")
    assert found(db, "ann", "heron", Filters(folder="b")) == ["b/second.txt"]
    (source,) = retrieve.search(db, Semantic(), "ann", "heron", NEAR, 5)
    assert (source.document, source.also) == (
        "a/first.txt",
        (Place("b/second.txt", 0, "ann"),),
    )


def test_another_persons_twin_is_never_named(db):
    for owner in ("bob", "ann", "shared"):
        put(db, owner, f"{owner}.txt", "The same heron.")
    (source,) = retrieve.search(db, Semantic(), "ann", "heron", NEAR, 5)
    assert {source.document, *(one.document for one in source.also)} == {"ann.txt", "shared.txt"}


def test_neighbours_are_joined_within_their_section(db):
    put(
        db,
        "ann",
        "a.pdf",
        Chunk("One heron.", 1, "Birds", 0, 10),
        Chunk("Two herons.", 1, "Birds", 11, 20),
        Chunk("Three herons.", 2, "Birds", 21, 30),
        Chunk("Four herons.", 2, "Fish", 31, 40),
    )
    searched = retrieve.search(db, Semantic(), "ann", "heron", NEAR, 9)
    texts = sorted((source.page, source.text) for source in searched)
    assert texts == [(1, "One heron.\nTwo herons."), (2, "Four herons."), (2, "Three herons.")]


def test_no_more_is_joined_than_can_be_read(db):
    put(db, "ann", "a.txt", *(f"heron {number}" for number in range(7)))
    searched = retrieve.search(db, Semantic(), "ann", "heron", NEAR, 9)
    assert max(source.text.count("\n") for source in searched) == results.MOST_JOINED - 1
    assert sum(source.text.count("heron") for source in searched) == 7


def test_sources_survive_the_socket(db):
    put(db, "ann", "a.txt", "heron")
    put(db, "ann", "b.txt", "heron")
    (source,) = retrieve.search(db, Semantic(), "ann", "heron", NEAR, 9)
    assert contract.source_from(json.loads(json.dumps(contract.plain(source)))) == source


def test_types_are_words_or_endings():
    assert filters.endings(["pdf", ".HEIC"]) == ("pdf", "heic")
    assert {"xlsx", "csv"} <= set(filters.endings(["table"]))


@pytest.mark.parametrize(
    "asked",
    [
        {"space": "bob"},
        {"types": "pdf"},
        {"types": [1]},
        {"types": ['"]']},
        {"types": ["pdf"] * 21},
        {"since": -1},
        {"since": "2025-01-01"},
        {"until": 1 << 60},
        {"folder": "x" * 2001},
        {"folder": "a\x00b"},
    ],
)
def test_a_bad_filter_is_refused(asked):
    with pytest.raises(BadInput):
        filters.parse(asked)
