"""Time zones to choose from, and a guess which one it is.

The list is the tz database's own (``zone.tab``: country, coordinates, zone), which leaves out the
old names that are only kept for compatibility. A country's first zone is its most populous.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from goni_firstboot import texts

TABLE = Path("/usr/share/zoneinfo/zone.tab")
UTC = "UTC"
HOMES = {"de": "DE", "en": "GB"}
"""The country that is taken for a language's own when a browser names none."""


@functools.cache
def table(path: Path = TABLE) -> tuple[tuple[str, str], ...]:
    """Country and zone, as the database lists them; empty where there is none."""
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return tuple((row[0], row[2]) for row in rows if len(row) > 2)


def names(rows: Sequence[tuple[str, str]]) -> list[str]:
    """All zones of ``rows`` by name, and UTC."""
    return [*sorted({zone for _, zone in rows}), UTC]


def regions(rows: Sequence[tuple[str, str]]) -> dict[str, list[tuple[str, str]]]:
    """The zones of each part of the world: their names, and how people read them."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name in names(rows):
        region, _, place = name.partition("/")
        shown = (place or name).replace("_", " ").replace("/", ", ")
        found.setdefault(region, []).append((name, shown))
    return found


def guess(header: str, rows: Sequence[tuple[str, str]]) -> str:
    """The zone where somebody with this Accept-Language header probably lives; UTC if unknown."""
    wanted = texts.ranges(header)
    countries = [tag.rpartition("-")[2].upper() for tag in wanted if "-" in tag]
    countries += [HOMES.get(tag.lower(), "") for tag in wanted]
    first: dict[str, str] = {}
    for country, zone in rows:
        first.setdefault(country, zone)
    return next((first[country] for country in countries if country in first), UTC)
