"""A new version's parts out of the running one's and a delta, bit for bit.

/usr: the delta holds the new list of files and the bytes of changed ones, both as a zstd patch
against the old ones (zstd --patch-from); everything else is read from the running /usr. From that a
tar archive is made and from it, with mkfs.erofs, the same image that the builder's mkfs.erofs made.
The UKI: a zstd patch against the old UKI. Whether the result is right is not decided here but by
its hashes.

A delta file: ``GONIDLT1``, the length of the header (4 bytes, big endian), the header (JSON, zstd),
the patch.
"""

from __future__ import annotations

import io
import json
import struct
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from goni_core import fields
from goni_core.errors import BadInput, GoniError
from goni_core.run import Argument, Limits, run
from goni_update import tree
from goni_update.tree import Entry

MAGIC = b"GONIDLT1"
HEADER_LIMIT = 32 << 20
MOST_PATHS = 1_000_000
SUPER_AT, SUPER_SIZE = 1024, 128
"""Where an erofs keeps its superblock; mkfs.erofs can't be told its build time's nanoseconds."""
MEMORY = 1400 << 20
"""Bytes of address space that a program of a rebuild may use."""
MINUTES = 3600
MKFS: tuple[Argument, ...] = ("mkfs.erofs",)
"""The words that start it: a build host has it in the tools tree only."""


@dataclass(frozen=True)
class Header:
    """What a /usr delta says: the erofs's superblock and time, which ``fresh`` files come in the
    patch, which old files the patch ``uses``, and which are ``copies`` of a file elsewhere.
    """

    superblock: bytes
    fresh: tuple[str, ...]
    uses: tuple[str, ...]
    copies: dict[str, str]

    def plain(self) -> bytes:
        whole = {
            "superblock": self.superblock.hex(),
            "fresh": self.fresh,
            "uses": self.uses,
            "copies": self.copies,
        }
        return json.dumps(whole, separators=(",", ":")).encode()


def header(data: bytes) -> Header:
    """The header in ``data``; :class:`BadInput` names the field that is wrong."""
    whole = fields.parse(data)
    fields.only(whole, ("superblock", "fresh", "uses", "copies"))
    copies = whole.get("copies")
    if not isinstance(copies, dict):
        raise BadInput("copies must map paths to paths")
    return Header(
        _superblock(fields.text(whole, "superblock")),
        _paths(whole.get("fresh"), "fresh"),
        _paths(whole.get("uses"), "uses"),
        dict(zip(copies, _paths(list(copies.values()), "copies"), strict=True)),
    )


def _superblock(text: str) -> bytes:
    try:
        raw = bytes.fromhex(text)
    except ValueError as error:
        raise BadInput("superblock is not hexadecimal") from error
    if len(raw) != SUPER_SIZE or raw[:4] != b"\xe2\xe1\xf5\xe0":
        raise BadInput("superblock is not an erofs's")
    return raw


def _paths(value: object, name: str) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MOST_PATHS:
        raise BadInput(f"{name} must be a list of paths")
    for path in value:
        if not isinstance(path, str) or {"", ".", ".."} & set(path.split("/")) or "\0" in path:
            raise BadInput(f"{name} holds a path that leaves /usr")
    return tuple(value)


def join(target: Path, head: bytes, patch: Path) -> None:
    """Write a delta file."""
    with target.open("wb") as sink, patch.open("rb") as source:
        sink.write(MAGIC + struct.pack(">I", len(head)) + head)
        while block := source.read(1 << 20):
            sink.write(block)


def split(delta: Path, work: Path) -> tuple[bytes, Path]:
    """A delta file's header, still packed, and its patch as a file in ``work``."""
    patch = work / "patch"
    with delta.open("rb") as source, patch.open("wb") as sink:
        if source.read(len(MAGIC)) != MAGIC:
            raise BadInput("this is not a delta")
        length = int.from_bytes(source.read(4), "big")
        head = source.read(length) if length <= HEADER_LIMIT else b""
        if not head or len(head) != length:
            raise BadInput("the delta's header is cut")
        while block := source.read(1 << 20):
            sink.write(block)
    return head, patch


def usr(old: Path, delta: Path, target: Path, work: Path, *, limit: int) -> None:
    """Rebuild the new /usr's erofs as ``target`` from the ``old`` tree; at most ``limit`` bytes."""
    packed, patch = split(delta, work)
    head = header(unpack(packed, work))
    old_blob, new_blob, archive = work / "old", work / "new", work / "usr.tar"
    try:
        gather(old, list(tree.scan(old)), head.uses, old_blob)
        patched(old_blob, patch, new_blob, limit=4 * limit)
        write_archive(old, head, new_blob, archive)
        for used in (old_blob, new_blob, patch):
            used.unlink()
        make_erofs(archive, head.superblock, target, mkfs=MKFS)
    except (OSError, tarfile.TarError) as error:
        raise GoniError(f"the new /usr can't be rebuilt: {error}", code="rebuild_failed") from error


def gather(old: Path, entries: Sequence[Entry], uses: Sequence[str], target: Path) -> None:
    """What a patch is made against: the old list of files and the old files that it ``uses``."""
    with target.open("wb") as sink:
        sink.write(tree.packed(entries))
        for path in uses:
            with (old / path).open("rb") as source:
                while block := source.read(1 << 20):
                    sink.write(block)


def patched(old: Path, patch: Path, target: Path, *, limit: int) -> None:
    """Apply a zstd patch."""
    limits = Limits(cpu_s=MINUTES, memory=MEMORY, file_size=limit)
    words: list[Argument] = [
        "zstd",
        "-d",
        "-q",
        "-f",
        "--long=31",
        f"--patch-from={old}",
        patch,
        "-o",
        target,
    ]
    run(words, timeout=MINUTES, limits=limits)


def unpack(packed: bytes, work: Path) -> bytes:
    """Decompress a header."""
    source, target = work / "header.zst", work / "header"
    source.write_bytes(packed)
    limits = Limits(cpu_s=60, memory=MEMORY, file_size=HEADER_LIMIT)
    run(["zstd", "-d", "-q", "-f", source, "-o", target], timeout=120, limits=limits)
    return target.read_bytes()


def write_archive(old: Path, head: Header, blob: Path, target: Path) -> None:
    """The new /usr as a tar archive: list and fresh files from ``blob``, the rest from ``old``."""
    fresh = set(head.fresh)
    with blob.open("rb") as source, tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as sink:
        entries = list(tree.unpacked(_list(source)))
        for entry in entries:
            info = _info(entry)
            if entry.kind != tree.FILE:
                sink.addfile(info)
            elif entry.path in fresh:
                sink.addfile(info, source)
            else:
                with (old / head.copies.get(entry.path, entry.path)).open("rb") as kept:
                    sink.addfile(info, kept)


def _list(source: IO[bytes]) -> bytes:
    """The list of files at the start of a blob: up to the empty line."""
    lines = io.BytesIO()
    for line in source:
        if line == b"\n":
            return lines.getvalue()
        lines.write(line)
    raise BadInput("the delta's list of files is cut")


def _info(entry: Entry) -> tarfile.TarInfo:
    info = tarfile.TarInfo(f"./{entry.path}" if entry.path else ".")
    info.mode, info.uid, info.gid, info.size = entry.mode, entry.uid, entry.gid, entry.size
    kinds = {
        tree.FILE: tarfile.REGTYPE,
        tree.FOLDER: tarfile.DIRTYPE,
        tree.LINK: tarfile.SYMTYPE,
        tree.SAME: tarfile.LNKTYPE,
    }
    info.type = kinds[entry.kind]
    info.linkname = f"./{entry.link}" if entry.kind == tree.SAME else entry.link
    # As text: a float would lose nanoseconds.
    info.pax_headers = {"mtime": f"{entry.mtime // 10**9}.{entry.mtime % 10**9:09d}"}
    return info


def make_erofs(
    archive: Path, superblock: bytes, target: Path, *, mkfs: Sequence[Argument] = MKFS
) -> None:
    """The image that has ``superblock``, from the files in ``archive``, which is removed."""
    format_erofs(archive, superblock, target, mkfs=mkfs)
    archive.unlink()
    with target.open("r+b") as sink:
        sink.seek(SUPER_AT)
        sink.write(superblock)


def format_erofs(
    archive: Path, superblock: bytes, target: Path, *, mkfs: Sequence[Argument]
) -> None:
    """mkfs.erofs as systemd-repart runs it, but from an archive, and with the UUID and the time in
    ``superblock``. The time goes by the environment, as in a build: as an option it would make
    short inodes for the files that have that very time.
    """
    time = struct.unpack_from("<Q", superblock, 24)[0]
    raw = superblock[48:64].hex()
    uuid = "-".join((raw[:8], raw[8:12], raw[12:16], raw[16:20], raw[20:]))
    argv = [*mkfs, "--quiet", "-U", uuid, "-zzstd", "--tar=f"]
    target.unlink(missing_ok=True)
    run([*argv, target, archive], timeout=MINUTES, env={"SOURCE_DATE_EPOCH": str(time)})


def efi(old: Path, delta: Path, target: Path, work: Path, *, limit: int) -> None:
    """Rebuild the new UKI as ``target`` from the ``old`` one."""
    _, patch = split(delta, work)
    patched(old, patch, target, limit=limit)
    patch.unlink()
