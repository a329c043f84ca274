"""Where our own readers come from: a process that has loaded all that they need, never looks at a
document, and forks one that does for each; it costs milliseconds where a new Python takes tenths
of a second. The fork confines itself (``confine``) before it reads, and is gone afterwards.

Run as ``python -m goni_rag.nursery`` with a socket as standard input. For each request, a kind and
limits with three descriptors (document, output, errors), it answers the fork's id, then its exit
status. One after the other; :class:`Nursery` is our side of it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import pkgutil
import signal
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

from goni_core import run
from goni_core.errors import GoniError, Unavailable
from goni_rag import confine, readers
from goni_rag.confine import Limits

LONGEST = 256
"""Bytes of a message."""
BORN_SECONDS = 120.0
"""For the process to load everything and answer its first request."""


class Nursery:
    """One such process and our end of its socket; for one thread at a time."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process: run.Process = run.beside(argv, theirs, env=env)

    def read(
        self, kind: str, limits: Limits, files: Sequence[IO[bytes]], timeout: float
    ) -> int | None:
        """The exit status of a reader of ``kind`` with ``files`` as its document, output and
        errors; None when it took longer than ``timeout`` seconds and was killed. Raises
        :class:`Unavailable` when the process is gone.
        """
        try:
            self._socket.settimeout(BORN_SECONDS)
            words = f"{kind} {limits.words()}".encode()
            socket.send_fds(self._socket, [words], [file.fileno() for file in files])
            child = self._number()
            self._socket.settimeout(timeout)
            try:
                return self._number()
            except TimeoutError:
                os.kill(child, signal.SIGKILL)
                self._socket.settimeout(BORN_SECONDS)
                self._number()
                return None
        except (OSError, ValueError) as error:
            raise Unavailable("the readers' process has ended") from error

    def _number(self) -> int:
        return int(self._socket.recv(LONGEST))

    def end(self) -> None:
        """Kill it; a fork of it dies with it."""
        self.process.kill()
        self.process.wait()
        self._socket.close()


class Nurseries:
    """As many of them as are used at the same time."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = argv
        self._idle: list[Nursery] = []
        self._all: set[Nursery] = set()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def one(self, env: Mapping[str, str]) -> Iterator[Nursery]:
        """One for the length of the block; kept for the next if all went well."""
        with self._lock:
            found = self._idle.pop() if self._idle else None
        if found and found.process.poll() is not None:
            self._drop(found)
            found = None
        if found is None:
            found = Nursery(self._argv, env)
            with self._lock:
                self._all.add(found)
        try:
            yield found
        except BaseException:
            self._drop(found)
            raise
        with self._lock:
            self._idle.append(found)

    def _drop(self, one: Nursery) -> None:
        with self._lock:
            self._all.discard(one)
        one.end()

    def end(self) -> None:
        """Kill all of them."""
        with self._lock:
            doomed, self._all, self._idle = self._all, set(), []
        for one in doomed:
            one.process.kill()
            one.process.wait()


def main() -> None:
    """Serve standard input until its other end is closed."""
    from goni_rag import reader  # noqa: PLC0415 - only in that process

    reader.prepare()
    for module in pkgutil.iter_modules(readers.__path__):
        importlib.import_module(f"goni_rag.readers.{module.name}")
    gc.freeze()
    ours = socket.socket(fileno=os.dup(0))
    while True:
        words, handles, _flags, _address = socket.recv_fds(ours, LONGEST, 3)
        if not words:
            return
        kind, limits = words.decode().split()

        def task(kind: str = kind, limits: str = limits, handles: list[int] = handles) -> None:
            for number, handle in enumerate(handles):
                os.dup2(handle, number)
            os.closerange(3, 64)
            try:
                confine.enter(Limits.from_words(limits))
            except (GoniError, OSError) as error:
                os.write(2, str(error).encode())
                os._exit(confine.NOT_CONFINED)
            reader.main(kind)

        child = run.fork(task)
        for handle in handles:
            os.close(handle)
        ours.send(b"%d" % child)
        ours.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


if __name__ == "__main__":
    main()
