"""goni-rag with goni_engine's own embeddings: what a person asks in other words than the document's
is found, and what no document says is not.
"""

from __future__ import annotations

import socket
import sys

import httpx
import pytest

from goni_core import run
from tests.documents import pdf
from tests.integration.engine_node import check_built
from tests.integration.rag_node import Rag, eventually, running
from tests.reranker import write_tiny_reranker

DOCUMENTS = {
    "heating.txt": "The boiler is serviced every spring by the municipal works. The contract runs "
    "until 2027 and costs 180 euros a year.",
    "car.txt": "The estate car was bought second-hand in Freiburg; its tyres were changed in "
    "October. Mileage at purchase was 84,000 km.",
    "medical.txt": "The patient is allergic to penicillin. Control visit in six months.",
    "router.txt": "To reset the device hold the button on the back for ten seconds until the light "
    "blinks red.",
    "lease.txt": "The tenant may keep small pets. Notice must be given three months before the end "
    "of a quarter.",
}


@pytest.fixture(scope="module")
def rag(tmp_path_factory):
    check_built()
    base = tmp_path_factory.mktemp("rag-engine")
    (base / "run").mkdir()
    models = base / "state/engine/models"
    models.mkdir(parents=True)
    write_tiny_reranker(models / "ranker.gguf")
    env = {"GONI_RUN": str(base / "run"), "GONI_STATE": str(base / "state")}
    argv = [sys.executable, "-m", "goni_engine", "serve"]
    engine = run.start(argv, env=env, output=base / "engine.log")
    try:
        eventually(lambda: _listens(base / "run/engine.sock"), 120)
        with running(base) as rag:
            for name, text in DOCUMENTS.items():
                assert rag.put("ann", name, text)["reason"] == ""
            yield rag
    finally:
        engine.terminate()
        engine.wait(30)


def _listens(path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("who looks after our central heating?", "heating.txt"),
        ("How many kilometres had the vehicle when we got it?", "car.txt"),
        ("which antibiotics can't she take?", "medical.txt"),
        ("how do I restart the internet box to factory settings", "router.txt"),
        ("are dogs allowed in the flat?", "lease.txt"),
    ],
)
def test_a_question_in_other_words_finds_its_document_first(rag: Rag, question, name):
    assert rag.search("ann", question)[0]["document"] == name


@pytest.mark.parametrize(
    "question",
    ["who won the football championship", "tell me a joke", "explain quantum entanglement"],
)
def test_a_question_about_something_else_finds_nothing(rag: Rag, question):
    assert rag.ask("ann", question)["found"] is False


@pytest.mark.parametrize(
    "question",
    ["which antibiotics can't she take?", "boiler contract", "what was the mileage at purchase"],
)
def test_an_answer_counts_as_found(rag: Rag, question):
    assert rag.ask("ann", question)["found"] is True


def test_what_is_near_to_an_answer_is_shown_and_not_found(rag: Rag):
    said = rag.ask("ann", "how much does the router cost?")
    assert said["found"] is False
    assert "router.txt" in [source["document"] for source in said["sources"]]


def test_a_paraphrase_finds_the_page_of_a_pdf(rag: Rag):
    pages = [
        "Welcome to the machine. Read this before use.",
        "Descale the appliance with vinegar whenever the steam gets weak.",
        "Recycling: bring it to the collection point.",
    ]
    assert rag.put("bea", "iron.pdf", pdf(pages))["pages"] == 3
    best = rag.search("bea", "cleaning when there is little vapour")[0]
    assert (best["document"], best["page"]) == ("iron.pdf", 2)
    assert rag.search("bea", "where do I dispose of an old one")[0]["page"] == 3


def test_another_person_finds_none_of_it(rag: Rag):
    assert rag.search("eve", "who looks after our central heating? boiler contract", k=50) == []


def test_a_long_document_is_embedded_whole(rag: Rag):
    filler = "The committee discussed the minutes of the previous meeting at length.\n\n" * 600
    needle = "The treasure is buried under the old oak behind the chapel.\n\n"
    document = rag.put("kit", "minutes.md", f"# Minutes\n{filler}## Any other business\n{needle}")
    assert document["chunks"] > 30
    eventually(lambda: rag.documents("kit")["minutes.md"]["reason"] == "", 120)
    best = rag.search("kit", "where did they hide the gold beneath the tree")[0]
    assert "oak" in best["text"]
    assert best["heading"] == "Minutes > Any other business"


def test_health_says_that_the_engine_embeds(rag: Rag):
    health = rag.http.get("/health").json()
    assert health["ok"], health
    assert {"name": "engine", "ok": True, "detail": "the engine embeds"} in health["checks"]


def test_a_reranker_orders_the_sources_once_it_is_loaded(rag: Rag):
    question = "who looks after our central heating?"
    transport = httpx.HTTPTransport(uds=str(rag.run / "engine.sock"))
    with httpx.Client(transport=transport, base_url="http://engine", timeout=120) as engine:

        def state() -> str:
            listed = {one["id"]: one["goni"] for one in engine.get("/v1/models").json()["data"]}
            return listed["ranker"]["state"]

        before = rag.search("ann", question)
        assert state() == "available"  # a search loads none
        texts = [f"{s['document']}\n{s['heading']}\n{s['text']}" for s in before]
        body = {"model": "ranker", "query": question, "documents": texts}
        results = engine.post("/v1/rerank", json=body).raise_for_status().json()["results"]
        assert state() == "loaded"
    scores = {before[one["index"]]["document"]: one["relevance_score"] for one in results}

    def reranked() -> bool:
        return rag.search("ann", question)[0]["score"] == pytest.approx(max(scores.values()))

    eventually(reranked, 60)
    after = {one["document"]: one["score"] for one in rag.search("ann", question)}
    assert after == pytest.approx(scores)
    assert list(after.values()) == sorted(after.values(), reverse=True)
