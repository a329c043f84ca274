"""goni-rag's folders, changed behind its back as a file server or a stick would: followed at once,
never past a link, and never at the price of embedding the same text again.
"""

from __future__ import annotations

import os
import shutil
import time

import pytest

from tests.documents import pdf
from tests.integration.rag_node import Rag, WordEngine, eventually, running


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tmp_path_factory.mktemp("rag")


@pytest.fixture(scope="module")
def engine(base):
    (base / "run").mkdir()
    engine = WordEngine(base / "run")
    yield engine
    engine.stop()


@pytest.fixture(scope="module")
def rag(base, engine):
    with running(base) as rag:
        yield rag


def found(rag: Rag, owner: str, query: str) -> list[str]:
    return [source["document"] for source in rag.search(owner, query)]


def settled(rag: Rag, owner: str) -> bool:
    """Whether all that ``owner`` has is read and embedded."""
    said = rag.http.get("/progress", params={"owner": owner}).json()
    return said["waiting"] == said["pending"] == 0


def test_a_file_that_appears_is_found_and_gone_when_it_goes(rag: Rag):
    folder = rag.folders / "ann" / "Taxes" / "2024"
    folder.mkdir(parents=True)
    (folder / "bill.txt").write_text("The chimney sweep wants eighty euros.")
    eventually(lambda: found(rag, "ann", "chimney sweep") == ["Taxes/2024/bill.txt"])
    assert rag.documents("ann")["Taxes/2024/bill.txt"]["state"] == "indexed"
    (folder / "bill.txt").write_text("The window cleaner wants ninety euros.")
    eventually(lambda: found(rag, "ann", "window cleaner") == ["Taxes/2024/bill.txt"])
    assert found(rag, "ann", "chimney") == []
    (folder / "bill.txt").unlink()
    eventually(lambda: rag.documents("ann") == {})
    assert found(rag, "ann", "window cleaner") == []


def test_a_renamed_file_or_folder_is_followed_without_embedding_again(rag: Rag, engine: WordEngine):
    for number in range(3):
        rag.put("ren", f"House/part{number}/walls.txt", f"Wall {number} is painted in ochre.")
    eventually(lambda: settled(rag, "ren"))
    embedded = engine.texts
    base = rag.folders / "ren"
    (base / "House").rename(base / "Home")
    eventually(
        lambda: sorted(rag.documents("ren")) == [f"Home/part{n}/walls.txt" for n in range(3)]
    )
    (base / "Home/part0/walls.txt").rename(base / "walls.txt")
    shutil.move(base / "Home/part1", base / "one")
    names = ["Home/part2/walls.txt", "one/walls.txt", "walls.txt"]
    eventually(lambda: sorted(rag.documents("ren")) == names)
    # The watches have moved along: what happens in the moved folders is still seen.
    (base / "one/new.txt").write_text("The new wall is teal.")
    eventually(lambda: found(rag, "ren", "teal") == ["one/new.txt"])
    eventually(lambda: settled(rag, "ren"))
    questions = engine.texts - embedded - 1
    assert sorted(found(rag, "ren", "ochre")) == names
    assert questions < 40  # the polling above; three walls again would come on top
    documents = rag.documents("ren")
    assert [documents[name]["chunks"] for name in names] == [1, 1, 1]


def test_a_move_from_private_to_shared_changes_who_finds_it(rag: Rag, engine: WordEngine):
    rag.put("mia", "plan.txt", "The sandpit goes below the walnut tree.")
    assert found(rag, "noa", "sandpit walnut") == []
    eventually(lambda: settled(rag, "mia"))
    body = {"owner": "mia", "path": "plan.txt", "to_owner": "shared", "to": "plan.txt"}
    before = engine.texts
    assert rag.http.post("/move", json=body).status_code == 200
    assert engine.texts == before
    assert found(rag, "noa", "sandpit walnut") == ["plan.txt"]
    assert found(rag, "noa", "the below") == ["plan.txt"]  # by its vector alone
    body = {"owner": "shared", "path": "plan.txt", "to_owner": "mia", "to": "plan.txt"}
    assert rag.http.post("/move", json=body).status_code == 200
    assert found(rag, "noa", "sandpit walnut the below") == []
    assert found(rag, "mia", "sandpit walnut") == ["plan.txt"]


def test_an_editor_that_writes_beside_and_renames_over_is_followed(rag: Rag):
    folder = rag.folders / "edi"
    folder.mkdir()
    (folder / "note.txt").write_text("The ladder leans on the plum tree.")
    eventually(lambda: found(rag, "edi", "plum") == ["note.txt"])
    (folder / "note.txt~").write_text("The ladder leans on the pear tree.")
    (folder / "note.txt~").rename(folder / "note.txt")
    eventually(lambda: found(rag, "edi", "pear") == ["note.txt"])
    eventually(lambda: list(rag.documents("edi")) == ["note.txt"])
    assert found(rag, "edi", "plum") == []


def test_a_file_that_is_being_written_is_read_when_it_is_done(rag: Rag):
    folder = rag.folders / "wri"
    folder.mkdir()
    with (folder / "log.txt").open("w") as sink:
        for line in range(30):
            sink.write(f"Line {line} about the harbour.\n")
            sink.flush()
            time.sleep(0.02)
        assert rag.documents("wri") == {}
        sink.write("And the last one about the lighthouse.\n")
    eventually(lambda: found(rag, "wri", "lighthouse") == ["log.txt"])


def test_links_and_devices_are_never_followed(rag: Rag, base):
    outside = base / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("The combination is nineteen.")
    folder = rag.folders / "lin"
    folder.mkdir()
    (folder / "a.txt").symlink_to(outside / "secret.txt")
    (folder / "b").symlink_to(outside, target_is_directory=True)
    os.mkfifo(folder / "c.txt")
    (folder / "d.txt").write_text("An honest file.")
    eventually(lambda: list(rag.documents("lin")) == ["d.txt"])
    assert found(rag, "lin", "combination nineteen") == []
    for path in ("a.txt", "b", "b/secret.txt", "c.txt"):
        asked = {"owner": "lin", "path": path}
        assert rag.http.get("/files", params=asked).status_code == 404
        assert rag.http.get("/folder", params=asked).status_code == 404
    assert rag.raw_put("lin", "b/new.txt", b"x").status_code == 409
    assert not (outside / "new.txt").exists()
    shown = rag.http.get("/folder", params={"owner": "lin", "path": ""}).json()["entries"]
    assert [entry["path"] for entry in shown] == ["d.txt"]


def test_odd_names_are_listed_found_and_deleted(rag: Rag):
    folder = rag.folders / "odd"
    folder.mkdir()
    for number, name in enumerate((b"two\nlines.txt", b"latin-\xe9\xff.txt", b"\xef\xbf\xbd.txt")):
        (folder / os.fsdecode(name)).write_text(f"Odd file {number} names a cormorant{number}.")
    eventually(lambda: len(rag.documents("odd")) == 3)
    names = set(rag.documents("odd"))
    assert names == {"two\nlines.txt", "latin-\ufffde9\ufffdff.txt", "\ufffdef\ufffdbf\ufffdbd.txt"}
    eventually(lambda: settled(rag, "odd"))
    for number in range(3):
        assert len(found(rag, "odd", f"cormorant{number}")) >= 1
    for number, name in enumerate(names):
        said = rag.http.get("/files", params={"owner": "odd", "path": name})
        assert said.status_code == 200
        assert "cormorant" in said.text
        body = {"owner": "odd", "path": name, "to_owner": "odd", "to": f"{number}.txt"}
        assert rag.http.post("/move", json=body).status_code == 200
    assert sorted(path.name for path in folder.iterdir()) == ["0.txt", "1.txt", "2.txt"]
    for number in range(3):
        asked = {"owner": "odd", "path": f"{number}.txt"}
        assert rag.http.delete("/documents", params=asked).status_code == 200
    assert rag.documents("odd") == {}


def test_hidden_files_are_kept_but_neither_listed_nor_found(rag: Rag):
    said = rag.http.put(
        "/documents/._scan.txt", params={"owner": "hid", "wait": "no"}, content=b"resource heron"
    )
    assert said.status_code == 201
    rag.put("hid", "seen.txt", "A visible heron.")
    assert found(rag, "hid", "heron") == ["seen.txt"]
    assert list(rag.documents("hid")) == ["seen.txt"]
    shown = rag.http.get("/folder", params={"owner": "hid", "hidden": "yes"}).json()["entries"]
    assert [entry["path"] for entry in shown] == ["._scan.txt", "seen.txt"]


def test_a_kept_upload_waits_and_is_read_by_itself(rag: Rag):
    rag.http.get("/folder", params={"owner": "kep"})
    params = {"owner": "kep", "wait": "no"}
    said = rag.http.put("/documents/a.txt", params=params, content=b"The yacht is called Nixe.")
    assert (said.status_code, said.json()) == (201, {})
    eventually(lambda: found(rag, "kep", "yacht") == ["a.txt"])
    missing = rag.http.put("/documents/no/a.txt", params=params, content=b"x")
    assert (missing.status_code, missing.json()["error"]["code"]) == (409, "no_folder")


def test_a_folder_is_made_shown_moved_copied_and_deleted(rag: Rag):
    made = rag.http.post("/folder", json={"owner": "fol", "path": "Trips"})
    assert made.status_code == 201
    assert rag.http.post("/folder", json={"owner": "fol", "path": "Trips"}).status_code == 409
    assert rag.http.post("/folder", json={"owner": "fol", "path": "a/b"}).status_code == 409
    rag.put("fol", "Trips/rome.pdf", pdf(["Rome", "The Colosseum opens at nine"]))
    rag.put("fol", "Trips/oslo.txt", "The fjord is cold.")
    shown = rag.http.get("/folder", params={"owner": "fol", "path": "Trips"}).json()
    assert [entry["path"] for entry in shown["entries"]] == ["Trips/oslo.txt", "Trips/rome.pdf"]
    assert [entry["state"] for entry in shown["entries"]] == ["indexed", "indexed"]
    body = {"owner": "fol", "path": "Trips", "to_owner": "fol", "to": "Journeys"}
    assert rag.http.post("/move", json=body).json()["kind"] == "folder"
    source = rag.search("fol", "Colosseum")[0]
    assert (source["document"], source["page"]) == ("Journeys/rome.pdf", 2)
    body = {"owner": "fol", "path": "Journeys", "to_owner": "fol", "to": "Copy"}
    assert rag.http.post("/copy", json=body).status_code == 200
    eventually(lambda: len(rag.documents("fol")) == 4 and settled(rag, "fol"))
    assert rag.http.post("/copy", json=body).json()["error"]["code"] == "exists"
    inside = {**body, "to": "Journeys/again"}
    assert rag.http.post("/move", json=inside).status_code == 409
    assert rag.http.post("/copy", json=inside).status_code == 409
    over = {"owner": "fol", "path": "Copy", "to_owner": "fol", "to": "Journeys", "replace": True}
    assert rag.http.post("/move", json=over).status_code == 200
    assert sorted(rag.documents("fol")) == ["Journeys/oslo.txt", "Journeys/rome.pdf"]
    assert rag.http.delete("/documents/Journeys", params={"owner": "fol"}).status_code == 200
    assert rag.documents("fol") == {}
    assert found(rag, "fol", "fjord Colosseum") == []
    assert list((rag.folders / "fol").iterdir()) == []
    assert list((rag.folders.parent / "incoming").iterdir()) == []


def test_a_file_is_read_back_whole_and_in_ranges(rag: Rag):
    data = os.urandom(300_000)
    rag.put("dow", "x.bin", data)

    def read(span: str = "", owner: str = "dow"):
        asked = {"owner": owner, "path": "x.bin"}
        said = rag.http.get("/files", params=asked, headers={"range": span} if span else {})
        return said.status_code, said.content

    assert read() == (200, data)
    assert read("bytes=10-99") == (206, data[10:100])
    assert read("bytes=" + "0-1," * 999 + "0-1") == (200, data)
    assert read(owner="ann")[0] == 404


def test_everything_of_a_person_goes_at_once(rag: Rag):
    for number in range(5):
        rag.put("bye", f"f{number}/x.txt", f"Farewell {number} of the swallow.")
    assert rag.http.delete("/owners/bye").json() == {"documents": 5}
    assert rag.documents("bye") == {}
    assert not (rag.folders / "bye").exists()
    assert found(rag, "bye", "swallow") == []
    assert rag.http.delete("/owners/bye").json() == {"documents": 0}
    assert rag.http.delete("/owners/shared").status_code == 400


def test_a_file_over_the_limit_is_listed_with_the_reason(rag: Rag):
    folder = rag.folders / "lar"
    folder.mkdir()
    with (folder / "disk.txt").open("wb") as sink:
        sink.truncate(5 << 30)  # sparse
    eventually(lambda: rag.documents("lar").get("disk.txt", {}).get("state") == "unreadable")
    assert "larger than 512 MiB" in rag.documents("lar")["disk.txt"]["reason"]
    asked = {"owner": "lar", "state": "unreadable"}
    listed = rag.http.get("/documents", params=asked).json()["documents"]
    assert [document["name"] for document in listed] == ["disk.txt"]
    (folder / "disk.txt").unlink()
