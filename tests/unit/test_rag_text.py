"""goni_rag.plaintext and markdown: encodings, limits and headings."""

from __future__ import annotations

import pytest

from goni_rag import extract, markdown, plaintext
from goni_rag.sections import TEXT_LIMIT, Unreadable


def written(tmp_path, data: bytes, name: str = "file.txt"):
    path = tmp_path / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "data",
    [
        "Größe 5 €".encode(),
        b"\xef\xbb\xbf" + "Größe 5 €".encode(),
        b"\xff\xfe" + "Größe 5 €".encode("utf-16-le"),
        b"\xfe\xff" + "Größe 5 €".encode("utf-16-be"),
        b"\xff\xfe\x00\x00" + "Größe 5 €".encode("utf-32-le"),
    ],
)
def test_unicode_is_read_without_a_note(tmp_path, data: bytes):
    assert plaintext.decoded(written(tmp_path, data)) == ("Größe 5 €", "")


def test_windows_text_is_read_with_a_note(tmp_path):
    text, note = plaintext.decoded(written(tmp_path, "Größe 5 €".encode("cp1252")))
    assert text == "Größe 5 €"
    assert note == plaintext.GUESSED


@pytest.mark.parametrize("data", [b"a\x00b", b"\x81\x8d", b"\xff\xfe\x00\xd8", b"\xfe\xffa"])
def test_what_is_not_text_is_unreadable(tmp_path, data: bytes):
    with pytest.raises(Unreadable):
        plaintext.read(written(tmp_path, data))


def test_newlines_become_plain(tmp_path):
    assert plaintext.decoded(written(tmp_path, b"a\r\nb\rc\n"))[0] == "a\nb\nc\n"


def test_a_long_file_is_cut_between_characters_and_says_so(tmp_path):
    text, note = plaintext.decoded(written(tmp_path, "ä".encode() * TEXT_LIMIT + b"x"))
    assert text == "ä" * (TEXT_LIMIT // 2)
    assert note == plaintext.CUT
    text, note = plaintext.decoded(written(tmp_path, b"x" + "ä".encode() * TEXT_LIMIT))
    assert set(text[1:]) == {"ä"}
    assert note == plaintext.CUT


def test_unknown_kinds_are_unreadable_by_name(tmp_path):
    with pytest.raises(Unreadable, match=r"\.docx"):
        extract.read(written(tmp_path, b"text", "a.docx"))


def test_endings_may_be_capitals(tmp_path):
    assert extract.read(written(tmp_path, b"# A\ntext", "A.MD")).sections[0].heading == "A"


def headings(text: str) -> list[tuple[str, str]]:
    return [(section.heading, section.text.strip()) for section in markdown.sections(text)]


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


def test_sections_put_together_are_the_text():
    text = "x\n\n# A\r\nb\n\nC\n==\n\n"
    sections = list(markdown.sections(text))
    for section in sections:
        assert text[section.start :].startswith(section.text)
    assert "".join(section.text for section in sections) == text
