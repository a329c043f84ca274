"""goni_rag.extract on plain text and Markdown, and their readers: encodings, limits, headings."""

from __future__ import annotations

from pathlib import Path

import pytest

from goni_rag import extract
from goni_rag.readers import markdown
from goni_rag.sections import NOTES, TEXT_LIMIT, Extract, Unreadable


def found(tmp_path: Path, data: bytes, name: str = "file.txt") -> Extract:
    path = tmp_path / "upload"
    path.write_bytes(data)
    return extract.read(path, name)


def text_and_note(tmp_path: Path, data: bytes) -> tuple[str, str]:
    read = found(tmp_path, data)
    return "".join(section.text for section in read.sections), read.note


@pytest.mark.parametrize(
    "data",
    [
        "Größe 5 €".encode(),
        b"\xef\xbb\xbf" + "Größe 5 €".encode(),
        b"\xff\xfe" + "Größe 5 €".encode("utf-16-le"),
        b"\xfe\xff" + "Größe 5 €".encode("utf-16-be"),
        b"\xff\xfe\x00\x00" + "Größe 5 €".encode("utf-32-le"),
        "Größe 5 ".encode("utf-16-le"),
        "Größe 5 ".encode("utf-16-be"),
    ],
)
def test_unicode_is_read_without_a_note(tmp_path, data: bytes):
    text, note = text_and_note(tmp_path, data)
    assert text.startswith("Größe 5 ")
    assert note == ""


def test_windows_text_is_read_with_a_note(tmp_path):
    text, note = text_and_note(tmp_path, "Größe 5 €".encode("cp1252"))
    assert text == "Größe 5 €"
    assert note == NOTES["guessed"]


@pytest.mark.parametrize("data", [b"a\x00b", b"\x81\x8d", b"\xff\xfe\x00\xd8", b"\xfe\xffa"])
def test_what_is_not_text_is_unreadable(tmp_path, data: bytes):
    with pytest.raises(Unreadable):
        found(tmp_path, data)


def test_newlines_become_plain(tmp_path):
    assert text_and_note(tmp_path, b"a\r\nb\rc\n")[0] == "a\nb\nc\n"


def test_a_long_file_is_cut_between_characters_and_says_so(tmp_path):
    for data in ("ä".encode() * (TEXT_LIMIT + 1), b"x" + "ä".encode() * TEXT_LIMIT):
        text, note = text_and_note(tmp_path, data)
        assert text == data.decode()[:TEXT_LIMIT]
        assert note == NOTES["cut"]


def test_a_kind_is_known_by_its_first_bytes_whatever_its_name_says(tmp_path):
    with pytest.raises(Unreadable, match="isn't a PDF"):
        found(tmp_path, b"text", "a.pdf")
    with pytest.raises(Unreadable, match="damaged"):
        found(tmp_path, b"text", "a.docx")
    with pytest.raises(Unreadable, match="of this kind"):
        found(tmp_path, b"a\x00b" * 99, "a.xyz")
    assert found(tmp_path, b"text", "a.xyz").sections[0].text == "text"


def test_a_name_may_be_anything(tmp_path):
    for name in ("a\nb.md", "\udcff.md", "x" * 5000 + ".md", "../../etc/passwd.md", ".md"):
        assert found(tmp_path, b"text", name).sections[0].text == "text"


def test_endings_may_be_capitals(tmp_path):
    assert found(tmp_path, b"# A\ntext", "A.MD").sections[0].heading == "A"


def headings(text: str) -> list[tuple[str, str]]:
    return [(heading, part.strip()) for heading, part in markdown.sections(text)]


def test_sections_carry_the_path_of_headings():
    text = "before\n# A\na\n## B ##\nb\n### C\nc\n## D\nd\n# E\n"
    assert headings(text) == [
        ("", "before"),
        ("A", "# A\na"),
        ("A > B", "## B ##\nb"),
        ("A > B > C", "### C\nc"),
        ("A > D", "## D\nd"),
        ("E", "# E"),
    ]


def test_underlined_headings_count():
    assert headings("Title\n=====\nx\n\nPart\n---\ny\n\n---\n\n") == [
        ("Title", "Title\n=====\nx"),
        ("Title > Part", "Part\n---\ny\n\n---"),
    ]


def test_fenced_code_has_no_headings():
    text = "# A\n```sh\n# not one\n```\n~~~~\n# nor\n```\n# this\n~~~~\n## B\n"
    assert [heading for heading, _ in headings(text)] == ["A", "A > B"]


def test_hashtags_are_no_headings():
    assert headings("#tag\n####### seven\n") == [("", "#tag\n####### seven")]


def test_sections_put_together_are_the_text(tmp_path):
    text = "x\n\n# A\nb\n\nC\n==\n\n"
    sections = found(tmp_path, text.encode(), "a.md").sections
    for section in sections:
        assert text[section.start :].startswith(section.text)
    assert "".join(section.text for section in sections) == text
