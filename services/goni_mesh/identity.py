"""The web page's key and certificate on disk: made once, kept as long as they are good.

Without a household the key signs its own certificate; in one the node's key does, by authority of
the household, and ``tls.crt`` holds the chain that browsers need.

``tls.key`` outlives its certificates: it is only replaced when it is missing or not readable. Each
file is replaced atomically, key first; a power cut between the two leaves a certificate of another
key, which the next start replaces.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from goni_core import files
from goni_core.errors import GoniError, NotFound
from goni_mesh import authority, certificate
from goni_mesh.certificate import Validity
from goni_mesh.keys import PrivateKey

NODE = "node.key"
CHANNEL = "channel.crt"
KEY = "tls.key"
CERTIFICATE = "tls.crt"
WEB_MODE = 0o640
"""Of the web page's files: goni-gateway reads them by its group."""
LARGEST = 64 << 10
"""Bytes that are read of either file."""


Names = Sequence[x509.GeneralName]


@dataclass(frozen=True)
class Identity:
    """A node's certificate and, when it is a new one, why it was made (empty otherwise)."""

    certificate: bytes
    reason: str = ""


@dataclass(frozen=True)
class Issuer:
    """The node's own key, and the certificate by which the household lets it issue."""

    node: PrivateKey
    certificate: str


def node_key(folder: Path) -> PrivateKey:
    """The node's own key, which never leaves ``folder``: made when there is none yet.

    One that can't be read is an error and not replaced: it is what other nodes know this one by.
    """
    held = _read(folder / NODE)
    if held is None:
        held = certificate.new_key()
        files.write(folder / NODE, held)
    (folder / NODE).chmod(0o600)
    return PrivateKey.from_pem(held)


def ensure(
    folder: Path,
    hostname: str,
    today: datetime,
    issuer: Issuer | None = None,
    addresses: Iterable[str] = (),
) -> Identity:
    """The web identity in ``folder``, made or renewed where needed; safe to repeat at any time.

    ``today`` is :func:`certificate.latest` of the clock and the image's date. ``addresses`` are the
    node's own, which a household's certificate names as far as the root may vouch for them.
    """
    files.sweep(folder)
    names = authority.web_names(hostname, addresses)
    key = _readable_key(folder / KEY)
    if key is None:
        key = certificate.new_key()
        files.write(folder / KEY, key, mode=WEB_MODE)
        return _renew(folder, key, hostname, today, "the node had no usable key", issuer, names)
    (folder / KEY).chmod(WEB_MODE)
    held = _read(folder / CERTIFICATE)
    reason = _fault(key, held, hostname, today, issuer, names)
    if reason:
        return _renew(folder, key, hostname, today, reason, issuer, names)
    return Identity(held or b"")


def load(folder: Path) -> bytes:
    """The certificate in ``folder`` in PEM; :class:`NotFound` when there is none."""
    held = _read(folder / CERTIFICATE)
    if held is None:
        raise NotFound("this node has no certificate yet", hint="run goni-mesh identity")
    return held


def channel_certificate(folder: Path, today: datetime, issuer: Issuer) -> bytes:
    """The chain in PEM that the node shows to other nodes, renewed where needed."""
    held = _read(folder / CHANNEL)
    names = authority.own_names(issuer.node)
    try:
        key = (folder / NODE).read_bytes()
        good = held and not certificate.fault_of(key, held, names, today)
        if held and good and authority.issued_by(held, issuer.certificate):
            return held
    except GoniError:
        pass
    public = issuer.node.raw.public_key()
    valid = Validity(authority.ALWAYS.start, certificate.validity(today).end)
    made = authority.leaf(issuer.node, issuer.certificate, public, names, valid)
    chain = f"{made}{issuer.certificate}".encode()
    files.write(folder / CHANNEL, chain)
    return chain


def _renew(
    folder: Path,
    key: bytes,
    hostname: str,
    today: datetime,
    reason: str,
    issuer: Issuer | None,
    names: Names,
) -> Identity:
    valid = certificate.validity(today)
    if issuer is None:
        made = certificate.sign(key, hostname, valid)
    else:
        public = certificate.read_key(key).public_key()
        leaf = authority.leaf(issuer.node, issuer.certificate, public, names, valid)
        made = f"{leaf}{issuer.certificate}".encode()
    files.write(folder / CERTIFICATE, made, mode=WEB_MODE)
    return Identity(made, reason)


def _fault(
    key: bytes,
    held: bytes | None,
    hostname: str,
    today: datetime,
    issuer: Issuer | None,
    names: Names,
) -> str:
    if held is None:
        return "there was none"
    try:
        if issuer is None:
            return certificate.fault(key, held, hostname, today)
        if not authority.issued_by(held, issuer.certificate):
            return "it is not the household's"
        return certificate.fault_of(key, held, names, today)
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
