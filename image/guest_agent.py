"""The inside half of the test agent: runs commands for a test that are asked for on a virtio port.

It isn't part of the image. A virtual machine of the tests brings it in as a systemd credential
(see ``credentials.py``), so it uses nothing but the image's own Python. One JSON object per line in
both directions; one request at a time; output and requests are limited in size. On opening the
port it says hello with the kernel's boot id, which is how the outside notices a reboot.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

PORT = "org.goni.test"
OUTPUT_LIMIT = 4 << 20
"""Bytes kept of each of a command's two outputs; the rest is dropped and ``truncated`` is set."""
LINE_LIMIT = 2 << 20
SHELL = ("/bin/bash", "-euo", "pipefail", "-c")


class Collector(threading.Thread):
    """Reads one output of a command to its end, and keeps the first part."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self.stream = stream
        self.kept = bytearray()
        self.truncated = False
        self.start()

    def run(self) -> None:
        while block := os.read(self.stream.fileno(), 65536):
            room = OUTPUT_LIMIT - len(self.kept)
            self.kept += block[:room]
            self.truncated = self.truncated or len(block) > room


def run_command(argv: list[str], timeout: float) -> dict[str, Any]:
    """Run ``argv`` in a session of its own; everything in it is killed at ``timeout`` seconds."""
    child = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert child.stdout and child.stderr
    outputs = (Collector(child.stdout), Collector(child.stderr))
    timed_out = False
    try:
        child.wait(timeout)
    except subprocess.TimeoutExpired:
        timed_out = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    end = time.monotonic() + 1.0  # not for ever: a daemon that it left behind may hold the pipe
    for output in outputs:
        output.join(max(0.0, end - time.monotonic()))
    return {
        "rc": 124 if timed_out else child.returncode,
        "timed_out": timed_out,
        "truncated": any(output.truncated for output in outputs),
        "stdout": encoded(outputs[0].kept),
        "stderr": encoded(outputs[1].kept),
    }


def encoded(data: bytes | bytearray) -> str:
    return base64.b64encode(bytes(data)).decode("ascii")


def write_file(request: dict[str, Any]) -> dict[str, Any]:
    """A piece of a file from outside; the first one (``append`` false) makes it anew."""
    data = base64.b64decode(request["data"], validate=True)
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if request["append"] else os.O_TRUNC)
    handle = os.open(request["write"], flags, request["mode"])
    with os.fdopen(handle, "wb") as sink:
        sink.write(data)
    return {"rc": 0}


def read_file(request: dict[str, Any]) -> dict[str, Any]:
    """A piece of a file for outside; fewer bytes than asked for means that it ends there."""
    with Path(request["read"]).open("rb") as source:
        source.seek(request["offset"])
        return {"rc": 0, "data": encoded(source.read(min(request["length"], OUTPUT_LIMIT)))}


def answer(line: bytes) -> dict[str, Any]:
    """The reply to one request line; a bad request gets an error, never an end."""
    reply: dict[str, Any] = {"id": None, "rc": 255}
    try:
        request = json.loads(line)
        reply["id"] = request["id"]
        if "write" in request:
            reply.update(write_file(request))
        elif "read" in request:
            reply.update(read_file(request))
        else:
            argv = request["argv"] if "argv" in request else [*SHELL, request["shell"]]
            reply.update(run_command(argv, float(request.get("timeout", 60))))
    except (ValueError, LookupError, TypeError, OSError) as error:
        reply["error"] = f"{type(error).__name__}: {error}"
    return reply


def send(handle: int, value: dict[str, Any]) -> None:
    data = json.dumps(value).encode("ascii") + b"\n"
    while data:
        data = data[os.write(handle, data) :]


def serve(handle: int, *, until_end: bool) -> None:
    """Answer requests from ``handle``; with ``until_end`` an end of file ends it."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    # The empty line ends whatever an earlier boot's agent had half said.
    os.write(handle, b"\n")
    send(handle, {"hello": boot})
    unread = b""
    while True:
        block = os.read(handle, 65536)
        if not block:
            if until_end:
                return
            time.sleep(0.2)  # nobody is connected outside
            continue
        *lines, unread = (unread + block).split(b"\n")
        for line in lines:
            if line.strip():
                send(handle, answer(line))
        if len(unread) > LINE_LIMIT:
            unread = b""


def open_port() -> int:
    """The port's device, waited for; found through sysfs because udev may not have run yet."""
    while True:
        for name in Path("/sys/class/virtio-ports").glob("*/name"):
            if name.read_text().strip() == PORT:
                with contextlib.suppress(OSError):
                    return os.open(f"/dev/{name.parent.name}", os.O_RDWR)
        time.sleep(0.1)


def main() -> None:
    """Serve the virtio port, or the inherited file descriptor whose number is given."""
    os.environ.setdefault("HOME", "/root")
    os.environ.update(LC_ALL="C.UTF-8", SYSTEMD_PAGER="cat", SYSTEMD_COLORS="0")
    if len(sys.argv) > 1:
        serve(int(sys.argv[1]), until_end=True)
    else:
        serve(open_port(), until_end=False)


if __name__ == "__main__":
    main()
