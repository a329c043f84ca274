"""What the node's screens say: pure text, made from what is known now.

A terminal (a virtual console) gets the page with a QR code where there is room for one, repainted
in place. A line printer of a screen (a serial console) gets plain ASCII, once per change, with one
line for programs: ``goni-setup: address=https://10.0.2.15/ pin=123456``.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from goni_firstboot import codes
from goni_firstboot.addresses import url
from goni_firstboot.texts import DEFAULT, Texts

PREPARE = "\x1b%G\x1b[0m\x1b[?25l\x1b[9;0]\x1b[H\x1b[2J"
"""UTF-8, no colours, no cursor, never blank, start on an empty page (console_codes(4))."""
GAP = 3
SPELT = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss", "…": "..."}
)


@dataclass(frozen=True)
class View:
    """What there is to say. ``pin`` is None once the node is set up; ``words`` say the fingerprint
    of its certificate, ``now`` what is happening.
    """

    name: str
    addresses: tuple[str, ...]
    pin: str | None
    fingerprint: str
    words: str = ""
    now: str = ""
    language: str = DEFAULT


@dataclass(frozen=True)
class Size:
    """A terminal's columns and rows."""

    columns: int
    rows: int


def lines(view: View, texts: Texts) -> list[str]:
    """The page, line by line."""
    heading = texts("screen.heading", product=texts("product"), subtitle=texts("subtitle"))
    page = [heading, "", texts("screen.node", name=view.name)]
    page += [texts("screen.fingerprint", fingerprint=view.fingerprint)]
    page += [texts("screen.words", words=part) for part in _halves(view.words)]
    page += ["", texts("screen.now", now=view.now), ""] if view.now else [""]
    if not view.addresses:
        return [*page, texts("screen.waiting"), *_pin(view, texts)]
    page.append(texts("screen.ready" if view.pin is None else "screen.setup"))
    page += [texts("screen.url", url=address) for address in urls(view)]
    if view.pin is None:
        return page
    return [*page, "", texts("screen.warning"), texts("screen.own"), *_pin(view, texts)]


def ascii_of(line: str) -> str:
    """``line`` for screens that know ASCII only, as typewriters spelt it."""
    spelt = unicodedata.normalize("NFKD", line.translate(SPELT))
    return "".join(one for one in spelt if one.isascii())


def urls(view: View) -> list[str]:
    """Where a browser finds this node, best first."""
    return [*(url(address) for address in view.addresses), f"https://{view.name}.local/"]


def plain(view: View, texts: Texts) -> str:
    """The page for a serial console or a file."""
    page = ["", *map(ascii_of, lines(view, texts)), ""]
    if view.pin is not None and view.addresses:
        page.append(f"goni-setup: address={url(view.addresses[0])} pin={view.pin}")
    return "".join(f"{line}\r\n" for line in page)


def terminal(view: View, texts: Texts, size: Size, *, unicode: bool) -> str:
    """The page for a terminal, with everything needed to paint it afresh."""
    page = lines(view, texts) if unicode else [ascii_of(line) for line in lines(view, texts)]
    if unicode and view.addresses and view.pin is not None:
        page = with_code(page, code(url(view.addresses[0])), size)
    return PREPARE + "\r\n".join(line[: size.columns - 1] for line in page[: size.rows - 1])


def code(address: str) -> list[str]:
    """``address`` as a QR code."""
    # Upper case needs fewer modules, and neither scheme nor address minds (RFC 3986, 6.2.2.1).
    return codes.halves(address.upper())


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


def _halves(words: str) -> list[str]:
    """Two lines, each short enough to stand beside a code."""
    each = words.split()
    middle = (len(each) + 1) // 2
    return [" ".join(part) for part in (each[:middle], each[middle:]) if part]


def _pin(view: View, texts: Texts) -> list[str]:
    if view.pin is None:
        return []
    # Two groups of three: read at a glance, typed with or without the space.
    return ["", texts("screen.pin", pin=f"{view.pin[:3]} {view.pin[3:]}")]
