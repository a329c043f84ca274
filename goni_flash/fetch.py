"""An image at a URL: fetched into a folder of this machine, going on where it broke off.

It is fetched whole before anything is written, because only a whole file can be checked. The list
of checksums and its signature come with it. HTTPS only, certificates checked (``goni_core.http``).
"""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from goni_core.disks import amount
from goni_core.errors import BadInput, DiskFull, GoniError, NotFound, Unavailable
from goni_core.outside import Fetched, Outside
from goni_core.progress import Monitor
from goni_flash import signature, source

TRIES = 6
PAUSE = 0.5
"""Seconds before the second try; each further one waits as much longer."""
RESERVE = 64 << 20
"""Bytes that stay free beside the image."""


def folder() -> Path:
    """Where fetched images are kept: the user's cache (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "goni"


def fetch(url: str, monitor: Monitor, *, signed: bool = True) -> Path:
    """The image at ``url`` on this machine, with its checksums beside it when ``signed``."""
    where = folder()
    where.mkdir(parents=True, exist_ok=True)
    return asyncio.run(_fetch(url, where, monitor, signed=signed))


async def _fetch(url: str, where: Path, monitor: Monitor, *, signed: bool) -> Path:
    base, _, last = url.partition("?")[0].rpartition("/")
    name = Path(unquote(last)).name
    if not name.endswith((".raw", ".raw.zst")):
        raise NotFound(f"{name or url} is no image", hint="the address ends in .raw or .raw.zst")
    outside = Outside()
    try:
        if signed:
            await _fetch_sums(outside, base, name, where)
        part = _Part(where / f"{name}.part")
        for left in reversed(range(TRIES)):
            try:
                if await _go_on(outside, url, part, monitor):
                    part.finish(where / name)
                    return where / name
            except Unavailable:
                if not left:
                    raise
            await asyncio.sleep(PAUSE * (TRIES - left))
        raise Unavailable(f"the connection broke {TRIES} times", hint="try again: it goes on")
    finally:
        await outside.close()


async def _fetch_sums(outside: Outside, base: str, name: str, where: Path) -> None:
    """The list of checksums and its signature; those of an earlier image are replaced."""
    for sums in signature.lists_for(name):
        (where / sums).unlink(missing_ok=True)
        async with outside.get(f"{base}/{sums}", {}) as answer:
            text = await _small(answer) if answer.status == 200 else b""
        if not text:
            continue
        async with outside.get(f"{base}/{sums}.sig", {}) as answer:
            proof = await _small(answer) if answer.status == 200 else b""
        (where / sums).write_bytes(text)
        (where / f"{sums}.sig").write_bytes(proof)
        return
    raise NotFound(
        "there is no list of checksums beside the image",
        hint="check the address; --insecure fetches without, for your own builds",
        code="unsigned",
    )


async def _small(answer: Fetched) -> bytes:
    data = b""
    async for block in answer.blocks():
        data += block
        if len(data) > signature.LIMIT:
            raise GoniError("the list of checksums is larger than 1 MiB")
    return data


class _Part:
    """The start of a file, and the tag of the version that it is the start of."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tag = path.with_name(f"{path.name}.tag")

    def headers(self) -> dict[str, str]:
        """What asks for the rest, or for all of another version (RFC 9110, section 13.1.5)."""
        if not self.here():
            return {}
        return {"range": f"bytes={self.here()}-", "if-range": self._tag.read_text()}

    def here(self) -> int:
        return self.path.stat().st_size if self.path.exists() and self._tag.exists() else 0

    def drop(self) -> None:
        self.path.unlink(missing_ok=True)
        self._tag.unlink(missing_ok=True)

    def begin(self, tag: str, length: int, *, anew: bool) -> BinaryIO:
        """The file, open where the next ``length`` bytes go."""
        have = 0 if anew else self.here()
        self._tag.write_text(tag) if tag else self._tag.unlink(missing_ok=True)
        _check_room(self.path.parent, length)
        sink = self.path.open("r+b" if have else "wb")
        sink.seek(have)
        return sink

    def finish(self, target: Path) -> None:
        self.path.replace(target)
        self._tag.unlink(missing_ok=True)


async def _go_on(outside: Outside, url: str, part: _Part, monitor: Monitor) -> bool:
    """Fetch what is missing of ``part``; whether it is whole now."""
    async with outside.get(url, part.headers()) as answer:
        if answer.status == 416:  # all of it was here, or the file became shorter
            part.drop()
            return False
        if answer.status not in (200, 206):
            raise NotFound(f"the server answered {answer.status}", hint="check the address")
        tag = answer.header("etag") or answer.header("last-modified")
        length = int(answer.header("content-length") or 0)
        with part.begin(tag, length, anew=answer.status == 200) as sink:
            total = sink.tell() + length
            monitor.phase("fetch", total, done=sink.tell())
            async for block in answer.blocks():
                sink.write(block)
                if sink.tell() > source.LARGEST:
                    raise BadInput("the server sends more than any image of Goni's holds")
                monitor.advance(len(block))
            return not length or sink.tell() == total


def _check_room(where: Path, wanted: int) -> None:
    free = shutil.disk_usage(where).free
    if wanted + RESERVE > free:
        raise DiskFull(
            f"{where} has {amount(free)} free, the image needs {amount(wanted)}",
            hint="free some space, or name a folder elsewhere with XDG_CACHE_HOME",
        )
