"""A node's key and what it signs (ECDSA over P-256 with SHA-256, FIPS 186-5).

A node's id is the SHA-256 of its public key, so that an id names one key and no other. Private keys
stay behind this module's types; nothing here prints one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from goni_core.errors import BadInput
from goni_mesh import certificate

NODE_ID = re.compile(r"[0-9a-f]{64}")
PUBLIC_LIMIT, SIGNATURE_LIMIT = 200, 120
"""Characters of a public key and of a signature in base64."""
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of P-256's base point (SP 800-186, 3.2.1.3)."""


class PrivateKey:
    """A P-256 key that can sign."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self.raw = key
        self.public = public_text(key.public_key())
        self.id = node_id(self.public)

    def __repr__(self) -> str:
        return f"PrivateKey({self.id[:16]})"

    @classmethod
    def from_pem(cls, pem: bytes) -> PrivateKey:
        """:class:`GoniError` for anything but a P-256 key."""
        return cls(certificate.read_key(pem))

    @classmethod
    def from_seed(cls, seed: bytes) -> PrivateKey:
        """The key that belongs to 48 uniformly random bytes: reduced as in FIPS 186-5, A.2.1, whose
        64 bits more than the order leave no bias.
        """
        assert len(seed) == 48
        return cls(ec.derive_private_key(int.from_bytes(seed) % (ORDER - 1) + 1, ec.SECP256R1()))

    def sign(self, message: bytes) -> str:
        """The signature of ``message`` in base64."""
        signed = self.raw.sign(message, ec.ECDSA(hashes.SHA256()))
        return base64.b64encode(signed).decode()


def public_text(key: ec.EllipticCurvePublicKey) -> str:
    """The key's SubjectPublicKeyInfo (RFC 5480) in base64."""
    return base64.b64encode(public_der(key)).decode()


def public_der(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def read_public(text: str) -> ec.EllipticCurvePublicKey:
    """The P-256 key that :func:`public_text` wrote, in that very form; :class:`BadInput` for
    anything else: a second way to write a key would be a second id.
    """
    try:
        key = serialization.load_der_public_key(decode(text, PUBLIC_LIMIT))
    except (ValueError, TypeError) as error:
        raise BadInput("that is no public key", code="bad_key") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or public_text(key) != text:
        raise BadInput("that is no P-256 key as Goni writes them", code="bad_key")
    return key


def node_id(public: str) -> str:
    """The id of the node whose public key is ``public``."""
    return hashlib.sha256(base64.b64decode(public)).hexdigest()


def verified(public: str, message: bytes, signature: str) -> bool:
    """Whether ``signature`` is that key's over ``message``."""
    try:
        read_public(public).verify(
            decode(signature, SIGNATURE_LIMIT), message, ec.ECDSA(hashes.SHA256())
        )
    except (InvalidSignature, BadInput):
        return False
    return True


def decode(text: str, limit: int) -> bytes:
    """The bytes of a base64 text of at most ``limit`` characters; else :class:`BadInput`."""
    if len(text) > limit:
        raise BadInput("a key or signature is too long", code="too_long")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadInput("a key or signature is not base64", code="bad_key") from error
