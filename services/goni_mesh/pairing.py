"""A new node becomes one of the household: the conversation on both sides.

    PIN on the new node                        invitation from a member
    member -> hello, new's exchange            new -> hello, member's exchange
    member -> proof; new: signing request      new -> proof with signing request; member: roster
    member -> finish with roster; new joins    new joins

Everything after the exchange is sealed by it (:mod:`goni_mesh.pake`), so that neither TLS nor a
certificate has to be believed. The new node proves that it holds its key by the signing request,
gets its issuer certificate inside the roster, and checks all of it before it joins.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from goni_core import fields
from goni_core.errors import BadInput, GoniError
from goni_core.http import Peer
from goni_mesh import authority, door, keys, peers, records, roster
from goni_mesh.door import Door, Session
from goni_mesh.household import Household, checked_name
from goni_mesh.pake import Conversation, Exchange
from goni_mesh.peers import Address
from goni_mesh.roster import Roster
from goni_mesh.secret import Secret

log = logging.getLogger(__name__)

SMALL, LARGE = 16 << 10, 8 << 20
"""Characters of a sealed message without and with a roster."""
SECONDS = 30.0
PEOPLE = "person/"


@dataclass(frozen=True)
class Joined:
    """How a pairing ended: the new node, and the words that both sides show."""

    node: str
    words: str


class Pairing:
    """Both sides of pairing on this node; ``port`` is where its channel is."""

    def __init__(self, household: Household, port: int) -> None:
        self._household = household
        self._port = port
        self.door: Door | None = None
        self._word: Secret | None = None
        self._name = ""
        self.invites = False
        self.words = ""

    def offer(self, seconds: float, pin: str = "") -> Door:
        """Wait for an owner who types ``pin``, or a new PIN, to join this node to a household."""
        self._household.be_alone()
        self.take_back()
        self.door = Door(pin or door.pin(), seconds)
        return self.door

    def invite(self, name: str, word: Secret, seconds: float, *, short: bool = False) -> str:
        """A code by which one node can join from elsewhere; ``short``: a PIN, for one that is near.
        The owner's word is kept for it in memory, until it is used, taken back or too old.
        """
        self.take_back()
        self._name = checked_name(name) if name else ""
        title, code = ("", door.pin()) if short else door.invitation()
        self.door, self._word = Door(code, seconds, name=title), word
        self.invites = True
        return code if short else door.written(title, code)

    def take_back(self) -> None:
        """No offer and no invitation any more."""
        self.door, self._word = None, None
        self.invites, self.words = False, ""

    def tidy(self) -> bool:
        """Forget what is over; returns whether the door is still open."""
        if self.door is not None and not self.door.open:
            self._word = None
            if not self.door.used and self.door.seconds == 0:
                self.door = None
        return self.door is not None and self.door.open

    # The side that waits.

    def proof(self, session: Session, sealed: str, host: str) -> str:
        """The other side's proof, and what it gets for it."""
        assert self.door is not None
        try:
            said = session.conversation.open(sealed, SMALL)
        except GoniError:
            self.door.fail()
            log.warning("a wrong pairing code; %d tries are left", self.door.tries)
            raise
        self.door.prove(session)
        self.words = self.door.words
        if self._word is None:
            fields.only(said, set())
            return session.conversation.seal(self._request())
        word, self._word = self._word, None
        node = self._admit(said, word, self._name, host)
        log.info("node %s came by invitation", node[:16])
        self.door.fail()
        return session.conversation.seal(self._welcome())

    def finish(self, session: Session, sealed: str, host: str) -> str:
        """The household's roster, for the node that showed its PIN."""
        assert self.door is not None
        said = session.conversation.open(sealed, LARGE)
        self._join(said, host)
        answer = session.conversation.seal({"joined": True})
        self.door.fail()
        return answer

    # The side that comes.

    async def pair(self, address: Address, pin: str, name: str, word: Secret) -> Joined:
        """Let in the node at ``address`` that shows ``pin``."""
        self._household.joined()
        peer = Peer("the new node", *address, None)
        try:
            session, talk = await _exchange(peer, "", pin)
            said = await _say(peer, "/pair/proof", session, talk, {})
            node = self._admit(said, word, name, address[0])
            done = await _say(peer, "/pair/finish", session, talk, self._welcome())
        finally:
            await peer.close()
        fields.flag(done, "joined")
        self.words = talk.words
        return Joined(node, talk.words)

    async def join(self, address: Address, typed: str) -> Joined:
        """Join the household of the node at ``address`` by an invitation."""
        self._household.be_alone()
        title, code = door.read(typed)
        peer = Peer("the household's node", *address, None)
        try:
            session, talk = await _exchange(peer, title, code)
            said = await _say(peer, "/pair/proof", session, talk, self._request())
        finally:
            await peer.close()
        self._join(said, address[0])
        self.words = talk.words
        return Joined(self._household.node.id, talk.words)

    # What they say.

    def _request(self) -> dict[str, object]:
        return {"request": authority.request(self._household.node), "port": self._port}

    def _welcome(self) -> dict[str, object]:
        now = self._household.joined()
        # With the accounts, so that people can sign in on the new node at once; the rest follows.
        people = {place: one for place, one in now.entries.items() if one.key.startswith(PEOPLE)}
        given = Roster(now.household, now.records, people)
        return {"roster": given.plain(), "node": self._household.node.id, "port": self._port}

    def _admit(self, said: fields.Object, word: Secret, name: str, host: str) -> str:
        fields.only(said, {"request", "port"})
        public = authority.requested(fields.text(said, "request", longest=4000))
        port = fields.integer(said, "port", least=1, most=65535)
        node = keys.node_id(public)
        if node not in self._household.joined().members.standing:
            self._household.admit(public, name or f"node-{node[:4]}", word)
        self._household.edit(f"node/{node}/address", peers.shown((host, port)))
        return node

    def _join(self, said: fields.Object, host: str) -> None:
        fields.only(said, {"roster", "node", "port"})
        found = roster.parse(fields.objects({"one": [said.get("roster")]}, "one", most=1)[0])
        port = fields.integer(said, "port", least=1, most=65535)
        node = fields.text(said, "node", longest=64)
        if not records.HASH.fullmatch(node):
            raise BadInput("node is no node's id", code="bad_record")
        self._household.store.remember(node, host, port)
        self._household.join(found)


async def _exchange(peer: Peer, name: str, code: str) -> tuple[str, Conversation]:
    exchange = Exchange(code, client=True)
    hello = {"name": name, "message": exchange.message}
    said = await peer.ask("POST", "/pair/hello", hello, limit=SMALL, seconds=SECONDS)
    talk = exchange.answered(fields.text(said, "message", longest=200))
    return fields.text(said, "session", longest=100), talk


async def _say(
    peer: Peer, path: str, session: str, talk: Conversation, value: dict[str, object]
) -> fields.Object:
    body = {"session": session, "sealed": talk.seal(value)}
    said = await peer.ask("POST", path, body, limit=LARGE, seconds=SECONDS)
    return talk.open(fields.text(said, "sealed", longest=LARGE), LARGE)
