"""Bytes from other nodes of the household, before the line out of the house is used.

A node's mirror is a repository of plain files, so another node is a :class:`Source` like any other;
how its files come (the mesh's channel) is behind :class:`Peers`. Only what says what is newest
comes from outside as long as that answers. A file's name holds its hash: what a peer sends is
compared with that at once. Metadata of a peer that lies doesn't verify, and is asked for outside
then. So a lie costs some time inside of the house and nothing else.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from goni_core.errors import GoniError, NotFound, Unavailable
from goni_update.source import Progress, Source

FRESH = ("timestamp.json", ".root.json")
"""How the names of the files end that say what is newest."""
log = logging.getLogger(__name__)


class Peers(Protocol):
    """The household's other nodes."""

    def sources(self) -> Sequence[Source]:
        """One for each node that answers now."""


class Nobody:
    """A node that is alone."""

    def sources(self) -> Sequence[Source]:
        return ()


class Nearest:
    """Files from ``peers`` where they have them, and from ``outside`` where not."""

    def __init__(self, outside: Source, peers: Peers) -> None:
        self.name = outside.name
        self._outside = outside
        self._peers = peers

    def small(self, path: str, limit: int) -> bytes:
        if path.endswith(FRESH):
            return self._fresh(path, limit)
        try:
            found = self._from_peers(path, limit)
        except NotFound:
            found = None
        return self._outside.small(path, limit) if found is None else found

    def _fresh(self, path: str, limit: int) -> bytes:
        try:
            return self._outside.small(path, limit)
        except Unavailable:
            found = self._from_peers(path, limit)
            if found is None:
                raise
            return found

    def _from_peers(self, path: str, limit: int) -> bytes | None:
        """What a peer has as ``path``; :class:`NotFound` when those that answer have no such
        thing, None when none answers.
        """
        missing: NotFound | None = None
        for peer in self._peers.sources():
            try:
                return peer.small(path, limit)
            except NotFound as error:
                missing = error
            except GoniError as error:
                log.info("%s doesn't send %s: %s", peer.name, path, error)
        if missing is not None:
            raise missing
        return None

    def into(self, path: str, target: Path, length: int, progress: Progress) -> None:
        for peer in self._peers.sources():
            try:
                peer.into(path, target, length, progress)
            except GoniError as error:
                # What came is a beginning that the next source goes on from.
                log.info("%s doesn't send %s: %s", peer.name, path, error)
                continue
            if _is_named(path, target):
                return
            log.warning("%s sent another file as %s", peer.name, path)
            progress(-_size(target))
            os.truncate(target, 0)
        self._outside.into(path, target, length, progress)


def _is_named(path: str, target: Path) -> bool:
    """Whether ``target`` has the SHA-256 that the name of ``path`` begins with."""
    with target.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
    return path.rpartition("/")[2].startswith(f"{digest}.")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
