"""One llama-server process for one chat model, on a Unix socket in a folder of its own.

Start, wait until it is healthy, notice its end, stop. What it prints is kept while it loads (it
has seen no request yet, and it says there why a load fails) and dropped afterwards, but for failed
assertions: llama.cpp quotes grammars and requests on standard error at every log level.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import shutil
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from goni_core import http, run
from goni_core.errors import GoniError
from goni_engine.device import ENVIRONMENT

log = logging.getLogger(__name__)

ASSERTION = re.compile(r"^\S+:\d+: GGML_ASSERT\([^\"]*\) failed$")
POLL_S = 0.05
STOP_S = 5.0
"""Seconds between SIGTERM and SIGKILL."""
LINE = 300
_LOOK = os.WEXITED | os.WNOHANG | os.WNOWAIT


class LoadFailed(GoniError):
    """llama-server ended, or did not become healthy in time, while it loaded a model."""

    code = "load_failed"


class LlamaServer:
    """A running llama-server. ``service`` is the HTTP client of its socket."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path, socket: Path) -> None:
        # It closes the connection after a stream without saying so: the next request on it would
        # be lost half of the time.
        self.service = http.Service("the engine", socket, reuse=False)
        self._process = process
        self._folder = folder
        self._said: deque[str] = deque(maxlen=20)
        self._healthy = False
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def start(
        cls, program: Path, arguments: Sequence[str], folder: Path, socket: Path, *, timeout: float
    ) -> LlamaServer:
        """Start ``program`` and return once it answers on ``socket``, which lies in ``folder``.

        Raises :class:`LoadFailed` with what it said when it ends before, or takes longer than
        ``timeout`` seconds. ``folder`` is removed when it stops.
        """
        await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        process = await run.spawn(
            [program, *arguments],
            env={**ENVIRONMENT, "LLAMA_CACHE": str(folder)},
            stderr=asyncio.subprocess.PIPE,
        )
        server = cls(process, folder, socket)
        try:
            async with asyncio.timeout(timeout):
                await server._wait_until_healthy()
        except TimeoutError as error:
            await server.stop()
            raise LoadFailed(f"the model was not ready after {timeout:g} s") from error
        except BaseException:
            await server.stop()
            raise
        return server

    @property
    def alive(self) -> bool:
        """Whether the process runs; asks the kernel, as asyncio hears of an end a little late."""
        if self._process.returncode is not None:
            return False
        try:
            return os.waitid(os.P_PID, self._process.pid, _LOOK) is None
        except ChildProcessError:
            return False

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def cpu_s(self) -> float:
        """Seconds of CPU time that the process has used; proc_pid_stat(5), fields 14 and 15."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text()
        except OSError:
            return 0.0
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    async def kill(self) -> None:
        """End a process that doesn't listen to signals any more."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def ended(self, within: float) -> bool:
        """Whether the process has ended, now or ``within`` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._process.wait()
        return not self.alive

    async def stop(self) -> None:
        """End the process, gently first, and remove its folder. Safe to repeat."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            if not await self.ended(STOP_S):
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
        await self._process.wait()
        await self._listening
        await self.service.close()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def _wait_until_healthy(self) -> None:
        while self.alive:
            with contextlib.suppress(GoniError):
                await self.service.call("GET", "/health", timeout=http.Timeout(5.0))
                self._healthy = True
                return
            await asyncio.sleep(POLL_S)
        await self._listening
        raise LoadFailed(self._reason(), code=_killed(self._process.returncode))

    def _reason(self) -> str:
        status = self._process.returncode or 0
        if status < 0:
            return f"llama-server was ended by signal {-status} while it loaded the model"
        return reason_in(self._said) or f"llama-server ended with status {status}"

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        rest = b""
        while block := await self._process.stderr.read(1 << 16):
            *lines, rest = (rest + block).split(b"\n")
            rest = rest[-LINE:]
            for line in lines:
                self._hear(line[:LINE].decode("utf-8", errors="replace").strip())

    def _hear(self, line: str) -> None:
        if not self._healthy:
            self._said.append("".join(letter for letter in line if letter.isprintable()))
        elif ASSERTION.match(line):
            log.error("llama-server: %s", line)


def reason_in(lines: Sequence[str] | deque[str]) -> str:
    """The line that says why a load failed, without llama.cpp's function names and times."""
    errors = [line for line in lines if "error" in line.lower() or "fail" in line.lower()]
    chosen = next((line for line in errors if "error loading model" in line), None)
    text = chosen or (errors[0] if errors else "")
    return re.sub(r"^([\d.]+ )?([A-Z] )?(\w+ +\w+: +)?(\w+: )?", "", text)


def _killed(status: int | None) -> str:
    """A kill by signal 9 is the kernel's or an administrator's doing, not the model's."""
    return "load_killed" if status == -9 else ""
