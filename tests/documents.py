"""Documents for tests: writers of good and forged PDFs, and a household's three documents (text,
Markdown, PDF), each with a planted sentence.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass


def pdf(pages: list[str], *, encrypt: bool = False) -> bytes:
    """A PDF 1.4 with one line of Helvetica per page and a right cross-reference table.

    With ``encrypt`` its standard security handler (ISO 32000-1, 7.6.3) has keys that no password
    fits.
    """
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    bodies = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for number, text in enumerate(pages):
        drawn = f"BT /F1 11 Tf 40 700 Td ({text}) Tj ET".encode() if text else b""
        bodies.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {5 + 2 * number} 0 R"
            " /Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        bodies.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawn), drawn))
    trailer = b"/Root 1 0 R"
    if encrypt:
        lock = b"<< /Filter /Standard /V 1 /R 2 /P -4 /O <%s> /U <%s> >>"
        trailer += b" /ID [<00> <00>] /Encrypt " + lock % (b"11" * 32, b"22" * 32)
    return assembled(bodies, trailer)


def pdf_bomb(size: int) -> bytes:
    """A PDF whose page's content unpacks to ``size`` bytes of text operators."""
    packer = zlib.compressobj(9)
    block = b"(boiler) Tj " * (1 << 16)
    packed = packer.compress(b"BT /F1 11 Tf 40 700 Td ")
    packed += b"".join(packer.compress(block) for _ in range(size // len(block)))
    packed += packer.flush()
    stream = b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(packed), packed)
    bodies = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [4 0 R] /Count 1 >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 5 0 R"
        b" /Resources << /Font << /F1 3 0 R >> >> >>",
        stream,
    ]
    return assembled(bodies, b"/Root 1 0 R")


def assembled(bodies: list[bytes], trailer: bytes) -> bytes:
    """A PDF of the objects ``bodies``, numbered from 1, with a right cross-reference table."""
    data = bytearray(b"%PDF-1.4\n")
    places = []
    for number, body in enumerate(bodies, start=1):
        places.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(data)
    data += b"xref\n0 %d\n0000000000 65535 f \n" % (len(bodies) + 1)
    data += b"".join(b"%010d 00000 n \n" % place for place in places)
    data += b"trailer\n<< /Size %d %s >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(bodies) + 1,
        trailer,
        start,
    )
    return bytes(data)


@dataclass(frozen=True)
class Planted:
    """A document, a question, and the sentence in it that answers; ``page`` from 1, 0 for none."""

    name: str
    content: bytes
    question: str
    sentence: str
    page: int = 0


KEY = "The spare key to the greenhouse hangs behind the blue watering can."
PLUMS = "Aunt Rosa's plum cake bakes for fifty minutes at one hundred and eighty degrees."
BOILER = "The pressure of the boiler must stay between one and two bar."

PLANTED = (
    Planted(
        "house.txt",
        f"Notes about the house.\n\n{KEY}\n\nBins go out on Tuesdays.\n".encode(),
        "Where is the spare key to the greenhouse?",
        KEY,
    ),
    Planted(
        "cake.md",
        f"# Recipes\n\n## Plum cake\n\n{PLUMS}\n".encode(),
        "How long does the plum cake bake?",
        PLUMS,
    ),
    Planted(
        "boiler.pdf",
        pdf(["Heating, the manual.", BOILER, "Call the plumber."]),
        "What pressure must the boiler have?",
        BOILER,
        page=2,
    ),
)
