"""What would differ between two builds of one commit, and is fixed here: times and identifiers.

Time stamps are those of the commit (reproducible-builds.org, SOURCE_DATE_EPOCH), partition and file
system identifiers follow from the image's name and version (mkosi(1), ``Seed=``). They tell builds
apart, not machines: what has to be a machine's own is made at its first boot.
"""

from __future__ import annotations

import os
import uuid

from goni_core.errors import GoniError
from goni_core.run import run

SPACE = uuid.UUID("5bd2a1ea-6a2c-4bd0-9f4f-2d1c5bd7f0a3")
"""Only tells our names from others' (RFC 9562, section 5.5)."""


def options(name: str, *paths: str) -> list[str]:
    """mkosi's words for the output ``name``; its time is that of the last commit that changed
    ``paths``, or of the last commit of all, unless SOURCE_DATE_EPOCH says another. Outside of a git
    checkout mkosi takes the present.
    """
    words = [f"--seed={uuid.uuid5(SPACE, name)}"]
    told = os.environ.get("SOURCE_DATE_EPOCH", "") if not paths else ""
    when = int(told) if told.isdigit() else commit_time(*paths)
    return [*words, f"--source-date-epoch={when}"] if when else words


def commit_time(*paths: str) -> int | None:
    """Seconds since 1970 of the last commit that changed ``paths``; None without git's history."""
    try:
        done = run(["git", "log", "-1", "--format=%ct", "--", *paths], timeout=60, check=False)
    except GoniError:
        return None
    text = done.text.strip()
    return int(text) if done.returncode == 0 and text.isdigit() else None
