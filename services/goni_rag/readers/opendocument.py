"""OpenDocument (ISO/IEC 26300): texts under their headings, sheets as rows, slides as pages."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator

from goni_rag.readers import archive, tables
from goni_rag.readers.xml import Element, attribute, children, descendants, local, parse
from goni_rag.records import Writer
from goni_rag.sections import Unreadable

MOST_REPEATED = 1000
"""Times that one cell's value counts; spreadsheets repeat empty ones to the end of the sheet."""
SKIPPED = {"tracked-changes", "forms", "sequence-decls", "table-of-content"}


def read(file: zipfile.ZipFile, out: Writer) -> None:
    """The document in ``file``."""
    if b"encryption-data" in archive.content(file, "META-INF/manifest.xml"):
        raise Unreadable("encrypted")
    root = parse(archive.content(file, "content.xml"))
    for body in descendants(root, "body"):
        for content in body:
            if local(content) == "spreadsheet":
                for table in children(content, "table"):
                    tables.write(_rows(table), out, heading=attribute(table, "name"))
            elif local(content) == "presentation":
                for number, page in enumerate(children(content, "page"), start=1):
                    _page(page, number, out)
            else:
                _text(content, out)


def _text(content: Element, out: Writer) -> None:
    path: dict[int, str] = {}
    stack = list(reversed(content))
    while stack:
        element = stack.pop()
        name = local(element)
        if name == "h":
            level = int(attribute(element, "outline-level") or 1)
            path = {depth: title for depth, title in path.items() if depth < level}
            path[level] = _words(element)
        if name in ("h", "p"):
            if words := _words(element):
                out.text(f"{words}\n", heading=_joined(path))
        elif name == "table":
            tables.write(_rows(element), out, _joined(path))
        elif name not in SKIPPED:
            stack.extend(reversed(element))


def _page(page: Element, number: int, out: Writer) -> None:
    title = next(
        (
            _words(frame)
            for frame in descendants(page, "frame")
            if attribute(frame, "class") == "title"
        ),
        "",
    )
    for paragraph in descendants(page, "p", "h"):
        if words := _words(paragraph):
            out.text(f"{words}\n", number, title)


def _rows(table: Element) -> Iterator[list[str]]:
    for row in descendants(table, "table-row"):
        yield [
            value
            for cell in children(row, "table-cell", "covered-table-cell")
            for value in _cell(cell)
        ]


def _cell(cell: Element) -> list[str]:
    words = " ".join(filter(None, map(_words, descendants(cell, "p"))))
    repeated = attribute(cell, "number-columns-repeated")
    times = int(repeated) if repeated.isascii() and repeated.isdigit() else 1
    return [words] * min(times, MOST_REPEATED)


def _words(element: Element) -> str:
    """The words of a paragraph; its spaces and breaks are elements (19.9 and on)."""
    pieces = [element.text or ""]
    for inner in element.iterdescendants():
        if local(inner) in ("s", "tab", "line-break"):
            pieces.append(" ")
        if local(inner) != "annotation":
            pieces.append(inner.text or "")
        pieces.append(inner.tail or "")
    return " ".join("".join(pieces).split())


def _joined(path: dict[int, str]) -> str:
    return " > ".join(path[level] for level in sorted(path))
