"""Files that are there whole or not at all.

Writes go to a temporary file in the same folder, are synced, and renamed over the target
(rename(2) is atomic); the folder is synced too, so that a power cut after the return loses nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import AsyncIterable, Iterator
from pathlib import Path

from goni_core.errors import BadInput, DiskFull, TooLarge

NAME = re.compile(r"[^\x00-\x1f\x7f/\\]{1,200}")
RESERVE = 256 << 20
"""Bytes that stay free on the data partition whatever is brought in."""
BLOCK = 1 << 20
"""Bytes of an upload that are written at once."""


def safe_name(name: str) -> str:
    """``name`` if it is one plain file name; :class:`BadInput` otherwise."""
    if not NAME.fullmatch(name) or name.startswith(".") or name != name.strip():
        raise BadInput(
            "that is not a usable file name",
            hint="use 1 to 200 characters without slashes or a leading dot",
            code="bad_name",
        )
    if len(os.fsencode(name)) > 240:
        raise BadInput("that file name is too long", hint="use a shorter name", code="bad_name")
    return name


def check_room(folder: Path, wanted: int) -> None:
    """Raise :class:`DiskFull` unless ``wanted`` bytes fit beside :data:`RESERVE`."""
    free = shutil.disk_usage(folder).free
    if wanted + RESERVE > free:
        raise DiskFull(
            f"not enough room: {wanted >> 20} MiB wanted, {max(0, free - RESERVE) >> 20} MiB free, "
            f"{-(-(wanted + RESERVE - free) >> 20)} MiB are missing",
            hint="remove models or documents that are no longer needed",
        )


def sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace ``path`` by ``data`` atomically."""
    with incoming(path, mode=mode) as temporary, temporary.open("wb") as sink:
        sink.write(data)


@contextlib.contextmanager
def incoming(path: Path, *, mode: int = 0o600, folder: Path | None = None) -> Iterator[Path]:
    """A new empty file in ``folder`` (of the same file system; default: beside ``path``) that
    replaces ``path`` when the block ends well and is removed when not.
    """
    temporary = (folder or path.parent) / f".{secrets.token_hex(8)}.incoming"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    os.close(handle)
    try:
        yield temporary
        handle = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what an earlier process left half-written in ``folder``."""
    for leftover in folder.glob(".*.incoming"):
        leftover.unlink(missing_ok=True)


async def receive(
    body: AsyncIterable[bytes], target: Path, *, limit: int, announced: int | None
) -> str:
    """Write a request's body to ``target`` and return its SHA-256 in hex.

    ``limit`` and ``announced`` (the Content-Length, when given) are in bytes. Raises
    :class:`TooLarge`, :class:`DiskFull` or :class:`BadInput` (a body shorter than announced); the
    caller's :func:`incoming` block then removes what was written.
    """
    if announced is not None and announced > limit:
        raise TooLarge(f"larger than the limit of {limit >> 20} MiB")
    check_room(target.parent, announced or 0)
    digest = hashlib.sha256()
    size = 0
    unchecked = 0
    pending = bytearray()
    with target.open("wb") as sink:

        def flush(data: bytes) -> None:
            try:
                sink.write(data)
            except OSError as error:
                raise DiskFull("the disk is full", hint="remove models or documents") from error
            digest.update(data)

        async for block in body:
            size += len(block)
            unchecked += len(block)
            if size > limit:
                raise TooLarge(f"larger than the limit of {limit >> 20} MiB")
            if unchecked > 64 << 20:
                check_room(target.parent, 0)
                unchecked = 0
            pending += block
            if len(pending) >= BLOCK:
                # In a thread: a slow disk must not stop the answers that stream meanwhile.
                await asyncio.to_thread(flush, bytes(pending))
                pending.clear()
        flush(bytes(pending))
    if announced is not None and size != announced:
        raise BadInput(
            f"the upload ended early, after {size} of {announced} bytes", code="truncated"
        )
    return digest.hexdigest()
