"""Reading a file from the model hub, from any place in it, and deciding whether it is the one
wanted. Nothing the hub says is believed beyond what the SHA-256 confirms in the end.

A hub here is what Hugging Face's ``resolve`` addresses are: a redirect that carries the file's hash
and size (``X-Linked-Etag``, ``X-Linked-Size``; the ETag of a large file is its SHA-256), then a
server that knows ranges (RFC 9110, section 14) or doesn't.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import quote

from goni_core.contract import MODEL_LIMIT, Remote
from goni_core.errors import BadInput, Forbidden, GoniError, NotFound, TooLarge, Unavailable
from goni_core.outside import Fetched, Outside

ADDRESS = "GONI_HUB"
"""Environment variable with another hub's address, for tests and mirrors."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})")


class OtherFile(BadInput):
    """The hub has another file now than the one that was begun or is wanted."""

    code = "other_file"


@dataclass(frozen=True)
class Version:
    """What the hub says a file is: bytes, SHA-256 and its server's own mark."""

    bytes: int
    sha256: str
    etag: str


class Opened:
    """A file of the hub, read from ``start`` on."""

    def __init__(self, fetched: Fetched, version: Version, start: int, skip: int) -> None:
        self.version = version
        self._fetched = fetched
        self._start = start
        self._skip = skip

    async def blocks(self) -> AsyncIterator[bytes]:
        """Exactly the rest of the file; :class:`Unavailable` when it ends early,
        :class:`OtherFile` when it doesn't end. The last block is held back until then, so that
        nobody takes a file for whole that goes on.
        """
        left, skip = self.version.bytes - self._start, self._skip
        held = b""
        async for block in self._fetched.blocks():
            data = block[skip:]
            skip -= len(block) - len(data)
            left -= len(data)
            if left < 0:
                raise OtherFile("the hub sends more than the file has")
            if data:
                if held:
                    yield held
                held = data
        if held:
            yield held
        if left:
            raise Unavailable("the hub ended too early", code="line_failed")


class Hub:
    """The hub at ``address``, unless the environment names another."""

    def __init__(self) -> None:
        self._outside = Outside()

    async def close(self) -> None:
        await self._outside.close()

    @asynccontextmanager
    async def open(
        self, address: str, file: Remote, start: int, etag: str
    ) -> AsyncIterator[Opened]:
        """``file`` from byte ``start`` on, if it is still the one with ``etag`` (when given) and
        the size and hash in ``file`` (where they are known).

        Raises :class:`OtherFile`, :class:`NotFound`, :class:`Forbidden`, :class:`TooLarge`, and
        :class:`Unavailable` for what may be tried again.
        """
        url = os.environ.get(ADDRESS, address) + quote(file.path)
        headers = {"range": f"bytes={start}-"} if start else {}
        if start and etag:
            headers["if-range"] = etag
        async with self._outside.get(url, headers) as fetched:
            _check_status(fetched.status)
            version = _version(fetched, file)
            if etag and version.etag and version.etag != etag:
                raise OtherFile("the hub's file was replaced while it was being downloaded")
            skip = start
            if fetched.status == 206:
                skip = 0
                _check_range(fetched, start)
            yield Opened(fetched, version, start, skip)


def _check_status(status: int) -> None:
    if status in (200, 206):
        return
    if status == 416:
        raise OtherFile("the hub's file is shorter now")
    if status in (404, 410):
        raise NotFound("the hub doesn't have this file any more")
    if status in (401, 403):
        raise Forbidden("the hub wants somebody to sign in for this file")
    if status == 429 or status >= 500:
        raise Unavailable(f"the hub is busy or out of order ({status})", code="line_failed")
    raise GoniError(f"the hub answered with status {status}", code="hub_failed")


def _check_range(fetched: Fetched, start: int) -> None:
    found = _RANGE.fullmatch(fetched.header("content-range"))
    if found is None or int(found[1]) != start:
        raise Unavailable("the hub sent another part than the one asked for", code="line_failed")


def _version(fetched: Fetched, wanted: Remote) -> Version:
    """What the answer is a part of, checked against what is ``wanted``."""
    size, sha256 = _size(fetched), fetched.said_on_the_way("x-linked-etag").strip('W/"').lower()
    if not _SHA256.fullmatch(sha256):
        sha256 = ""
    if wanted.bytes and size and size != wanted.bytes:
        raise OtherFile(f"the hub's file has {size} bytes, not {wanted.bytes}")
    if wanted.sha256 and sha256 and sha256 != wanted.sha256:
        raise OtherFile("the hub's file is not the one in the catalog any more")
    size, sha256 = wanted.bytes or size, wanted.sha256 or sha256
    if not size:
        raise BadInput("the hub doesn't say how large this file is", code="no_length")
    if size > MODEL_LIMIT:
        raise TooLarge(f"larger than the limit of {MODEL_LIMIT >> 30} GiB")
    if not sha256:
        raise BadInput("neither catalog nor hub state a hash for this file", code="no_hash")
    etag = fetched.header("etag")
    return Version(size, sha256, "" if etag.startswith("W/") else etag)


def _size(fetched: Fetched) -> int:
    """The whole file's size; 0 when the answer doesn't say."""
    found = _RANGE.fullmatch(fetched.header("content-range"))
    if fetched.status == 206 and found:
        return int(found[2])
    value = fetched.said_on_the_way("x-linked-size") or fetched.header("content-length")
    known = value.isascii() and value.isdigit() and len(value) < 19 and fetched.status == 200
    return int(value) if known else 0
