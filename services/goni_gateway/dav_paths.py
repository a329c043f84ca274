"""Addresses below ``/dav``: a folder for the person's own documents and one for the household's.

/dav/                       both of them
/dav/My documents/a/b.txt   "a/b.txt" of the person
/dav/Shared/a/b.txt         "a/b.txt" of the household
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from goni_core.errors import BadInput, GoniError, NotFound
from goni_gateway.people import Person

BASE = "/dav"
PRIVATE, SHARED = "My documents", "Shared"
SHARED_OWNER = "shared"


class BadGateway(GoniError):
    """The destination is on another server (RFC 4918, 9.8.5)."""

    status = 502
    code = "bad_destination"


@dataclass(frozen=True)
class Place:
    """A file or folder: ``owner`` and ``path`` as document search knows them. The root of
    everything has no owner, and the root of a space no path.
    """

    space: str
    owner: str
    path: str

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2] or self.space or "Goni"

    @property
    def is_top(self) -> bool:
        """Whether it is one of the folders that Goni itself made."""
        return not self.path

    @property
    def key(self) -> tuple[str, str]:
        """What all spellings of the same place share."""
        return self.owner, unicodedata.normalize("NFC", self.path)

    def href(self, *, folder: bool) -> str:
        parts = "/".join(part for part in (BASE, quote(self.space), quote(self.path)) if part)
        return f"{parts}/" if folder else parts

    def child(self, path: str) -> Place:
        return Place(self.space, self.owner, path)


def top(person: Person) -> list[Place]:
    """The spaces that ``person`` sees."""
    return [Place(PRIVATE, person.id, ""), Place(SHARED, SHARED_OWNER, "")]


def parsed(path: str, person: Person) -> Place:
    """The place that the decoded ``path`` (below :data:`BASE`) means; :class:`NotFound` when there
    is no such space, :class:`BadInput` for what no path can be.
    """
    parts = [part for part in path.split("/") if part]
    if any(part in (".", "..") for part in parts) or "\x00" in path or "\\" in path:
        raise BadInput("that is not a usable path", code="bad_name")
    if not parts:
        return Place("", "", "")
    owners = {place.space: place.owner for place in top(person)}
    if parts[0] not in owners:
        raise NotFound("there is no such folder")
    return Place(parts[0], owners[parts[0]], "/".join(parts[1:]))


def destination(header: str, host: str, person: Person) -> Place:
    """The place that a Destination header means, which has to be on this very server."""
    address = urlsplit(header)
    if address.netloc and address.netloc.lower() != host.lower():
        raise BadGateway("the destination is on another server")
    path = unquote(address.path, errors="strict")
    if not path.startswith(f"{BASE}/"):
        raise BadGateway("the destination is outside of the folders")
    return parsed(path[len(BASE) :], person)
