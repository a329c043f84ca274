"""The outside of the sandbox: every look at a document's inside is a process of its own, which is
started for it, can do nothing else (``confine``) and is gone afterwards.

A process gets the document as its standard input and writes to a file that ends at a size limit;
it can't start another, so its own limits are the limits of all that happens. What comes back is
somebody else's data.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import IO

from goni_core import files, run
from goni_core.errors import GoniError, Unavailable
from goni_rag.confine import NOT_CONFINED, Limits
from goni_rag.nursery import Nurseries

WORKPLACE = Path("/var/tmp")  # noqa: S108 - unnamed files only; on a disk, unlike /tmp
CODE = Path(__file__).parents[1]
PACKAGES = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
DOCUMENT = "/proc/self/fd/0"
"""How a confined tool opens its document by name."""
ALONE = ("-P", "-S", "-m")
"""Python without what installations add to its start: it would take as long as most documents."""
TRUE = "/usr/bin/true"
WALL_FACTOR = 3
"""Seconds on the clock for each CPU second: others may be using the machine."""
SAID = 4000
"""Characters of a tool's error output that are looked at."""


class End(Enum):
    """How a confined process ended."""

    WELL = "well"
    FAILED = "failed"
    TIME = "time"
    OUTPUT = "output"


SIGNALS = {
    signal.SIGXCPU: End.TIME,
    signal.SIGKILL: End.TIME,  # the hard CPU limit
    signal.SIGXFSZ: End.OUTPUT,
}


@dataclass(frozen=True)
class Outcome:
    """What became of a confined process: how it ended, what it wrote (from the start), and what it
    said on standard error.
    """

    end: End
    output: IO[bytes]
    said: str = ""


@contextmanager
def reader(kind: str, document: IO[bytes], limits: Limits) -> Iterator[Outcome]:
    """Our own reader for ``kind`` (``reader``) let loose on ``document``."""
    with _prepared(document, limits) as output, tempfile.TemporaryFile() as errors:
        with _nurseries.one(_environment()) as nursery:
            status = nursery.read(
                kind, limits, (document, output, errors), limits.cpu_s * WALL_FACTOR
            )
        errors.seek(0)
        yield _outcome(status, output, errors.read(SAID))


@contextmanager
def tool(argv: Sequence[str], document: IO[bytes], limits: Limits) -> Iterator[Outcome]:
    """A program let loose on ``document``, which it finds on standard input and as
    :data:`DOCUMENT`. Raises :class:`GoniError` when it isn't installed.
    """
    program = shutil.which(argv[0])
    if program is None:
        raise run.missing(argv[0])
    with _confined([str(Path(program).resolve()), *argv[1:]], document, limits) as outcome:
        yield outcome


def stop() -> None:
    """End all confined processes for good, and let whoever waits for them fail: the service ends,
    and a document that takes minutes must not hold it up.
    """
    _stopped.set()
    run.end_filters()
    _nurseries.end()


_stopped = threading.Event()


@contextmanager
def _confined(words: Sequence[str], document: IO[bytes], limits: Limits) -> Iterator[Outcome]:
    argv = [sys.executable, *ALONE, "goni_rag.confine", limits.words(), *words]
    wall = limits.cpu_s * WALL_FACTOR
    with _prepared(document, limits) as output:
        status, said = None, b""
        try:
            done = run.through(argv, document, output, timeout=wall, env=_environment())
            status, said = done.returncode, done.stderr
        except GoniError as error:
            if error.code != "timeout":
                raise
        yield _outcome(status, output, said)


@contextmanager
def _prepared(document: IO[bytes], limits: Limits) -> Iterator[IO[bytes]]:
    """A file for what is written, when there is room for it; ``document`` at its beginning."""
    files.check_room(WORKPLACE, limits.output)
    document.flush()
    os.lseek(document.fileno(), 0, os.SEEK_SET)
    with tempfile.TemporaryFile(dir=WORKPLACE) as output:
        yield output


def _outcome(status: int | None, output: IO[bytes], said: bytes) -> Outcome:
    """What an exit status means; None is for one that was killed for its time."""
    if _stopped.is_set():
        raise Unavailable("the service is stopping")
    if status == NOT_CONFINED:
        check()
    output.seek(0)
    words = said.decode("utf-8", errors="replace")[:SAID]
    return Outcome(End.TIME if status is None else _end(status), output, words)


@functools.cache
def check() -> None:
    """Make sure that processes can be confined here; raises :class:`GoniError` with the reason.

    Asked when a process says that it wasn't, which one that reads a hostile document may say too.
    """
    words = [sys.executable, *ALONE, "goni_rag.confine", Limits().words(), TRUE]
    with Path(os.devnull).open("rb") as nothing, tempfile.TemporaryFile() as output:
        done = run.through(words, nothing, output, timeout=60, env=_environment())
    if done.returncode != 0:
        reason = done.stderr.decode("utf-8", errors="replace").strip()[-SAID:]
        raise GoniError(f"documents can't be read safely here: {reason}", code="no_sandbox")


def _environment() -> dict[str, str]:
    """Nothing of ours: a name in there could be personal, a path a hint."""
    return {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join([str(CODE), *PACKAGES]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_THREAD_LIMIT": "1",
    }


_nurseries = Nurseries([sys.executable, *ALONE, "goni_rag.nursery"])
atexit.register(_nurseries.end)


def _end(status: int) -> End:
    if status == 0:
        return End.WELL
    return SIGNALS.get(signal.Signals(-status), End.FAILED) if status < 0 else End.FAILED
