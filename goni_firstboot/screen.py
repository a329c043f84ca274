"""What the node's screens say: pure text, made from what is known now.

A terminal (a virtual console) gets the page with a QR code where there is room for one, repainted
in place. A line printer of a screen (a serial console) gets plain ASCII, once per change, with one
line for programs: ``goni-setup: address=https://10.0.2.15/ pin=123456``.
"""

from __future__ import annotations

from dataclasses import dataclass

import segno

from goni_firstboot.addresses import url
from goni_firstboot.texts import Texts

PREPARE = "\x1b%G\x1b[0m\x1b[?25l\x1b[9;0]\x1b[H\x1b[2J"
"""UTF-8, no colours, no cursor, never blank, start on an empty page (console_codes(4))."""
QUIET = 2
"""Modules of light margin; the standard asks for four, cameras are content with two."""
GAP = 3


@dataclass(frozen=True)
class View:
    """What there is to say. ``pin`` is None once the node is set up."""

    name: str
    addresses: tuple[str, ...]
    pin: str | None
    fingerprint: str


@dataclass(frozen=True)
class Size:
    """A terminal's columns and rows."""

    columns: int
    rows: int


def lines(view: View, texts: Texts) -> list[str]:
    """The page, line by line."""
    heading = texts("screen.heading", product=texts("product"), subtitle=texts("subtitle").lower())
    page = [heading, "", texts("screen.node", name=view.name)]
    page += [texts("screen.fingerprint", fingerprint=view.fingerprint), ""]
    if not view.addresses:
        return [*page, texts("screen.waiting"), *_pin(view, texts)]
    page.append(texts("screen.ready" if view.pin is None else "screen.setup"))
    page += [texts("screen.url", url=address) for address in urls(view)]
    return [*page, "", texts("screen.warning"), texts("screen.own"), *_pin(view, texts)]


def urls(view: View) -> list[str]:
    """Where a browser finds this node, best first."""
    return [*(url(address) for address in view.addresses), f"https://{view.name}.local/"]


def plain(view: View, texts: Texts) -> str:
    """The page for a serial console or a file."""
    page = ["", *lines(view, texts), ""]
    if view.pin is not None and view.addresses:
        page.append(f"goni-setup: address={url(view.addresses[0])} pin={view.pin}")
    return "".join(f"{line}\r\n" for line in page)


def terminal(view: View, texts: Texts, size: Size, *, unicode: bool) -> str:
    """The page for a terminal, with everything needed to paint it afresh."""
    page = lines(view, texts)
    if unicode and view.addresses and view.pin is not None:
        page = with_code(page, code(url(view.addresses[0])), size)
    return PREPARE + "\r\n".join(line[: size.columns - 1] for line in page[: size.rows - 1])


def code(address: str) -> list[str]:
    """``address`` as a QR code, two modules to a character; light is lit, as on a dark screen."""
    # Upper case needs fewer modules, and neither scheme nor address minds (RFC 3986, 6.2.2.1).
    symbol = segno.make(address.upper(), error="l", micro=False)
    rows = [[not dark for dark in row] for row in symbol.matrix_iter(border=QUIET)]
    if len(rows) % 2:
        rows.append([False] * len(rows[0]))
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return ["".join(_half(*cell) for cell in zip(*pair, strict=True)) for pair in pairs]


def with_code(page: list[str], symbol: list[str], size: Size) -> list[str]:
    """``page`` with ``symbol`` below it, or beside it, or (too small a screen) without it."""
    if len(page) + 1 + len(symbol) < size.rows and len(symbol[0]) < size.columns:
        return [*page, "", *symbol]
    width = max(len(line) for line in page) + GAP
    if width + len(symbol[0]) >= size.columns or len(symbol) >= size.rows:
        return page
    height = max(len(page), len(symbol))
    left = page + [""] * (height - len(page))
    right = symbol + [""] * (height - len(symbol))
    return [line.ljust(width) + part for line, part in zip(left, right, strict=True)]


def _pin(view: View, texts: Texts) -> list[str]:
    if view.pin is None:
        return []
    # Two groups of three: read at a glance, typed with or without the space.
    return ["", texts("screen.pin", pin=f"{view.pin[:3]} {view.pin[3:]}")]


def _half(upper: bool, lower: bool) -> str:
    return {(True, True): "█", (True, False): "▀", (False, True): "▄"}.get((upper, lower), " ")
