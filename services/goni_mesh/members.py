"""Who belongs to the household, as a pure function of the set of membership records.

A node belongs when a member admitted it at the owner's word and no removal of it stands. The rule
that makes a removal final: once a removal of R stands, whatever R signed counts for nothing unless
the remover had seen it (it is in the removal's past). So a thief with R's key, even one who knows
the owner's password, can neither come back nor bring friends, wherever his records claim to belong;
no clock is asked. Nodes that R had openly admitted before stay.

When two removals each void the other, the recovery key's goes first, then the one whose author has
been in the household longer (fewer records before its admission), then the smaller hash. A removal
by the recovery key can also undo records by name, whatever their place.

After: Kleppmann, "Byzantine eventual consistency" (hash graphs); Weidner et al., "Key agreement for
decentralized secure group messaging" (strong removal, seniority against mutual removal).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from goni_mesh.records import Record


@dataclass(frozen=True)
class Node:
    """A node of the household: its pinned public key and the certificate that it issues with."""

    id: str
    public: str
    certificate: str
    name: str


@dataclass(frozen=True)
class Members:
    """The verdict over a set of records. ``void`` and ``waiting`` are hashes: of those that count
    for nothing, and of those whose past is not here yet.
    """

    standing: Mapping[str, Node]
    removed: frozenset[str]
    void: frozenset[str]
    waiting: frozenset[str]
    heads: tuple[str, ...]
    lock: Record | None


def judge(records: Mapping[str, Record]) -> Members:
    """The verdict over ``records`` of one household, signatures checked before."""
    return _Court(records).verdict()


class _Court:
    def __init__(self, records: Mapping[str, Record]) -> None:
        self.records = records
        self.past: dict[str, frozenset[str]] = {}
        self._place()
        # A record's past can't hold the record itself, so this order is one of causes first.
        self.placed = sorted(self.past, key=lambda one: (len(self.past[one]), one))
        self.doors: dict[str, list[str]] = {}
        """Node id -> the admissions of it that were rightful when they were made."""
        self.rightful: set[str] = set()
        for one in self.placed:
            self._enter(records[one])
        self.removals: list[Record] = []
        self.undone: set[str] = set()
        self._hear_removals()

    def _place(self) -> None:
        """The whole past of every record that has one here; a founding record has none."""
        waiting = dict(self.records)
        found = True
        while found:
            found = False
            for one, record in list(waiting.items()):
                if all(before in self.past for before in record.past):
                    parts = [self.past[before] for before in record.past]
                    self.past[one] = frozenset(record.past).union(*parts)
                    del waiting[one]
                    found = True

    def _enter(self, record: Record) -> None:
        if not record.founder and not self._was_member(record):
            return
        self.rightful.add(record.hash)
        if record.admitted:
            self.doors.setdefault(record.admitted, []).append(record.hash)

    def _was_member(self, record: Record) -> bool:
        """Whether the author belonged to the household by all that it had seen itself."""
        past = self.past[record.hash]
        admitted = any(door in past for door in self.doors.get(record.author, ()))
        if record.word == "recovery":
            return admitted
        return admitted and not any(
            self.records[one].kind == "remove"
            and self.records[one].body["target"] == record.author
            and one in self.rightful
            for one in past
        )

    def _hear_removals(self) -> None:
        asked = [self.records[one] for one in self.rightful if self.records[one].kind == "remove"]
        for record in sorted(asked, key=self._rank):
            if not self._is_void(record):
                self.removals.append(record)
                if record.word == "recovery":
                    self.undone.update(record.body["undo"])

    def _rank(self, record: Record) -> tuple[bool, int, str]:
        doors = self.doors[record.author]
        return (
            record.word != "recovery",
            min(len(self.past[door]) for door in doors),
            record.hash,
        )

    def _is_void(self, record: Record) -> bool:
        """Whether ``record`` counts for nothing, by the removals that stand so far."""
        if record.founder:
            return False
        if record.hash in self.undone:
            return True
        for removal in self.removals:
            if (
                removal.body["target"] == record.author
                and record.hash not in self.past[removal.hash]
                and record.hash != removal.hash
                and (record.word != "recovery" or removal.word == "recovery")
            ):
                return True
        past = self.past[record.hash]
        doors = [door for door in self.doors[record.author] if door in past]
        return all(self._is_void(self.records[door]) for door in doors)

    def verdict(self) -> Members:
        void = frozenset(
            one
            for one in self.placed
            if one not in self.rightful or self._is_void(self.records[one])
        )
        removed = frozenset(str(record.body["target"]) for record in self.removals)
        standing = {}
        for node, doors in self.doors.items():
            good = [self.records[door] for door in doors if door not in void]
            if good and node not in removed:
                standing[node] = _node(min(good, key=lambda one: one.hash))
        seen = frozenset().union(*(self.records[one].past for one in self.placed))
        return Members(
            standing=standing,
            removed=removed,
            void=void,
            waiting=frozenset(self.records) - frozenset(self.past),
            heads=tuple(one for one in sorted(self.placed) if one not in seen),
            lock=self._lock(void),
        )

    def _lock(self, void: frozenset[str]) -> Record | None:
        """The latest sealing of the owner's seed: the one that saw most."""
        locks = [one for one in self.placed if self.records[one].kind == "lock"]
        good = [one for one in locks if one not in void]
        last = max(good, key=lambda one: (len(self.past[one]), one), default=None)
        return self.records[last] if last else None


def _node(record: Record) -> Node:
    return Node(
        record.admitted,
        str(record.body["node"]),
        str(record.body["certificate"]),
        str(record.body["name"]),
    )
