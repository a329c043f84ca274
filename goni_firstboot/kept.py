"""What root's units take from the wizard: small files in its state that they watch for.

The wizard has no rights; ``goni-hostname.service`` and ``goni-time-zone.service`` do what these
files say, and check it again.
"""

from __future__ import annotations

import logging
from pathlib import Path

from goni_core import files, paths
from goni_core.preseed import LABEL

log = logging.getLogger(__name__)


def keep_name(name: str) -> None:
    """Leave ``name`` where the unit that sets the hostname finds it."""
    if not LABEL.fullmatch(name):
        log.warning("the node's name can't be a hostname")
        return
    _keep("hostname", name)


def keep_zone(zone: str) -> None:
    """Leave ``zone`` where the unit that sets the time zone finds it."""
    _keep("time-zone", zone)


def _keep(file: str, words: str) -> None:
    """A full disk or a lost one must not keep anybody from setting the node up."""
    try:
        path = _folder() / file
        if not path.exists() or path.read_text() != f"{words}\n":
            files.write(path, f"{words}\n".encode(), mode=0o644)
    except OSError as error:
        log.warning("the %s can't be kept: %s", file, error.strerror)


def _folder() -> Path:
    folder = paths.state_dir("firstboot")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
