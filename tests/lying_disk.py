"""Disks that lie: a file served over FUSE that fails as bad sticks do, with a loop device on it.

Linux's own device-mapper targets for this (dm-flakey, dm-error) aren't in every kernel; FUSE nearly
always is. The file is the mount point itself, so that the protocol (linux/fuse.h, version 7.31)
shrinks to a dozen requests. Needs root. Run by :func:`disk` as ``python -m tests.lying_disk``, in a
process of its own: a server that waits for its own kernel would stand still.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import errno
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

FORGET, GETATTR, SETATTR, OPEN, READ, WRITE, STATFS, RELEASE = 2, 3, 4, 14, 15, 16, 17, 18
FSYNC, FLUSH, INIT, INTERRUPT, DESTROY, FORGETS = 20, 25, 26, 36, 38, 42
DIRECT_IO = 1  # FOPEN_DIRECT_IO: no page cache that would remember what was really written
MOST = 128 << 10  # bytes of one write
MNT_DETACH = 2
libc = ctypes.CDLL(None, use_errno=True)


class Server:
    """Answers the kernel. ``broken``: at which byte which fault begins; ``slow``: ms per write."""

    def __init__(self, backing: Path, size: int, broken: argparse.Namespace) -> None:
        self.file = os.open(backing, os.O_RDWR)
        self.size = size
        self.broken = broken

    def serve(self, fuse: int) -> None:
        """Until the file is unmounted."""
        while True:
            try:
                request = os.read(fuse, MOST + 8192)
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return
                if error.errno in (errno.EINTR, errno.ENOENT):
                    continue
                raise
            _, opcode, unique = struct.unpack_from("<IIQ", request)
            if opcode in (FORGET, FORGETS, INTERRUPT):
                continue
            try:
                answer, code = self.answer(opcode, request[40:]), 0
            except OSError as error:
                answer, code = b"", -(error.errno or errno.EIO)
            os.write(fuse, struct.pack("<IiQ", 16 + len(answer), code, unique) + answer)

    def answer(self, opcode: int, body: bytes) -> bytes:
        if opcode == INIT:
            return struct.pack("<IIIIHHIIHHI28x", 7, 31, MOST, 0, 16, 12, MOST, 1, 0, 0, 0)
        if opcode in (GETATTR, SETATTR):
            times = (0,) * 6
            mode = 0o100600
            head = struct.pack("<QII", 3600, 0, 0)
            return head + struct.pack(
                "<QQQ3Q3IIIIIIII", 1, self.size, 0, *times, mode, 1, 0, 0, 0, 4096, 0
            )
        if opcode == OPEN:
            return struct.pack("<QII", 1, DIRECT_IO, 0)
        if opcode in (READ, WRITE):
            _, at, count = struct.unpack_from("<QQI", body)
            return self.read(at, count) if opcode == READ else self.write(at, body[40:])
        if opcode == STATFS:
            return struct.pack("<5Q6I24x", 0, 0, 0, 0, 0, 4096, 255, 4096, 0, 0, 0)[:80]
        if opcode in (RELEASE, FSYNC, FLUSH, DESTROY):
            return b""
        raise OSError(errno.ENOSYS, "")

    def read(self, at: int, count: int) -> bytes:
        self._fail(self.broken.read_error, at, count, errno.EIO)
        count = max(0, min(count, self.size - at))
        data = os.pread(self.file, count, self._place(at))
        return data.ljust(count, b"\0")

    def write(self, at: int, data: bytes) -> bytes:
        time.sleep((self.broken.slow or 0) / 1000)
        self._fail(self.broken.error, at, len(data), errno.EIO)
        self._fail(self.broken.full, at, len(data), errno.ENOSPC)
        flip = self.broken.flip
        if flip is not None and at <= flip < at + len(data):
            there = flip - at
            data = data[:there] + bytes([data[there] ^ 1]) + data[there + 1 :]
        os.pwrite(self.file, data, self._place(at))
        return struct.pack("<II", len(data), 0)

    def _place(self, at: int) -> int:
        """A stick that claims more than it has begins again at its start."""
        return at % self.broken.wrap if self.broken.wrap else at

    @staticmethod
    def _fail(begins: int | None, at: int, count: int, code: int) -> None:
        if begins is not None and at + count > begins:
            raise OSError(code, "")


def mount(place: Path) -> int:
    """A FUSE mount on the file ``place``; the kernel's end to answer."""
    fuse = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={fuse},rootmode=100000,user_id=0,group_id=0".encode()
    if libc.mount(b"lying", bytes(place), b"fuse", 0, options):
        raise OSError(ctypes.get_errno(), "mount")
    return fuse


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("place", type=Path)
    parser.add_argument("backing", type=Path)
    parser.add_argument("size", type=int)
    for fault in ("error", "full", "flip", "wrap", "read-error", "slow"):
        parser.add_argument(f"--{fault}", type=int)
    given = parser.parse_args()
    fuse = mount(given.place)
    print("ready", flush=True)
    Server(given.backing, given.size, given).serve(fuse)


@contextlib.contextmanager
def disk(size: int, **faults: int) -> Iterator[Path]:
    """A loop device of ``size`` bytes that has ``faults`` (the options above)."""
    with tempfile.TemporaryDirectory(prefix="goni-lying-") as name:
        place, backing = Path(name, "disk"), Path(name, "backing")
        place.touch()
        backing.touch()
        os.truncate(backing, size)
        words = [f"--{fault.replace('_', '-')}={at}" for fault, at in faults.items()]
        with subprocess.Popen(
            [sys.executable, "-m", "tests.lying_disk", place, backing, str(size), *words],
            stdout=subprocess.PIPE,
        ) as server:
            try:
                assert server.stdout and server.stdout.readline() == b"ready\n"
                with loop(place) as device:
                    yield device
            finally:
                libc.umount2(bytes(place), MNT_DETACH)


@contextlib.contextmanager
def loop(backing: Path) -> Iterator[Path]:
    """A loop device on the file ``backing``."""
    made = subprocess.run(
        ["losetup", "--find", "--show", backing], stdout=subprocess.PIPE, check=True, timeout=60
    )
    device = Path(made.stdout.decode().strip())
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=True, timeout=60)


if __name__ == "__main__":
    main()
