"""Writers of documents in every format that Goni reads, from plain words; where another project's
writer exists it is used, so that our readers meet files that they haven't shaped.
"""

from __future__ import annotations

import csv as comma
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from html import escape

import docx as word
import openpyxl
import pptx as powerpoint
from odf import draw, opendocument, style, table
from odf import text as odf
from PIL import Image, ImageDraw, ImageFont

from tests.documents import assembled

FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
SCALE = 200
"""Dots per inch of what is drawn."""
A4 = (8.27, 11.69)
Rows = Sequence[Sequence[object]]


@dataclass(frozen=True)
class Heading:
    """A heading; ``level`` from 1."""

    text: str
    level: int = 1


Block = Heading | str | list[list[str]]
"""A heading, a paragraph, or a table whose first row names its columns."""


def markdown(blocks: Sequence[Block]) -> bytes:
    """CommonMark with tables."""
    return "\n\n".join(map(_marked, blocks)).encode() + b"\n"


def _marked(block: Block) -> str:
    if isinstance(block, Heading):
        return f"{'#' * block.level} {block.text}"
    if isinstance(block, str):
        return block
    rows = ["| " + " | ".join(row) + " |" for row in block]
    return "\n".join([rows[0], "|" + "---|" * len(block[0]), *rows[1:]])


def html(blocks: Sequence[Block], title: str = "Page") -> bytes:
    """HTML 5 with a script, a style and a menu that nobody reads."""
    body = "\n".join(map(_tagged, blocks))
    return (
        f"<!doctype html><html><head><meta charset=utf-8><title>{escape(title)}</title>"
        "<style>p { color: red }</style><script>var hidden = 'unreadable';</script></head>"
        f"<body><nav>Menu</nav>{body}</body></html>"
    ).encode()


def _tagged(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h{block.level}>{escape(block.text)}</h{block.level}>"
    if isinstance(block, str):
        return f"<p>{escape(block)}</p>"
    head = "".join(f"<th>{escape(cell)}</th>" for cell in block[0])
    rows = (
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in block[1:]
    )
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def docx(blocks: Sequence[Block]) -> bytes:
    """Word, by python-docx."""
    document = word.Document()
    for block in blocks:
        if isinstance(block, Heading):
            document.add_heading(block.text, block.level)
        elif isinstance(block, str):
            document.add_paragraph(block)
        else:
            grid = document.add_table(0, len(block[0]))
            for row in block:
                for cell, value in zip(grid.add_row().cells, row, strict=True):
                    cell.text = value
    return _saved(document)


def odt(blocks: Sequence[Block]) -> bytes:
    """OpenDocument text, by odfpy."""
    document = opendocument.OpenDocumentText()
    for block in blocks:
        if isinstance(block, Heading):
            document.text.addElement(odf.H(outlinelevel=block.level, text=block.text))
        elif isinstance(block, str):
            document.text.addElement(odf.P(text=block))
        else:
            document.text.addElement(_odf_table("Table", block))
    return _saved(document)


def ods(sheets: dict[str, Rows]) -> bytes:
    """An OpenDocument spreadsheet, by odfpy."""
    document = opendocument.OpenDocumentSpreadsheet()
    for name, rows in sheets.items():
        document.spreadsheet.addElement(_odf_table(name, rows))
    return _saved(document)


def _odf_table(name: str, rows: Rows) -> table.Table:
    grid = table.Table(name=name)
    for row in rows:
        line = table.TableRow()
        for value in row:
            cell = table.TableCell()
            cell.addElement(odf.P(text=str(value)))
            line.addElement(cell)
        grid.addElement(line)
    return grid


def odp(slides: Sequence[tuple[str, str]]) -> bytes:
    """An OpenDocument presentation of titles and texts, by odfpy."""
    document = opendocument.OpenDocumentPresentation()
    layout = style.PageLayout(name="layout")
    document.automaticstyles.addElement(layout)
    master = style.MasterPage(name="master", pagelayoutname=layout)
    document.masterstyles.addElement(master)
    for title, text in slides:
        page = draw.Page(masterpagename=master)
        for kind, words in (("title", title), ("outline", text)):
            frame = draw.Frame(attributes={"class": kind}, width="20cm", height="3cm")
            box = draw.TextBox()
            box.addElement(odf.P(text=words))
            frame.addElement(box)
            page.addElement(frame)
        document.presentation.addElement(page)
    return _saved(document)


def xlsx(sheets: dict[str, Rows]) -> bytes:
    """An Excel workbook, by openpyxl."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    return _saved(book)


def csv(rows: Rows, separator: str = ",", encoding: str = "utf-8") -> bytes:
    """Comma-separated values."""
    target = io.StringIO()
    comma.writer(target, delimiter=separator).writerows(rows)
    return target.getvalue().encode(encoding)


def pptx(slides: Sequence[tuple[str, str, str]]) -> bytes:
    """PowerPoint slides of a title, a text and notes, by python-pptx."""
    show = powerpoint.Presentation()
    for title, text, notes in slides:
        slide = show.slides.add_slide(show.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = text
        if notes:
            slide.notes_slide.notes_text_frame.text = notes
    return _saved(show)


def epub(chapters: Sequence[tuple[str, Sequence[str]]]) -> bytes:
    """An EPUB 3 of chapters: a title and paragraphs."""
    numbers = range(1, len(chapters) + 1)
    items = "".join(
        f'<item id="c{n}" href="text/c{n}.xhtml" media-type="application/xhtml+xml"/>'
        for n in numbers
    )
    spine = "".join(f'<itemref idref="c{n}"/>' for n in numbers)
    entries = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": (
            '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0">'
            '<rootfiles><rootfile full-path="OEBPS/book.opf"'
            ' media-type="application/oebps-package+xml"/></rootfiles></container>'
        ),
        "OEBPS/book.opf": (
            '<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id">'
            f"<manifest>{items}</manifest><spine>{spine}</spine></package>"
        ),
    }
    for number, (title, paragraphs) in zip(numbers, chapters, strict=True):
        text = "".join(f"<p>{escape(paragraph)}</p>" for paragraph in paragraphs)
        entries[f"OEBPS/text/c{number}.xhtml"] = (
            '<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml">'
            f"<head><title>{escape(title)}</title></head>"
            f"<body><h1>{escape(title)}</h1>{text}</body></html>"
        )
    return zipped({name: text.encode() for name, text in entries.items()})


def zipped(entries: dict[str, bytes]) -> bytes:
    """A zip archive of ``entries``."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return target.getvalue()


def eml(
    subject: str,
    text: str,
    sender: str = "Anna <anna@example.org>",
    to: str = "Ben <ben@example.org>",
    date: str = "Mon, 06 May 2024 10:00:00 +0200",
    attached: dict[str, bytes] | None = None,
    page: bytes = b"",
) -> bytes:
    """A message, with ``page`` as its HTML half."""
    message = EmailMessage()
    message["From"], message["To"], message["Date"] = sender, to, date
    message["Subject"] = subject
    message["Message-ID"] = "<1@example.org>"
    message.set_content(text)
    if page:
        message.add_alternative(page.decode(), subtype="html")
    for name, data in (attached or {}).items():
        message.add_attachment(data, "application", "octet-stream", filename=name)
    return message.as_bytes()


def mbox(messages: Sequence[bytes]) -> bytes:
    """A mailbox, with lines that begin like a message's quoted."""
    quoted = (message.replace(b"\nFrom ", b"\n>From ") for message in messages)
    return b"".join(b"From a@b Mon May  6 10:00:00 2024\n" + one + b"\n\n" for one in quoted)


def pdf(pages: Sequence[Sequence[str]]) -> bytes:
    """A PDF of lines of Helvetica; Latin-1 letters only."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    bodies = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for number, lines in enumerate(pages):
        drawn = b"BT /F1 11 Tf 14 TL 40 780 Td " + b" ".join(map(_pdf_line, lines)) + b" ET"
        bodies.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {5 + 2 * number} 0 R"
            " /Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        bodies.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawn), drawn))
    return assembled(bodies, b"/Root 1 0 R")


def _pdf_line(line: str) -> bytes:
    safe = line.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
    return b"(" + safe.encode("cp1252") + b") Tj T*"


def drawn(lines: Sequence[str], size: int = 30, whole_page: bool = True) -> Image.Image:
    """``lines`` as a scanner would see them."""
    wide, high = (int(side * SCALE) for side in A4)
    if not whole_page:
        high = 120 + len(lines) * size * 2
    picture = Image.new("L", (wide, high), 250)
    pen, font = ImageDraw.Draw(picture), ImageFont.truetype(FONT, size)
    for number, line in enumerate(lines):
        pen.text((120, 60 + number * size * 1.6), line, fill=20, font=font)
    return picture


def picture(lines: Sequence[str], format: str = "PNG", size: int = 30) -> bytes:
    """A picture of ``lines``."""
    target = io.BytesIO()
    drawn(lines, size, whole_page=False).save(target, format)
    return target.getvalue()


def pictures(pages: Sequence[Sequence[str]], format: str = "PDF") -> bytes:
    """Scanned pages in one file: PDF or TIFF."""
    first, *others = [drawn(lines) for lines in pages]
    target = io.BytesIO()
    first.save(target, format, save_all=True, append_images=others, resolution=SCALE)
    return target.getvalue()


def _saved(document: object) -> bytes:
    target = io.BytesIO()
    document.save(target)  # type: ignore[attr-defined]
    return target.getvalue()
