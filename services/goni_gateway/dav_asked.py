"""A WebDAV request, who asks and for what place, and whether its conditions let it go on."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from goni_core.errors import Forbidden, GoniError, NotFound
from goni_gateway import dav_locks, dav_properties
from goni_gateway.dav_locks import Clause, PreconditionFailed
from goni_gateway.dav_paths import Place, destination
from goni_gateway.dav_properties import Entry
from goni_gateway.gateway import Gateway
from goni_gateway.people import Person


@dataclass(frozen=True)
class Asked:
    """A request of a known person for a place."""

    gate: Gateway
    request: Request
    person: Person
    place: Place
    clauses: tuple[Clause, ...]

    @property
    def tokens(self) -> set[str]:
        return dav_locks.tokens_in(self.clauses)

    def header(self, name: str) -> str:
        return self.request.headers.get(name, "")

    @property
    def deep(self) -> bool:
        """Whether all below the place is meant too."""
        return self.header("depth").strip().lower() != "0"

    def may_write(self, place: Place, *, deep: bool = False, membership: bool = False) -> None:
        """Raise unless the person may change ``place``; with ``membership`` (it comes or goes) the
        folder that it is in too, with ``deep`` all below it.
        """
        if place.is_top:
            raise Forbidden("that folder stays as it is")
        locks = self.gate.locks
        locks.check(place.key, self.person.id, self.tokens, deep=deep)
        if membership:
            above = place.child(place.path.rpartition("/")[0])
            locks.check(above.key, self.person.id, self.tokens)

    async def entry(self, place: Place) -> Entry | None:
        """What is at ``place``, if anything."""
        try:
            return (await dav_properties.look(self.gate.rag, place, self.person))[0]
        except NotFound:
            return None


async def check_conditions(asked: Asked) -> None:
    """Raise :class:`PreconditionFailed` unless one list of the If header holds."""
    if not asked.clauses:
        return
    for clause in asked.clauses:
        place = asked.place
        if clause.href:
            try:
                place = destination(clause.href, asked.header("host"), asked.person)
            except GoniError:
                continue
        if await _holds(asked, place, clause):
            return
    raise PreconditionFailed("a condition of the request doesn't hold")


async def _holds(asked: Asked, place: Place, clause: Clause) -> bool:
    held = {lock.token for lock in asked.gate.locks.of(place.key)}
    for condition in clause.conditions:
        if condition.token:
            true = condition.token in held
        else:
            entry = await asked.entry(place)
            true = entry is not None and entry.etag.strip('"') == condition.tag
        if true is not condition.wanted:
            return False
    return True
