"""What the household knows beside its members: fields that any node may edit, last writer wins.

An entry is one author's latest edit of one field, signed. ``number`` counts an author's edits;
``seen`` is the version vector of all edits that the author knew when it wrote (Parker et al.,
"Detection of mutual inconsistency", 1983). An edit replaces those it had seen. Edits that did not
see each other are all kept, one is shown by a fixed rule, and the next edit, which has seen them,
settles it. A roster keeps one entry per field and author, so merging is taking the larger number.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from goni_core import fields
from goni_core.errors import BadInput
from goni_mesh import keys
from goni_mesh.keys import PrivateKey
from goni_mesh.records import HASH, canonical

CONTEXT = b"goni entry 1\n"
KEY = re.compile(r"[a-z]{1,20}(/[A-Za-z0-9._-]{1,80}){1,3}")
"""A field's name: its table, then what it is about, as in ``setting/language``."""
VALUE_LIMIT = 16 << 10
"""Bytes of a value, as JSON."""
MOST = 8192
"""Entries of one household; :data:`MOST_OF_ONE` of one author."""
MOST_OF_ONE = 2048
MOST_AUTHORS = 256
MOST_NUMBER = 1 << 50


@dataclass(frozen=True)
class Entry:
    """One signed edit; ``hash`` is its body's."""

    hash: str
    author: str
    number: int
    key: str
    seen: Mapping[str, int] = field(hash=False)
    body: Mapping[str, Any] = field(hash=False)
    signature: str = field(hash=False)

    @property
    def value(self) -> Any:
        return self.body["value"]

    @property
    def order(self) -> tuple[int, str]:
        """By which the later of one author's edits of a field is told; two of the same number are
        a key used twice, and the hash decides.
        """
        return self.number, self.hash

    def saw(self, other: Entry) -> bool:
        return self.seen.get(other.author, 0) >= other.number

    def replaces(self, other: Entry) -> bool:
        """Whether it was written after seeing ``other``. Two that claim this of each other lie,
        and neither replaces.
        """
        if self.author == other.author:
            return self.order > other.order
        return self.saw(other) and not other.saw(self)

    def signed_by(self, author: str) -> bool:
        """Whether the signature is that of the author's public key."""
        message = CONTEXT + canonical(self.body)
        own = keys.node_id(author) == self.author
        return own and keys.verified(author, message, self.signature)

    def plain(self) -> dict[str, Any]:
        """As it goes over the wire and into the file."""
        return {"body": dict(self.body), "signature": self.signature}


def made(key: str, value: object, *, seen: Mapping[str, int], node: PrivateKey, at: str) -> Entry:
    """This node's edit of ``key`` in household ``at``, given all that it has seen."""
    body = {
        "household": at,
        "author": node.id,
        "number": seen.get(node.id, 0) + 1,
        "seen": dict(seen),
        "key": key,
        "value": value,
    }
    signature = node.sign(CONTEXT + canonical(body))
    return parse({"body": body, "signature": signature}, at)


def parse(value: fields.Object, household: str) -> Entry:
    """An entry of this household from its JSON object, its form checked; :class:`BadInput`."""
    fields.only(value, {"body", "signature"})
    body = value.get("body")
    if not isinstance(body, dict):
        raise BadInput("an entry has a body", code="bad_entry")
    fields.only(body, {"household", "author", "number", "seen", "key", "value"})
    author, key = fields.text(body, "author", longest=64), fields.text(body, "key", longest=300)
    if not HASH.fullmatch(author) or body.get("household") != household:
        raise BadInput("that entry is another household's", code="bad_entry")
    if not KEY.fullmatch(key):
        raise BadInput("that is no name of a field", code="bad_entry")
    if "value" not in body or len(canonical({"value": body["value"]})) > VALUE_LIMIT:
        raise BadInput(f"a value takes up to {VALUE_LIMIT} bytes", code="too_large")
    number = fields.integer(body, "number", least=1, most=MOST_NUMBER)
    seen = vector(body, "seen")
    if seen.get(author, 0) >= number:
        raise BadInput("that entry has seen itself", code="bad_entry")
    hashed = hashlib.sha256(CONTEXT + canonical(body)).hexdigest()
    signature = fields.text(value, "signature", longest=keys.SIGNATURE_LIMIT)
    return Entry(hashed, author, number, key, seen, body, signature)


def vector(body: fields.Object, name: str) -> Mapping[str, int]:
    """A version vector: of some authors the last number that was seen."""
    value = body.get(name)
    if not isinstance(value, dict) or len(value) > MOST_AUTHORS:
        raise BadInput(f"{name} must be a version vector", code="bad_entry")
    for author in value:
        if not HASH.fullmatch(str(author)):
            raise BadInput(f"{name} names something other than nodes", code="bad_entry")
        fields.integer(value, author, least=1, most=MOST_NUMBER)
    return value


@dataclass(frozen=True)
class Shown:
    """A field as it is now: the edit that counts, and those beside it that nobody settled yet."""

    winner: Entry
    beside: tuple[Entry, ...]


def shown(edits: Iterable[Entry]) -> Shown | None:
    """What one field's edits come to: of those that none replaces, the one whose author had seen
    most, then the larger id.
    """
    held = list(edits)
    alive = [one for one in held if not any(other.replaces(one) for other in held)]
    alive = alive or held  # Only liars can replace each other in a ring; then all are shown.
    ranked = sorted(alive, key=_weight, reverse=True)
    return Shown(ranked[0], tuple(ranked[1:])) if ranked else None


def _weight(entry: Entry) -> tuple[int, str, str]:
    return sum(entry.seen.values()) + 1, entry.author, entry.hash
