"""One unfinished model file on the disk: ``{id}.part``, and ``{id}.json`` beside it, which says
what it is to become and how many of its bytes are known to be there. Nothing behind that number is
believed after a restart.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from goni_core import contract, fields, files
from goni_core.errors import BadInput, DiskFull, GoniError, TooLarge
from goni_engine.store import model_id

NOTED = 64 << 20
"""Bytes after which what came is pushed to the disk and noted: at most that much comes again
after a power cut."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Wanted:
    """What a file is to become. ``tag`` is the sender's own mark of the file's identity, so that it
    finds its unfinished upload again; ``sha256`` is empty when the sender doesn't know it.
    """

    name: str
    bytes: int
    sha256: str = ""
    tag: str = ""


def wanted_from(body: fields.Object) -> Wanted:
    """The request that starts a file; :class:`BadInput` names the bad field."""
    fields.only(body, {"name", "bytes", "sha256", "tag"})
    wanted = Wanted(
        name=fields.text(body, "name", longest=240),
        bytes=fields.integer(body, "bytes", least=1, most=1 << 60),
        sha256=fields.text(body, "sha256", longest=64, default=""),
        tag=fields.text(body, "tag", longest=128, default=""),
    )
    model_id(wanted.name)
    if wanted.bytes > contract.MODEL_LIMIT:
        raise TooLarge(f"larger than the limit of {contract.MODEL_LIMIT >> 30} GiB")
    if wanted.sha256 and not _SHA256.fullmatch(wanted.sha256):
        raise BadInput("sha256 is not 64 hexadecimal digits in lower case", code="bad_value")
    return wanted


class Part:
    """An unfinished file on the disk. ``digest`` covers the first ``offset`` bytes, or is None
    after a restart until somebody continues.
    """

    def __init__(self, folder: Path, key: str, wanted: Wanted, offset: int, touched: float) -> None:
        self.key = key
        self.wanted = wanted
        self.offset = offset
        self.touched = touched
        self.busy = False
        self.data = folder / f"{key}.part"
        self._note = folder / f"{key}.json"
        self._digest = hashlib.sha256() if offset == 0 else None
        self._noted = offset

    def create(self) -> None:
        self.data.touch(mode=0o600)
        self.note()

    def note(self) -> None:
        """Push what came to the disk, then say so in the note."""
        with self.data.open("rb") as file:
            os.fdatasync(file.fileno())
        state = {**asdict(self.wanted), "offset": self.offset, "touched": int(self.touched)}
        files.write(self._note, json.dumps(state).encode())
        self._noted = self.offset

    def remove(self) -> None:
        # The note first: a file without one is swept away at the next start.
        self._note.unlink(missing_ok=True)
        self.data.unlink(missing_ok=True)

    def open(self) -> BinaryIO:
        """The file, standing behind the last byte that counts; what is behind that is cut off."""
        with self.data.open("rb") as there:
            if self._digest is None:
                self._digest = _sha256_of(there, self.offset)
        file = self.data.open("r+b")
        file.truncate(self.offset)
        file.seek(self.offset)
        return file

    def append(self, file: BinaryIO, data: bytes) -> None:
        """Write ``data``; :class:`DiskFull` leaves the part as it was before."""
        try:
            file.write(data)
            file.flush()
        except OSError as error:
            with contextlib.suppress(OSError):
                file.truncate(self.offset)
            raise DiskFull("the disk is full", hint="remove models or documents") from error
        assert self._digest is not None
        self._digest.update(data)
        self.offset += len(data)
        if self.offset - self._noted >= NOTED:
            self.note()

    def check(self) -> None:
        """:class:`BadInput` when the whole file is not the one that was announced."""
        self.open().close()
        assert self._digest is not None
        if self.wanted.sha256 and self._digest.hexdigest() != self.wanted.sha256:
            raise BadInput(
                "the file arrived damaged, or is another than the one wanted",
                hint="bring it in again",
                code="wrong_hash",
            )


def read(note: Path) -> Part | None:
    """The part that ``note`` tells of; None when its bytes are not there."""
    try:
        state = fields.parse(note.read_bytes())
        wanted = wanted_from({key: state[key] for key in ("name", "bytes", "sha256", "tag")})
        offset = fields.integer(state, "offset", least=0, most=wanted.bytes)
        touched = fields.integer(state, "touched", least=0, most=1 << 40)
        if note.with_suffix(".part").stat().st_size < offset:
            return None
    except (GoniError, OSError, KeyError):
        return None
    return Part(note.parent, note.stem, wanted, offset, touched)


def _sha256_of(file: BinaryIO, size: int) -> hashlib._Hash:
    """The hash of the first ``size`` bytes: the one pass that a restart costs."""
    digest = hashlib.sha256()
    while size > 0:
        data = file.read(min(size, files.BLOCK))
        if not data:
            raise BadInput("the unfinished file lost some of its bytes", hint="bring it in again")
        digest.update(data)
        size -= len(data)
    return digest
