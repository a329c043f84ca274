"""QR codes (ISO/IEC 18004) for the screen and for the printed sheet."""

from __future__ import annotations

import segno

QUIET = 2
"""Modules of light margin; the standard asks for four, cameras are content with two."""


def halves(text: str) -> list[str]:
    """``text`` as a code of half blocks, two modules to a character; light is lit, as on a dark
    screen.
    """
    symbol = segno.make(text, error="l", micro=False)
    rows = [[not dark for dark in row] for row in symbol.matrix_iter(border=QUIET)]
    if len(rows) % 2:
        rows.append([False] * len(rows[0]))
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return ["".join(_half(*cell) for cell in zip(*pair, strict=True)) for pair in pairs]


def picture(text: str) -> str:
    """``text`` as a code in a ``data:`` address, black on white."""
    symbol = segno.make(text, error="m", micro=False)
    return str(symbol.svg_data_uri(scale=4, border=4, light="#fff"))


def _half(upper: bool, lower: bool) -> str:
    return {(True, True): "█", (True, False): "▀", (False, True): "▄"}.get((upper, lower), " ")
