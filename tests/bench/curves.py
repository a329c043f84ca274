"""Latency against streams in SVG, written by hand: a panel for each latency, a line for each
server, a dot at each median with a whisker up to the 95th percentile.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from tests.bench.rows import percentile

WIDTH, LEFT, TOP = 960, 70, 60
PANEL, PANEL_HEIGHT, GAP = 380, 280, 110
COLOURS = ("#1f6f54", "#a3271b", "#2f5d9b", "#8a6d1b")
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1d2421}.title{font-size:17px;font-weight:600}"
    ".axis{stroke:#1d2421}.grid{stroke:#d5dad7}.curve{fill:none;stroke-width:2}"
)


@dataclass(frozen=True)
class Panel:
    """One latency: for each server (a line), its samples at each number of streams."""

    title: str
    unit: str
    lines: Mapping[str, Mapping[int, Sequence[float]]]
    axis: str = "stream"

    @property
    def streams(self) -> list[int]:
        return sorted({streams for line in self.lines.values() for streams in line})

    @property
    def most(self) -> float:
        """The highest point that is drawn."""
        points = [
            percentile(samples, 95)
            for line in self.lines.values()
            for samples in line.values()
            if samples
        ]
        return max(points, default=0.0) or 1.0


def picture(title: str, panels: Sequence[Panel]) -> str:
    """The whole picture, as text."""
    names = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    colours = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}
    parts = [f'<text class="title" x="20" y="30">{escape(title)}</text>']
    for place, panel in enumerate(panels):
        parts += _panel(panel, LEFT + place * (PANEL + GAP), colours)
    bottom = TOP + PANEL_HEIGHT + 80
    for place, name in enumerate(names):
        y = bottom + place * 22
        parts.append(f'<rect x="{LEFT}" y="{y - 8}" width="24" height="4" fill="{colours[name]}"/>')
        parts.append(f'<text x="{LEFT + 34}" y="{y}">{escape(name)}</text>')
    height = bottom + len(names) * 22
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}">'
        f"<style>{STYLE}</style>"
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>{"".join(parts)}</svg>\n'
    )


def _panel(panel: Panel, left: float, colours: Mapping[str, str]) -> list[str]:
    floor = TOP + PANEL_HEIGHT
    x = {
        streams: left + PANEL * (place + 0.5) / len(panel.streams)
        for place, streams in enumerate(panel.streams)
    }
    scale = PANEL_HEIGHT / panel.most
    parts = [f'<text x="{left}" y="{TOP - 14}">{escape(panel.title)}, {escape(panel.unit)}</text>']
    for mark in marks(panel.most):
        y = floor - mark * scale
        parts.append(_line("grid", left, y, left + PANEL, y))
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{mark:g}</text>')
    parts.append(_line("axis", left, floor, left + PANEL, floor))
    for streams, place in x.items():
        words = f"{streams:,} {panel.axis}" + ("s" if streams > 1 else "")
        parts.append(f'<text x="{place:.1f}" y="{floor + 20}" text-anchor="middle">{words}</text>')
    for name, line in panel.lines.items():
        parts += _curve(line, x, floor, scale, colours[name])
    return parts


def _curve(
    line: Mapping[int, Sequence[float]],
    x: Mapping[int, float],
    floor: float,
    scale: float,
    colour: str,
) -> list[str]:
    found = {streams: line[streams] for streams in sorted(line) if line[streams]}
    dots = [
        (x[streams], floor - scale * percentile(samples, 50)) for streams, samples in found.items()
    ]
    path = " ".join(f"{one:.1f},{two:.1f}" for one, two in dots)
    parts = [f'<polyline class="curve" stroke="{colour}" points="{path}"/>']
    for (across, up), samples in zip(dots, found.values(), strict=True):
        top = floor - scale * percentile(samples, 95)
        parts.append(f'<circle cx="{across:.1f}" cy="{up:.1f}" r="4" fill="{colour}"/>')
        parts.append(_line("whisker", across, up, across, top, f' stroke="{colour}"'))
    return parts


def marks(most: float) -> list[float]:
    """Round numbers from 0 to ``most``, three to six of them."""
    step = 10.0 ** math.floor(math.log10(most))
    for part in (0.2, 0.5, 1.0):
        if most / (step * part) < 6:
            step *= part
            break
    return [round(step * place, 9) for place in range(math.floor(most / step) + 1)]


def _line(kind: str, x1: float, y1: float, x2: float, y2: float, more: str = "") -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"{more}/>'
