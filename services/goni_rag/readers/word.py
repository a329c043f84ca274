"""Word (.docx, ECMA-376): paragraphs under their headings, tables as rows, then what is beside the
text. Pages are those of the last time that Word laid it out, if it noted them.

Read from the XML itself: libraries for it leave out content controls and tracked insertions, and
load every picture.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator

from goni_rag.readers import archive, tables
from goni_rag.readers.xml import Element, attribute, children, descendants, local, parse
from goni_rag.records import Writer

HEADING = re.compile(r"heading ([1-9])|title()", re.IGNORECASE)
"""Names of the built-in styles: English in the file whatever the language of the program."""
BESIDE = re.compile(r"word/(header|footer|footnotes|endnotes|comments)\d*\.xml")
LEFT_OUT = {"Fallback", "del", "moveFrom", "instrText", "delText"}
BREAKS = ("lastRenderedPageBreak",)
Pages = list[str]
"""A paragraph's text, cut where a page ends."""


def read(file: zipfile.ZipFile, out: Writer) -> None:
    """The document in ``file``."""
    root = parse(archive.content(file, "word/document.xml"))
    levels = _levels(archive.content(file, "word/styles.xml"))
    page = 1 if next(descendants(root, *BREAKS), None) is not None else 0
    path: dict[int, str] = {}
    for block in _blocks(next(children(root, "body"), root)):
        if local(block) == "tbl":
            tables.write(_rows(block), out, _joined(path), page)
            page += sum(1 for _ in descendants(block, *BREAKS)) if page else 0
            continue
        pieces = _pieces(block)
        words = " ".join("".join(pieces).split())
        if level := _level(block, levels) if words else 0:
            path = {depth: name for depth, name in path.items() if depth < level}
            path[level] = words
        for number, piece in enumerate(pieces):
            page += 1 if number and page else 0
            if piece.strip():
                out.text(f"{piece.strip()}\n", page, _joined(path))
    for name in filter(BESIDE.fullmatch, sorted(file.namelist())):
        for paragraph in descendants(parse(archive.content(file, name)), "p"):
            if text := "".join(_pieces(paragraph)).strip():
                out.text(f"{text}\n", heading="Beside the text")


def _blocks(container: Element) -> Iterator[Element]:
    """Paragraphs and tables in order, those in content controls and the like too."""
    stack = list(reversed(container))
    while stack:
        element = stack.pop()
        if local(element) in ("p", "tbl"):
            yield element
        elif local(element) not in LEFT_OUT:
            stack.extend(reversed(element))


def _levels(styles: bytes) -> dict[str, int]:
    """The heading level of each style that has one."""
    found: dict[str, int] = {}
    for style in descendants(parse(styles), "style") if styles else ():
        names = [attribute(name, "val") for name in children(style, "name")]
        match = HEADING.fullmatch(names[0]) if names else None
        if match:
            found[attribute(style, "styleId")] = int(match[1] or 1)
    return found


def _level(paragraph: Element, levels: dict[str, int]) -> int:
    for properties in children(paragraph, "pPr"):
        for style in children(properties, "pStyle"):
            return levels.get(attribute(style, "val"), 0)
        for level in children(properties, "outlineLvl"):
            value = attribute(level, "val")
            return int(value) + 1 if value in set("012345678") else 0
    return 0


def _rows(table: Element) -> Iterator[list[str]]:
    for row in children(table, "tr"):
        yield [
            " ".join("".join(_pieces(paragraph)).strip() for paragraph in descendants(cell, "p"))
            for cell in _blocks_of(row)
        ]


def _blocks_of(row: Element) -> Iterator[Element]:
    for inner in row:
        if local(inner) == "tc":
            yield inner
        elif local(inner) == "sdt":
            yield from descendants(inner, "tc")


def _pieces(paragraph: Element) -> Pages:
    pieces = [""]
    stack = list(reversed(paragraph))
    while stack:
        element = stack.pop()
        name = local(element)
        if name == "t":
            pieces[-1] += element.text or ""
        elif name in ("tab", "br", "cr"):
            pieces[-1] += " "
        elif name in BREAKS:
            pieces.append("")
        elif name not in LEFT_OUT and name != "pPr":
            stack.extend(reversed(element))
    return pieces


def _joined(path: dict[int, str]) -> str:
    return " > ".join(path[level] for level in sorted(path))
