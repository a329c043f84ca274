"""The one door for starting processes.

Arguments are always a list and never a shell's; output is captured up to a limit; every run has an
end. A missing program is a :class:`GoniError` that names the Debian package to install.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from goni_core.errors import GoniError

log = logging.getLogger(__name__)

PACKAGES = {
    "apt-get": "apt",
    "cmake": "cmake",
    "g++": "g++",
    "gcc": "gcc",
    "glslc": "glslc",
    "lsblk": "util-linux",
    "mcopy": "mtools",
    "mtype": "mtools",
    "ninja": "ninja-build",
    "pdfinfo": "poppler-utils",
    "pdftotext": "poppler-utils",
    "dpkg-deb": "dpkg",
    "pkg-config": "pkg-config",
    "qemu-system-x86_64": "qemu-system-x86",
    "smartctl": "smartmontools",
    "strip": "binutils",
}
"""Debian packages of the programs that Goni starts on a build host, for the error's hint."""

Argument = str | Path
OUTPUT_LIMIT = 1 << 20
"""Bytes of a limited child's output that are kept."""


@dataclass(frozen=True)
class Completed:
    """A finished process: its exit status and what it printed."""

    argv: tuple[str, ...]
    returncode: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        return self.stdout.decode("utf-8", errors="replace")


@dataclass(frozen=True)
class Limits:
    """What a child may use: CPU seconds, bytes of address space, bytes per file it writes."""

    cpu_s: int = 60
    memory: int = 1 << 30
    file_size: int = 256 << 20

    def apply(self) -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (self.cpu_s, self.cpu_s))
        resource.setrlimit(resource.RLIMIT_AS, (self.memory, self.memory))
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.file_size, self.file_size))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def missing(program: str) -> GoniError:
    package = PACKAGES.get(Path(program).name)
    hint = f"apt-get install {package}" if package else f"install {Path(program).name}"
    return GoniError(f"{Path(program).name} is not installed", hint=hint, code="missing_program")


def run(
    argv: Sequence[Argument],
    *,
    timeout: float,
    input: bytes | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    check: bool = True,
) -> Completed:
    """Run ``argv`` to its end and return what it printed.

    ``timeout`` is in seconds; ``env`` is added to this process's environment. With ``check`` a
    non-zero exit raises :class:`GoniError` with the last lines of its standard error. With
    ``limits`` at most :data:`OUTPUT_LIMIT` bytes of each output are returned.
    """
    words = tuple(str(word) for word in argv)
    preexec: Callable[[], None] | None = limits.apply if limits else None
    try:
        with _sinks(limits) as (out, err):
            done = subprocess.run(
                words,
                input=input,
                stdin=subprocess.DEVNULL if input is None else None,
                stdout=out or subprocess.PIPE,
                stderr=err or subprocess.PIPE,
                timeout=timeout,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                preexec_fn=preexec,
                check=False,
            )
            stdout = _start_of(out) if out else done.stdout
            stderr = _start_of(err) if err else done.stderr
    except FileNotFoundError as error:
        raise missing(words[0]) from error
    except subprocess.TimeoutExpired as error:
        name = Path(words[0]).name
        raise GoniError(f"{name} did not end within {timeout:g} s", code="timeout") from error
    completed = Completed(words, done.returncode, stdout, stderr)
    if check and completed.returncode != 0:
        raise failed(completed)
    return completed


@contextlib.contextmanager
def _sinks(limits: Limits | None) -> Iterator[tuple[IO[bytes] | None, IO[bytes] | None]]:
    """Where a limited child prints: files, which its file size limit ends, because a pipe would
    fill our memory with whatever it says.
    """
    if limits is None:
        yield None, None
        return
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        yield out, err


def _start_of(sink: IO[bytes]) -> bytes:
    sink.seek(0)
    return sink.read(OUTPUT_LIMIT)


def stream(
    argv: Sequence[Argument],
    *,
    timeout: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run ``argv`` with its output going where ours goes (standard error); for builds that a
    person watches.
    """
    words = tuple(str(word) for word in argv)
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            timeout=timeout,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            check=False,
        )
    except FileNotFoundError as error:
        raise missing(words[0]) from error
    except subprocess.TimeoutExpired as error:
        name = Path(words[0]).name
        raise GoniError(f"{name} did not end within {timeout:g} s", code="timeout") from error
    if done.returncode != 0:
        raise GoniError(
            f"{Path(words[0]).name} ended with status {done.returncode}",
            hint="its output above says why",
            code="process_failed",
        )


async def spawn(
    argv: Sequence[Argument],
    *,
    env: Mapping[str, str] | None = None,
    stdout: int = asyncio.subprocess.DEVNULL,
    stderr: int | None = None,
) -> asyncio.subprocess.Process:
    """Start a long-running child; the caller supervises it."""
    words = [str(word) for word in argv]
    log.debug("starting %s", words[0])
    try:
        return await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env={**os.environ, **(env or {})},
        )
    except FileNotFoundError as error:
        raise missing(words[0]) from error


def start(
    argv: Sequence[Argument],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    output: Path | None = None,
    own_session: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a child of a synchronous program (QEMU, swtpm); its output goes to ``output`` or
    nowhere. In its own session it doesn't get the terminal's Ctrl-C: we decide how it ends.
    """
    words = [str(word) for word in argv]
    try:
        with (output or Path(os.devnull)).open("ab") as sink:
            return subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                start_new_session=own_session,
            )
    except FileNotFoundError as error:
        raise missing(words[0]) from error


def failed(completed: Completed) -> GoniError:
    tail = completed.stderr.decode("utf-8", errors="replace").strip().splitlines()[-3:]
    reason = ": " + " / ".join(tail) if tail else ""
    return GoniError(
        f"{Path(completed.argv[0]).name} ended with status {completed.returncode}{reason}",
        code="process_failed",
    )


def shown(argv: Sequence[Argument]) -> str:
    """``argv`` as a person would type it."""
    return shlex.join(str(word) for word in argv)
