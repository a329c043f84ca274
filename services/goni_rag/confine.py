"""The inside of the sandbox: a process gives up all that reading one document doesn't need, for
good, before the first byte of it is looked at.

    limits -> no new privileges, no capabilities -> Landlock -> seccomp -> reading

What is left: the document as standard input, standard output and error (files whose size is
limited), and reading what belongs to the system and to Goni's code. Our own readers are forked
(``nursery``) and go on; ``python -m goni_rag.confine LIMITS PROGRAM ...`` becomes a tool such as
poppler's. The other side is ``sandbox``.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from goni_core import run
from goni_core.errors import GoniError
from goni_rag import landlock, seccomp

SYSTEM = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/fonts", "/var/cache/fontconfig")
DEVICES = ("/dev/null", "/dev/urandom")
LOADERS = ("/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1")
"""What the kernel executes on behalf of a dynamically linked program."""
PR_SET_NO_NEW_PRIVS = 38
PR_SET_PDEATHSIG = 1
CAPABILITY_VERSION_3 = 0x20080522
NOT_CONFINED = 120
"""Exit status when it could not be done, so nothing was read."""


@dataclass(frozen=True)
class Limits:
    """What a confined process may use: CPU seconds; bytes of address space; bytes that it writes to
    each output; open files. Processes are always one.
    """

    cpu_s: int = 60
    memory: int = 1 << 30
    output: int = 64 << 20
    files: int = 64

    def words(self) -> str:
        """The limits as one argument."""
        return f"{self.cpu_s},{self.memory},{self.output},{self.files}"

    @staticmethod
    def from_words(words: str) -> Limits:
        return Limits(*(int(number) for number in words.split(",")))

    def apply(self) -> None:
        for which, most in (
            (resource.RLIMIT_CPU, self.cpu_s),
            (resource.RLIMIT_AS, self.memory),
            (resource.RLIMIT_FSIZE, self.output),
            (resource.RLIMIT_NOFILE, self.files),
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_MEMLOCK, 0),
            (resource.RLIMIT_MSGQUEUE, 0),
        ):
            resource.setrlimit(which, (most, most))


def enter(limits: Limits, program: Path | None = None) -> None:
    """Confine this process, leaving it the right to become ``program`` if one is given.

    Raises OSError or ``GoniError`` when any part of it can't be had.
    """
    limits.apply()
    # Python ignores it; the file size limit is meant to end us.
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    libc = ctypes.CDLL(None, use_errno=True)
    _checked(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    _checked(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _drop_capabilities(libc)
    executable = [program, *map(Path, LOADERS)] if program else []
    landlock.restrict(_readable(), executable, 0)
    seccomp.restrict(execute=program is not None)


def _readable() -> Iterator[Path]:
    yield from map(Path, (*SYSTEM, *DEVICES))
    yield from map(Path, {sys.prefix, sys.base_prefix, *sys.path} - {""})


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    """Root, too, reads no file of somebody else's; with no_new_privs nothing brings them back."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    _checked(libc.capset(header, (ctypes.c_uint32 * 6)()))


def _checked(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def main() -> None:
    """The command that ``sandbox`` starts for a tool."""
    limits, program, *rest = sys.argv[1:]
    try:
        enter(Limits.from_words(limits), Path(program))
    except (GoniError, OSError) as error:
        print(error, file=sys.stderr)
        sys.exit(NOT_CONFINED)
    run.become([program, *rest])


if __name__ == "__main__":
    main()
