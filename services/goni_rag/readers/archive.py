"""Zip archives that are documents: found out by what is in them, and unpacked within limits.

The directory says how large each entry becomes, and zipfile reads no more than that, so a bomb is
known before it is opened. Other archives are not documents.
"""

from __future__ import annotations

import importlib
import zipfile
from typing import IO

from goni_rag.records import Writer
from goni_rag.sections import Unreadable

DOCUMENTS = {
    "word/document.xml": "word",
    "xl/workbook.xml": "workbook",
    "ppt/presentation.xml": "slides",
    "META-INF/container.xml": "book",
    "content.xml": "opendocument",
}
"""An entry that each kind of document has, and the module that reads it."""
MOST_ENTRIES = 20_000
UNPACKED = 1 << 30
"""Bytes of all entries together."""
ENTRY = 192 << 20
"""Bytes of one entry that is read whole."""
RATIO = 200
"""Times that an entry may be larger than packed, beyond the first megabytes: text packs to a
twentieth, a bomb to a thousandth.
"""
SMALL = 16 << 20
ENCRYPTED = 1


def read(document: IO[bytes], out: Writer) -> None:
    """The document that the archive is; raises :class:`Unreadable` when it is none."""
    try:
        archive = zipfile.ZipFile(document)
    except zipfile.BadZipFile:
        raise Unreadable("damaged") from None
    with archive:
        check(archive)
        names = set(archive.namelist())
        for mark, reader in DOCUMENTS.items():
            if mark in names:
                importlib.import_module(f"goni_rag.readers.{reader}").read(archive, out)
                return
    raise Unreadable("container")


def check(archive: zipfile.ZipFile) -> None:
    """Refuse bombs and what is encrypted."""
    entries = archive.infolist()
    if len(entries) > MOST_ENTRIES or sum(entry.file_size for entry in entries) > UNPACKED:
        raise Unreadable("archive")
    for entry in entries:
        if entry.flag_bits & ENCRYPTED:
            raise Unreadable("encrypted")
        if entry.file_size > SMALL and entry.file_size > entry.compress_size * RATIO:
            raise Unreadable("archive")


def content(archive: zipfile.ZipFile, name: str) -> bytes:
    """The entry ``name``; b"" when there is none. Raises :class:`Unreadable` when it is too large
    or damaged.
    """
    try:
        entry = archive.getinfo(name)
    except KeyError:
        return b""
    if entry.file_size > ENTRY:
        raise Unreadable("archive")
    try:
        return archive.read(entry)
    except (zipfile.BadZipFile, OSError, EOFError):
        raise Unreadable("damaged") from None
