"""Rows of a table as lines that stand alone: each value with its column's name, so that a passage
cut out anywhere still says what its numbers are.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

from goni_rag.records import Writer

MOST_COLUMNS = 500
MOST_ROWS = 200_000
LONGEST_CELL = 2000
LONGEST_COLUMN = 60
"""Characters of a column's name."""
LOOKED_AT = 10
"""First rows among which the names of the columns are looked for."""


def write(rows: Iterable[Sequence[str]], out: Writer, heading: str = "", page: int = 0) -> None:
    """All of ``rows`` that aren't empty, up to the limits, one line each."""
    for line in lines(rows, out):
        out.text(line + "\n", page, heading)


def lines(rows: Iterable[Sequence[str]], out: Writer) -> Iterator[str]:
    """``rows`` as lines; the names come from the first row that is filled like the others."""
    filled = (row for row in (_clean(row, out) for row in rows) if any(row))
    first = list(itertools.islice(filled, LOOKED_AT))
    named = _header(first)
    names = [name[:LONGEST_COLUMN] for name in first[named]] if named is not None else []
    for number, row in enumerate(itertools.chain(first, filled)):
        if number == MOST_ROWS:
            out.note("rows")
            return
        # What stands over the header is a title; the header itself is in every row.
        if number == named and len(first) > named + 1:
            continue
        below = named is not None and number > named
        yield "; ".join(_named(names, row) if below else filter(None, row))


def _clean(row: Sequence[str], out: Writer) -> list[str]:
    if len(row) > MOST_COLUMNS:
        out.note("columns")
    return [" ".join(cell[:LONGEST_CELL].split()) for cell in row[:MOST_COLUMNS]]


def _header(first: list[list[str]]) -> int | None:
    """Which of the ``first`` rows names the columns: the first with as many words as the widest has
    cells, none of them a number.
    """
    most = max((_count(row) for row in first), default=0)
    if most < 2:
        return None
    for number, row in enumerate(first):
        if _count(row) >= most * 0.7 and _count(row) >= 2:
            words = all(not _numeric(cell) for cell in row if cell)
            return number if words and len(set(filter(None, row))) == _count(row) else None
    return None


def _count(row: list[str]) -> int:
    return sum(1 for cell in row if cell)


def _numeric(cell: str) -> bool:
    return any(map(str.isdigit, cell)) and not any(map(str.isalpha, cell))


def _named(names: list[str], row: list[str]) -> Iterator[str]:
    for column, cell in enumerate(row):
        if cell:
            name = names[column] if column < len(names) else ""
            yield f"{name}: {cell}" if name else cell
