"""This node's place in a household: its key, the roster, and what the owner does with them.

Every change goes roster -> new roster -> disk -> memory, so that what other nodes are told is what
a power cut leaves here. Whoever asks holds the owner's password (or the recovery key); this module
opens the owner's secret with it for the one statement to sign, and forgets it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from goni_core.errors import BadInput, Conflict, GoniError, NotFound
from goni_mesh import authority, entries, identity, keys, records, roster, secret
from goni_mesh.entries import Entry
from goni_mesh.identity import Issuer
from goni_mesh.keys import PrivateKey
from goni_mesh.members import Node
from goni_mesh.records import MOST_PAST, Record
from goni_mesh.roster import Roster
from goni_mesh.secret import Secret
from goni_mesh.store import Store

log = logging.getLogger(__name__)

LONGEST_NAME = 80


class Household:
    """The state in ``folder``. ``roster`` is ``None`` while the node is on its own; ``changed``
    are called, in order, after every change.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder
        self.node: PrivateKey = identity.node_key(folder)
        self.store = Store(folder / "roster.db")
        self.roster: Roster | None = self.store.load()
        self.changed: list[Callable[[], None]] = []

    def close(self) -> None:
        self.store.close()

    @property
    def state(self) -> str:
        """``alone``, ``member`` or ``removed``."""
        if self.roster is None:
            return "alone"
        return "member" if self.node.id in self.roster.members.standing else "removed"

    def joined(self, *, recovery: bool = False) -> Roster:
        """The roster; :class:`Conflict` unless this node belongs to a household (or did, which is
        enough for the recovery key: a thief may have removed it).
        """
        if self.roster is None:
            raise Conflict("this node belongs to no household yet", code="no_household")
        if self.state == "removed" and not recovery:
            raise Conflict("this node was removed from its household", code="removed")
        return self.roster

    def issuer(self) -> Issuer | None:
        """What this node makes its certificates with; ``None`` outside a household."""
        if self.roster is None or self.state != "member":
            return None
        return Issuer(self.node, self.roster.members.standing[self.node.id].certificate)

    def peers(self) -> dict[str, Node]:
        """The other nodes of the household."""
        if self.roster is None or self.state != "member":
            return {}
        standing = self.roster.members.standing
        return {one: node for one, node in standing.items() if one != self.node.id}

    async def found(self, household_name: str, name: str, password: str) -> str:
        """Begin a household with this node; returns the recovery code, which is kept nowhere."""
        self.be_alone()
        made, code = secret.new(), secret.new_code()
        sealed = await asyncio.to_thread(made.sealed, password)
        self.be_alone()
        root = authority.root(made.authority, household_name)
        content = {
            "node": self.node.public,
            "name": checked_name(name),
            "certificate": authority.issuer(made.authority, root, self.node.public),
            "root": root,
            "owner": made.owner.public,
            "recovery": secret.recovery_key(code).public,
            "household_name": checked_name(household_name),
        }
        founding = records.made(
            "found", content, household="", past=(), node=self.node, word=made.owner
        )
        begun = roster.founded(founding)
        lock = self._statement(begun, "lock", {"sealed": asdict(sealed)}, made.owner)
        self._keep(begun.merged(Roster(begun.household, {lock.hash: lock}, {})))
        log.info("founded a household")
        return code

    async def open(self, password: str) -> Secret:
        """The owner's secret; :class:`Forbidden` for a wrong password."""
        lock = self.joined().members.lock
        if lock is None:
            raise GoniError("the roster holds no owner's key", code="no_lock")
        return await asyncio.to_thread(secret.opened, lock.sealed, password)

    async def change_password(self, old: str, new: str) -> None:
        """Seal the owner's secret anew."""
        opened = await self.open(old)
        sealed = await asyncio.to_thread(opened.sealed, new)
        self._state("lock", {"sealed": asdict(sealed)}, opened.owner)

    def admit(self, public: str, name: str, word: Secret) -> Record:
        """Let the node with this public key in."""
        now = self.joined()
        node = keys.node_id(public)
        if node in now.members.standing:
            raise Conflict("that node belongs to the household already", code="known_node")
        if node in now.members.removed:
            raise Conflict(
                "that node was removed, and its key with it",
                hint="reset the node: it then has a new key",
                code="removed",
            )
        root = str(now.founding.body["root"])
        certificate = authority.issuer(word.authority, root, public)
        content = {"node": public, "name": checked_name(name), "certificate": certificate}
        made = self._state("admit", content, word.owner)
        log.info("admitted node %s", node[:16])
        return made

    def remove(self, node: str, word: PrivateKey, *, recovery: bool = False) -> None:
        """Remove a node for good. With the recovery key this also undoes every removal that the
        node ever signed; whom it admitted is seen in the list, to be removed as well.
        """
        now = self.joined(recovery=recovery)
        if node not in now.members.standing and not (recovery and now.public_key(node)):
            raise NotFound("no such node in this household")
        if self.state == "member":
            self._adopt(node)
        undone = [
            one.hash
            for one in now.records.values()
            if recovery and one.author == node and one.kind == "remove"
        ]
        content = {"target": node, "undo": sorted(undone)[: records.MOST_UNDONE]}
        self._state("remove", content, word, recovery=recovery)
        log.info("removed node %s", node[:16])

    def edit(self, key: str, value: object) -> Entry:
        """Write one field of the roster."""
        now = self.joined()
        made = entries.made(key, value, seen=now.vector, node=self.node, at=now.household)
        self._keep(now.merged(Roster(now.household, {}, {(key, self.node.id): made})))
        return made

    def take(self, given: Iterable[Record], edits: Iterable[Entry]) -> bool:
        """Merge what a peer gave; returns whether anything was new. Forged parts are left out, and
        so are edits of nodes that don't belong here.
        """
        if self.roster is None:
            return False
        held = self.roster
        known = Roster(held.household, roster.verified_records(held, given), held.entries)
        standing = known.members.standing
        new = roster.verified_entries(known, (one for one in edits if one.author in standing))
        if len(known.records) == len(held.records) and not new:
            return False
        self._keep(known.merged(Roster(held.household, {}, new)))
        return True

    def join(self, given: Roster) -> None:
        """Become a member of the household whose roster names this node's own key."""
        self.be_alone()
        node = given.members.standing.get(self.node.id)
        if node is None or node.public != self.node.public:
            raise BadInput("that roster does not admit this node", code="bad_roster")
        authority.check_issuer(node.certificate, str(given.founding.body["root"]), node.public)
        self._keep(given)
        log.info("joined a household of %d nodes", len(given.members.standing))

    def reset(self) -> None:
        """Forget the household and this node's key: the next household sees a new node."""
        self.store.forget()
        for name in (identity.NODE, identity.CHANNEL, identity.CERTIFICATE):
            (self.folder / name).unlink(missing_ok=True)
        self.node, self.roster = identity.node_key(self.folder), None
        log.info("left the household; this node has a new key")
        for listener in self.changed:
            listener()

    def be_alone(self) -> None:
        """Raise :class:`Conflict` unless this node belongs to no household."""
        if self.roster is not None:
            raise Conflict("this node belongs to a household already", code="has_household")

    def _adopt(self, node: str) -> None:
        """Make the fields that ``node`` wrote last this node's own, as they are: afterwards its
        signature carries nothing.
        """
        for key, field in list(self.joined().shown.items()):
            if field.winner.author == node != self.node.id:
                self.edit(key, field.winner.value)

    def _state(
        self, kind: str, content: Mapping[str, object], word: PrivateKey, *, recovery: bool = False
    ) -> Record:
        now = self.joined(recovery=recovery)
        made = self._statement(now, kind, content, word, recovery=recovery)
        if made.hash not in roster.verified_records(now, [made]):
            raise BadInput("that is not this household's recovery key", code="wrong_recovery")
        self._keep(now.merged(Roster(now.household, {made.hash: made}, {})))
        return made

    def _statement(
        self,
        now: Roster,
        kind: str,
        content: Mapping[str, object],
        word: PrivateKey,
        *,
        recovery: bool = False,
    ) -> Record:
        return records.made(
            kind,
            content,
            household=now.household,
            past=now.members.heads[:MOST_PAST],
            node=self.node,
            word=word,
            recovery=recovery,
        )

    def _keep(self, after: Roster) -> None:
        self.store.save(self.roster, after)
        self.roster = after
        for listener in self.changed:
            listener()


def checked_name(name: str) -> str:
    """A name for people to read; :class:`BadInput` for one that is empty or has no letters."""
    if not 1 <= len(name.strip()) <= LONGEST_NAME or not name.isprintable():
        raise BadInput(f"a name has 1 to {LONGEST_NAME} printable characters", code="bad_name")
    return name.strip()
