"""WebDAV's XML, in and out (RFC 4918, section 14). What comes in is small and has no DTD."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn
from xml.sax.saxutils import escape

from goni_core.errors import BadInput

LIMIT = 64 << 10
"""Bytes of a body."""
MOST_NAMES = 200
DAV = "{DAV:}"

Element = ET.Element
Name = str
"""A property's name as ElementTree writes it: ``{namespace}name``."""


class _Builder(ET.TreeBuilder):
    def doctype(self, name: str, pubid: str | None, system: str | None) -> NoReturn:
        """No DTD, so no entities to blow up with."""
        raise BadInput("the body has a DTD", code="bad_xml")


@dataclass(frozen=True)
class Wanted:
    """What a PROPFIND asks for: these properties, or all of them; only their names if
    ``names_only``.
    """

    names: tuple[Name, ...] | None
    names_only: bool = False


@dataclass(frozen=True)
class LockInfo:
    """What a LOCK asks for; ``owner`` is whatever the client wants to read there again."""

    exclusive: bool
    owner: str


def parse(body: bytes) -> Element:
    """The root element of ``body``; :class:`BadInput` when it isn't XML."""
    parser = ET.XMLParser(target=_Builder())  # noqa: S314 - no DTD, see above
    try:
        parser.feed(body)
        root = parser.close()
    except (ET.ParseError, ValueError, LookupError) as error:
        raise BadInput("the body is not XML", code="bad_xml") from error
    assert isinstance(root, ET.Element)
    return root


def wanted(body: bytes) -> Wanted:
    """The properties that a PROPFIND's body asks for; without a body all."""
    if not body:
        return Wanted(None)
    root = parse(body)
    if root.tag != f"{DAV}propfind":
        raise BadInput("the body is not a propfind", code="bad_xml")
    if root.find(f"{DAV}propname") is not None:
        return Wanted(None, names_only=True)
    if (asked := root.find(f"{DAV}prop")) is None:
        return Wanted(None)
    return Wanted(_names(asked))


def changed(body: bytes) -> tuple[Name, ...]:
    """The properties that a PROPPATCH's body sets or removes."""
    root = parse(body)
    if root.tag != f"{DAV}propertyupdate":
        raise BadInput("the body is not a propertyupdate", code="bad_xml")
    asked = [prop for change in root for prop in change.findall(f"{DAV}prop")]
    return tuple(name for prop in asked for name in _names(prop))


def lock_info(body: bytes) -> LockInfo:
    """What a LOCK's body asks for."""
    root = parse(body)
    scope = root.find(f"{DAV}lockscope")
    if root.tag != f"{DAV}lockinfo" or scope is None or root.find(f"{DAV}locktype") is None:
        raise BadInput("the body is not a lockinfo", code="bad_xml")
    owner = root.find(f"{DAV}owner")
    inside = "" if owner is None else (owner.text or "") + "".join(map(_text, owner))
    return LockInfo(scope.find(f"{DAV}shared") is None, inside[:2000])


def multistatus(responses: Iterable[str]) -> bytes:
    return _document(f'<D:multistatus xmlns:D="DAV:">{"".join(responses)}</D:multistatus>')


def response(href: str, found: Mapping[Name, str], missing: Sequence[Name] = ()) -> str:
    """One resource: properties with their (already escaped) content, and those it hasn't."""
    parts = [propstat(found, "200 OK")] if found or not missing else []
    if missing:
        parts.append(propstat(dict.fromkeys(missing, ""), "404 Not Found"))
    return f"<D:response><D:href>{escape(href)}</D:href>{''.join(parts)}</D:response>"


def refused(href: str, names: Sequence[Name]) -> str:
    """One resource none of whose properties was changed."""
    what = propstat(dict.fromkeys(names, ""), "403 Forbidden")
    return f"<D:response><D:href>{escape(href)}</D:href>{what}</D:response>"


def propstat(found: Mapping[Name, str], status: str) -> str:
    inside = "".join(_property(name, content) for name, content in found.items())
    words = f"<D:status>HTTP/1.1 {status}</D:status>"
    return f"<D:propstat><D:prop>{inside}</D:prop>{words}</D:propstat>"


def prop(content: str) -> bytes:
    """A body that is one property, as LOCK answers."""
    return _document(f'<D:prop xmlns:D="DAV:">{content}</D:prop>')


def error(condition: str) -> bytes:
    """A body that names the broken condition (RFC 4918, section 16)."""
    return _document(f'<D:error xmlns:D="DAV:"><D:{condition}/></D:error>')


def text(value: str) -> str:
    """``value`` as element content; what XML can't hold becomes a question mark."""
    return escape("".join(c if c.isprintable() or c in "\t\n" else "?" for c in value))


def _property(name: Name, content: str) -> str:
    if name.startswith(DAV):
        tag = f"D:{name[len(DAV) :]}"
        return f"<{tag}>{content}</{tag}>"
    space, _, local = name[1:].rpartition("}") if name.startswith("{") else ("", "", name)
    return (
        f'<x:{local} xmlns:x="{escape(space, {chr(34): "&quot;"})}"/>' if space else f"<{local}/>"
    )


def _names(asked: Element) -> tuple[Name, ...]:
    names = tuple(dict.fromkeys(child.tag for child in asked))
    if len(names) > MOST_NAMES:
        raise BadInput(f"more than {MOST_NAMES} properties", code="too_long")
    return names


def _text(element: Element) -> str:
    return ET.tostring(element, encoding="unicode")


def _document(inside: str) -> bytes:
    return f'<?xml version="1.0" encoding="utf-8"?>\n{inside}'.encode()
