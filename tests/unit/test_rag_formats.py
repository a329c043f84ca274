"""goni_rag.extract on every format: the words are found, under the page and heading where they
stand, and what nobody would read is not.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from goni_rag import extract
from goni_rag.sections import NOTES, Extract, Section
from tests import papers
from tests.papers import Heading

KEY = "The spare key hangs behind the blue watering can."
COSTS = [["Item", "Price", "Bought"], ["Ladder", "89.90", "2023-04-01"], ["Größe", "5", "2024"]]
LADDER = "Item: Ladder; Price: 89.90; Bought: 2023-04-01"
BLOCKS = [
    Heading("House"),
    "About the house & garden.",
    Heading("Keys", 2),
    KEY,
    Heading("Tools", 2),
    COSTS,
    "After the table.",
]
Find = Callable[..., Section]


@pytest.fixture
def found(tmp_path: Path) -> Callable[[str, bytes], Extract]:
    def read(name: str, data: bytes) -> Extract:
        path = tmp_path / "document"
        path.write_bytes(data)
        read = extract.read(path, name)
        whole = "".join(section.text for section in read.sections)
        for section in read.sections:
            assert whole[section.start :].startswith(section.text)
        return read

    return read


def with_words(read: Extract, words: str) -> Section:
    holding = [section for section in read.sections if words in " ".join(section.text.split())]
    assert holding, read
    return holding[0]


@pytest.mark.parametrize("kind", ["docx", "odt", "html", "markdown"])
def test_texts_have_headings_and_rows_with_names(found, kind: str):
    ending = {"markdown": "md"}.get(kind, kind)
    read = found(f"house.{ending}", getattr(papers, kind)(BLOCKS))
    assert with_words(read, KEY).heading == "House > Keys"
    assert with_words(read, "house & garden").heading == "House"
    assert with_words(read, LADDER).heading == "House > Tools"
    assert with_words(read, "Item: Größe; Price: 5; Bought: 2024")
    assert with_words(read, "After the table.").heading == "House > Tools"
    assert read.note == ""


def test_html_leaves_out_what_nobody_reads(found):
    read = found("page", papers.html(BLOCKS))
    text = "".join(section.text for section in read.sections)
    assert "unreadable" not in text
    assert "color" not in text
    assert "Menu" not in text


def test_html_without_a_charset_is_utf8_or_windows(found):
    assert with_words(found("a.html", "<p>Größe 5 €</p>".encode()), "Größe 5 €")
    assert with_words(found("a.html", "<p>Größe 5 €</p>".encode("cp1252")), "Größe 5 €")


@pytest.mark.parametrize("kind", ["xlsx", "ods"])
def test_every_sheet_is_read_under_its_name(found, kind: str):
    sheets = {"Tools": COSTS, "Garden": [["Plant", "Row"], ["Beans", "3"]]}
    read = found(f"lists.{kind}", getattr(papers, kind)(sheets))
    assert with_words(read, LADDER).heading == "Tools"
    assert with_words(read, "Plant: Beans; Row: 3").heading == "Garden"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252", "utf-16"])
def test_comma_separated_values_of_any_kind(found, separator: str, encoding: str):
    read = found("tools.csv", papers.csv(COSTS, separator, encoding))
    assert with_words(read, LADDER)
    assert with_words(read, "Item: Größe")


def test_a_title_above_the_names_of_columns_stays(found):
    read = found("tools.xlsx", papers.xlsx({"S": [["Our tools", None, None], *COSTS]}))
    assert with_words(read, "Our tools")
    assert with_words(read, LADDER)


def test_slides_are_pages_with_their_notes(found):
    slides = [("Start", "Welcome.", ""), ("Keys", KEY, "Say it slowly.")]
    read = found("talk.pptx", papers.pptx(slides))
    for words in (KEY, "Say it slowly."):
        assert (with_words(read, words).page, with_words(read, words).heading) == (2, "Keys")
    assert read.pages == 2


def test_opendocument_slides_are_pages(found):
    read = found("talk.odp", papers.odp([("Start", "Welcome."), ("Keys", KEY)]))
    assert with_words(read, KEY).page == 2


def test_a_book_has_its_chapters(found):
    read = found("book.epub", papers.epub([("One", ["First."]), ("Two", [KEY, "Last."])]))
    assert with_words(read, KEY).heading == "Two"


def test_a_message_says_who_when_and_what(found):
    read = found("mail.eml", papers.eml("The key", KEY + "\n\nAnna"))
    section = with_words(read, KEY)
    assert section.heading == "The key"
    assert "From: Anna <anna@example.org>" in section.text
    assert "Date: Mon, 06 May 2024" in section.text


def test_a_message_in_two_halves_is_read_once(found):
    read = found("mail.eml", papers.eml("The key", KEY, page=papers.html([KEY])))
    assert sum(section.text.count("watering") for section in read.sections) == 1


def test_attachments_are_read_with_their_pages(found):
    plan = papers.pdf([["Nothing here, dear reader."], [KEY]])
    inner = papers.eml("Forwarded", "See the plan.", attached={"plan.pdf": plan})
    read = found("mail.eml", papers.eml("Outer", "Look.", attached={"old.eml": inner}))
    section = with_words(read, KEY)
    assert section.page == 2
    assert section.heading == "Outer > old.eml > Forwarded > plan.pdf"


def test_every_message_of_a_mailbox_is_read(found):
    odd = b"Subject: =?utf-9?q?x?=\nFrom: =?x\nContent-Type: text/plain; charset=klingon\n\nodd one"
    box = papers.mbox([papers.eml("One", "First.\nFrom here on"), odd, papers.eml("Two", KEY)])
    read = found("all.mbox", box)
    assert with_words(read, KEY).heading == "Two"
    assert with_words(read, "From here on").heading == "One"
    assert with_words(read, "odd one")


def test_source_code_falls_into_its_definitions(found):
    source = "import os\n\n@cache\ndef keys():\n    return 1\n\n\nclass Ladder:\n    price = 89\n"
    read = found("tools.py", source.encode())
    assert with_words(read, "return 1").heading == "def keys()"
    assert "@cache" in with_words(read, "return 1").text
    assert with_words(read, "price = 89").heading == "class Ladder"
    go = "package main\n\nfunc Keys(a int) string {\n\treturn a\n}\n\ntype Box struct {\n\tA int\n}"
    assert with_words(found("a.go", go.encode()), "A int").heading == "type Box struct"
    c = "#include <a.h>\nint keys(void) {\n  return 4;\n}\nstatic char *name(int a)\n{\n  x;\n}\n"
    assert with_words(found("a.c", c.encode()), "x;").heading == "static char *name(int a)"


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF"])
def test_words_in_a_picture_are_recognized(found, format: str):
    read = found("photo", papers.picture(["The ladder cost", "89 euros in spring."], format))
    assert "ladder cost" in with_words(read, "89 euros").text
    assert with_words(read, "89 euros").page == 0
    assert read.note == NOTES["scanned"]


def test_a_picture_of_several_pages_has_pages(found):
    read = found("fax.tif", papers.pictures([["The first page"], ["The second one"]], "TIFF"))
    assert with_words(read, "second one").page == 2


def test_scanned_pages_among_printed_ones_are_recognized(found):
    read = found("scan.pdf", papers.pictures([["Erste Seite für alle"], ["The second page"]]))
    assert with_words(read, "Seite für alle").page == 1
    assert with_words(read, "second page").page == 2
    assert read.note == NOTES["scanned"]


def test_what_a_file_is_called_does_not_matter_where_its_bytes_tell(found):
    assert with_words(found("house", papers.docx(BLOCKS)), KEY)
    assert with_words(found("house.pdf", papers.odt(BLOCKS)), KEY)
    assert with_words(found("house.txt", papers.pdf([[KEY]])), KEY).page == 1
