"""The one door for starting processes.

Arguments are always a list and never a shell's; output is captured up to a limit; every run has an
end. A missing program is a :class:`GoniError` that names the Debian package to install.
"""

from __future__ import annotations

import logging
import os
import resource
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn

from goni_core.errors import GoniError

if TYPE_CHECKING:
    import asyncio
    import socket

log = logging.getLogger(__name__)

PACKAGES = {
    "apt-get": "apt",
    "cmake": "cmake",
    "cryptsetup": "cryptsetup-bin",
    "curl": "curl",
    "g++": "g++",
    "gcc": "gcc",
    "glslc": "glslc",
    "litmus": "litmus",
    "lsblk": "util-linux",
    "mcopy": "mtools",
    "mtype": "mtools",
    "ninja": "ninja-build",
    "pdfinfo": "poppler-utils",
    "pdftoppm": "poppler-utils",
    "pdftotext": "poppler-utils",
    "tesseract": "tesseract-ocr",
    "dpkg-deb": "dpkg",
    "pkg-config": "pkg-config",
    "qemu-system-x86_64": "qemu-system-x86",
    "sfdisk": "fdisk",
    "smartctl": "smartmontools",
    "strip": "binutils",
    "systemd-cryptenroll": "systemd-cryptsetup",
    "systemd-repart": "systemd-repart",
    "veritysetup": "cryptsetup-bin",
}
"""Debian packages of the programs that Goni starts on a build host, for the error's hint."""

Argument = str | Path
Process = subprocess.Popen[bytes]
"""What :func:`start` gives back."""
ERRORS_KEPT = 1 << 16
"""Bytes of a filter's standard error that are returned."""


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
    non-zero exit raises :class:`GoniError` with the last lines of its standard error.
    """
    words = tuple(str(word) for word in argv)
    try:
        done = subprocess.run(
            words,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            timeout=timeout,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            preexec_fn=limits.apply if limits else None,
            check=False,
        )
    except FileNotFoundError as error:
        raise missing(words[0]) from error
    except subprocess.TimeoutExpired as error:
        name = Path(words[0]).name
        raise GoniError(f"{name} did not end within {timeout:g} s", code="timeout") from error
    completed = Completed(words, done.returncode, done.stdout, done.stderr)
    if check and completed.returncode != 0:
        raise failed(completed)
    return completed


def through(
    argv: Sequence[Argument],
    source: IO[bytes],
    sink: IO[bytes],
    *,
    timeout: float,
    env: Mapping[str, str],
) -> Completed:
    """Run ``argv`` with the open files ``source`` as its standard input and ``sink`` as its
    output, in ``/`` and with no environment but ``env``; for children that nobody trusts.

    Its standard error is a file too, so nothing that it says fills our memory; of it the first
    :data:`ERRORS_KEPT` bytes are returned. Raises as :func:`run` does, but for no exit status.
    """
    words = tuple(str(word) for word in argv)
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                words, stdin=source, stdout=sink, stderr=errors, cwd="/", env=dict(env)
            )
        except FileNotFoundError as error:
            raise missing(words[0]) from error
        _filters.add(process)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            name = Path(words[0]).name
            raise GoniError(f"{name} did not end within {timeout:g} s", code="timeout") from error
        finally:
            process.kill()  # nothing, when it has ended
            process.wait()
            _filters.discard(process)
        errors.seek(0)
        return Completed(words, process.returncode, b"", errors.read(ERRORS_KEPT))


_filters: set[subprocess.Popen[bytes]] = set()


def end_filters() -> None:
    """Kill every child that a :func:`through` of another thread waits for."""
    for process in tuple(_filters):
        process.kill()


def beside(
    argv: Sequence[Argument], channel: socket.socket, *, env: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start a child that serves us on ``channel``, its standard input, in ``/`` and with no
    environment but ``env``.
    """
    words = [str(word) for word in argv]
    nowhere = subprocess.DEVNULL
    try:
        return subprocess.Popen(
            words, stdin=channel.fileno(), stdout=nowhere, stderr=nowhere, cwd="/", env=dict(env)
        )
    except FileNotFoundError as error:
        raise missing(words[0]) from error


def fork(task: Callable[[], None]) -> int:
    """Do ``task`` in a copy of this process, which then ends; its id. For programs of a single
    thread, which wait for it.
    """
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        task()
        status = 0
    except BaseException as error:
        os.write(2, type(error).__name__.encode())
    finally:
        os._exit(status)


def become(argv: Sequence[Argument]) -> NoReturn:
    """Go on as another program in this very process (execve(2)), which keeps its limits."""
    words = [str(word) for word in argv]
    os.execv(words[0], words)  # noqa: S606 - no shell is what we want


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
    stdout: int = subprocess.DEVNULL,
    stderr: int | None = None,
) -> asyncio.subprocess.Process:
    """Start a long-running child; the caller supervises it."""
    # Here, because it takes longer to load than a confined reader to read a page.
    import asyncio  # noqa: PLC0415

    words = [str(word) for word in argv]
    log.debug("starting %s", words[0])
    try:
        return await asyncio.create_subprocess_exec(
            *words,
            stdin=subprocess.DEVNULL,
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


def stop(process: Process, *, patience: float) -> None:
    """End a child of :func:`start`: ask, wait ``patience`` seconds, then kill."""
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


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
