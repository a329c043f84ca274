"""Looking at a folder of releases without changing anything: ``goni-update verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tuf.api.exceptions import LengthOrHashMismatchError

from goni_core.errors import GoniError, NotFound
from goni_update import catalog, trust
from goni_update.source import Folder
from goni_update.trust import Trust

VARIANTS = ("reference", "minimal")


def folder(place: Path, root: Path, work: Path) -> dict[str, Any]:
    """What the repository in ``place`` holds, by the keys in ``root``, and every problem with it;
    ``work`` is an empty folder. Raises :class:`GoniError` when it can't be believed at all.
    """
    trusted = Trust(work / "tuf", root, Folder(place), now=trust.now())
    trusted.refresh()
    problems: list[str] = []
    releases: list[str] = []
    count = 0
    for channel in catalog.CHANNELS:
        for variant in VARIANTS:
            try:
                listed = trusted.catalog(channel, variant)
            except NotFound:
                continue
            for release in listed.releases:
                releases.append(f"{channel} {variant} {release.version}")
                targets = [part.target for part in release.parts]
                for target in [*targets, *(delta.target for delta in release.deltas)]:
                    count += 1
                    problems += _problem(trusted, place, target)
    return {
        "development": trusted.development,
        "releases": releases,
        "files": count,
        "problems": problems,
    }


def _problem(trusted: Trust, place: Path, target: str) -> list[str]:
    try:
        found = trusted.target(target)
        with (place / trusted.place(found)).open("rb") as source:
            found.verify_length_and_hashes(source)
    except OSError as error:
        return [f"{target}: {error.strerror}"]
    except (GoniError, LengthOrHashMismatchError) as error:
        return [f"{target}: {error}"]
    return []
