"""A virtual machine that behaves like the box: blank disk, own firmware variables, own TPM, a
power button and a power cord.

Flow: write the image on a disk -> TPM -> QEMU -> the agent says hello. Disk, variables and TPM are
kept between power cycles in the machine's folder, with the logs; sockets are in a short temporary
folder, because a Unix socket's path is limited to 107 bytes.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from goni_core.errors import Conflict, GoniError, NotFound
from goni_core.run import start
from image import accel, credentials, disk, firmware, qemu, tools
from image.agent import Agent
from image.console import Console
from image.guest import BOOT_TIMEOUT, Guest
from image.qmp import Qmp
from image.swtpm import Tpm

FOLDER = Path("out/vm")
WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")
"""The kernel ends QEMU with the thread that powered it on, however that one ends; swtpm follows."""


@dataclass(frozen=True)
class Options:
    """What a machine is made of. ``memory`` in MiB, ``disk`` in bytes; ``ports`` maps ports inside
    to loopback ports outside, where 0 takes a free one; ``agent`` brings the test agent in;
    ``sticks``: :meth:`Machine.plug_in` works. ``nvme`` is the size in bytes of a blank internal
    disk, 0 for none.
    """

    memory: int = 2048
    cpus: int = 2
    disk: int = disk.SIZE
    ports: tuple[tuple[int, int], ...] = ((443, 0),)
    agent: bool = True
    tpm: bool = True
    sticks: bool = False
    nvme: int = 0


class Machine(Guest):
    """One machine with ``image`` on its disk. As a context manager it is powered on, and ended.

    ``folder`` holds its disk and logs (``out/vm/<name>``, made anew unless ``keep``).
    """

    def __init__(
        self,
        name: str,
        image: Path,
        *,
        options: Options | None = None,
        folder: Path | None = None,
        keep: bool = False,
    ) -> None:
        self.folder = (folder or FOLDER / name).absolute()
        super().__init__(name, Console(self.folder / "serial.log"))
        self.options = options or Options()
        self.image = image
        self.boot_seconds = 0.0
        self.stick_in = True
        """Whether the disk with the image is there at the next start, or only the internal one."""
        self._process: subprocess.Popen[bytes] | None = None
        self._sockets = Path()
        self._forwards: tuple[qemu.Forward, ...] = ()
        self._tpm: Tpm | None = None
        self._prepare(keep=keep)

    @property
    def disk(self) -> Path:
        """The raw disk; look at it or damage it only while the machine is off."""
        return self.folder / "disk.raw"

    @property
    def nvme(self) -> Path:
        """The raw internal disk, where there is one."""
        return self.folder / "nvme.raw"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> Machine:
        try:
            self.power_on()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Power off and remove the sockets; disk and logs stay."""
        self.power_off()
        if self._sockets != Path():
            shutil.rmtree(self._sockets, ignore_errors=True)
            self._sockets = Path()
        self._lock.close()

    def check_alive(self) -> None:
        if not self.running:
            status = self._process.returncode if self._process else None
            said = _end_of(self.folder / "qemu.log")
            raise self.error(f"is not running (QEMU's status {status}) {said}")

    def host_port(self, port: int) -> int:
        for one in self._forwards:
            if one.guest == port:
                return one.host
        raise NotFound(f"{self.name}: port {port} is not forwarded")

    def power_on(self, timeout: float = BOOT_TIMEOUT, *, wait: bool = True) -> None:
        """A cold start; returns when the agent has said hello, or at once without ``wait``. The
        machine ends with the thread that calls this.
        """
        if self.running:
            raise Conflict(f"{self.name} is on already")
        begun = time.monotonic()
        self.console.mark()
        self._launch()
        if self.options.agent:
            self._agent = Agent(self._connect(self._sockets / "agent"), self.check_alive)
            if wait:
                self.wait_for_boot(timeout)
        self.boot_seconds = time.monotonic() - begun

    def shut_down(self, timeout: float = 180.0) -> bool:
        """Press the power button and wait; False when the system didn't go down in time."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            # Again and again: early in a boot nobody listens to the button yet.
            if self._press_button(patience=min(15.0, timeout)):
                self._ended()
                return True
        return False

    def _press_button(self, *, patience: float) -> bool:
        self.check_alive()
        assert self._process is not None
        with Qmp(self._sockets / "qmp") as qmp:
            qmp.ask("system_powerdown")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        return self._process.poll() is not None

    def power_off(self) -> None:
        """End QEMU now, in order; what runs inside isn't asked."""
        self._end(kill=False)

    def power_cut(self) -> None:
        """Pull the cord: QEMU is killed."""
        self._end(kill=True)

    def plug_in(self, stick: Path, *, bus: str = "usb") -> None:
        """Plug in a stick with the content of the raw file ``stick``; one at a time. ``bus`` is one
        of :data:`qemu.STICKS`.
        """
        self.check_alive()
        file = {"driver": "file", "filename": str(stick.absolute())}
        with Qmp(self._sockets / "qmp") as qmp:
            qmp.ask("blockdev-add", **{"node-name": "stick", "driver": "raw", "file": file})
            qmp.ask("device_add", id="stick", drive="stick", **qemu.STICKS[bus])

    def pull_out(self) -> None:
        """Pull the stick out, in the midst of whatever is read from it."""
        self.check_alive()
        with Qmp(self._sockets / "qmp") as qmp:
            qmp.ask("device_del", id="stick")
            end = time.monotonic() + 30
            while True:
                try:
                    qmp.ask("blockdev-del", **{"node-name": "stick"})
                except GoniError:  # the device goes a moment later
                    if time.monotonic() > end:
                        raise
                    time.sleep(0.2)
                else:
                    return

    def screenshot(self, path: Path) -> None:
        """The screen as PNG."""
        self.check_alive()
        with Qmp(self._sockets / "qmp") as qmp:
            qmp.ask("screendump", filename=str(path.absolute()), format="png")

    def _prepare(self, *, keep: bool) -> None:
        if not self.image.exists() and not (keep and self.disk.exists()):
            raise NotFound(f"{self.image} does not exist", hint="make image builds it")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = hold(self.folder)
        try:
            if not keep:
                clear(self.folder)
            if not self.disk.exists():
                firmware.fresh_variables(self._variables)
                shutil.rmtree(self.folder / "tpm", ignore_errors=True)
                disk.write_image(self.image, self.disk, size=self.options.disk)
            if self.options.nvme and not self.nvme.exists():
                disk.blank(self.nvme, size=self.options.nvme)
        except BaseException:
            self._lock.close()
            raise

    @property
    def _variables(self) -> Path:
        return self.folder / "vars.fd"

    def _launch(self) -> None:
        if self._sockets == Path():
            self._sockets = Path(tempfile.mkdtemp(prefix="goni-vm-"))
        if self.options.tpm:
            log = self.folder / "swtpm.log"
            self._tpm = self._tpm or Tpm(self.folder / "tpm", self._sockets / "tpm", log)
            self._tpm.power_on()
        self._forwards = tuple(
            qemu.Forward(outside or free_port(), inside) for inside, outside in self.options.ports
        )
        words = tools.in_tree([*WITH_US, *qemu.argv(self._hardware())])
        self._process = start(words, output=self.folder / "qemu.log", own_session=True)

    def _hardware(self) -> qemu.Hardware:
        strings: tuple[Path, ...] = ()
        if self.options.agent:
            strings = credentials.write(credentials.agent(), self.folder / "credentials")
        return qemu.Hardware(
            accel=accel.best(),
            disk=self.disk if self.stick_in else None,
            nvme=self.nvme if self.options.nvme else None,
            variables=self._variables,
            serial=self.console.path,
            qmp=self._sockets / "qmp",
            tpm=self._tpm.socket if self._tpm else None,
            agent=self._sockets / "agent" if self.options.agent else None,
            strings=strings,
            forwards=self._forwards,
            memory=self.options.memory,
            cpus=self.options.cpus,
            sticks=self.options.sticks,
        )

    def _connect(self, path: Path, *, timeout: float = 30.0) -> socket.socket:
        end = time.monotonic() + timeout
        while True:
            self.check_alive()
            stream = socket.socket(socket.AF_UNIX)
            try:
                stream.connect(str(path))
            except OSError as error:
                stream.close()
                if time.monotonic() > end:
                    raise self.error(f"QEMU made no {path.name} socket") from error
                time.sleep(0.1)
            else:
                return stream

    def _end(self, *, kill: bool) -> None:
        if self._process is not None and self._process.poll() is None:
            if kill:
                self._process.kill()
            else:
                self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._ended()

    def _ended(self) -> None:
        self._process = None
        if self._agent is not None:
            self._agent.close()
            self._agent = None
        if self._tpm is not None:
            self._tpm.power_off()
        for name in ("qmp", "agent"):
            with contextlib.suppress(OSError):
                (self._sockets / name).unlink()


def hold(folder: Path) -> IO[bytes]:
    """Take ``folder`` for this process until the returned handle is closed: two machines on one
    disk would destroy it.
    """
    lock = folder.joinpath("lock").open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise Conflict(f"the machine in {folder} is running already") from error
    return lock


def clear(folder: Path) -> None:
    """Remove an earlier machine's files from a held ``folder``."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "lock":
            path.unlink()


def free_port() -> int:
    """A loopback TCP port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def check_port(port: int) -> None:
    """Raise :class:`GoniError` when the loopback port ``port`` is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise GoniError(
                f"port {port} of this machine can't be used: {error.strerror}",
                hint="choose another with --port",
            ) from error


def _end_of(log: Path, lines: int = 5) -> str:
    if not log.exists():
        return ""
    return " / ".join(log.read_text(errors="replace").strip().splitlines()[-lines:])
