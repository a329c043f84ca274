"""Spreadsheets (.xlsx): the values of every sheet as rows, streamed by openpyxl."""

from __future__ import annotations

import datetime
import zipfile
from collections.abc import Iterator
from typing import Any

import openpyxl

from goni_rag.readers import tables
from goni_rag.records import Writer

MOST_SHEETS = 200


def read(file: zipfile.ZipFile, out: Writer) -> None:
    """The workbook in ``file``; formulas count by the value that was saved with them."""
    book = openpyxl.load_workbook(file.fp, read_only=True, data_only=True, keep_links=False)
    for number, sheet in enumerate(book.worksheets):
        if number == MOST_SHEETS:
            out.note("rows")
            return
        # The size that a file claims may be a whole sheet of nothing.
        sheet.reset_dimensions()
        tables.write(_rows(sheet), out, heading=sheet.title)


def _rows(sheet: Any) -> Iterator[list[str]]:
    for row in sheet.iter_rows(values_only=True):
        yield [shown(value) for value in row]


def shown(value: object) -> str:
    """A cell's value as a person would write it."""
    if value is None:
        return ""
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    if isinstance(value, float):
        return f"{value:.10g}"
    return str(value)
