"""goni_rag.extract on a corpus of hostile documents: a clear line for the person, bounded memory,
and nothing from outside of the document in its text.
"""

from __future__ import annotations

import os
import resource
import threading
from pathlib import Path

import pytest

from goni_rag import extract, records
from goni_rag.records import Broken
from goni_rag.sections import REASONS, TEXT_LIMIT, Extract, Unreadable
from tests import papers
from tests.hostile_documents import GOOD, Hostile, corpus

OURS = 400 << 20
"""Bytes that reading them may add to our own memory, most of it the corpus itself."""


def result(path: Path, name: str = "") -> tuple[str, Extract | None]:
    """How reading ended: "reads" with the good part, "reads anything", or the reason's key."""
    try:
        read = extract.read(path, name)
    except Unreadable as error:
        assert error.message == REASONS[error.code]
        return error.code, None
    text = "".join(section.text for section in read.sections)
    assert len(text) <= TEXT_LIMIT
    assert "root:" not in text
    good = GOOD in " ".join(text.split()) or GOOD in read.sections[0].heading
    return ("reads" if good else "reads anything"), read


@pytest.mark.parametrize("hostile", corpus(), ids=lambda hostile: hostile.name)
def test_a_hostile_document_costs_a_line_and_nothing_else(tmp_path: Path, hostile: Hostile):
    path = tmp_path / "document"
    path.write_bytes(hostile.make())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    end, read = result(path, hostile.name)
    assert end in hostile.ends, read
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown << 10 < OURS
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10 < 2 << 30


@pytest.mark.parametrize("name", ["a.txt", "a.pdf", "a.mbox", "a"])
def test_five_gigabytes_of_nothing_are_refused_unread(tmp_path: Path, name: str):
    path = tmp_path / name
    with path.open("wb") as sink:
        sink.truncate(5 << 30)
    assert result(path)[0] == "large"


def test_what_lies_just_under_the_limit_is_read_or_refused_in_bounded_memory(tmp_path: Path):
    path = tmp_path / "a.mbox"
    with path.open("wb") as sink:
        sink.write(papers.mbox([papers.eml("One", GOOD)]))
        sink.truncate(500 << 20)
    assert result(path)[0] == "reads"


def test_only_regular_files_are_opened(tmp_path: Path):
    (tmp_path / "link.txt").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "folder.txt").mkdir()
    for name in ("link.txt", "pipe.txt", "folder.txt", "nothing.txt"):
        assert result(tmp_path / name)[0] == "gone"


@pytest.mark.parametrize("name", [b"new\nline.txt", b"\xff\xfe.txt", b"-rf.txt", b"'; rm *.txt"])
def test_a_name_of_any_bytes_is_no_argument(tmp_path: Path, name: bytes):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    path.write_text(GOOD)
    assert result(path)[0] == "reads"


def test_a_file_that_changes_while_it_is_read_is_not_believed(tmp_path: Path):
    path = tmp_path / "growing.txt"
    path.write_text(GOOD * 5000)
    stop = threading.Event()

    def grow() -> None:
        while not stop.wait(0.001):
            with path.open("a") as sink:
                sink.write("more\n")

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        assert result(path)[0] == "changed"
    finally:
        stop.set()
        writer.join()
    assert result(path)[0] == "reads"


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"nonsense\n",
        b'{"text": "a"}\n',
        b'{"text": "a", "page": -1, "heading": ""}\n',
        b'{"text": "a", "page": true, "heading": ""}\n',
        b'{"text": ["a"], "page": 0, "heading": ""}\n',
        b'{"text": "' + b"x" * (records.LONGEST_TEXT + 1) + b'", "page": 0, "heading": ""}\n',
        b'{"text": "a", "page": 0, "heading": "' + b"x" * 400 + b'"}\n',
        b'{"text": "a\\u0000", "page": 0, "heading": ""}\n',
        b'{"text": "\\ud800", "page": 0, "heading": ""}\n',
        b'{"part": "a", "bytes": 99999999999, "heading": ""}\n',
        b'{"note": "send money"}\n',
        b'{"unreadable": "your computer is broken, call"}\n',
        b"[" * 100_000,
        b"x" * (2 << 20),
    ],
)
def test_a_reader_that_fell_is_not_believed(tmp_path: Path, said: bytes):
    path = tmp_path / "said"
    path.write_bytes(said)
    with path.open("rb") as output, pytest.raises(Broken):
        list(records.parsed(output))


def test_what_a_reader_says_reaches_no_terminal(tmp_path: Path):
    path = tmp_path / "said"
    path.write_bytes(
        b'{"text": "a\\u001b[31m\\u009b", "page": 1, "heading": "b\\u0007"}\n{"end": 1}'
    )
    with path.open("rb") as output:
        assert list(records.parsed(output)) == [records.Text("a [31m ", 1, "b ")]
