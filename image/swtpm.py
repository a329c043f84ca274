"""A virtual machine's TPM 2.0: swtpm, started before each power-on, its state kept between them."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from goni_core.errors import GoniError
from goni_core.run import start
from image import tools


def argv(state: Path, socket: Path, log: Path) -> list[str]:
    """swtpm's words; it wants absolute paths, and ends when QEMU hangs up."""
    return [
        "swtpm", "socket", "--tpm2", "--terminate",
        "--tpmstate", f"dir={state.absolute()}",
        "--ctrl", f"type=unixio,path={socket.absolute()}",
        "--log", f"file={log.absolute()},level=1",
    ]  # fmt: skip


@dataclass
class Tpm:
    """One TPM: ``state`` is its memory, ``socket`` where QEMU finds it while it is on."""

    state: Path
    socket: Path
    log: Path
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def power_on(self, *, timeout: float = 20.0) -> None:
        """Start it and wait for its socket."""
        self.power_off()
        self.state.mkdir(parents=True, exist_ok=True)
        self.socket.unlink(missing_ok=True)
        words = tools.in_tree(argv(self.state, self.socket, self.log))
        self._process = start(words, output=self.log, own_session=True)
        end = time.monotonic() + timeout
        while not self.socket.exists():
            if self._process.poll() is not None or time.monotonic() > end:
                self.power_off()
                raise GoniError("swtpm did not start", hint=f"{self.log} says why")
            time.sleep(0.05)

    def power_off(self, *, patience: float = 5.0) -> None:
        """Wait for it to end by itself after QEMU's end (it writes its state), then make it."""
        if self._process is None:
            return
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
