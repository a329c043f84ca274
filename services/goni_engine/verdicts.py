"""What the self-test last said of each chat model, kept on the disk: ``selftests.json``.

A verdict holds for a ground: the engine's build, the kernel and the devices that compute, and the
model's files. Whatever of it changes, the model is to be tested again. The store is the only writer
of the files, so their sizes and times tell one from another, without reading gigabytes at each
start.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from goni_core import fields, files
from goni_core.errors import GoniError
from goni_engine.device import Devices
from goni_engine.store import Entry

log = logging.getLogger(__name__)

MOST = 1000


@dataclass(frozen=True)
class Verdict:
    """What was found at ``at`` (seconds since 1970); ``known``: it failed on the ground before,
    too.
    """

    ground: str
    ok: bool
    detail: str
    at: int
    known: bool = False


class Verdicts:
    """The verdicts in the file ``path``; ``build`` is what tells this engine from others."""

    def __init__(self, path: Path, build: str = "") -> None:
        self._path = path
        self._build = build
        self._found: dict[str, Verdict] = {}

    def open(self) -> None:
        """Read what was kept; an unreadable file is as none."""
        try:
            kept = fields.parse(self._path.read_bytes())
            self._found = {name: _verdict(kept, name) for name in list(kept)[:MOST]}
        except FileNotFoundError:
            self._found = {}
        except (OSError, GoniError) as error:
            log.warning("the models' earlier tests can't be read: %s", error)
            self._found = {}

    def ground(self, entry: Entry) -> str:
        """What a verdict on ``entry`` holds for."""
        extras = [extra.path for extra in (entry.beside.projector, entry.beside.draft) if extra]
        parts = [self._build, entry.id, *(_mark(path) for path in (entry.path, *extras))]
        return hashlib.sha256("|".join(parts).encode()).hexdigest()

    def of(self, entry: Entry) -> tuple[Verdict | None, bool]:
        """The last verdict on ``entry``, and whether it still holds."""
        found = self._found.get(entry.id)
        return found, found is not None and found.ground == self.ground(entry)

    def note(self, entry: Entry, ok: bool, detail: str) -> None:
        """Keep a new verdict."""
        before, ground = self._found.get(entry.id), self.ground(entry)
        other = before is not None and (before.ground != ground or before.known)
        known = not ok and other and before is not None and not before.ok
        self._found[entry.id] = Verdict(ground, ok, detail, int(time.time()), known)
        self._keep()

    def forget(self, model: str) -> None:
        if self._found.pop(model, None) is not None:
            self._keep()

    def _keep(self) -> None:
        content = json.dumps({name: asdict(one) for name, one in self._found.items()})
        try:
            files.write(self._path, content.encode())
        except OSError as error:
            log.warning("a test's result can't be kept: %s", error.strerror)


def build_of(engine: Path, devices: Devices) -> str:
    """What computes: the engine's build (its key, made with it), kernel, and devices with their
    drivers' names.
    """
    try:
        key = (engine / "key").read_text()[:200].strip()
    except OSError:
        key = ""
    return " ".join((key, os.uname().release, *(gpu.name for gpu in devices.gpus)))


def _mark(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns}"


def _verdict(kept: Mapping[str, object], name: str) -> Verdict:
    (one,) = fields.objects({name: [kept[name]]}, name, most=1)
    return Verdict(
        ground=fields.text(one, "ground", longest=64),
        ok=fields.flag(one, "ok"),
        detail=fields.text(one, "detail", longest=10_000, default=""),
        at=fields.integer(one, "at", least=0, most=1 << 40),
        known=fields.flag(one, "known"),
    )
