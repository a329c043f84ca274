"""Follows the folders: which documents may have changed, from the kernel's events.

It only ever says where to look (``Changed``), never what is there: whoever looks compares the file
itself with the index, so that an event too many costs nothing. Events that the kernel had to drop,
and folders that it can't watch, are reported, and a full check finds what they would have said.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable
from pathlib import Path

from goni_rag import folders, inotify
from goni_rag.folders import Key
from goni_rag.inotify import Event, Inotify

log = logging.getLogger(__name__)

Changed = Callable[[Key, bool], None]
"""Called with a file or folder that came, went or changed, and whether nobody writes to it any
more as far as the kernel knows.
"""


class Watch:
    """The folders below ``root`` that were :meth:`cover`-ed. ``blind`` says that some couldn't be.

    ``lost`` is called when events were dropped.
    """

    def __init__(self, root: Path, changed: Changed, lost: Callable[[], None]) -> None:
        self.blind = False
        self._root = root
        self._changed = changed
        self._lost = lost
        self._inotify = Inotify()
        self._folders: dict[int, Path] = {}

    def start(self) -> None:
        """Hand on events from now on; on the event loop."""
        asyncio.get_running_loop().add_reader(self._inotify.fd, self._read)
        self.cover(self._root)

    def stop(self) -> None:
        asyncio.get_running_loop().remove_reader(self._inotify.fd)
        self._inotify.close()

    def cover(self, folder: Path) -> None:
        """Watch ``folder``; from any thread. What is in it already has to be looked at after that,
        or what came just before would be missed.
        """
        try:
            self._folders[self._inotify.add(folder)] = folder
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.ENOMEM):
                return  # gone again, or no folder
            if not self.blind:
                log.warning("too many folders to watch all of them")
            self.blind = True

    @property
    def covered(self) -> int:
        """How many folders are watched."""
        return len(self._folders)

    def _read(self) -> None:
        for event in self._inotify.read():
            self._handle(event)

    def _handle(self, event: Event) -> None:
        if event.mask & inotify.OVERFLOW:
            self._lost()
            return
        folder = self._folders.get(event.watch)
        if event.mask & inotify.IGNORED:
            self._folders.pop(event.watch, None)
            return
        if folder is None or event.name.startswith("."):
            return
        path = folder / event.name
        if event.is_folder:
            self._folder_event(event, path)
        if folder == self._root and not folders.OWNER.fullmatch(event.name):
            return
        writing = event.mask & inotify.CREATE and not event.is_folder
        self._changed(folders.key_of(self._root, path), not writing)

    def _folder_event(self, event: Event, path: Path) -> None:
        if event.mask & inotify.MOVED_FROM:
            # Its watches know it, and all below it, by a path that is no longer theirs.
            for watch, folder in list(self._folders.items()):
                if folder == path or path in folder.parents:
                    del self._folders[watch]
                    self._inotify.remove(watch)
        elif event.mask & (inotify.CREATE | inotify.MOVED_TO):
            self.cover(path)
