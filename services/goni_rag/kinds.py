"""What kind of file it is: by its first bytes where those decide, else by its name's ending.

Only compares bytes. What is inside an archive, and whether text is text, is found out where that is
safe (``reader``).
"""

from __future__ import annotations

from enum import Enum
from pathlib import PurePath

from goni_rag.sections import Unreadable

HEAD = 4096
"""Bytes of a file that are looked at."""


class Kind(Enum):
    """How a file is to be read; all but ``PDF`` have a reader of this name."""

    PDF = "pdf"
    PICTURE = "picture"
    ARCHIVE = "archive"
    OLD_OFFICE = "old_office"
    HTML = "html"
    MARKDOWN = "markdown"
    TABLE = "table"
    MAIL = "mail"
    MAILBOX = "mailbox"
    CODE = "code"
    TEXT = "text"


MAGIC = (
    (b"PK\x03\x04", Kind.ARCHIVE),
    (b"PK\x05\x06", Kind.ARCHIVE),
    (b"%PDF-", Kind.PDF),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Kind.OLD_OFFICE),
    (b"\x89PNG\r\n\x1a\n", Kind.PICTURE),
    (b"\xff\xd8\xff", Kind.PICTURE),
    (b"II*\x00", Kind.PICTURE),
    (b"MM\x00*", Kind.PICTURE),
    (b"GIF87a", Kind.PICTURE),
    (b"GIF89a", Kind.PICTURE),
)
ENDINGS = {
    Kind.HTML: ".htm .html .xhtml",
    Kind.MARKDOWN: ".md .markdown",
    Kind.TABLE: ".csv .tsv",
    Kind.MAIL: ".eml",
    Kind.MAILBOX: ".mbox .mbx",
    Kind.CODE: (
        ".bash .c .cc .cpp .cs .css .go .h .hpp .java .js .jsx .kt .lua .php .pl .ps1 .py .r .rb"
        " .rs .scala .sh .sql .swift .ts .tsx .vue .zig"
    ),
    Kind.TEXT: ".txt .text .log .conf .cfg .ini .json .jsonl .rst .tex .toml .xml .yaml .yml .org",
}
BY_ENDING = {ending: kind for kind, endings in ENDINGS.items() for ending in endings.split()}
OTHERWISE = {
    **dict.fromkeys((".docx", ".xlsx", ".pptx", ".odt", ".ods", ".odp", ".epub"), "damaged"),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".tif", ".tiff", ".gif"), "damaged"),
    ".pdf": "not pdf",
}
"""Endings of files that begin with one of :data:`MAGIC`, and the reason when they don't."""
MAIL_FIELDS = (b"received:", b"return-path:", b"delivered-to:", b"mime-version:", b"message-id:")


def kind_of(name: str, head: bytes) -> Kind:
    """The kind of the file called ``name`` that begins with ``head`` (:data:`HEAD` bytes or all of
    it). Raises :class:`Unreadable` when it is none that Goni reads.
    """
    for magic, kind in MAGIC:
        if head.startswith(magic):
            return kind
    ending = PurePath(name).suffix.lower()
    # Some writers put something before it (ISO 32000-1, annex H, implementation note 13).
    if ending == ".pdf" and b"%PDF-" in head[:1024]:
        return Kind.PDF
    if ending in OTHERWISE:
        raise Unreadable(OTHERWISE[ending])
    return BY_ENDING.get(ending) or _by_content(head, ending)


def _by_content(head: bytes, ending: str) -> Kind:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:512].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return Kind.HTML
    if start.startswith(b"from ") and b"\nfrom:" in head.lower():
        return Kind.MAILBOX
    if start.startswith(MAIL_FIELDS):
        return Kind.MAIL
    if b"\x00" in head and not head.startswith((b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")):
        raise Unreadable("unknown" if ending else "binary")
    return Kind.TEXT
