"""Deltas between two releases' parts, and the proof that the node will rebuild the same bytes.

For /usr: what each 4 KiB block of the new image is found in. Blocks that are neither in the old
image nor in one made of the changed files are sent.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from goni_core.errors import GoniError
from goni_core.run import Argument, run
from goni_update import rebuild
from goni_update.rebuild import BLOCK, MADE, OLD, SENT, Header, Move, Run
from image.release import erofs
from image.release.erofs import Entry, Erofs
from image.tools import in_tree

LEVEL = 19
LOOK = 100
"""Equal blocks of which one is chosen."""
Place = tuple[int, int]
"""A source and a block in it."""


@dataclass(frozen=True)
class Unpacked:
    """A /usr: its image, its entries, and its files' contents in a folder."""

    image: Path
    entries: tuple[Entry, ...]
    folder: Path


@contextmanager
def unpacked(image: Path, work: Path) -> Iterator[Unpacked]:
    """Unpack an erofs below ``work`` for the time of the block."""
    folder = work / f"{image.name}.tree"
    opened = Erofs(image)
    try:
        opened.extract(folder)
        yield Unpacked(image, tuple(opened.entries()), folder)
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
                rebuilt_usr(before, target, again, work, limit=new.stat().st_size)
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
    fresh, uses = _changed(old, new)
    sizes = tuple((new.folder / path).stat().st_size for path in fresh)
    base, given, made = work / "base", work / "given", work / "made.erofs"
    _join_files([new.folder / path for path in fresh], given)
    rebuild.make_erofs(given, Header((), (), 0, sizes, ()), made, work, mkfs=_mkfs())
    places, sent = _places(old.image, made, new.image)
    head = Header(_unused(old.image, places), uses, len(sent), sizes, _moves(places))
    _prepend(sent, given)
    with old.image.open("rb") as image:
        rebuild.gather(image.fileno(), old.folder, head, base)
    _write(head.plain(), base, given, target, work, level)
    for path in (base, given, made):
        path.unlink()


def _changed(old: Unpacked, new: Unpacked) -> tuple[list[str], tuple[str, ...]]:
    """The new image's files whose content isn't in the old one, and the old files that they are
    probably made of.
    """
    before = {one.path for one in erofs.visible(old.entries) if one.kind == erofs.FILE}
    known = {_sum(old.folder / one.path) for one in old.entries if one.kind == erofs.FILE}
    files = [one.path for one in new.entries if one.kind == erofs.FILE and one.size]
    fresh = [path for path in files if _sum(new.folder / path) not in known]
    uses = [path for path in fresh if path in before]
    return fresh, (*uses, *_likely(fresh, before, uses))


def _likely(fresh: Sequence[str], before: set[str], uses: Sequence[str]) -> list[str]:
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


def _places(old: Path, made: Path, new: Path) -> tuple[list[Place], list[bytes]]:
    """Where each of the new image's blocks is found, and those that have to be sent. Among equal
    blocks the one after the last one found is taken, which makes long runs.
    """
    known: dict[bytes, list[Place]] = {}
    for source, path in ((OLD, old), (MADE, made)):
        for number, block in enumerate(_blocks(path)):
            known.setdefault(_digest(block), []).append((source, number))
    places: list[Place] = []
    sent: list[bytes] = []
    for block in _blocks(new):
        found = known.get(_digest(block), [])[:LOOK]
        if not found:
            found = [(SENT, len(sent))]
            sent.append(block)
        following = (places[-1][0], places[-1][1] + 1) if places else found[0]
        places.append(following if following in found else found[0])
    return places, sent


def _digest(block: bytes) -> bytes:
    return hashlib.blake2b(block, digest_size=16).digest()


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as source:
        while block := source.read(BLOCK):
            yield block


def _moves(places: Sequence[Place]) -> tuple[Move, ...]:
    moves: list[Move] = []
    for source, number in places:
        last = moves[-1] if moves else None
        if last and (last.source, last.run.start + last.run.count) == (source, number):
            moves[-1] = Move(source, Run(last.run.start, last.run.count + 1))
        else:
            moves.append(Move(source, Run(number, 1)))
    return tuple(moves)


def _unused(old: Path, places: Sequence[Place]) -> tuple[Run, ...]:
    """The old image's blocks that are in the new one no more: what sent ones resemble."""
    used = {number for source, number in places if source == OLD}
    gone = [(OLD, one) for one in range(old.stat().st_size // BLOCK) if one not in used]
    return tuple(move.run for move in _moves(gone))


def _prepend(blocks: Sequence[bytes], path: Path) -> None:
    whole = path.with_suffix(".whole")
    with whole.open("wb") as sink, path.open("rb") as source:
        sink.writelines(blocks)
        shutil.copyfileobj(source, sink)
    whole.replace(path)


def _join_files(sources: Sequence[Path], target: Path) -> None:
    with target.open("wb") as sink:
        for path in sources:
            sink.write(path.read_bytes())


def efi(old: Path, new: Path, target: Path, work: Path, *, level: int = LEVEL) -> None:
    """Write the delta between two UKIs."""
    _write(b"{}", old, new, target, work, level)


def _write(head: bytes, old: Path, new: Path, target: Path, work: Path, level: int) -> None:
    packed = run(["zstd", "-19", "-q", "-c"], input=head, timeout=600).stdout
    patch = work / "patch.zst"
    words: list[Argument] = ["zstd", f"-{level}", "-q", "-f", "--long=31", f"--patch-from={old}"]
    run([*words, new, "-o", patch], timeout=7200)
    rebuild.join(target, packed, patch)
    patch.unlink()


def rebuilt_usr(old: Unpacked, delta: Path, target: Path, work: Path, *, limit: int) -> None:
    """Rebuild as a node would, whose mkfs.erofs is part of its image."""
    image = os.open(old.image, os.O_RDONLY)
    try:
        rebuild.usr(image, old.folder, delta, target, work, limit=limit, mkfs=_mkfs())
    finally:
        os.close(image)


def _mkfs() -> tuple[str, ...]:
    return tuple(in_tree(["mkfs.erofs"]))


def _sum(path: Path) -> bytes:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").digest()
