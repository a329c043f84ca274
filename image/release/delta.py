"""Deltas between two releases' parts, and the proof that the node will rebuild the same bytes."""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from goni_core.errors import GoniError
from goni_core.run import Argument, run
from goni_update import rebuild, tree
from goni_update.rebuild import Header
from goni_update.tree import Entry
from image.release.erofs import Erofs
from image.tools import in_tree

LEVEL = 19


@dataclass(frozen=True)
class Unpacked:
    """A /usr: its entries, its files' contents in a folder, and its superblock."""

    entries: tuple[Entry, ...]
    folder: Path
    superblock: bytes


@contextmanager
def unpacked(image: Path, work: Path) -> Iterator[Unpacked]:
    """Unpack an erofs below ``work`` for the time of the block."""
    folder = work / f"{image.name}.tree"
    opened = Erofs(image)
    try:
        opened.extract(folder)
        yield Unpacked(tuple(opened.entries()), folder, opened.superblock)
    finally:
        opened.close()
        shutil.rmtree(folder, ignore_errors=True)


def make(part: str, old: Path, new: Path, target: Path, work: Path) -> Path | None:
    """The delta of ``part`` in ``target``, once it was seen to rebuild the same bytes; None when
    there is no way to make one, and why is said on standard error.
    """
    again = work / f"{part}.again"
    try:
        if part == "usr":
            with unpacked(old, work) as before, unpacked(new, work) as after:
                usr(before, after, target, work)
                rebuilt_usr(before, target, again, work)
        else:
            efi(old, new, target, work)
            rebuild.efi(old, target, again, work, limit=new.stat().st_size)
        if _sum(again) != _sum(new):
            raise GoniError("it doesn't rebuild the same bytes", code="rebuild_failed")
    except GoniError as error:
        print(f"no delta of {part}: {error}", file=sys.stderr)
        return None
    finally:
        again.unlink(missing_ok=True)
    return target


def usr(old: Unpacked, new: Unpacked, target: Path, work: Path, *, level: int = LEVEL) -> None:
    """Write the delta from ``old`` to ``new``."""
    base = tuple(tree.visible(old.entries))
    before = {one.path: one for one in base if one.kind == tree.FILE and one.readable}
    known = {path: _sum(old.folder / path) for path in before}
    sums = {digest: path for path, digest in reversed(known.items())}
    fresh: list[str] = []
    uses: list[str] = []
    copies: dict[str, str] = {}
    for entry in new.entries:
        if entry.kind != tree.FILE:
            continue
        digest = _sum(new.folder / entry.path)
        if known.get(entry.path) == digest:
            continue
        if digest in sums:
            copies[entry.path] = sums[digest]
            continue
        fresh.append(entry.path)
        if entry.path in before:
            uses.append(entry.path)
    uses += _likely(fresh, before, uses)
    head = Header(new.superblock, tuple(fresh), tuple(uses), copies)
    old_blob, new_blob = work / "old.blob", work / "new.blob"
    rebuild.gather(old.folder, base, uses, old_blob)
    _gather_new(new, fresh, new_blob)
    _write(head.plain(), old_blob, new_blob, target, work, level)


def _likely(fresh: Sequence[str], before: dict[str, Entry], uses: Sequence[str]) -> list[str]:
    """Old files that new ones are probably made of: those with the same name elsewhere, and the
    ones whose names differ in digits only (libfoo.so.1.2.3, folders named for a kernel).
    """
    known, by_name = set(uses), {_shape(path): path for path in before}
    found = []
    for path in fresh:
        other = by_name.get(_shape(path))
        if path not in before and other and other not in known:
            known.add(other)
            found.append(other)
    return found


def _shape(path: str) -> str:
    return "".join("0" if letter.isdigit() else letter for letter in path)


def efi(old: Path, new: Path, target: Path, work: Path, *, level: int = LEVEL) -> None:
    """Write the delta between two UKIs."""
    _write(b"{}", old, new, target, work, level)


def _write(head: bytes, old: Path, new: Path, target: Path, work: Path, level: int) -> None:
    packed = run(["zstd", "-19", "-q", "-c"], input=head, timeout=600).stdout
    patch = work / "patch.zst"
    words: list[Argument] = [
        "zstd",
        f"-{level}",
        "-q",
        "-f",
        "--long=31",
        f"--patch-from={old}",
        new,
        "-o",
        patch,
    ]
    run(words, timeout=7200)
    rebuild.join(target, packed, patch)
    patch.unlink()


def _gather_new(new: Unpacked, fresh: Sequence[str], target: Path) -> None:
    with target.open("wb") as sink:
        sink.write(tree.packed(new.entries) + b"\n")
        for path in fresh:
            sink.write((new.folder / path).read_bytes())


def rebuilt_usr(old: Unpacked, delta: Path, target: Path, work: Path) -> None:
    """Rebuild as a node would, but from an unpacked image, which lacks owners and times: the list
    of files is the image's own.
    """
    packed, patch = rebuild.split(delta, work)
    head = rebuild.header(rebuild.unpack(packed, work))
    old_blob, new_blob, archive = work / "old.blob", work / "new.blob", work / "usr.tar"
    rebuild.gather(old.folder, tuple(tree.visible(old.entries)), head.uses, old_blob)
    rebuild.patched(old_blob, patch, new_blob, limit=8 << 30)
    rebuild.write_archive(old.folder, head, new_blob, archive)
    for used in (old_blob, new_blob, patch):
        used.unlink()
    rebuild.make_erofs(archive, head.superblock, target, mkfs=in_tree(["mkfs.erofs"]))


def _sum(path: Path) -> bytes:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").digest()
