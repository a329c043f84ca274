"""Forges households for the mesh's tests: nodes with real keys, records and entries really signed,
by whoever the test says, whether they may or not.
"""

from __future__ import annotations

from collections.abc import Iterable

from goni_mesh import authority, entries, records, roster, secret
from goni_mesh.entries import Entry
from goni_mesh.keys import PrivateKey
from goni_mesh.records import Record
from goni_mesh.roster import Roster


def key(number: int) -> PrivateKey:
    """The same key for the same number."""
    return PrivateKey.from_seed(number.to_bytes(48, "big"))


CODE = "ABCD-EFGH-JKLM-NPQR-STUV-WXYZ-2345-6789"
SECRET = secret.Secret(bytes(32))
RECOVERY = secret.recovery_key(CODE)
ROOT = authority.root(SECRET.authority, "home")
CERTIFICATES: dict[str, str] = {}


def certificate(node: PrivateKey) -> str:
    if node.id not in CERTIFICATES:
        CERTIFICATES[node.id] = authority.issuer(SECRET.authority, ROOT, node.public)
    return CERTIFICATES[node.id]


def founded(node: PrivateKey) -> Roster:
    """A household of one."""
    content = {
        "node": node.public,
        "name": "first",
        "certificate": certificate(node),
        "root": ROOT,
        "owner": SECRET.owner.public,
        "recovery": RECOVERY.public,
        "household_name": "home",
    }
    return roster.founded(
        records.made("found", content, household="", past=(), node=node, word=SECRET.owner)
    )


def stated(
    now: Roster,
    kind: str,
    content: dict,
    by: PrivateKey,
    *,
    word: PrivateKey | None = None,
    past: Iterable[str] | None = None,
    recovery: bool = False,
) -> Record:
    """A record by anybody, with any past (what is here, when none is given)."""
    return records.made(
        kind,
        content,
        household=now.household,
        past=now.members.heads if past is None else past,
        node=by,
        word=word or (RECOVERY if recovery else SECRET.owner),
        recovery=recovery,
    )


def admission(now: Roster, node: PrivateKey, by: PrivateKey, **more) -> Record:
    content = {"node": node.public, "name": "another", "certificate": certificate(node)}
    return stated(now, "admit", content, by, **more)


def removal(
    now: Roster, node: PrivateKey, by: PrivateKey, undo: list[str] | None = None, **more
) -> Record:
    return stated(now, "remove", {"target": node.id, "undo": sorted(undo or [])}, by, **more)


def with_records(now: Roster, *given: Record) -> Roster:
    """``now`` and whatever of ``given`` is let through."""
    return Roster(now.household, roster.verified_records(now, given), now.entries)


def household(*nodes: PrivateKey) -> Roster:
    """A household that the first of ``nodes`` began and let the others into."""
    now = founded(nodes[0])
    for node in nodes[1:]:
        now = with_records(now, admission(now, node, nodes[0]))
    return now


def edited(
    now: Roster, name: str, value: object, by: PrivateKey, seen: dict | None = None
) -> Roster:
    return with_entries(now, entry(now, name, value, by, seen))


def entry(now: Roster, name: str, value: object, by: PrivateKey, seen: dict | None = None) -> Entry:
    return entries.made(
        name, value, seen=now.vector if seen is None else seen, node=by, at=now.household
    )


def with_entries(now: Roster, *given: Entry) -> Roster:
    fresh = Roster(now.household, {}, roster.verified_entries(now, given))
    return now.merged(fresh)


def names(now: Roster, nodes: Iterable[PrivateKey]) -> list[int]:
    """Which of ``nodes``, by their place, belong to the household."""
    return [at for at, node in enumerate(nodes) if node.id in now.members.standing]
