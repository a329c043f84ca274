"""What people do with their folders: make, move, copy and delete files and folders.

Each is done on the disk first, whole or not at all, and in the index right after; what a power cut
leaves in between, the next comparison finds.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from goni_core import files
from goni_core.contract import Entry
from goni_core.errors import BadInput, Conflict, NotFound
from goni_rag import browse, folders, ledger
from goni_rag.folders import Key
from goni_rag.library import Library


async def make_folder(library: Library, key: Key) -> Entry:
    """A new folder; :class:`Conflict` when something has its name, or nothing is above it."""
    return await asyncio.to_thread(_make_folder, library.root, key)


def _make_folder(root: Path, key: Key) -> Entry:
    path = folders.place(root, *key)
    _check_above(root, key)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        raise _taken() from None
    files.sync_folder(path.parent)
    return browse.found(root, key)


async def remove(library: Library, key: Key) -> None:
    """Delete the file or folder and everything made from it; "" empties the owner's folder."""
    async with library.lock(key):
        await asyncio.to_thread(browse.found, library.root, key)
        rubbish = library.spare()
        await asyncio.to_thread(_set_aside, folders.place(library.root, *key), rubbish)
        await _forget(library, key)
    await asyncio.to_thread(_burn, rubbish)


async def remove_owner(library: Library, owner: str) -> int:
    """Delete all that ``owner`` has; how many documents that were."""
    key = (folders.owner_id(owner), "")
    if owner == folders.SHARED:
        raise BadInput("the shared folder is everybody's", code="bad_owner")
    count = await library.connections.read(ledger.count, owner)
    if await asyncio.to_thread(folders.is_folder, folders.place(library.root, *key)):
        await remove(library, key)
    await _forget(library, key)
    return count


async def move(library: Library, key: Key, to: Key, *, replace: bool) -> Entry:
    """Give a file or folder another name, folder or owner. Nothing is read again."""
    rubbish = library.spare()
    async with library.lock(key):
        await asyncio.to_thread(_move, library.root, key, to, replace, rubbish)
        await library.connections.write(ledger.move_all, key, to)
    await asyncio.to_thread(_burn, rubbish)
    return await asyncio.to_thread(browse.found, library.root, to)


async def copy(library: Library, key: Key, to: Key, *, replace: bool) -> Entry:
    """The same file or folder once more."""
    rubbish, new = library.spare(), library.spare()
    try:
        await asyncio.to_thread(_copy, library.root, key, to, replace, new, rubbish)
    finally:
        await asyncio.to_thread(_burn, new)
        await asyncio.to_thread(_burn, rubbish)
    return await asyncio.to_thread(browse.found, library.root, to)


def _move(root: Path, key: Key, to: Key, replace: bool, rubbish: Path) -> None:
    _check_target(root, key, to, replace, rubbish)
    source, target = folders.place(root, *key), folders.place(root, *to)
    source.rename(target)
    files.sync_folder(target.parent)
    files.sync_folder(source.parent)


def _copy(root: Path, key: Key, to: Key, replace: bool, new: Path, rubbish: Path) -> None:
    source, target = folders.place(root, *key), folders.place(root, *to)
    whole = sum(file.bytes for batch in folders.walk(root, key) for file in batch.values())
    files.check_room(root, whole)
    if folders.is_folder(source):
        shutil.copytree(source, new, symlinks=True, ignore=_links, copy_function=shutil.copyfile)
    elif folders.look(source):
        shutil.copyfile(source, new, follow_symlinks=False)
        folders.sync(new)
    _check_target(root, key, to, replace, rubbish)
    new.rename(target)
    files.sync_folder(target.parent)


def _links(folder: str, names: list[str]) -> list[str]:
    """What copying leaves out."""
    here = Path(folder)
    kept = {name for name in names if folders.is_folder(here / name) or folders.look(here / name)}
    return [name for name in names if name not in kept]


def _check_target(root: Path, key: Key, to: Key, replace: bool, rubbish: Path) -> None:
    """Make room for what comes to ``to``, or say why it can't come."""
    browse.found(root, key)
    if not key[1] or not to[1]:
        raise BadInput("a person's whole folder stays where it is", code="bad_name")
    inside = f"{to[1]}/".startswith(f"{key[1]}/") or f"{key[1]}/".startswith(f"{to[1]}/")
    if key[0] == to[0] and inside:
        raise Conflict("it can't go into or over itself", code="exists")
    _check_above(root, to)
    target = folders.place(root, *to)
    if target.is_symlink() or target.exists():
        if not replace:
            raise _taken()
        _set_aside(target, rubbish)


def _check_above(root: Path, key: Key) -> None:
    path = folders.place(root, *key)
    folders.folder(root, key[0])
    if not folders.straight(root, key) or not folders.is_folder(path.parent):
        raise Conflict("the folder that it should be in isn't there", code="no_folder")


def _set_aside(path: Path, rubbish: Path) -> None:
    try:
        path.rename(rubbish)
    except FileNotFoundError:
        raise NotFound("there is no such file or folder") from None
    files.sync_folder(path.parent)


def _burn(path: Path) -> None:
    if folders.is_folder(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


async def _forget(library: Library, key: Key) -> None:
    while keys := await library.connections.read(ledger.below, key, "", folders.BATCH):
        await library.connections.write(ledger.forget, keys)


def _taken() -> Conflict:
    return Conflict("something has that name already", hint="choose another", code="exists")
