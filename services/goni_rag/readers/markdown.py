"""Markdown: plain text whose headings say where a passage stands.

Headings as in CommonMark 0.31 (https://spec.commonmark.org/0.31.2/#atx-headings): ATX and setext,
not inside fenced code. Tables become rows that name their columns; everything else
stays as it was written, since people search for what they typed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO

from goni_rag.readers import tables
from goni_rag.readers import text as plain
from goni_rag.records import Writer

ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
TABLE = re.compile(
    r"^(\|[^\n]*\n)[ ]{0,3}\|(?:[ \t]*:?-+:?[ \t]*\|)+[ \t]*\n((?:\|[^\n]*(?:\n|\Z))+)",
    re.MULTILINE,
)
LONGEST_HEADING = 200
"""Characters of one heading that are kept."""


def read(document: IO[bytes], out: Writer) -> None:
    """All of it, under the headings that it has."""
    for heading, text in sections(plain.decoded(document, out)):
        for kind, part in _parted(text):
            if kind == "table":
                tables.write([_cells(row) for row in part.splitlines()], out, heading)
            else:
                out.text(part, heading=heading)


def _parted(text: str) -> Iterator[tuple[str, str]]:
    """``text`` as what stays as it is and tables (GFM 4.10), without their rulers."""
    start = 0
    for found in TABLE.finditer(text):
        if found.start() > start:
            yield "text", text[start : found.start()]
        yield "table", found[1] + found[2]
        start = found.end()
    if start < len(text):
        yield "text", text[start:]


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def sections(text: str) -> Iterator[tuple[str, str]]:
    """``text`` cut before each heading, each piece with the path of headings that it is under."""
    path: dict[int, str] = {}
    begin = 0
    for start, level, title in _headings(text):
        if begin < start:
            yield _joined(path), text[begin:start]
        path = {depth: name for depth, name in path.items() if depth < level}
        path[level] = title[:LONGEST_HEADING]
        begin = start
    if begin < len(text):
        yield _joined(path), text[begin:]


def _joined(path: dict[int, str]) -> str:
    return " > ".join(path[level] for level in sorted(path) if path[level])


def _headings(text: str) -> Iterator[tuple[int, int, str]]:
    """Where each heading starts, its level and its words."""
    fence = ""
    before = ""
    start = 0
    for line in text.split("\n"):
        mark = FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence) and not line.strip(" `~"):
                fence = ""
            before = ""
        elif mark:
            fence, before = mark[1], ""
        elif found := ATX.match(line):
            yield start, len(found[1]), (found[2] or "").strip()
            before = ""
        elif (found := UNDERLINE.match(line)) and before:
            yield start - len(before) - 1, 1 if found[1][0] == "=" else 2, before.strip()
            before = ""
        else:
            before = line if line.strip() else ""
        start += len(line) + 1
