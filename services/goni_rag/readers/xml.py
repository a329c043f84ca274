"""XML and HTML from strangers: no entity is resolved, nothing is fetched, depth is limited."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lxml import etree

from goni_rag.sections import Unreadable

Element = Any
"""An lxml element; lxml ships no types."""


def parse(data: bytes) -> Element:
    """The root of the XML document ``data``; raises :class:`Unreadable`."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=False
    )
    try:
        return etree.fromstring(data, parser)
    except etree.XMLSyntaxError:
        raise Unreadable("damaged") from None


def local(element: Element) -> str:
    """An element's name without its namespace; "" for comments and the like."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def attribute(element: Element, name: str) -> str:
    """The value of the attribute ``name`` of whatever namespace, or ""."""
    for key, value in element.items():
        if key.rpartition("}")[2] == name:
            return str(value)
    return ""


def children(element: Element, *names: str) -> Iterator[Element]:
    """The children called one of ``names``."""
    return (child for child in element if local(child) in names)


def descendants(element: Element, *names: str) -> Iterator[Element]:
    """All elements below called one of ``names``, in document order."""
    return (inner for inner in element.iter() if local(inner) in names)
