"""Compound files: what Office wrote before 2007, and wraps around what it encrypts."""

from __future__ import annotations

from typing import IO

from goni_rag.records import Writer
from goni_rag.sections import Unreadable

ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
"""Name of the stream that holds an encrypted document (MS-OFFCRYPTO 2.3.4.4)."""
LOOKED_AT = 64 << 20


def read(document: IO[bytes], out: Writer) -> None:
    """Tell which of the two it is."""
    raise Unreadable("encrypted" if ENCRYPTED in document.read(LOOKED_AT) else "old office")
