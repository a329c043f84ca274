"""What WebDAV tells of a file or folder, from what document search says of it."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate

from goni_core import fields
from goni_core.errors import GoniError, NotFound
from goni_core.http import Service
from goni_gateway import dav_xml
from goni_gateway.dav_locks import Lock
from goni_gateway.dav_paths import Place, top
from goni_gateway.dav_xml import DAV, Name, Wanted
from goni_gateway.people import Person

MOST = 20_000
WINDOWS = "{urn:schemas-microsoft-com:}"
SCOPES = (
    "<D:lockentry><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype>"
    "</D:lockentry><D:lockentry><D:lockscope><D:shared/></D:lockscope><D:locktype><D:write/>"
    "</D:locktype></D:lockentry>"
)


@dataclass(frozen=True)
class Entry:
    """What is at a place; ``modified`` in seconds since 1970."""

    place: Place
    is_folder: bool
    bytes: int = 0
    modified: int = 0
    tag: str = ""

    @property
    def etag(self) -> str:
        return f'"{self.tag}"'


async def look(rag: Service, place: Place, person: Person) -> tuple[Entry, list[Entry]]:
    """What is at ``place``, and in it; :class:`NotFound` when nothing is."""
    if not place.owner:
        return Entry(place, True), [Entry(each, True) for each in top(person)]
    try:
        said = await rag.call("GET", "/folder", params={**params(place), "hidden": "yes"})
    except GoniError as error:
        if error.status == 404:
            raise NotFound("there is no such file or folder") from error
        raise
    entries = fields.objects(said, "entries", most=MOST)
    whole = fields.objects({"entry": [said.get("entry")]}, "entry", most=1)[0]
    return _entry(place, whole), [_entry(place, each) for each in entries]


def params(place: Place) -> dict[str, str]:
    """How document search is asked for ``place``."""
    if not place.owner:
        raise NotFound("there is no such file")
    return {"owner": place.owner, "path": place.path}


def response(entry: Entry, wanted: Wanted, locks: Sequence[Lock]) -> str:
    """An entry's part of the answer to PROPFIND."""
    has = _properties(entry, locks)
    href = entry.place.href(folder=entry.is_folder)
    if wanted.names_only:
        return dav_xml.response(href, dict.fromkeys(has, ""))
    if wanted.names is None:
        return dav_xml.response(href, has)
    found = {name: has[name] for name in wanted.names if name in has}
    return dav_xml.response(href, found, [name for name in wanted.names if name not in has])


def unchanged(href: str, names: Sequence[Name]) -> str:
    """The answer to PROPPATCH: Explorer's times are accepted and mean nothing, all else isn't."""
    if names and all(name.startswith(WINDOWS) for name in names):
        return dav_xml.response(href, dict.fromkeys(names, ""))
    return dav_xml.refused(href, names)


def active(lock: Lock) -> str:
    """A lock as ``lockdiscovery`` shows it."""
    scope = "exclusive" if lock.exclusive else "shared"
    return (
        f"<D:activelock><D:locktype><D:write/></D:locktype><D:lockscope><D:{scope}/></D:lockscope>"
        f"<D:depth>{'infinity' if lock.deep else '0'}</D:depth><D:owner>{lock.owner}</D:owner>"
        f"<D:timeout>Second-{lock.seconds}</D:timeout>"
        f"<D:locktoken><D:href>{lock.token}</D:href></D:locktoken></D:activelock>"
    )


def _entry(above: Place, value: fields.Object) -> Entry:
    return Entry(
        above.child(fields.text(value, "path", longest=3000, default="")),
        fields.text(value, "kind") == "folder",
        fields.integer(value, "bytes", least=0, most=1 << 62),
        int(fields.integer(value, "modified", least=-(1 << 62), most=1 << 62)),
        fields.text(value, "tag", default=""),
    )


def _properties(entry: Entry, locks: Sequence[Lock]) -> Mapping[Name, str]:
    found = {
        "resourcetype": "<D:collection/>" if entry.is_folder else "",
        "displayname": dav_xml.text(entry.place.name),
        "supportedlock": SCOPES,
        "lockdiscovery": "".join(active(lock) for lock in locks),
    }
    if entry.modified > 0:
        then = datetime.datetime.fromtimestamp(entry.modified, datetime.UTC)
        found["getlastmodified"] = formatdate(entry.modified, usegmt=True)
        found["creationdate"] = then.strftime("%Y-%m-%dT%H:%M:%SZ")
    if not entry.is_folder:
        found["getcontentlength"] = str(entry.bytes)
        found["getcontenttype"] = "application/octet-stream"
        found["getetag"] = dav_xml.text(entry.etag)
    else:
        room = shutil.disk_usage("/")
        found["quota-available-bytes"] = str(room.free)
        found["quota-used-bytes"] = str(room.used)
    return {f"{DAV}{name}": content for name, content in found.items()}
