"""Ranked passages as a person gets them: where each stands, neighbours put together, every text
once.

    ids, best first -> places (by owner and filters) -> same words: one source that names the others
                                                     -> next to each other: one source
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field

from goni_core.contract import MOST_ALSO, Place, Source
from goni_rag.filters import Filters

MOST_JOINED = 3
"""Passages that become one at most: a source has to be read, by a person or a model."""
PLACES = """
SELECT d.id, d.name, c.owner, c.page, c.heading, c.place, c.text, c.fingerprint FROM chunks c
JOIN documents d ON d.id = c.document AND d.owner = c.owner
WHERE (c.id = :chunk OR c.twin = :chunk) AND c.owner IN (SELECT value FROM json_each(:owners))
AND """
END = " ORDER BY c.id LIMIT :most"


@dataclass(frozen=True)
class Standing:
    """A passage where it stands: ``place`` is its number in the document ``number``; ``mark`` is
    the same for the same words.
    """

    number: int
    name: str
    owner: str
    page: int
    heading: str
    place: int
    text: str
    mark: int


@dataclass
class _Group:
    """Passages next to each other, by their place in the document of ``best``."""

    best: Standing
    score: float
    parts: dict[int, Standing] = field(default_factory=dict)
    also: dict[tuple[str, str], Place] = field(default_factory=dict)

    def has(self, one: Standing) -> bool:
        return any(part.mark == one.mark for part in self.parts.values())

    def borders(self, one: Standing) -> bool:
        """Whether ``one`` comes just before or after, in the same section of the same page."""
        mine = (self.best.number, self.best.page, self.best.heading)
        beside = {one.place - 1, one.place + 1}
        near = mine == (one.number, one.page, one.heading) and not beside.isdisjoint(self.parts)
        return near and len(self.parts) < MOST_JOINED

    def names(self, others: Sequence[Standing]) -> None:
        """These documents have the same words."""
        for one in others:
            if one.number != self.best.number and len(self.also) < MOST_ALSO:
                self.also.setdefault((one.owner, one.name), Place(one.name, one.page, one.owner))

    def source(self) -> Source:
        text = "\n".join(self.parts[place].text for place in sorted(self.parts))
        at = self.best
        also = tuple(self.also.values())
        return Source(at.name, at.page, at.heading, text, self.score, at.owner, also)


def sources(
    db: sqlite3.Connection,
    ranked: Sequence[tuple[int, float]],
    owners: Sequence[str],
    filters: Filters,
    k: int,
) -> list[Source]:
    """The first ``k`` sources of ``ranked`` passages (ids with their scores, best first), all of
    them ``owners``' and within ``filters``.
    """
    groups: list[_Group] = []
    for chunk, score in ranked[: 2 * k + MOST_JOINED]:
        standing = _standing(db, chunk, owners, filters)
        if not standing:
            continue
        first = standing[0]
        group = next((one for one in groups if one.has(first)), None)
        if group is None:
            group = next((one for one in groups if one.borders(first)), None)
            if group is not None:
                group.parts[first.place] = first
                continue
        if group is None:
            if len(groups) == k:
                continue
            group = _Group(first, score, {first.place: first})
            groups.append(group)
        group.names(standing)
    return [group.source() for group in groups]


def _standing(
    db: sqlite3.Connection, chunk: int, owners: Sequence[str], filters: Filters
) -> list[Standing]:
    """Where the words of the passage ``chunk`` stand, in the document that had them first before
    the others.
    """
    values = {"chunk": chunk, "owners": json.dumps(list(owners)), "most": MOST_ALSO + 1}
    # The condition is made of the filters' own constants.
    rows = db.execute(PLACES + filters.where() + END, {**filters.values(), **values})
    return [Standing(*row) for row in rows]
