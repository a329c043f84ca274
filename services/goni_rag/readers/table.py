"""Comma-separated values and their kin: rows with the names of their columns."""

from __future__ import annotations

import csv
import io
from typing import IO

from goni_rag.readers import tables, text
from goni_rag.records import Writer

SEPARATORS = ",;\t|"
SAMPLE = 20
"""Lines that the separator is guessed from."""


def read(document: IO[bytes], out: Writer) -> None:
    """Every row of it."""
    whole = text.decoded(document, out)
    csv.field_size_limit(1 << 20)
    rows = csv.reader(io.StringIO(whole, newline=""), delimiter=_separator(whole))
    tables.write(rows, out)


def _separator(whole: str) -> str:
    """The sign that is in every one of the first lines, most often; a comma when none is."""
    first = [line for line in whole[: 1 << 16].splitlines() if line.strip()][:SAMPLE]
    counts = {sign: min((line.count(sign) for line in first), default=0) for sign in SEPARATORS}
    best = max(counts, key=lambda sign: counts[sign])
    if counts[best]:
        return best
    return max(SEPARATORS, key=lambda sign: sum(line.count(sign) for line in first))
