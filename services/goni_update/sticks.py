"""Folders of releases on sticks that are plugged in.

The system mounts a stick read-only and without links in a folder of its own (71-goni-stick.rules).
A release folder is at its top or one folder further down. What is in it is worth nothing until
``trust`` has looked at it.
"""

from __future__ import annotations

import os
from pathlib import Path

MOUNTED = Path("/run/goni/sticks")
STICKS, FOLDERS = 16, 200
"""Looked at at most: sticks, and folders on each."""


def found(mounted: Path = MOUNTED) -> tuple[Path, ...]:
    """The release folders on all sticks."""
    sticks = _folders(mounted)[:STICKS]
    places = [place for stick in sticks for place in (stick, *_folders(stick)[:FOLDERS])]
    return tuple(place for place in places if _is_release(place))


def label(folder: Path, mounted: Path = MOUNTED) -> str:
    """The name of the stick that ``folder`` is on: mounts are named ``{device}:{label}``."""
    name = folder.relative_to(mounted).parts[0]
    return name.partition(":")[2] or name


def _folders(place: Path) -> list[Path]:
    try:
        with os.scandir(place) as entries:
            inside = sorted(one.name for one in entries if one.is_dir(follow_symlinks=False))
    except OSError:
        return []
    return [place / name for name in inside if not name.startswith(".")]


def _is_release(place: Path) -> bool:
    return (place / "metadata/timestamp.json").is_file() and (place / "targets").is_dir()
