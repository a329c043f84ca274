"""HTML: what a person would read of it, under its headings; tables as rows, no scripts or styles.

Walks the tree that libxml2 makes of any HTML without recursion, so depth costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO

from lxml import etree

from goni_rag.readers import tables
from goni_rag.readers.xml import Element, descendants, local
from goni_rag.records import Writer
from goni_rag.sections import Unreadable

LEFT_OUT = {"script", "style", "noscript", "template", "svg", "math", "iframe", "object", "nav"}
BLOCKS = """
address article aside blockquote body br caption center dd details div dl dt fieldset figcaption
figure footer form h1 h2 h3 h4 h5 h6 header hr html legend li main ol p pre section summary table
title tr td th ul
"""
IS_BLOCK = frozenset(BLOCKS.split())
HEADING = re.compile(r"h([1-6])")
LONGEST_CELL = 300
"""Characters in a cell of data; more is a column of the layout."""
MOST_BYTES = 64 << 20


def read(document: IO[bytes], out: Writer) -> None:
    """The page in ``document``."""
    data = document.read(MOST_BYTES)
    if b"\x00" in data[:4096] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Unreadable("binary")
    write(data, out)


def write(data: bytes, out: Writer, outer: str = "", page: int = 0, charset: str = "") -> None:
    """The HTML ``data`` under the heading ``outer``."""
    path: dict[int, str] = {}
    for level, text in blocks(data, out, charset):
        if level:
            path = {depth: name for depth, name in path.items() if depth < level}
            path[level] = text
        named = [outer, *(path[depth] for depth in sorted(path))]
        out.text(f"{text}\n", page, " > ".join(filter(None, named)))


def blocks(data: bytes, out: Writer, charset: str = "") -> Iterator[tuple[int, str]]:
    """Stretches of text, each with its level if it is a heading and 0 if not."""
    parser = etree.HTMLParser(
        encoding=charset or _charset(data), no_network=True, huge_tree=False, remove_comments=True
    )
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError:
        raise Unreadable("damaged") from None
    if root is None:
        return
    words: list[str] = []
    level = 0
    for kind, element in _walk(root):
        if kind == "text":
            words.append(element)
            continue
        if kind == "table":
            yield from _flushed(words, level)
            rows = ([_words(cell) for cell in _cells(row)] for row in descendants(element, "tr"))
            yield from ((0, line) for line in tables.lines(rows, out))
        elif local(element) in IS_BLOCK:
            yield from _flushed(words, level)
            found = HEADING.fullmatch(local(element))
            level = int(found[1]) if found and kind == "start" else 0
    yield from _flushed(words, level)


def _charset(data: bytes) -> str | None:
    """What it is without a declaration of its own: UTF-8, which libxml2 would not assume."""
    if b"charset" in data[:4096].lower():
        return None
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return "windows-1252" if not data.startswith((b"\xff\xfe", b"\xfe\xff")) else None
    return "utf-8"


def _walk(root: Element) -> Iterator[tuple[str, Element]]:
    """Starts, ends and texts in document order, of what isn't left out; data tables as a whole."""
    walker = etree.iterwalk(root, events=("start", "end"))
    for event, element in walker:
        name = local(element)
        if event == "start":
            if name in LEFT_OUT or not name:
                walker.skip_subtree()
            elif name == "table" and _is_data(element):
                walker.skip_subtree()
                yield "table", element
            else:
                yield "start", element
                yield "text", element.text or ""
        else:
            if name and name not in LEFT_OUT and not (name == "table" and _is_data(element)):
                yield "end", element
            yield "text", element.tail or ""


def _is_data(table: Element) -> bool:
    """Whether a table is one, and not there for the page's layout (as in many e-mails)."""
    if any(inner is not table for inner in descendants(table, "table")):
        return False
    rows = [list(_cells(row)) for row in descendants(table, "tr")]
    wide = [row for row in rows if len(row) > 1]
    return len(wide) > 1 and all(len(_words(cell)) <= LONGEST_CELL for row in wide for cell in row)


def _cells(row: Element) -> Iterator[Element]:
    return (cell for cell in row if local(cell) in ("td", "th"))


def _words(element: Element) -> str:
    return " ".join("".join(element.itertext()).split())


def _flushed(words: list[str], level: int) -> Iterator[tuple[int, str]]:
    text = " ".join("".join(words).split())
    words.clear()
    if text:
        yield level, text
