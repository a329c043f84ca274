"""One node of a household after the other: who may install a release now.

Each node tells the others, in a field of the household's roster that only it writes, which version
it tries, has proved or has left. From that and an order of the nodes that all of them compute alike
everybody knows whose turn it is: the first node at once, the next one when all before it have run
the release for a while. So no node has to be asked, and no lock can be left behind. A release that
failed on one node is not taken by the others by themselves.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from goni_core import fields, http, paths
from goni_core.errors import BadInput, GoniError
from goni_update import version
from goni_update.version import Version

log = logging.getLogger(__name__)

TRYING, PROVED, LEFT = "trying", "proved", "left"
PROOF = timedelta(hours=1)
"""How long a version has to run on one node before the next one follows."""
TRIAL = timedelta(hours=12)
"""A node that tries longer than that is given up: it waits for the night, and restarts at most
three times."""
ABSENT_S = 3 * 86_400.0
"""A node that hasn't answered for so long is not waited for."""
FIELD = "update"
MOST = 100
"""Nodes of a household."""


@dataclass(frozen=True)
class Report:
    """What a node says of itself: it is ``trying`` a version, has ``proved`` or ``left`` it, since
    ``at`` (ISO 8601).
    """

    version: Version
    state: str
    at: datetime

    def plain(self) -> dict[str, str]:
        said = asdict(self)
        return {**said, "version": str(self.version), "at": self.at.isoformat(timespec="seconds")}


@dataclass(frozen=True)
class Member:
    """Another node: the version that it answers with, how many seconds ago (-1: never)."""

    id: str
    name: str
    running: Version | None
    seen: float
    report: Report | None = None


def must_wait(
    me: str, others: Sequence[Member], release: Version, *, now: datetime, by_hand: bool = False
) -> str:
    """Why this node can't install ``release`` yet, in words; empty when it may. Who asks for it
    ``by_hand`` only waits while another node is at it.
    """
    for other in others:
        said = other.report
        if said and said.state == TRYING and now - said.at < TRIAL:
            return f"{other.name} is installing {said.version}; one node at a time"
    if by_hand:
        return ""
    for other in others:
        if other.report and (other.report.version, other.report.state) == (release, LEFT):
            return f"{release} failed on {other.name}"
    before = [one for one in others if _place(one.id, release) < _place(me, release)]
    return next((words for one in before if (words := _not_yet(one, release, now))), "")


def _not_yet(other: Member, release: Version, now: datetime) -> str:
    """Why ``other``, which comes before us, doesn't let us go yet."""
    said = other.report
    if said and said.state == PROVED and said.version >= release:
        if now - said.at < PROOF:
            return f"{other.name} has to prove {said.version} for an hour first"
        return ""
    if other.running is not None and other.running >= release:
        return ""
    if other.seen < 0 or other.seen > ABSENT_S:
        return ""
    return f"{other.name} goes first"


def _place(node: str, release: Version) -> bytes:
    """Where a node stands: another place for each release."""
    return hashlib.sha256(f"{release} {node}".encode()).digest()


class Household:
    """The other nodes, as ``mesh.sock`` tells of them. A node whose mesh doesn't answer, or that
    is in no household, is alone: an update must stay possible when just that is broken.
    """

    async def members(self) -> tuple[str, tuple[Member, ...]]:
        """This node's id and the other members."""
        mesh = http.Service("the household", paths.mesh_socket())
        try:
            status = await mesh.call("GET", "/status")
            if fields.text(status, "state", default="") != "member":
                return "", ()
            peers = await mesh.call("GET", "/peers")
            roster = await mesh.call("GET", "/fields")
            return fields.text(status, "node"), members(peers, roster)
        except GoniError as error:
            log.info("the household can't be asked: %s", error)
            return "", ()
        finally:
            await mesh.close()

    async def tell(self, report: Report) -> None:
        """Let the others know."""
        mesh = http.Service("the household", paths.mesh_socket())
        try:
            status = await mesh.call("GET", "/status")
            if fields.text(status, "state", default="") == "member":
                path = f"/fields/{FIELD}/{fields.text(status, 'node')}"
                await mesh.call("PUT", path, json={"value": report.plain()})
        except GoniError as error:
            log.info("the household can't be told: %s", error)
        finally:
            await mesh.close()


def members(peers: fields.Object, roster: fields.Object) -> tuple[Member, ...]:
    """The members in what ``/peers`` and ``/fields`` of mesh.sock say."""
    said = {
        fields.text(one, "author"): report
        for one in fields.objects(roster, "fields", most=100_000)
        if one.get("name") == f"{FIELD}/{one.get('author')}"
        and (report := _report(one.get("value"))) is not None
    }
    return tuple(
        Member(
            fields.text(one, "id"),
            fields.text(one, "name", default=""),
            _version(fields.text(one, "version", default="")),
            _seconds(one.get("seen")),
            said.get(fields.text(one, "id")),
        )
        for one in fields.objects(peers, "peers", most=MOST)
    )


def _report(value: object) -> Report | None:
    """What a node wrote; nothing when it isn't a report, for any node could write anything."""
    if not isinstance(value, dict):
        return None
    try:
        at = datetime.fromisoformat(fields.text(value, "at", longest=40))
        state = fields.text(value, "state", longest=20)
        number = version.parse(fields.text(value, "version", longest=30))
    except (BadInput, ValueError):
        return None
    if at.tzinfo is None or state not in (TRYING, PROVED, LEFT):
        return None
    return Report(number, state, at)


def _version(text: str) -> Version | None:
    try:
        return version.parse(text)
    except BadInput:
        return None


def _seconds(value: object) -> float:
    return float(value) if isinstance(value, int | float) else -1.0
