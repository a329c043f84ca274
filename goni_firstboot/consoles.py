"""The node's screens as devices: found, and written to directly, never through the journal.

The kernel names its consoles in ``/sys/class/tty/console/active``; tty1 is always one, because that
is what a monitor shows. A console that can't be opened or doesn't drain is passed over: the others
still show the PIN.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import select
import time
from dataclasses import dataclass
from pathlib import Path

from goni_core import files
from goni_firstboot import screen, texts
from goni_firstboot.texts import Texts

log = logging.getLogger(__name__)

VIRTUAL = re.compile(r"tty[0-9]+")
PATIENCE_S = 2.0
"""How long a console may take to swallow a page; 115200 baud needs 0.1 s."""
REPAINT_S = {True: 10.0, False: 60.0}
"""Seconds after which an unchanged page is shown again on a virtual (True) console, where the
kernel writes too, and on a serial one, which somebody may only now have plugged in."""


@dataclass(frozen=True)
class Console:
    """One screen: its device, and whether it is a virtual console or a plain line."""

    device: Path
    virtual: bool


def names(active: str) -> tuple[str, ...]:
    """The device names of the consoles in the kernel's list; tty0 is whichever is in front, and
    that is tty1 on a node without logins.
    """
    found = ["tty1" if name == "tty0" else name for name in active.split()]
    safe = [name for name in found if re.fullmatch(r"[A-Za-z0-9]{1,32}", name)]
    return tuple(dict.fromkeys(["tty1", *safe]))


def find(root: Path = Path("/")) -> tuple[Console, ...]:
    """The consoles that this machine has."""
    active = ""
    with contextlib.suppress(OSError):
        active = (root / "sys/class/tty/console/active").read_text("ascii", errors="replace")
    consoles = [
        Console(root / "dev" / name, bool(VIRTUAL.fullmatch(name))) for name in names(active)
    ]
    return tuple(console for console in consoles if console.device.exists())


def speaks_unicode(root: Path = Path("/")) -> bool:
    """Whether virtual consoles take UTF-8 (the kernel's default since 2.6.24)."""
    try:
        return (root / "sys/module/vt/parameters/default_utf8").read_text().strip() in ("1", "Y")
    except OSError:
        return False


class Screens:
    """Shows a view on every console, when it changed or its time has come.

    With ``file`` (tests, programs) the page goes there instead and no console is touched.
    """

    def __init__(self, consoles: tuple[Console, ...], file: Path | None) -> None:
        self._consoles = consoles
        self._file = file
        self._shown: screen.View | None = None
        self._painted: dict[bool, float] = {}
        self._silent: set[Path] = set()

    def show(self, view: screen.View) -> None:
        """Paint ``view`` where it is due; blocks for at most :data:`PATIENCE_S` per console."""
        now = time.monotonic()
        changed = view != self._shown
        self._shown = view
        if self._file is not None:
            if changed:
                files.write(self._file, screen.plain(view, texts.load(view.language)).encode())
            return
        for virtual, pause in REPAINT_S.items():
            if changed or now - self._painted.get(virtual, -pause) >= pause:
                self._painted[virtual] = now
                self._paint([one for one in self._consoles if one.virtual is virtual], view)

    def _paint(self, consoles: list[Console], view: screen.View) -> None:
        for console in consoles:
            try:
                paint(console, view, texts.load(view.language))
            except OSError as error:
                # Once per console: a repaint every few seconds must not fill the log.
                if console.device not in self._silent:
                    log.warning("%s shows nothing: %s", console.device.name, error.strerror)
                self._silent.add(console.device)


def paint(console: Console, view: screen.View, words: Texts) -> None:
    """Write ``view`` to one console; OSError when it can't be opened or doesn't drain in time."""
    # Not the controlling terminal, and never waiting for a line's other end.
    handle = os.open(console.device, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        if console.virtual:
            page = screen.terminal(view, words, _size(handle), unicode=speaks_unicode())
        else:
            page = screen.plain(view, words)
        _write_all(handle, page.encode())
    finally:
        os.close(handle)


def _size(handle: int) -> screen.Size:
    try:
        columns, rows = os.get_terminal_size(handle)
    except OSError:
        return screen.Size(80, 25)
    return screen.Size(columns, rows) if columns > 1 and rows > 1 else screen.Size(80, 25)


def _write_all(handle: int, data: bytes) -> None:
    deadline = time.monotonic() + PATIENCE_S
    left = memoryview(data)
    while left:
        _, writable, _ = select.select([], [handle], [], max(0.0, deadline - time.monotonic()))
        if not writable:
            raise TimeoutError(0, "it takes no text")
        with contextlib.suppress(BlockingIOError):
            left = left[os.write(handle, left) :]
