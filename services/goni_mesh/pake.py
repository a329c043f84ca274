"""One secret conversation from a short code: SPAKE2 (Abdalla and Pointcheval, 2005; RFC 9382), as
python-spake2 does it over Ed25519's group.

Whoever listens learns nothing about the code; whoever takes part in one exchange tries one code.
The key covers both messages and the code. What is said afterwards is sealed with AES-256-GCM under
a key for each direction, and being able to open the other side's first message is the confirmation
that its code was the same.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from spake2 import SPAKE2_A, SPAKE2_B

from goni_core import fields
from goni_core.errors import BadInput, Forbidden
from goni_core.words import WORDS
from goni_mesh import keys

CONTEXT = b"goni pairing 1 "
CLIENT, SERVER = b"client", b"server"
MESSAGE_LIMIT = 64
"""Characters of an exchange's one message in base64 (33 bytes)."""
COMPARED = 3
"""Words that both sides show: 24 bits of the key."""


class Exchange:
    """One side of one exchange, good for one answer."""

    def __init__(self, code: str, *, client: bool) -> None:
        side = SPAKE2_A if client else SPAKE2_B
        self._client = client
        self._spake = side(code.encode(), idA=CONTEXT + CLIENT, idB=CONTEXT + SERVER)
        self.message = base64.b64encode(self._spake.start()).decode()

    def answered(self, message: str) -> Conversation:
        """The conversation with the sender of ``message``; :class:`BadInput` for no such message.

        That the sender knew the code shows when something it sealed opens.
        """
        raw = keys.decode(message, MESSAGE_LIMIT)
        try:
            key = self._spake.finish(raw)
        # The library tells bad points apart by many kinds of errors, assertions among them.
        except Exception as error:
            raise BadInput("that is no pairing message", code="bad_message") from error
        return Conversation(key, client=self._client)


class Conversation:
    """What two sides say to each other under one key, each message once and in order."""

    def __init__(self, key: bytes, *, client: bool) -> None:
        ours, theirs = (CLIENT, SERVER) if client else (SERVER, CLIENT)
        self._sealing, self._opening = AESGCM(_derive(key, ours)), AESGCM(_derive(key, theirs))
        self._sent = self._received = 0
        self.words = " ".join(WORDS[byte] for byte in _derive(key, b"words")[:COMPARED])

    def seal(self, value: Mapping[str, Any]) -> str:
        """``value`` for the other side, in base64."""
        text = json.dumps(value).encode()
        sealed = self._sealing.encrypt(_nonce(self._sent), text, None)
        self._sent += 1
        return base64.b64encode(sealed).decode()

    def open(self, sealed: str, limit: int) -> fields.Object:
        """The other side's next message, of at most ``limit`` characters.

        Raises :class:`Forbidden` when it was sealed with another key: another code was typed, or
        somebody is in between.
        """
        raw = keys.decode(sealed, limit)
        try:
            text = self._opening.decrypt(_nonce(self._received), raw, None)
        except InvalidTag as error:
            raise Forbidden(
                "the code is wrong, or somebody is in between",
                hint="look at the code again",
                code="wrong_code",
            ) from error
        self._received += 1
        return fields.parse(text)


def _derive(key: bytes, use: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=CONTEXT + use).derive(key)


def _nonce(count: int) -> bytes:
    return count.to_bytes(12, "big")
