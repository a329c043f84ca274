"""The roster: all signed records and entries of one household, and what they come to.

A value that is never changed: merging two rosters gives a third, the same in whatever order and
however often (a join semilattice). What is merged was verified: :func:`verified_records` and
:func:`verified_entries` let nothing through that its signatures don't carry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from goni_core import fields
from goni_core.errors import BadInput
from goni_mesh import entries, members, records
from goni_mesh.entries import Entry, Shown
from goni_mesh.members import Members
from goni_mesh.records import Record

Place = tuple[str, str]
"""Where an entry lies: its field and its author."""


@dataclass(frozen=True)
class Roster:
    """One household's roster; ``household`` is its id, the founding record's hash."""

    household: str
    records: Mapping[str, Record]
    entries: Mapping[Place, Entry]

    @cached_property
    def members(self) -> Members:
        return members.judge(self.records)

    @property
    def founding(self) -> Record:
        return self.records[self.household]

    @cached_property
    def vector(self) -> Mapping[str, int]:
        """Of each author the last number that is here."""
        found: dict[str, int] = {}
        for entry in self.entries.values():
            found[entry.author] = max(found.get(entry.author, 0), entry.number)
        return found

    @cached_property
    def live(self) -> tuple[Entry, ...]:
        """The edits of nodes that belong to the household."""
        standing = self.members.standing
        return tuple(one for _, one in sorted(self.entries.items()) if one.author in standing)

    @cached_property
    def aside(self) -> tuple[Entry, ...]:
        """Edits of nodes that were removed: they count for nothing and are kept to be looked at."""
        standing = self.members.standing
        return tuple(one for _, one in sorted(self.entries.items()) if one.author not in standing)

    @cached_property
    def shown(self) -> Mapping[str, Shown]:
        """Every field by its name, as it is now."""
        edits: dict[str, list[Entry]] = {}
        for entry in self.live:
            edits.setdefault(entry.key, []).append(entry)
        return {key: found for key, some in edits.items() if (found := entries.shown(some))}

    def public_key(self, node: str) -> str:
        """The key of a node that was ever admitted; empty for others."""
        for record in self.records.values():
            if record.admitted == node:
                return str(record.body["node"])
        return ""

    def merged(self, other: Roster) -> Roster:
        """Both together."""
        assert self.household == other.household
        together = dict(self.entries)
        for place, entry in other.entries.items():
            held = together.get(place)
            if held is None or entry.order > held.order:
                together[place] = entry
        return Roster(self.household, {**other.records, **self.records}, together)

    def plain(self) -> dict[str, Any]:
        """As it goes over the wire and into the file."""
        ordered = sorted(self.records.values(), key=lambda one: (not one.founder, one.hash))
        return {
            "household": self.household,
            "records": [record.plain() for record in ordered],
            "entries": [entry.plain() for _, entry in sorted(self.entries.items())],
        }


def parse(value: fields.Object) -> Roster:
    """A whole roster from its JSON object, every signature checked; :class:`BadInput`."""
    fields.only(value, {"household", "records", "entries"})
    household = fields.text(value, "household", longest=64)
    parsed = [records.parse(one) for one in fields.objects(value, "records", most=records.MOST)]
    founding = next((one for one in parsed if one.hash == household and one.founder), None)
    if founding is None:
        raise BadInput("that roster has no founding record", code="bad_roster")
    alone = founded(founding)
    known = Roster(household, verified_records(alone, parsed), {})
    some = fields.objects(value, "entries", most=entries.MOST)
    edits = verified_entries(known, [entries.parse(one, household) for one in some])
    return known.merged(Roster(household, {}, edits))


def founded(founding: Record) -> Roster:
    """The roster of a household that has but been founded; :class:`BadInput` for a forged one."""
    body = founding.body
    if not founding.founder or founding.past or founding.admitted != founding.author:
        raise BadInput("that is no founding record", code="bad_roster")
    if founding.word != "owner" or not founding.signed_by(body["node"], body["owner"]):
        raise BadInput("the founding record is not signed", code="bad_roster")
    return Roster(founding.hash, {founding.hash: founding}, {})


def verified_records(known: Roster, given: Iterable[Record]) -> dict[str, Record]:
    """``known``'s records and those of ``given`` whose signatures hold; the others are left out.

    An author is known by the record that admitted it, so records are looked at until none is left
    that another one explains.
    """
    held = dict(known.records)
    words = {word: str(known.founding.body[word]) for word in ("owner", "recovery")}
    authors = {one.admitted: str(one.body["node"]) for one in held.values() if one.admitted}
    waiting = {
        one.hash: one for one in given if one.hash not in held and one.household == known.household
    }
    progress = True
    while progress:
        progress = False
        for one in list(waiting.values()):
            key = authors.get(one.author)
            if key is None:
                continue
            del waiting[one.hash]
            if len(held) < records.MOST and one.signed_by(key, words[one.word]):
                held[one.hash] = one
                progress = True
                if one.admitted:
                    authors.setdefault(one.admitted, str(one.body["node"]))
    return held


def verified_entries(known: Roster, given: Iterable[Entry]) -> dict[Place, Entry]:
    """The newest of ``given`` whose authors the roster knows and whose signatures hold."""
    found: dict[Place, Entry] = {}
    counts: dict[str, int] = {}
    for _, author in known.entries:
        counts[author] = counts.get(author, 0) + 1
    for entry in given:
        place = entry.key, entry.author
        held = found.get(place) or known.entries.get(place)
        if held is not None and held.order >= entry.order:
            continue
        if held is None and (
            counts.get(entry.author, 0) >= entries.MOST_OF_ONE
            or len(known.entries) + len(found) >= entries.MOST
        ):
            continue
        public = known.public_key(entry.author)
        if public and entry.signed_by(public):
            found[place] = entry
            counts[entry.author] = counts.get(entry.author, 0) + (held is None)
    return found
