"""The owner's word as a key: a seed that opens with the owner's password and nowhere else.

From the seed come, by HKDF (RFC 5869), the key that signs admissions and removals and the key of
the household's CA. At rest a node holds the seed only sealed: AES-256-GCM under a key that scrypt
(RFC 7914) makes from the password. The recovery key is a second signing key; it comes from the
written code alone and is on no node in any form.
"""

from __future__ import annotations

import base64
import os
import secrets
import unicodedata
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from goni_core import fields
from goni_core.errors import BadInput, Forbidden
from goni_mesh import keys
from goni_mesh.keys import PrivateKey

SHORTEST, LONGEST = 8, 1000
"""Characters of the owner's password."""
WORK = 1 << 16
"""scrypt's N: 64 MiB and a fifth of a second for each guess on a PC."""
ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
GROUPS, LETTERS = 8, 4
"""The recovery code: 32 letters of 5 bits, 160 in all."""


@dataclass(frozen=True)
class Sealed:
    """The seed under a password: all three in base64; worth one guess per scrypt to a thief."""

    salt: str
    nonce: str
    box: str


class Secret:
    """The opened seed; it is kept no longer than the request that opened it."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self.owner = PrivateKey.from_seed(_derive(seed, "owner"))
        self.authority = PrivateKey.from_seed(_derive(seed, "authority"))

    def sealed(self, password: str) -> Sealed:
        """This seed under ``password``; :class:`BadInput` for one that is too short."""
        if not SHORTEST <= len(password) <= LONGEST:
            raise BadInput(f"the password needs {SHORTEST} to {LONGEST} characters")
        salt, nonce = os.urandom(16), os.urandom(12)
        box = AESGCM(_stretched(password, salt)).encrypt(nonce, self._seed, None)
        return Sealed(*(base64.b64encode(part).decode() for part in (salt, nonce, box)))


def new() -> Secret:
    """A secret for a new household."""
    return Secret(os.urandom(32))


def opened(sealed: Sealed, password: str) -> Secret:
    """What :meth:`Secret.sealed` closed; :class:`Forbidden` when the password is another."""
    salt, nonce, box = (keys.decode(part, 200) for part in (sealed.salt, sealed.nonce, sealed.box))
    try:
        return Secret(AESGCM(_stretched(password[:LONGEST], salt)).decrypt(nonce, box, None))
    except (InvalidTag, ValueError) as error:
        raise Forbidden("that is not the owner's password", code="wrong_password") from error


def sealed_from(value: fields.Object) -> Sealed:
    """A :class:`Sealed` from its JSON object."""
    fields.only(value, {"salt", "nonce", "box"})
    return Sealed(*(fields.text(value, name, longest=200) for name in ("salt", "nonce", "box")))


def new_code() -> str:
    """A recovery code to be written down."""
    letters = [secrets.choice(ALPHABET) for _ in range(GROUPS * LETTERS)]
    return "-".join("".join(letters[at : at + LETTERS]) for at in range(0, len(letters), LETTERS))


def recovery_key(code: str) -> PrivateKey:
    """The signing key that a recovery code stands for; :class:`BadInput` for no such code."""
    plain = "".join(letter for letter in code.upper() if letter not in "- \t")
    if len(plain) != GROUPS * LETTERS or any(letter not in ALPHABET for letter in plain):
        raise BadInput(f"a recovery key has {GROUPS} groups of {LETTERS} letters and digits")
    return PrivateKey.from_seed(_derive(plain.encode(), "recovery"))


def _derive(seed: bytes, use: str) -> bytes:
    info = f"goni household {use}".encode()
    return HKDF(algorithm=hashes.SHA256(), length=48, salt=None, info=info).derive(seed)


def _stretched(password: str, salt: bytes) -> bytes:
    # One form (RFC 8265), whatever keyboard typed it.
    form = unicodedata.normalize("NFC", password)
    return Scrypt(salt=salt, length=32, n=WORK, r=8, p=1).derive(form.encode())
