"""goni_rag.evaluate: bad lines are named, good ones read."""

from __future__ import annotations

import pytest

from goni_core.errors import BadInput
from goni_rag import evaluate, index


def test_queries_and_judgements_are_read(tmp_path):
    (tmp_path / "q.tsv").write_text("\ufeffq1\tWho?\nq2\tWhat\tand why?\n\n", "utf-8")
    (tmp_path / "r.trec").write_text("q1 0 d1 2\nq1\t0\td2\t0\n")
    assert evaluate.queries(tmp_path / "q.tsv") == {"q1": "Who?", "q2": "What\tand why?"}
    assert evaluate.judgements(tmp_path / "r.trec") == {"q1": {"d1": 2, "d2": 0}}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"q1\tone\nno tab here\n", "line 2"),
        (b"q1\tone\nq1\ttwo\n", "line 2: the id 'q1'"),
        (b"q1\t \n", "line 1"),
        (b"q1\tone\nq2\t\xff\n", "not UTF-8"),
        (b"", "no questions"),
    ],
)
def test_a_bad_line_of_queries_is_named(tmp_path, content, words):
    path = tmp_path / "q.tsv"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=words):
        evaluate.queries(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("q1 0 d1 1\nq1 0 d1\n", "line 2"),
        ("q1 0 d1 yes\n", "line 1"),
        ("q1 0 d1 0\n", "nothing relevant"),
    ],
)
def test_a_bad_line_of_judgements_is_named(tmp_path, content, words):
    path = tmp_path / "r.trec"
    path.write_text(content)
    with pytest.raises(BadInput, match=words):
        evaluate.judgements(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"none\.tsv can't be read: No such file"):
        evaluate.queries(tmp_path / "none.tsv")


def test_files_are_found_below_a_folder_in_order_without_links(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b/two.txt").write_text("x")
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / ".hidden").write_text("x")
    (tmp_path / "link.txt").symlink_to("/etc/passwd")
    assert [path.name for path in index.files(tmp_path)] == ["a.txt", "two.txt"]
    with pytest.raises(BadInput, match="not a folder"):
        index.files(tmp_path / "a.txt")
