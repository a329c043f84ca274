"""The fingerprint of the node's certificate, short enough to be compared by people.

Both show the first eight bytes of its SHA-256: as hexadecimal digits, which is what browsers show,
and as eight words. Whoever wants a certificate with the same ones has to make some 2^64 of them.
"""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path

from goni_core.errors import GoniError
from goni_core.words import WORDS

SHOWN = 8
"""Bytes."""


@dataclass(frozen=True)
class Fingerprint:
    """``digits`` are pairs joined by colons, ``words`` joined by spaces."""

    digits: str
    words: str


def of(certificate: Path) -> Fingerprint:
    """The fingerprint of the first certificate in ``certificate`` (PEM)."""
    try:
        der = ssl.PEM_cert_to_DER_cert(_first(certificate.read_text("ascii")))
    except (OSError, ValueError) as error:
        raise GoniError("the certificate can't be read", hint="run goni-mesh identity") from error
    start = hashlib.sha256(der).digest()[:SHOWN]
    return Fingerprint(start.hex(":").upper(), " ".join(WORDS[byte] for byte in start))


def _first(pem: str) -> str:
    """The first of several certificates, the node's own."""
    end = "-----END CERTIFICATE-----"
    return pem.partition(end)[0].lstrip() + end
