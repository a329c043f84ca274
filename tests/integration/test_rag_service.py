"""goni-rag as its callers meet it: the routes of rag.sock on a running service."""

from __future__ import annotations

import json
import random
import socket

import pytest

from goni_core import run
from tests.documents import pdf, pdf_bomb
from tests.integration.rag_node import COMMAND, Rag, WordEngine, eventually, running


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


def names(sources: list[dict]) -> list[str]:
    return [source["document"] for source in sources]


def test_an_uploaded_text_is_listed_and_found(rag: Rag):
    document = rag.put("ann", "boiler.txt", "The boiler was serviced by Kowalski in March.")
    assert document["state"] == "indexed"
    assert document["reason"] == ""
    assert document["chunks"] == 1
    assert rag.documents("ann")["boiler.txt"] == document
    (source,) = rag.search("ann", "who serviced the boiler?")
    assert source["document"] == "boiler.txt"
    assert source["text"] == "The boiler was serviced by Kowalski in March."


def test_a_pdf_is_found_with_its_page(rag: Rag):
    pages = ["Introduction to the house", "The stopcock is behind the green cupboard", "Appendix"]
    assert rag.put("pia", "house.pdf", pdf(pages))["pages"] == 3
    source = rag.search("pia", "where is the stopcock")[0]
    assert (source["document"], source["page"]) == ("house.pdf", 2)
    assert source["text"] == pages[1]


def test_a_markdown_passage_has_its_headings(rag: Rag):
    text = "# Garden\nGeneral.\n## Roses\nPrune them in February.\n# Kitchen\nClean the filter.\n"
    rag.put("max", "home.md", text)
    source = rag.search("max", "prune")[0]
    assert source["heading"] == "Garden > Roses"
    assert "February" in source["text"]
    assert "filter" not in source["text"]


def test_the_documents_name_is_searched_too(rag: Rag):
    rag.put("nia", "Passport Lena.txt", "Number C01X00T47, valid until 2031.")
    assert names(rag.search("nia", "passport")) == ["Passport Lena.txt"]


def test_accents_make_no_difference(rag: Rag):
    rag.put("ida", "rezept.txt", "Für Crème brûlée braucht man Geduld.")
    assert names(rag.search("ida", "creme brulee")) == ["rezept.txt"]


def test_the_same_content_again_is_no_work(rag: Rag, engine: WordEngine):
    first = rag.put("tom", "a.txt", "Nothing new under the sun.")
    embedded = engine.texts
    assert rag.put("tom", "a.txt", "Nothing new under the sun.") == first
    assert engine.texts == embedded


def test_a_replaced_document_answers_only_with_its_new_text(rag: Rag):
    rag.put("eva", "code.txt", "The alarm code is ultramarine.")
    rag.put("eva", "code.txt", "The alarm code is vermilion.")
    found = rag.search("eva", "alarm code ultramarine", k=50)
    assert [source["text"] for source in found] == ["The alarm code is vermilion."]


def test_a_deleted_document_is_gone_everywhere(rag: Rag):
    rag.put("leo", "diary.txt", "Today I saw a heron.")
    answer = rag.http.delete("/documents/diary.txt", params={"owner": "leo"})
    assert answer.status_code == 200
    assert rag.search("leo", "heron") == []
    assert rag.documents("leo") == {}
    assert list((rag.folders / "leo").iterdir()) == []
    again = rag.http.delete("/documents/diary.txt", params={"owner": "leo"})
    assert again.status_code == 404


def test_people_never_find_each_others_documents(rag: Rag):
    people = ["sep-a", "sep-b", "sep-a-b"]
    words = ["salary", "doctor", "divorce", "garden", "holiday", "password", "recipe"]
    for person in people:
        for word in words:
            rag.put(person, f"{word}.txt", f"My {word} belongs to token{person.replace('-', '')}.")
    rag.put("shared", "wifi.txt", "The household wifi salary doctor garden note.")
    chance = random.Random(7)
    for _ in range(100):
        person = chance.choice(people)
        query = " ".join(chance.sample([*words, "belongs", "tokensepa", "tokensepb"], 3))
        for source in rag.search(person, query, k=50):
            mine = f"token{person.replace('-', '')}." in source["text"]
            assert mine or source["document"] == "wifi.txt"


def test_the_shared_folder_is_searched_for_everyone(rag: Rag):
    rag.put("shared", "bins.txt", "The recycling lorry comes on Thursday.")
    assert "bins.txt" in names(rag.search("somebody-new", "recycling lorry"))
    assert "bins.txt" not in rag.documents("somebody-new")


def test_what_the_documents_do_not_say_finds_nothing(rag: Rag):
    rag.put("abe", "tea.txt", "Green tea is brewed at seventy degrees.")
    assert rag.search("abe", "What was the name of who?") == []
    assert rag.search("abe", "quantum chromodynamics lattice") == []


def test_a_passage_that_shares_a_word_outranks_one_that_does_not(rag: Rag):
    rag.put("kim", "one.txt", "The violin is in the attic.")
    rag.put("kim", "two.txt", "The attic needs paint.")
    found = rag.search("kim", "violin attic")
    assert names(found) == ["one.txt", "two.txt"]
    assert found[0]["score"] > found[1]["score"]


def test_k_is_the_most_that_comes_back(rag: Rag):
    for number in range(6):
        rag.put("zoe", f"{number}.txt", f"Invoice {number} of the plumber.")
    assert len(rag.search("zoe", "plumber invoice", k=2)) == 2


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("photo.heic", b"\x00\x01", "files of this kind"),
        ("broken.pdf", b"%PDF-1.4\n1 0 obj\n<< /Type", "damaged"),
        ("locked.pdf", pdf(["secret"], encrypt=True), "encrypted"),
        ("bomb.pdf", b"PK\x03\x04" + bytes(1 << 20), "damaged"),
        ("text.pdf", b"not one", "isn't a PDF"),
        ("scan.pdf", pdf(["", ""]), "no text"),
        ("binary.txt", b"hello\x00world", "isn't text"),
        ("undefined.txt", b"\x81\x8d\xff\xfe\x90", "isn't text"),
        ("empty.txt", b"", "no text"),
        ("blank.md", b" \n\n ", "no text"),
    ],
)
def test_what_cannot_be_read_is_kept_and_listed_with_the_reason(rag: Rag, name, data, reason):
    document = rag.put("rob", name, data)
    assert document["state"] == "unreadable"
    assert reason in document["reason"]
    assert document["chunks"] == 0
    assert rag.documents("rob")[name] == document
    assert (rag.folders / "rob" / name).read_bytes() == data


def test_a_pdf_that_unpacks_to_a_thousandfold_is_bounded(rag: Rag):
    document = rag.put("bo", "bomb.pdf", pdf_bomb(32 << 20))
    assert document["state"] in ("unreadable", "indexed")
    assert document["chunks"] < 40_000
    assert rag.peak_memory() < 700 << 20


@pytest.mark.parametrize(
    "name",
    [
        *("..", "%2E%2E%2Fx.txt", "a/../b.txt", "a//b.txt", "a/", "/b.txt", "a/./b.txt"),
        *("a%5Cb.txt", "a%0Ab.txt", "a%00b.txt", ".hidden", "a/.hidden", "%EF%BF%BDff.txt"),
        *("%20x.txt", "x" * 201, "%C3%A4" * 150, "a/" * 50 + "b.txt"),
    ],
)
def test_a_hostile_name_is_refused_and_nothing_is_written(rag: Rag, name):
    before = sorted(rag.base.rglob("*.txt"))
    # As bytes, because a client library would tidy the path up first.
    assert raw(rag, f"PUT /documents/{name}?owner=mal", b"text")[0] in (400, 404, 405)
    assert sorted(rag.base.rglob("*.txt")) == before
    assert rag.documents("mal") == {}


@pytest.mark.parametrize(
    "owner", ["", "..", "../ann", "Ann", "ann/../rob", "ann' OR '1'='1", "*", "a" * 65, "ann\n"]
)
def test_an_owner_that_is_no_id_is_refused(rag: Rag, owner):
    assert rag.raw_put(owner, "x.txt", b"x").status_code == 400
    assert rag.http.get("/documents", params={"owner": owner}).status_code == 400
    answer = rag.http.post("/search", json={"owner": owner, "query": "boiler"})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "query",
    [
        *('"', '" OR "" "', "NEAR(a b, 3)", "text : x", "x*", "^x", "a AND NOT", "{text}:", "-x"),
        *("'; DROP TABLE documents; --", "\\", "😀 🎉", "%_", "x " * 4000, "(" * 500),
    ],
)
def test_no_question_is_a_syntax_error(rag: Rag, query):
    rag.put("syn", "heron.txt", "A heron.")
    assert names(rag.search("syn", f"{query} heron"[-10_000:])) == ["heron.txt"]
    assert isinstance(rag.search("syn", query), list)


@pytest.mark.parametrize(
    "body",
    [
        b"not json",
        b"[]",
        b'{"owner": "ann"}',
        b'{"owner": "ann", "query": ""}',
        b'{"owner": "ann", "query": "x", "k": 51}',
        b'{"owner": "ann", "query": "x", "k": "5"}',
        b'{"owner": "ann", "query": "x", "all": true}',
        b'{"owner": ["ann"], "query": "x"}',
        b'{"owner": "ann", "query": "half a surrogate: \\ud800"}',
        json.dumps({"owner": "ann", "query": "x" * 10_001}).encode(),
    ],
)
def test_a_malformed_search_gets_a_clear_error(rag: Rag, body):
    answer = rag.http.post("/search", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_an_announced_size_over_the_limit_is_refused_at_once(rag: Rag):
    status, body = raw(rag, "PUT /documents/big.txt?owner=big", b"x", length=1 << 40)
    assert status == 413
    assert "limit" in body
    assert rag.documents("big") == {}
    assert list((rag.folders / "big").iterdir()) == []


def test_an_upload_that_breaks_off_leaves_nothing(rag: Rag):
    folder = rag.folders.parent / "incoming"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(rag.run / "rag.sock"))
        connection.sendall(
            b"PUT /documents/half.txt?owner=hal HTTP/1.1\r\nHost: rag\r\n"
            b"Content-Length: 1000\r\n\r\nonly the beginning"
        )
        eventually(lambda: folder.is_dir() and any(folder.iterdir()))
    eventually(lambda: not any(folder.iterdir()))
    assert rag.documents("hal") == {}


def test_a_hundred_megabytes_in_one_line_stay_bounded(rag: Rag, engine: WordEngine):
    engine.delay = 5.0  # a slow engine: most of the vectors come later
    try:
        document = rag.put("fat", "line.txt", b"lorem ipsum " * (100_000_000 // 12))
    finally:
        engine.delay = 0.0
    assert document["state"] == "indexed"
    assert "only the first" in document["reason"]
    assert "by its meaning soon" in document["reason"]
    assert document["chunks"] < 40_000
    assert rag.peak_memory() < 700 << 20
    assert rag.http.delete("/documents/line.txt", params={"owner": "fat"}).status_code == 200


def test_a_guessed_encoding_is_said(rag: Rag):
    document = rag.put("old", "brief.txt", "Grüße aus Köln".encode("cp1252"))
    assert "Windows-1252" in document["reason"]
    assert names(rag.search("old", "Grüße")) == ["brief.txt"]


def test_a_passage_that_the_engine_refuses_is_still_found_by_its_words(
    rag: Rag, engine: WordEngine
):
    engine.refuses = "Xanthippe"
    try:
        document = rag.put("soc", "wife.txt", "Xanthippe poured water on him.")
    finally:
        engine.refuses = ""
    assert document["reason"] == ""
    assert names(rag.search("soc", "xanthippe")) == ["wife.txt"]


def test_health_is_good_when_everything_is(rag: Rag):
    health = rag.http.get("/health").json()
    assert health["ok"], health
    assert {check["name"] for check in health["checks"]} == {"database", "engine", "search"}
    assert "documents" in health["words"]


def test_the_command_searches_and_tells_the_status(rag: Rag):
    rag.put("cli", "key.txt", "The spare key hangs in the shed.")
    found = run.run(
        [*COMMAND, "search", "spare key", "--owner", "cli", "--json"], timeout=30, env=rag.env
    )
    assert json.loads(found.stdout)["sources"][0]["document"] == "key.txt"
    shown = run.run([*COMMAND, "search", "spare key", "--owner", "cli"], timeout=30, env=rag.env)
    assert "key.txt" in shown.text
    status = run.run([*COMMAND, "status", "--json"], timeout=30, env=rag.env)
    assert json.loads(status.stdout)["ok"] is True


def test_the_command_says_when_the_service_is_not_there(tmp_path):
    argv = [*COMMAND, "status"]
    done = run.run(argv, timeout=30, env={"GONI_RUN": str(tmp_path)}, check=False)
    assert done.returncode == 1
    assert b"error: document search does not answer" in done.stderr
    assert b"Traceback" not in done.stderr


def test_the_log_holds_no_name_and_no_text(rag: Rag):
    rag.put("sec", "Diagnosis of Petra.txt", "The tumour is benign.")
    rag.put("sec", "Petra locked.pdf", pdf(["x"], encrypt=True))
    rag.search("sec", "tumour of Petra")
    logged = (rag.base / "rag.log").read_text()
    assert not any(word in logged for word in ("Petra", "tumour", "benign"))


def raw(rag: Rag, line: str, body: bytes, length: int | None = None) -> tuple[int, str]:
    """One request as bytes, as no client library would send it; status and answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(rag.run / "rag.sock"))
        head = f"{line} HTTP/1.1\r\nHost: rag\r\nConnection: close\r\n"
        head += f"Content-Length: {length or len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        answer = connection.makefile("rb").read().decode(errors="replace")
    return (int(answer.split()[1]) if answer else 0), answer
