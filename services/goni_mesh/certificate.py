"""Keys and certificates as plain bytes: made, read and judged without touching a file or a clock.

Until it belongs to a household a node signs its own certificate (P-256, RFC 5280), so that browsers
can be shown its fingerprint.
A fresh box's clock may be wrong by years: validity starts long ago, and what is judged is the
later of the clock and the image's date.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from goni_core.errors import GoniError

FIRST_DAY = datetime(2025, 1, 1, tzinfo=UTC)
"""Start of every validity: before any clock that a browser can have."""
LIFE = timedelta(days=825)
RENEW = timedelta(days=90)
"""A certificate with less left than this is replaced at the next start."""
LABELS = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
ADDRESSES = ("127.0.0.1", "::1")
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


@dataclass(frozen=True)
class Validity:
    """From when until when a certificate counts, both aware of their time zone."""

    start: datetime
    end: datetime


def latest(clock: datetime, image_date: datetime) -> datetime:
    """The best guess at today: a clock that is behind the image's own date is wrong."""
    return max(clock, image_date)


def validity(today: datetime) -> Validity:
    """The validity of a certificate made on ``today``, in whole seconds."""
    return Validity(FIRST_DAY, today.replace(microsecond=0) + LIFE)


def names(hostname: str) -> tuple[str, ...]:
    """The DNS names that a node with ``hostname`` answers to; an unusable one is left out."""
    wanted = ["goni.local", "localhost"]
    plain = hostname.lower()
    if len(plain) <= 200 and LABELS.fullmatch(plain):
        wanted = [plain, f"{plain.removesuffix('.local')}.local", *wanted]
    return tuple(dict.fromkeys(wanted))


def new_key() -> bytes:
    """A new P-256 key in PEM (PKCS #8, not encrypted)."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def sign(key_pem: bytes, hostname: str, valid: Validity) -> bytes:
    """A certificate for ``hostname`` in PEM, signed with its own key."""
    key = read_key(key_pem)
    names, use = alternative_names(hostname), x509.ExtendedKeyUsage([SERVER])
    subject = named("Goni node")
    return signed(key, key.public_key(), (subject, subject), valid, (names, use)).encode()


def signed(
    signer: ec.EllipticCurvePrivateKey,
    public: ec.EllipticCurvePublicKey,
    names: tuple[x509.Name, x509.Name],
    valid: Validity,
    more: Iterable[x509.ExtensionType] = (),
    *,
    authority: int | None = None,
) -> str:
    """A certificate in PEM for ``public`` (RFC 5280): every one that Goni makes. ``names`` are the
    subject's and the issuer's; with ``authority`` it may issue others, that many levels deep.
    """
    issues = authority is not None
    usage = x509.KeyUsage(
        digital_signature=not issues,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=issues,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    above = signer.public_key()
    built = (
        x509.CertificateBuilder()
        .subject_name(names[0])
        .issuer_name(names[1])
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid.start)
        .not_valid_after(valid.end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above), critical=False)
        .add_extension(x509.BasicConstraints(ca=issues, path_length=authority), critical=True)
        .add_extension(usage, critical=True)
    )
    for extension in more:
        # What limits a certificate must not be passed over by whoever doesn't know it.
        limits = isinstance(extension, x509.NameConstraints)
        built = built.add_extension(extension, critical=limits)
    made = built.sign(signer, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()


def named(common: str) -> x509.Name:
    """A name; RFC 5280 allows its common part 64 characters."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:64])])


def alternative_names(hostname: str) -> x509.SubjectAlternativeName:
    dns = [x509.DNSName(name) for name in names(hostname)]
    addresses = [x509.IPAddress(ipaddress.ip_address(address)) for address in ADDRESSES]
    return x509.SubjectAlternativeName([*dns, *addresses])


def read_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """The P-256 key in ``pem``; :class:`GoniError` when it is anything else."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise GoniError("the node's key is not readable", code="bad_key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise GoniError("the node's key is not a P-256 key", code="bad_key")
    return key


def read_certificate(pem: bytes) -> x509.Certificate:
    """The certificate in ``pem``; :class:`GoniError` when there is none."""
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise GoniError("the node's certificate is not readable", code="bad_certificate") from error


def fault(key_pem: bytes, certificate_pem: bytes, hostname: str, today: datetime) -> str:
    """Why this certificate has to be replaced, in words; empty when it is good.

    Raises :class:`GoniError` when either isn't readable.
    """
    return fault_of(key_pem, certificate_pem, alternative_names(hostname), today)


def fault_of(
    key_pem: bytes, certificate_pem: bytes, names: Iterable[x509.GeneralName], today: datetime
) -> str:
    """As :func:`fault`, for a certificate that has to hold these names; that it holds more, such as
    addresses that the node had, is no fault.
    """
    key, certificate = read_key(key_pem), read_certificate(certificate_pem)
    if certificate.public_key() != key.public_key():
        return "it belongs to another key"
    try:
        held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return "it names no node"
    if not set(names) <= set(held):
        return "the node has another name now"
    if certificate.not_valid_before_utc > FIRST_DAY:
        return "it is not valid yet on a box whose clock is behind"
    if certificate.not_valid_after_utc - today < RENEW:
        return "it ends soon"
    if certificate.not_valid_after_utc - today > LIFE:
        # Made while the clock was years ahead.
        return "it would be valid for too long"
    return ""


def fingerprint(certificate_pem: bytes) -> str:
    """The certificate's SHA-256 as browsers show it: 32 pairs of hex digits with colons."""
    return read_certificate(certificate_pem).fingerprint(hashes.SHA256()).hex(":").upper()
