"""Whether what was found is an answer: what the judgement rests on, and what it does without an
engine. How often it is right is measured by tests.bench (fit_evidence, rag_household).
"""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from goni_core.http import Service
from goni_rag import calibration, database, evidence, retrieve
from goni_rag.embed import Embedder
from goni_rag.evidence import Gathered
from goni_rag.semantic import Semantic
from tests.unit.test_rag_filters import put
from tests.unit.test_rag_retrieve import vector

QUESTION = "Until when does the dishwasher have a guarantee?"
ANSWER = "The guarantee of the dishwasher ends in 2027."
OTHER = "Rinse the filter of the freezer."


@pytest.fixture
def db(tmp_path):
    connection = database.open_writer(tmp_path / "index.db")
    yield connection
    connection.close()


def gathered(db, question: str = QUESTION) -> Gathered:
    hits = retrieve.look(db, Semantic(), "ann", question, None, 5)
    return evidence.gather(question, hits.asked, hits.sources)


def judged(found: Gathered, *meaning: float, rest: float = 0.5) -> dict[str, float]:
    """Features when each sentence has so much of the question's meaning."""
    asked = np.frombuffer(vector(1), "<f4")
    rows = [vector(0.5, 0.5) for _ in found.without]
    rows += [vector(one, np.sqrt(1 - one * one)) for one in meaning]
    matrix = np.frombuffer(b"".join(rows), "<f4").reshape(len(rows), -1)
    place = evidence.best(found, asked, matrix)
    left = np.frombuffer(vector(rest, 1 - rest), "<f4")
    return evidence.features(found, place, asked, matrix, left)


def test_the_words_of_a_question_are_known_or_not(db):
    put(db, "ann", "a.txt", f"{OTHER} {ANSWER}")
    found = gathered(db, QUESTION + " And the zeppelin's?")
    known = {word.text: word.known for word in found.words}
    assert known == {"dishwasher": True, "guarantee": True, "zeppelin": False}
    assert [one.text for one in found.sentences] == [OTHER, ANSWER]


def test_the_best_sentence_has_words_and_meaning(db):
    put(db, "ann", "a.txt", f"{OTHER} {ANSWER}")
    found = gathered(db)
    told = judged(found, 0.6, 0.6)
    assert told["around"] == pytest.approx(1.0)
    assert told["missing"] == 0.0
    assert evidence.rest_of(found, 1) == "Until when does the have a ?"


def test_words_that_only_other_documents_have_are_missing(db):
    put(db, "ann", "a.txt", OTHER)
    put(db, "ann", "b.txt", "The dishwasher is grey.")
    told = judged(gathered(db, "filter of the dishwasher"), 0.6, 0.5)
    assert 0 < told["missing"] < 1
    assert told["around"] == pytest.approx(1 - told["missing"])


def test_an_answer_is_likelier_with_more_of_the_meaning_and_words(db):
    put(db, "ann", "a.txt", f"{OTHER} {ANSWER}")
    found, absent = gathered(db), gathered(db, "Where is the zeppelin that the dishwasher sails?")
    probable = evidence.probability(judged(found, 0.1, 0.9))
    assert probable > evidence.probability(judged(found, 0.1, 0.3))
    assert probable > evidence.probability(judged(absent, 0.1, 0.9))


def test_the_numbers_are_those_of_the_features(db):
    put(db, "ann", "a.txt", f"{OTHER} {ANSWER}")
    assert set(calibration.WEIGHTS) == set(judged(gathered(db), 0.5, 0.6))
    assert 0 < calibration.THRESHOLD < 1


def test_without_an_engine_the_words_decide(db, tmp_path):
    put(db, "ann", "a.txt", ANSWER)

    async def found(question: str) -> bool:
        engine = Service("the engine", tmp_path / "nothing.sock")
        hits = retrieve.look(db, Semantic(), "ann", question, None, 5)
        try:
            return await evidence.found(Embedder(engine), question, vector(1), hits)
        finally:
            await engine.close()

    assert asyncio.run(found(QUESTION))
    assert not asyncio.run(found("dishwasher for the zeppelin of the duchess of Savoy"))
    assert not asyncio.run(found("Who sails?"))


def test_text_is_cut_at_the_ends_of_sentences():
    text = "Mr. Baumann called at 10.30 today. It rained!\nNr: 4, done\n家賃は九万円です。犬は"
    assert list(evidence.sentences(text)) == [
        "Mr. Baumann called at 10.30 today.",
        "It rained! Nr: 4, done",
        "家賃は九万円です。",
        "犬は",
    ]


def test_a_hostile_passage_takes_no_time(db):
    put(db, "ann", "a.txt", "heron " + ". " * 30_000 + "! " * 30_000 + "?\n" * 30_000)
    found = gathered(db, "heron " * 500 + "(" * 500)
    assert len(found.texts) <= evidence.SENTENCES + evidence.LEFT_OUT
