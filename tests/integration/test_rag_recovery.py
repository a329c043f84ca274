"""goni-rag after power cuts, without its engine, and with folders or an index that changed while it
was not running.
"""

from __future__ import annotations

import sqlite3
import threading

import pytest

from tests.documents import pdf
from tests.integration.rag_node import Rag, WordEngine, eventually, running


@pytest.fixture
def engine(tmp_path):
    (tmp_path / "run").mkdir()
    engine = WordEngine(tmp_path / "run")
    yield engine
    engine.stop()


@pytest.fixture
def rag(tmp_path, engine):
    with running(tmp_path) as rag:
        yield rag


def found(rag: Rag, query: str) -> list[str]:
    return [source["document"] for source in rag.search("ann", query)]


def test_a_restart_keeps_everything_and_embeds_nothing_again(rag: Rag, engine: WordEngine):
    rag.put("ann", "a.txt", "The ladder is at the neighbour's.")
    rag.put("ann", "b.pdf", pdf(["first", "The ferry leaves at noon"]))
    rag.put("ann", "c.heic", b"picture")
    before = rag.documents("ann")
    rag.stop()
    embedded = engine.texts
    rag.start()
    assert rag.documents("ann") == before
    assert engine.texts == embedded
    assert rag.search("ann", "ferry noon")[0]["page"] == 2
    assert found(rag, "ladder") == ["a.txt"]


def test_a_kill_while_indexing_loses_nothing_acknowledged(rag: Rag, engine: WordEngine):
    for number in range(5):
        rag.put("ann", f"{number}.txt", f"Receipt {number} for the bicycle.")
    rag.put("ann", "0.txt", "Receipt zero was replaced by one for skates.")
    engine.asked.clear()
    engine.delay = 30.0
    stranded = threading.Thread(target=_put_until_killed, args=(rag,))
    stranded.start()
    assert engine.asked.wait(20)
    rag.kill()
    stranded.join()
    engine.delay = 0.0
    rag.start()
    eventually(lambda: "late.txt" in rag.documents("ann"))
    eventually(lambda: all(each["chunks"] for each in rag.documents("ann").values()))
    documents = rag.documents("ann")
    assert sorted(documents) == [f"{number}.txt" for number in range(5)] + ["late.txt"]
    assert all(document["chunks"] == 1 for document in documents.values())
    assert found(rag, "skates") == ["0.txt"]
    assert found(rag, "lighthouse") == ["late.txt"]
    assert sorted(found(rag, "bicycle")) == [f"{number}.txt" for number in range(1, 5)]


def settled(rag: Rag) -> bool:
    """Whether everything was read and embedded."""
    return all(
        document["state"] == "indexed" and not document["reason"]
        for document in rag.documents("ann").values()
    )


def _put_until_killed(rag: Rag) -> None:
    with pytest.raises(Exception, match=r"disconnected|reset|Broken pipe|Bad file descriptor"):
        rag.put("ann", "late.txt", "The lighthouse was built late.")


# httpcore leaves its socket open when it can't connect any more.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_kills_at_any_moment_leave_index_and_folder_the_same(rag: Rag, engine: WordEngine):
    acknowledged = {}
    for round in range(6):
        engine.delay = 0.02
        stop = threading.Event()
        uploads = threading.Thread(target=_upload_until_killed, args=(rag, round, acknowledged))
        uploads.start()
        stop.wait(0.2 + 0.25 * round)
        rag.kill()
        uploads.join()
        rag.start()
    engine.delay = 0.0
    names = {path.name for path in (rag.folders / "ann").iterdir()}
    eventually(lambda: set(rag.documents("ann")) == names)
    eventually(lambda: settled(rag))
    assert acknowledged.keys() <= names
    assert acknowledged
    assert not any(name.startswith(".") for name in names)
    for name, word in acknowledged.items():
        assert found(rag, word)[0] == name
    rag.stop()
    assert _rows(rag) == {"documents": len(names), "chunks": len(names), "lexical": len(names)}


def _upload_until_killed(rag: Rag, round: int, acknowledged: dict[str, str]) -> None:
    for number in range(1000):
        name, word = f"{round}-{number}.txt", f"word{round}x{number}"
        try:
            rag.put("ann", name, f"This one says {word}.")
        except Exception:
            return
        acknowledged[name] = word


def _rows(rag: Rag) -> dict[str, int]:
    with sqlite3.connect(rag.base / "state/rag/index.db") as db:
        counts = {
            table: db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
            for table in ("documents", "chunks", "lexical")
        }
    db.close()
    return counts


def test_files_that_changed_meanwhile_are_followed(rag: Rag):
    rag.put("ann", "kept.txt", "The drill is in the cellar.")
    rag.put("ann", "changed.txt", "The saw is in the garage.")
    rag.put("ann", "gone.txt", "The axe is in the barn.")
    rag.stop()
    (rag.folders / "ann/gone.txt").unlink()
    (rag.folders / "ann/changed.txt").write_text("The saw is in the loft.")
    (rag.folders / "ann/new.md").write_text("# Tools\nThe plane is on the bench.")
    (rag.folders.parent / "incoming/.0123456789abcdef.incoming").write_text("half an upload")
    (rag.folders / "ann/link.txt").symlink_to("/etc/passwd")
    rag.start()
    eventually(lambda: set(rag.documents("ann")) == {"kept.txt", "changed.txt", "new.md"})
    assert found(rag, "axe barn") == []
    eventually(lambda: found(rag, "loft") == ["changed.txt"])
    assert found(rag, "garage") == []
    eventually(lambda: found(rag, "plane") == ["new.md"])
    assert not any((rag.folders.parent / "incoming").iterdir())


def test_an_upload_without_an_engine_is_found_by_words_and_later_by_meaning(tmp_path):
    with running(tmp_path) as rag:
        document = rag.put("ann", "cat.txt", "The cat sleeps on the piano.")
        assert document["state"] == "indexed"
        assert "meaning soon" in document["reason"]
        assert found(rag, "piano") == ["cat.txt"]
        engine = WordEngine(rag.run)
        try:
            eventually(lambda: rag.documents("ann")["cat.txt"]["reason"] == "")
            assert engine.texts > 0
            # Only stop words: nothing but a vector can find it.
            assert found(rag, "the on the") == ["cat.txt"]
        finally:
            engine.stop()


def test_health_answers_while_the_engine_is_down(tmp_path):
    with running(tmp_path) as rag:
        answer = rag.http.get("/health")
        health = answer.json()
        failed = {check["name"] for check in health["checks"] if not check["ok"]}
        assert answer.status_code == 200
        assert health["ok"] is False
        assert failed == {"engine"}
        assert "the engine does not answer" in health["words"]


def test_a_damaged_index_is_made_anew_from_the_documents(rag: Rag):
    rag.put("ann", "safe.txt", "The safe opens to the left.")
    rag.stop()
    index = rag.base / "state/rag/index.db"
    index.write_bytes(b"this is no database" * 1000)
    rag.start()
    eventually(lambda: found(rag, "safe opens") == ["safe.txt"])
    assert index.with_name("index.db.broken").exists()
