"""Is this image what the builder made? Decided before a byte is written.

``SHA256SUMS`` (sha256sum(1)'s format) lists what a build made; ``SHA256SUMS.sig`` beside it is the
raw signature of that file by the build's image key: Ed25519 (RFC 8032), or RSA with PKCS #1 v1.5
and SHA-256 where a token knows nothing newer. Without this program::

    openssl pkeyutl -verify -rawin -certin -inkey image.crt -in SHA256SUMS -sigfile SHA256SUMS.sig
    sha256sum --check --ignore-missing SHA256SUMS

The certificate only carries the key and its name. It is trusted because it was named (``--key``),
came with this program, or lies in the checkout's ``keys/``; never because it lay beside the image.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.x509.oid import NameOID

from goni_core.errors import BadInput, Forbidden, GoniError
from goni_core.progress import Monitor
from goni_core.sparse import extent
from goni_flash import blockmap
from goni_flash.source import Compressed, Source

SHIPPED = Path(__file__).with_name("image.crt")
"""The key that came with this program (the wheel's)."""
CHECKOUT = Path("keys/image.crt")
LIMIT = 1 << 20
"""Bytes of a list of checksums, a signature or a certificate at most."""
LINE = re.compile(r"([0-9a-f]{64}) [ *]([^/\x00-\x1f]+)")
ZEROS = bytes(1 << 20)


@dataclass(frozen=True)
class Signer:
    """Who signs images: the name in the certificate, and the SHA-256 of the public key (SPKI)."""

    name: str
    fingerprint: str
    key: ed25519.Ed25519PublicKey | rsa.RSAPublicKey

    @property
    def development(self) -> bool:
        return "development" in self.name.lower()


def signer(given: Path | None) -> Signer:
    """The key to trust: ``given``, else this program's own, else the checkout's."""
    for path in (given,) if given else (SHIPPED, CHECKOUT):
        if path.is_file():
            return load(path)
    if given:
        raise BadInput(f"{given} is not there", hint="name the builder's certificate (PEM)")
    raise Forbidden(
        "there is no key to check the image's signature with",
        hint="name the builder's certificate with --key FILE, or --insecure for your own builds",
    )


def load(path: Path) -> Signer:
    """The signer in a PEM certificate; :class:`BadInput` when it is anything else."""
    try:
        certificate = x509.load_pem_x509_certificate(_read(path))
    except ValueError as error:
        raise BadInput(f"{path} is not a PEM certificate") from error
    key = certificate.public_key()
    if not isinstance(key, ed25519.Ed25519PublicKey | rsa.RSAPublicKey):
        raise BadInput(f"{path}: images are signed with Ed25519 or RSA keys")
    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    name = str(names[0].value) if names else "unnamed"
    return Signer(name, hashlib.sha256(der).hexdigest(), key)


def verify(signer: Signer, sums: bytes, signature: bytes) -> None:
    """Raise :class:`Forbidden` unless ``signature`` is ``signer``'s own of ``sums``."""
    try:
        if isinstance(signer.key, ed25519.Ed25519PublicKey):
            signer.key.verify(signature, sums)
        else:
            signer.key.verify(signature, sums, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature as error:
        raise Forbidden(
            f"the checksums are not signed by {signer.name} ({signer.fingerprint[:16]}…)",
            hint="fetch the image again; for another builder's name their certificate with --key",
            code="bad_signature",
        ) from error


def listed(sums: bytes) -> dict[str, str]:
    """File name to SHA-256; :class:`BadInput` when a line is anything else."""
    try:
        matches = [LINE.fullmatch(line) for line in sums.decode().splitlines()]
    except UnicodeDecodeError:
        matches = [None]
    if not matches or None in matches:
        raise BadInput("the list of checksums can't be read", hint="fetch it again")
    return {match[2]: match[1] for match in matches if match}


def lists_for(name: str) -> tuple[str, ...]:
    """The names that the list of checksums for the image called ``name`` may have."""
    stem = name.removesuffix(".zst").removesuffix(".raw")
    return (f"{stem}.SHA256SUMS", "SHA256SUMS")


def find_list(image: Path) -> Path:
    """The list of checksums beside ``image`` that names it."""
    names = lists_for(image.name)
    for path in (image.with_name(name) for name in names):
        if path.is_file() and _names_of(image.name) & listed(_read(path)).keys():
            return path
    raise Forbidden(
        f"no {names[1]} beside the image lists {image.name}",
        hint="fetch it and its .sig from where the image came from; --insecure for own builds",
        code="unsigned",
    )


def _names_of(name: str) -> set[str]:
    return {name, name.removesuffix(".zst")}


def check(image: Source, signer: Signer, monitor: Monitor) -> None:
    """Raise :class:`Forbidden` unless ``image`` is one that ``signer`` signed."""
    sums = find_list(image.path)
    try:
        signature = _read(sums.with_name(f"{sums.name}.sig"))
    except FileNotFoundError as error:
        raise Forbidden(
            f"{sums.name} is not signed: there is no {sums.name}.sig beside it",
            hint="fetch it from where the image came from; --insecure for your own builds",
            code="unsigned",
        ) from error
    text = _read(sums)
    verify(signer, text, signature)
    known = listed(text)
    if not _as_listed(image, known, monitor):
        raise Forbidden(
            f"{image.path.name} is not the file that was signed: its checksum differs",
            hint="it is damaged or was changed; fetch it again",
            code="bad_checksum",
        )


def _as_listed(image: Source, known: dict[str, str], monitor: Monitor) -> bool:
    name = image.path.name
    if isinstance(image, Compressed) and name not in known:
        return image.sha256 == known[name.removesuffix(".zst")]
    mapped = _block_map(image.path, known)
    if mapped and blockmap.holds_all(mapped, image.path):
        return not blockmap.damaged(mapped, image.path, monitor)
    return digest(image.path, monitor) == known[name]


def _block_map(image: Path, known: dict[str, str]) -> blockmap.BlockMap | None:
    """The block map beside ``image``, if it is there and is the one that was signed."""
    path = image.with_suffix(".bmap")
    if not path.is_file() or path.name not in known:
        return None
    document = _read(path)
    if hashlib.sha256(document).hexdigest() != known[path.name]:
        return None
    return blockmap.parse(document)


def digest(path: Path, monitor: Monitor) -> str:
    """The SHA-256 of a file. Its holes are hashed, not read."""
    sha256 = hashlib.sha256()
    buffer = memoryview(bytearray(1 << 20))
    with path.open("rb", buffering=0) as file:
        size = path.stat().st_size
        monitor.phase("check", size)
        at = 0
        while at < size:
            data, end = extent(file.fileno(), at, size)
            while at < data:
                count = min(len(ZEROS), data - at)
                sha256.update(memoryview(ZEROS)[:count])
                at += count
                monitor.advance(count)
            file.seek(at)
            while at < end:
                count = file.readinto(buffer[: min(len(buffer), end - at)])
                if not count:
                    raise GoniError(f"{path.name} became shorter while it was read")
                sha256.update(buffer[:count])
                at += count
                monitor.advance(count)
    return sha256.hexdigest()


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(LIMIT + 1)
    if len(data) > LIMIT:
        raise BadInput(f"{path.name} is larger than {LIMIT >> 20} MiB")
    return data
