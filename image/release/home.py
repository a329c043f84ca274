"""Where the keys live together with the root that they began with: ``keys/update`` for development.

``root.json`` there is the newest root, which ``make image`` puts into /usr.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from goni_core import files
from goni_core.errors import Conflict, GoniError, NotFound
from goni_update import trust
from image.release import repository, signing
from image.release.repository import Repository
from image.release.signing import DEVELOPMENT


def make(folder: Path, *, development: bool, now: datetime | None = None) -> Path:
    """A new set of keys with its first root; returns the root's path."""
    if (folder / "root.json").exists():
        raise Conflict(f"{folder} holds keys already")
    publics = signing.make_all(folder, development=development)
    first = repository.first_root(
        publics, signing.load([folder]), development=development, now=now or datetime.now(UTC)
    )
    files.write(folder / "root.json", first, mode=0o644)
    return folder / "root.json"


def development_root(folder: Path = DEVELOPMENT) -> Path:
    """The development root, made with its keys if they aren't there yet."""
    root = folder / "root.json"
    if not root.exists():
        print("keys: making development keys for updates", file=sys.stderr)
        make(folder, development=True)
    return root


def open_repository(
    folder: Path, key_folders: list[Path], *, now: datetime | None = None
) -> Repository:
    """The repository in ``folder``, made with the first of ``key_folders`` if there is none yet
    (with development keys when none are named).
    """
    if not key_folders:
        development_root()
        key_folders = [DEVELOPMENT]
    keys = signing.load(key_folders)
    if list((folder / "metadata").glob("*.root.json")):
        return Repository(folder, keys, now=now)
    first = next(
        (home / "root.json" for home in key_folders if (home / "root.json").exists()), None
    )
    if first is None:
        raise NotFound("no folder of keys holds a root.json", hint="python -m image.release keys")
    publics = signing.publics(first.parent)
    return Repository.create(folder, first.read_bytes(), publics, keys, now=now)


def rotate(
    folder: Path, key_folders: list[Path], name: str, *, now: datetime | None = None
) -> Repository:
    """Give ``name`` a new key, kept in the first of ``key_folders``."""
    opened = open_repository(folder, key_folders, now=now)
    folders = key_folders or [DEVELOPMENT]
    if name not in signing.NAMES:
        raise GoniError(f"there is no key called {name}", hint=", ".join(signing.NAMES))
    fresh = signing.make(folders[0], name, development=opened.development)
    opened.rotate(name, fresh, signing.load(folders))
    for home in folders:
        if (home / signing.PUBLICS).exists():
            signing.keep_publics(home, {**signing.publics(home), name: fresh})
            newest = folder / f"metadata/{opened.root.signed.version}.root.json"
            files.write(home / "root.json", newest.read_bytes(), mode=0o644)
    return opened


def refuse_development(root: Path) -> None:
    """Raise :class:`GoniError` if ``root`` belongs to development keys."""
    if trust.read_root(root).unrecognized_fields.get(trust.DEVELOPMENT):
        raise GoniError(
            "a release can't trust development keys for its updates",
            hint="name a production root with update_root in the keys' file; see image/keys.py",
        )
