"""tests.household_corpus: the same seed gives the same household, its truth is true, and every
document of a sample can be read with what was planted where it was planted.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from goni_rag import extract
from tests.bench import rag_household
from tests.bench.rag_household import Asked
from tests.household_corpus import PAGED, RECOGNIZED, WRITERS, Corpus, Question, corpus


@pytest.fixture(scope="module")
def household() -> Corpus:
    return corpus(1)


def test_it_is_large_and_has_all_formats_and_people(household: Corpus):
    assert len(household.files) >= 300
    assert len({(file.owner, file.name) for file in household.files}) == len(household.files)
    endings = Counter(ending(file.name) for file in household.files)
    assert set(endings) == set(WRITERS)
    assert min(endings.values()) >= 5
    assert {file.owner for file in household.files} == {"anna", "ben", "clara", "shared"}
    kinds = Counter(question.kind for question in household.questions)
    assert kinds["planted"] >= 300
    assert min(kinds["absent"], kinds["others"], kinds["detail"]) >= 30


def test_a_seed_makes_it(household: Corpus):
    again = corpus(1)
    assert again.questions == household.questions
    assert [(f.owner, f.name) for f in again.files] == [(f.owner, f.name) for f in household.files]


def test_older_versions_say_something_else(household: Corpus):
    names = {(file.owner, file.name.rpartition(".")[0]) for file in household.files}
    assert sum(name.endswith(" 2019") for _, name in names) >= 5


def test_nobody_asks_what_another_question_of_theirs_asks(household: Corpus):
    asked = Counter((q.owner, q.text) for q in household.questions if q.kind == "planted")
    shared = [q for q in household.questions if q.folder == "shared"]
    assert all(asked[q.owner, q.text] == 1 for q in shared)


def test_what_was_planted_is_where_the_truth_says(household: Corpus, tmp_path: Path):
    files = {(file.owner, file.name): file for file in household.files}
    seen: set[str] = set()
    for question in household.questions:
        kind = ending(question.file) if question.kind == "planted" else ""
        if not kind or kind in seen or kind in RECOGNIZED:
            continue
        seen.add(kind)
        path = tmp_path / "document"
        path.write_bytes(files[question.folder, question.file].data)
        sections = extract.read(path, question.file).sections
        span = "".join(question.span.split())
        holding = [section for section in sections if span in "".join(section.text.split())]
        assert [section.page for section in holding] == [question.page], question
        assert (question.page > 0) == (kind in PAGED)
    assert seen == set(WRITERS) - set(RECOGNIZED)


def test_rows_count_what_was_found_and_what_was_left_unsaid():
    planted = Question("?", "anna", "planted", "anna", "a.pdf", 2, "The words.")
    absent = Question("?", "anna", "absent")
    right = {"document": "a.pdf", "page": 2, "text": "Here: The  words."}
    wrong = {**right, "page": 1, "text": "Other."}
    asked = [
        Asked(planted, [wrong, right], answered=True),
        Asked(planted, [wrong], answered=True),
        Asked(planted, [], answered=False),
        Asked(absent, [wrong], answered=False),
        Asked(absent, [wrong], answered=True),
    ]
    values = {row.figure: row.value for row in rag_household.judged(asked)}
    assert list(values.values())[:4] == [0.3333, 0.3333, 0.6667, 0.5]
    assert len(rag_household.misses(asked)) == 2


def ending(name: str) -> str:
    """The key of ``WRITERS`` that made the file of that name."""
    return max((one for one in WRITERS if name.endswith(f".{one}")), key=len)
