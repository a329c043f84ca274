"""Rows as a bar chart in SVG, written by hand: one group of bars per unit, each on its own scale,
a whisker from least to most, and a red tick where the target is.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tests.bench.rows import Row, words

WIDTH, LABELS, BARS = 960, 380, 460
LINE, GAP, MARGIN = 26, 22, 20
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1d2421}.title{font-size:17px;font-weight:600}"
    ".bar{fill:#1f6f54}.over{fill:#a3271b}.whisker{stroke:#1d2421}"
    ".target{stroke:#a3271b;stroke-width:2}"
)


def chart(title: str, rows: Sequence[Row]) -> str:
    """The whole picture of ``rows``, as text."""
    parts = [f'<text class="title" x="{MARGIN}" y="{MARGIN + 14}">{escape(title)}</text>']
    top = MARGIN + 2 * LINE
    for unit in dict.fromkeys(row.unit for row in rows):
        group = [row for row in rows if row.unit == unit]
        scale = BARS / (max(max(row.value, row.most, row.target or 0) for row in group) or 1.0)
        for row in group:
            parts += _bar(row, top, scale)
            top += LINE
        top += GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}">'
        f"<style>{STYLE}</style>"
        f'<rect width="{WIDTH}" height="{top}" fill="#ffffff"/>{"".join(parts)}</svg>\n'
    )


def _bar(row: Row, top: int, scale: float) -> list[str]:
    middle = top + LINE / 2
    kind = "over" if row.ok is False else "bar"
    end = LABELS + scale * max(row.value, row.most, row.target or 0)
    parts = [
        f'<text x="{LABELS - 10}" y="{middle + 4:g}" text-anchor="end">{escape(row.figure)}</text>',
        f'<rect class="{kind}" x="{LABELS}" y="{top + 4}" width="{scale * row.value:.1f}" '
        f'height="{LINE - 8}"/>',
        f'<text x="{end + 10:.1f}" y="{middle + 4:g}">{escape(words(row.value, row.unit))}</text>',
    ]
    if row.runs > 1:
        least, most = (LABELS + scale * number for number in (row.least, row.most))
        parts.append(_line("whisker", least, middle, most, middle))
    if row.target is not None:
        place = LABELS + scale * row.target
        parts.append(_line("target", place, top + 1, place, top + LINE - 1))
    return parts


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:g}" x2="{x2:.1f}" y2="{y2:g}"/>'
