"""Documents that mean harm, or came to harm, as they lie around on old disks: made at test time.

Each is what a name says, with what a person is to be told of it: a key of ``sections.REASONS``, or
"reads" when its good part is to be found.
"""

from __future__ import annotations

import io
import itertools
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from tests import papers
from tests.documents import assembled, pdf, pdf_bomb

GOOD = "The good part of it."
LAUGHS = (
    '<!DOCTYPE x [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in itertools.pairwise("abcdefghij"))
    + "]>"
)
QUADRATIC = f'<!DOCTYPE x [<!ENTITY a "{"ha" * 50_000}">]>'
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


@dataclass(frozen=True)
class Hostile:
    """A document, and what becomes of it: any of ``ends``."""

    name: str
    make: Callable[[], bytes]
    ends: tuple[str, ...]


def corpus() -> list[Hostile]:
    """All of them."""
    return [
        Hostile("bomb.docx", lambda: _docx("<p>" + "\x20" * (300 << 20)), ("archive",)),
        Hostile("bomb.odt", lambda: _odt("<p>" + "\x20" * (200 << 20)), ("archive",)),
        Hostile("bomb-in-mail.eml", _bomb_in_mail, ("reads",)),
        Hostile("many-entries.docx", lambda: _entries(30_000), ("archive",)),
        Hostile("lying-sizes.docx", _lying, ("damaged", "empty")),
        Hostile("overlapping.xlsx", _overlapping, ("archive", "damaged")),
        Hostile("plain.zip", lambda: papers.zipped({"a.txt": b"hello"}), ("container",)),
        Hostile("laughs.docx", lambda: _docx("<p><r><t>&j;</t></r></p>", LAUGHS), ANY),
        Hostile("laughs.odt", lambda: _odt("<p>&j;</p>", LAUGHS), ANY),
        Hostile("quadratic.docx", lambda: _docx("<p>" + "&a;" * 50_000 + "</p>", QUADRATIC), ANY),
        Hostile("outside.odt", lambda: _odt("<p>&a;</p>", OUTSIDE), ANY),
        Hostile("deep.docx", lambda: _docx("<a>" * 500_000), ("damaged",)),
        Hostile("deep.html", lambda: b"<p>" + GOOD.encode() + b"<div>" * 300_000, ("reads",)),
        Hostile("far.xlsx", _far, ("reads",)),
        Hostile("repeated.ods", _repeated, ("reads",)),
        Hostile("encrypted.docx", _encrypted_office, ("encrypted",)),
        Hostile("old.doc", lambda: OLE + bytes(4096), ("old office",)),
        Hostile("encrypted.zip.docx", _encrypted_entries, ("encrypted",)),
        Hostile("encrypted.pdf", lambda: pdf(["secret"], encrypt=True), ("encrypted",)),
        Hostile("broken.pdf", lambda: papers.pdf([[GOOD]])[:200], ("damaged",)),
        Hostile("halved.docx", lambda: papers.docx([GOOD])[:9000], ("damaged",)),
        Hostile("bomb.pdf", lambda: pdf_bomb(96 << 20), ANY),
        Hostile("hundred-thousand-pages.pdf", _claiming, ANY),
        Hostile("endless.pdf", _endless, ANY),
        Hostile("deep-messages.eml", lambda: _deep_messages(400), ("reads",)),
        Hostile("deep-parts.eml", lambda: _deep_parts(3000), (*ANY, "nested")),
        Hostile("many-parts.eml", _many_parts, ("reads",)),
        Hostile("huge-line.mbox", _huge_line, ("reads",)),
        Hostile("huge-header.eml", lambda: _header(4 << 20), ("reads",)),
        Hostile("million-columns.csv", lambda: b",".join([GOOD.encode()] * 1_000_000), ("reads",)),
        Hostile("million-rows.csv", lambda: f"a,b\n{GOOD},1\n".encode() + b"x,2\n" * 10**6, READS),
        Hostile("open-quote.csv", lambda: GOOD.encode() + b',1\n"' + b"x,\n" * 10**6, (*ANY,)),
        Hostile("claiming.png", lambda: _png(60_000, 60_000, b""), ("picture",)),
        Hostile("bomb.png", lambda: _png(20_000, 20_000, bytes(20_001) * 20_000), ("picture",)),
        Hostile("broken.png", lambda: papers.picture([GOOD])[:500], ("damaged", "empty")),
        Hostile("zeros.txt", lambda: bytes(1 << 20), ("binary",)),
        Hostile("noise.txt", lambda: bytes(range(256)) * 4096, ("binary", "encoding")),
        Hostile("one-line.md", lambda: b"# " + b"x" * (6 << 20), ("reads anything",)),
        Hostile("headings.md", lambda: b"# a\n" * 150_000, ("reads anything",)),
        Hostile("pdf-and-zip.pdf", _pdf_and_zip, ("reads",)),
        Hostile("picture-and-page.gif", _gif_and_html, ("damaged", "empty")),
        Hostile("nothing.docx", lambda: b"", ("damaged",)),
        Hostile("nothing.txt", lambda: b"", ("empty",)),
    ]


READS = ("reads",)
ANY = ("reads", "reads anything", "damaged", "empty", "archive", "memory", "time")
"""Whatever is said, it has to be one of these, soon, and without anything from outside."""
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def _docx(body: str, prologue: str = "") -> bytes:
    text = f'<?xml version="1.0"?>{prologue}<document><body>{body}</body></document>'
    return papers.zipped({"word/document.xml": text.encode()})


def _odt(body: str, prologue: str = "") -> bytes:
    text = f'<?xml version="1.0"?>{prologue}<document><body><text>{body}</text></body></document>'
    return papers.zipped({"content.xml": text.encode()})


def _bomb_in_mail() -> bytes:
    inner = papers.eml("Inner", "x", attached={"bomb.docx": _docx(" " * (100 << 20))})
    return papers.eml("Outer", GOOD, attached={"inner.eml": inner, "a.zip": papers.zipped({})})


def _entries(count: int) -> bytes:
    return papers.zipped({"word/document.xml": b"<x/>", **{f"{n}": b"" for n in range(count)}})


def _lying() -> bytes:
    """An entry that unpacks to more than its directory says."""
    data = bytearray(_docx("<p><r><t>" + "ha" * 500_000 + "</t></r></p>"))
    place = data.rindex(b"PK\x01\x02")
    data[place + 24 : place + 28] = struct.pack("<I", 100)
    return bytes(data)


def _overlapping() -> bytes:
    """Entries that share one packed megabyte (Fifield, "A better zip bomb", WOOT 2019)."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b" " * (15 << 20))
        first = archive.infolist()[0]
        for number in range(200):
            twin = zipfile.ZipInfo(f"xl/{number}.xml")
            for field in ("CRC", "compress_size", "file_size", "header_offset", "compress_type"):
                setattr(twin, field, getattr(first, field))
            archive.filelist.append(twin)
    return target.getvalue()


def _far() -> bytes:
    """A sheet that claims a million rows of 16,384 columns and has one cell at the far end."""
    good = papers.xlsx({"S": [["Name", "Words"], ["a", GOOD]]})
    entries = {}
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        for name in archive.namelist():
            entries[name] = archive.read(name)
    name = "xl/worksheets/sheet1.xml"
    cell = b'<row r="1048576"><c r="XFD1048576" t="inlineStr"><is><t>far</t></is></c></row>'
    sheet = entries[name].replace(b"</sheetData>", cell + b"</sheetData>")
    entries[name] = sheet.replace(b'ref="A1:B2"', b'ref="A1:XFD1048576"')
    return papers.zipped(entries)


def _repeated() -> bytes:
    cells = '<table-cell number-columns-repeated="2147483647"><p>x</p></table-cell>'
    rows = f'<table-row number-rows-repeated="2147483647">{cells}</table-row>'
    good = f"<table-row><table-cell><p>{GOOD}</p></table-cell></table-row>"
    text = (
        f"<document><body><spreadsheet><table>{good}{rows}</table></spreadsheet></body></document>"
    )
    return papers.zipped({"content.xml": text.encode()})


def _encrypted_office() -> bytes:
    return OLE + bytes(1024) + "EncryptedPackage".encode("utf-16-le") + bytes(1024)


def _encrypted_entries() -> bytes:
    data = bytearray(_docx("<p/>"))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    return bytes(data)


def _claiming() -> bytes:
    """Two pages that say they are a hundred thousand."""
    return papers.pdf([[GOOD], [GOOD]]).replace(b"/Count 2", b"/Count 100000")


def _endless() -> bytes:
    """A tree of pages that holds itself."""
    return assembled(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R 2 0 R] /Count 1000000 >>",
            b"<< /Type /Pages /Kids [2 0 R 3 0 R] /Parent 2 0 R /Count 1000000 >>",
        ],
        b"/Root 1 0 R",
    )


def _deep_messages(depth: int) -> bytes:
    head = f"From: a@b\nSubject: {GOOD}\n".encode()
    return (head + b"Content-Type: message/rfc822\n\n") * depth + head + b"\nthe end\n"


def _deep_parts(depth: int) -> bytes:
    parts = "".join(f"Content-Type: multipart/mixed; boundary={n}\n\n--{n}\n" for n in range(depth))
    return f"From: a@b\nSubject: {GOOD}\n{parts}\nthe end\n".encode()


def _many_parts() -> bytes:
    part = b"--x\nContent-Disposition: attachment; filename=a.txt\n\nhello\n"
    head = f"From: a@b\nSubject: {GOOD}\nContent-Type: multipart/mixed; boundary=x\n\n".encode()
    return head + part * 5000 + b"--x--\n"


def _huge_line() -> bytes:
    return papers.mbox([papers.eml("One", "x"), b"Subject: x\n\n" + b"x" * (48 << 20)]) + (
        papers.mbox([papers.eml("Two", GOOD)])
    )


def _header(size: int) -> bytes:
    return b"Subject: " + b"=?utf-8?q?x?= " * (size // 14) + b"\nFrom: a@b\n\n" + GOOD.encode()


def _png(width: int, height: int, rows: bytes) -> bytes:
    def piece(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pieces = (piece(b"IHDR", head), piece(b"IDAT", zlib.compress(rows, 1)), piece(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(pieces)


def _pdf_and_zip() -> bytes:
    return papers.pdf([[GOOD]]) + papers.zipped({"word/document.xml": b"<x/>"})


def _gif_and_html() -> bytes:
    return b"GIF89a/*" + b"\x00" * 20 + b"*/=1;<html><script>alert(1)</script>"
