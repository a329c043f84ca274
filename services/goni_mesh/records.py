"""The household's membership, statement by statement: who founded it, who was admitted or removed.

A record says what its author had seen (``past``: the hashes of the latest records known to it) and
is signed twice: by the author's node key and by the owner's word (or the recovery key). Records are
never changed or dropped, so merging two nodes' sets is their union; what a set means is
:mod:`goni_mesh.members`'s business.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from goni_core import fields
from goni_core.errors import BadInput
from goni_mesh import keys, secret
from goni_mesh.keys import PrivateKey
from goni_mesh.secret import Sealed

HASH = re.compile(r"[0-9a-f]{64}")
CONTEXT = b"goni membership 1\n"
MOST = 1024
"""Records of one household."""
MOST_PAST, MOST_UNDONE = 64, 256
CERTIFICATE_LIMIT = 4000
KINDS = {
    "found": {"node", "name", "certificate", "root", "owner", "recovery", "household_name"},
    "admit": {"node", "name", "certificate"},
    "remove": {"target", "undo"},
    "lock": {"sealed"},
}
COMMON = {"kind", "household", "author", "past", "word"}


@dataclass(frozen=True)
class Record:
    """One statement. ``hash`` is its body's; ``household`` the founding record's hash, empty in
    that record itself.
    """

    hash: str
    kind: str
    household: str
    author: str
    past: tuple[str, ...]
    word: str
    body: Mapping[str, Any] = field(hash=False)
    signatures: tuple[str, str] = field(hash=False)

    @property
    def founder(self) -> bool:
        return self.kind == "found"

    @property
    def admitted(self) -> str:
        """The id of the node that this record lets in; empty when it lets nobody in."""
        return keys.node_id(self.body["node"]) if self.kind in ("found", "admit") else ""

    @property
    def sealed(self) -> Sealed:
        return secret.sealed_from(self.body["sealed"])

    def plain(self) -> dict[str, Any]:
        """As it goes over the wire and into the file."""
        return {"body": dict(self.body), "signatures": list(self.signatures)}

    def signed_by(self, author: str, word: str) -> bool:
        """Whether both signatures hold for these public keys."""
        message = CONTEXT + canonical(self.body)
        return (
            keys.node_id(author) == self.author
            and keys.verified(author, message, self.signatures[0])
            and keys.verified(word, message, self.signatures[1])
        )


def made(
    kind: str,
    content: Mapping[str, Any],
    *,
    household: str,
    past: Iterable[str],
    node: PrivateKey,
    word: PrivateKey,
    recovery: bool = False,
) -> Record:
    """A new record by this node, at the word of the owner (or the recovery key)."""
    body = {
        "kind": kind,
        "household": household,
        "author": node.id,
        "past": sorted(past),
        "word": "recovery" if recovery else "owner",
        **content,
    }
    message = CONTEXT + canonical(body)
    return parse({"body": body, "signatures": [node.sign(message), word.sign(message)]})


def parse(value: fields.Object) -> Record:
    """A record from its JSON object, its form checked and nothing else; :class:`BadInput`."""
    fields.only(value, {"body", "signatures"})
    body, signatures = value.get("body"), value.get("signatures")
    if not isinstance(body, dict) or not isinstance(signatures, list) or len(signatures) != 2:
        raise BadInput("a membership record has a body and two signatures", code="bad_record")
    kind = fields.text(body, "kind", longest=10)
    if kind not in KINDS:
        raise BadInput("that kind of membership record is not known", code="bad_record")
    fields.only(body, COMMON | KINDS[kind])
    _check(kind, body)
    author, signed = _text(body, "author", HASH), tuple(str(one)[:200] for one in signatures)
    household = "" if kind == "found" else _text(body, "household", HASH)
    word = fields.text(body, "word", longest=10)
    words = ("owner", "recovery") if kind == "remove" else ("owner",)
    if word not in words or (kind == "found") != (body.get("household") == ""):
        raise BadInput("that membership record is at nobody's word", code="bad_record")
    past = hashes(body, "past", MOST_PAST)
    hashed = hashlib.sha256(CONTEXT + canonical(body)).hexdigest()
    return Record(hashed, kind, household, author, past, word, body, (signed[0], signed[1]))


def _check(kind: str, body: fields.Object) -> None:
    if kind in ("found", "admit"):
        fields.text(body, "name", longest=80)
        fields.text(body, "certificate", longest=CERTIFICATE_LIMIT)
        keys.read_public(fields.text(body, "node", longest=keys.PUBLIC_LIMIT))
    if kind == "found":
        fields.text(body, "household_name", longest=80)
        fields.text(body, "root", longest=CERTIFICATE_LIMIT)
        for name in ("owner", "recovery"):
            keys.read_public(fields.text(body, name, longest=keys.PUBLIC_LIMIT))
    elif kind == "remove":
        _text(body, "target", HASH)
        hashes(body, "undo", MOST_UNDONE)
    elif kind == "lock":
        secret.sealed_from(body["sealed"] if isinstance(body.get("sealed"), dict) else {})


def hashes(body: fields.Object, name: str, most: int) -> tuple[str, ...]:
    """A sorted list of at most ``most`` different hashes."""
    value = body.get(name)
    if not isinstance(value, list) or len(value) > most:
        raise BadInput(f"{name} must be a list of at most {most} hashes", code="bad_record")
    if not all(isinstance(one, str) and HASH.fullmatch(one) for one in value):
        raise BadInput(f"{name} holds something other than hashes", code="bad_record")
    if value != sorted(set(value)):
        raise BadInput(f"{name} is not in order", code="bad_record")
    return tuple(value)


def canonical(value: Mapping[str, Any]) -> bytes:
    """The one way to write a JSON object that is signed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def _text(body: fields.Object, name: str, form: re.Pattern[str]) -> str:
    value = fields.text(body, name, longest=64)
    if not form.fullmatch(value):
        raise BadInput(f"{name} is no hash", code="bad_record")
    return value
