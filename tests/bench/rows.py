"""What every bench hands over: rows of one figure each, kept as ``out/bench/<bench>.json``.

``{"bench": name, "rows": [{"figure", "value", "unit", "target", "ok", "runs", "min", "max"}]}``;
``value`` is the median of ``runs`` samples, ``target`` the most that it may be (null: none), ``ok``
whether it is. With ``"floor": true`` the target is the least that it may be.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goni_core import fields, files
from goni_core.errors import BadInput

FOLDER = Path("out/bench")
KEYS = ("figure", "value", "unit", "target", "ok", "runs", "min", "max")
COUNTED = ("requests", "streams", "results")
HEADINGS = ("bench", "figure", "value", "target", "ok", "min", "max", "runs")


@dataclass(frozen=True)
class Row:
    """One figure. ``unit``: s (seconds), ms, x (a ratio), tokens/s, bytes, or what is counted;
    ``floor``: the target is the least, not the most.
    """

    figure: str
    value: float
    unit: str
    target: float | None = None
    runs: int = 1
    least: float = 0.0
    most: float = 0.0
    floor: bool = False

    @property
    def ok(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        return self.value >= self.target if self.floor else self.value <= self.target

    def plain(self) -> dict[str, Any]:
        """The row as its JSON object."""
        floor = {"floor": True} if self.floor else {}
        return {
            "figure": self.figure,
            "value": self.value,
            "unit": self.unit,
            "target": self.target,
            "ok": self.ok,
            "runs": self.runs,
            "min": self.least,
            "max": self.most,
            **floor,
        }


def measured(
    figure: str,
    samples: Sequence[float],
    unit: str,
    *,
    target: float | None = None,
    floor: bool = False,
) -> Row:
    """The row of ``samples``: their median, least and most."""
    return _row_of(figure, statistics.median(samples), samples, unit, target, floor)


def at_percentile(
    figure: str, samples: Sequence[float], percent: int, unit: str, *, target: float | None = None
) -> Row:
    """The row of ``samples`` whose value is not their median but their ``percent`` percentile."""
    return _row_of(figure, percentile(samples, percent), samples, unit, target, False)


def percentile(samples: Sequence[float], percent: int) -> float:
    """The least sample that ``percent`` of all don't exceed (the nearest-rank method)."""
    return sorted(samples)[max(0, math.ceil(len(samples) * percent / 100) - 1)]


def _row_of(
    figure: str,
    value: float,
    samples: Sequence[float],
    unit: str,
    target: float | None,
    floor: bool,
) -> Row:
    digits = 0 if unit == "bytes" else 3
    numbers = [round(number, digits) for number in (value, min(samples), max(samples))]
    return Row(figure, numbers[0], unit, target, len(samples), numbers[1], numbers[2], floor)


def write(bench: str, rows: Sequence[Row], *, folder: Path = FOLDER) -> Path:
    """Keep ``rows`` as the result of ``bench``; where."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{bench}.json"
    whole = {"bench": bench, "rows": [row.plain() for row in rows]}
    files.write(path, json.dumps(whole, indent=1).encode() + b"\n", mode=0o644)
    return path


def read(path: Path) -> tuple[str, list[Row]]:
    """The bench's name and rows in ``path``; :class:`BadInput` names what is wrong with it."""
    try:
        whole = fields.parse(path.read_bytes())
        found = fields.objects(whole, "rows", most=10_000)
        return fields.text(whole, "bench"), [_row(one) for one in found]
    except BadInput as error:
        raise BadInput(f"{path}: {error.message}") from error


def _row(value: fields.Object) -> Row:
    fields.only(value, {*KEYS, "floor"})
    numbers = [value.get(name) for name in ("value", "min", "max")]
    target = value.get("target")
    if any(type(number) not in (int, float) for number in [*numbers, target or 0]):
        raise BadInput("value, target, min and max must be numbers")
    middle, least, most = (float(number or 0) for number in numbers)
    return Row(
        fields.text(value, "figure"),
        middle,
        fields.text(value, "unit"),
        None if target is None else float(target),
        fields.integer(value, "runs", least=1, most=1_000_000),
        least,
        most,
        fields.flag(value, "floor", default=False),
    )


def words(number: float, unit: str) -> str:
    """``number`` as people read it."""
    if unit == "bytes":
        return f"{number / 1e6:.1f} MB"
    if unit in COUNTED:
        return f"{number:.0f} {unit}"
    return f"{number:.2f} {unit}" if unit in ("x", "ms") else f"{number:.1f} {unit}"


def table(results: Sequence[tuple[str, Sequence[Row]]]) -> str:
    """The rows of every (bench, rows) in one table."""
    lines: list[tuple[str, ...]] = [HEADINGS]
    for bench, rows in results:
        lines += [_line(bench, row) for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _line(bench: str, row: Row) -> tuple[str, ...]:
    spread = [words(number, row.unit) if row.runs > 1 else "" for number in (row.least, row.most)]
    sign = ">=" if row.floor else "<="
    target = "" if row.target is None else f"{sign} {words(row.target, row.unit)}"
    ok = {None: "", True: "yes", False: "NO"}[row.ok]
    return (bench, row.figure, words(row.value, row.unit), target, ok, *spread, str(row.runs))
