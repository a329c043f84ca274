"""Which documents a search is limited to: a space, a folder, types, dates. They become part of the
statements that choose candidates, so that what they leave out takes nobody's place.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goni_core import fields
from goni_core.errors import BadInput
from goni_rag.folders import SHARED
from goni_rag.kinds import ENDINGS, Kind

TYPES = {
    "pdf": "pdf",
    "text": "docx doc odt rtf txt text md markdown epub htm html xhtml",
    "table": "xlsx xls ods csv tsv",
    "slides": "pptx ppt odp",
    "mail": "eml mbox mbx",
    "picture": "png jpg jpeg tif tiff gif",
    "code": ENDINGS[Kind.CODE].replace(".", ""),
}
"""What people call types, and the endings that they have."""
NAMES = ("space", "folder", "types", "since", "until")
"""Fields of a request that :func:`parse` reads."""
SPACES = ("", "private", "shared")
MOST_TYPES = 20
LATEST = 1 << 40
"""Seconds since 1970; no file is newer."""
LONGEST_FOLDER = 2000

ALLOWED = """
SELECT COALESCE(c.twin, c.id) FROM documents d
JOIN chunks c ON c.document = d.id AND c.owner = d.owner
WHERE d.owner = :owner AND """


@dataclass(frozen=True)
class Filters:
    """``space``: "private" (one's own), "shared" or "" for both; ``folder``: what is below it, by
    its path; ``endings`` of names, none for all; ``since`` and ``until``: when the file was last
    changed, in seconds since 1970, both included.
    """

    space: str = ""
    folder: str = ""
    endings: tuple[str, ...] = ()
    since: int = 0
    until: int = LATEST

    def owners(self, owner: str) -> tuple[str, ...]:
        """Whose documents are searched for ``owner``."""
        both = {"": (owner, SHARED), "private": (owner,), "shared": (SHARED,)}[self.space]
        return tuple(dict.fromkeys(both))

    @property
    def narrow(self) -> bool:
        """Whether some documents of an owner are left out."""
        return self != Filters(self.space)

    def where(self) -> str:
        """An SQL condition on ``documents d``; its values are :meth:`values`."""
        parts = ["TRUE"]
        if (self.since, self.until) != (0, LATEST):
            parts.append("d.modified BETWEEN :since AND :until")
        if self.folder:
            # "0" is the character after "/": all names below the folder, by the index.
            parts.append("d.name > :folder || '/' AND d.name < :folder || '0'")
        if self.endings:
            parts.append("d.kind IN (SELECT value FROM json_each(:endings))")
        return " AND ".join(parts)

    def values(self) -> dict[str, str | int]:
        endings = "[" + ",".join(f'"{ending}"' for ending in self.endings) + "]"
        given = {"since": self.since, "until": self.until}
        return {**given, "folder": self.folder, "endings": endings}

    def allowed(self, db: sqlite3.Connection, owner: str) -> NDArray[np.int64] | None:
        """The indexed passages of ``owner``'s documents that are left, in order; None for all."""
        if not self.narrow:
            return None
        # The condition is made of our own constants.
        rows = db.execute(ALLOWED + self.where(), {**self.values(), "owner": owner})
        return np.unique(np.fromiter((row[0] for row in rows), np.int64))


ALL = Filters()


def endings(types: Sequence[str]) -> tuple[str, ...]:
    """The endings of ``types``, each one of :data:`TYPES` or an ending itself; :class:`BadInput`
    for what is neither.
    """
    found: list[str] = []
    for name in types:
        plain = name.lower().removeprefix(".")
        if not (plain.isascii() and plain.isalnum() and len(plain) <= 12):
            raise BadInput(
                f"{name[:40]!r} is no type of document",
                hint="a type is one of " + ", ".join(TYPES) + ", or the ending of a name",
                code="bad_value",
            )
        found += TYPES.get(plain, plain).split()
    return tuple(dict.fromkeys(found))


def parse(asked: fields.Object) -> Filters:
    """The filters of a request; :class:`BadInput` names the bad field."""
    space = fields.text(asked, "space", longest=20, default="")
    if space not in SPACES:
        raise BadInput("space must be private or shared", code="bad_value")
    types = asked.get("types", [])
    if not isinstance(types, list) or not all(isinstance(one, str) for one in types):
        raise BadInput("types must be a list of strings", code="bad_type")
    if len(types) > MOST_TYPES:
        raise BadInput(f"types has more than {MOST_TYPES} entries", code="too_long")
    return Filters(
        space,
        fields.text(asked, "folder", longest=LONGEST_FOLDER, default="").strip("/"),
        endings(types),
        fields.integer(asked, "since", least=0, most=LATEST, default=0),
        fields.integer(asked, "until", least=0, most=LATEST, default=LATEST),
    )
