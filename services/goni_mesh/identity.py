"""The node's key and certificate on disk: made once, kept as long as they are good.

``tls.key`` outlives its certificates: it is only replaced when it is missing or not readable. Each
file is replaced atomically, key first; a power cut between the two leaves a certificate of another
key, which the next start replaces.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from goni_core import files
from goni_core.errors import GoniError, NotFound
from goni_mesh import certificate

KEY = "tls.key"
CERTIFICATE = "tls.crt"
LARGEST = 64 << 10
"""Bytes that are read of either file."""


@dataclass(frozen=True)
class Identity:
    """A node's certificate and, when it is a new one, why it was made (empty otherwise)."""

    certificate: bytes
    reason: str = ""


def ensure(folder: Path, hostname: str, today: datetime) -> Identity:
    """The identity in ``folder``, made or renewed where needed; safe to repeat at any time.

    ``today`` is :func:`certificate.latest` of the clock and the image's date.
    """
    files.sweep(folder)
    key = _readable_key(folder / KEY)
    if key is None:
        key = certificate.new_key()
        files.write(folder / KEY, key)
        return _renew(folder, key, hostname, today, "the node had no usable key")
    (folder / KEY).chmod(0o600)
    held = _read(folder / CERTIFICATE)
    reason = _fault(key, held, hostname, today)
    if reason:
        return _renew(folder, key, hostname, today, reason)
    return Identity(held or b"")


def load(folder: Path) -> bytes:
    """The certificate in ``folder`` in PEM; :class:`NotFound` when there is none."""
    held = _read(folder / CERTIFICATE)
    if held is None:
        raise NotFound("this node has no certificate yet", hint="run goni-mesh identity")
    return held


def _renew(folder: Path, key: bytes, hostname: str, today: datetime, reason: str) -> Identity:
    made = certificate.sign(key, hostname, certificate.validity(today))
    files.write(folder / CERTIFICATE, made)
    return Identity(made, reason)


def _fault(key: bytes, held: bytes | None, hostname: str, today: datetime) -> str:
    if held is None:
        return "there was none"
    try:
        return certificate.fault(key, held, hostname, today)
    except GoniError as error:
        return error.message


def _readable_key(path: Path) -> bytes | None:
    held = _read(path)
    if held is None:
        return None
    try:
        certificate.read_key(held)
    except GoniError:
        return None
    return held


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as source:
            return source.read(LARGEST)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise GoniError(
            f"{path.name} can't be read: {error.strerror}", hint="run it as the node's own user"
        ) from error
