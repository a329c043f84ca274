"""The disk that is written: opened exclusively, read and written past the page cache.

Zeros are asked for with BLKZEROOUT, after which the range reads as zeros whatever the device does
(linux/block/blk-lib.c, blkdev_issue_zeroout); BLKDISCARD promises nothing of the kind
(Documentation/ABI/stable/sysfs-block, discard_zeroes_data). Where the device has no command for it
the kernel would write zeros; there a stretch is read first and written only if it isn't zero, since
sticks read several times faster than they write.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from goni_core.errors import DiskFull, Forbidden, GoniError
from goni_flash.source import BLOCK, ZEROS, Buffer, same

BLKRRPART = 0x125F
BLKFLSBUF = 0x1261
BLKGETSIZE64 = 0x80081272
BLKZEROOUT = 0x127F
"""linux/fs.h"""


class Target:
    """An open disk, or a plain file in a disk's place. ``size`` is in bytes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_disk = stat.S_ISBLK(path.stat().st_mode)
        self._handle = _open(path, exclusive=self.is_disk)
        self.size = self._measure()
        self._zeroes = self._offers_zeroes()

    def __enter__(self) -> Target:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._handle)

    def write(self, buffer: Buffer, at: int, length: int) -> None:
        """Write the first ``length`` bytes of ``buffer``; they are on the disk after :meth:`flush`.

        Raises :class:`GoniError` that says where the disk failed, and how.
        """
        view = memoryview(buffer)
        done = 0
        with self._blamed("writing", at):
            while done < length:
                count = os.pwrite(self._handle, view[done:length], at + done)
                if not count:
                    raise OSError(errno.ENOSPC, "nothing was written")
                done += count

    def read(self, buffer: Buffer, at: int, length: int) -> None:
        """Fill the first ``length`` bytes of ``buffer`` from the disk."""
        view = memoryview(buffer)
        done = 0
        with self._blamed("reading", at):
            while done < length:
                count = os.preadv(self._handle, [view[done:length]], at + done)
                if not count:
                    raise OSError(errno.ENOSPC, "the disk ends here")
                done += count

    def zero(self, at: int, length: int) -> None:
        """Make ``length`` bytes at ``at`` read as zeros."""
        if self._zeroes:
            try:
                fcntl.ioctl(self._handle, BLKZEROOUT, struct.pack("QQ", at, length))
                return
            except OSError:  # what the driver offered the device refused
                self._zeroes = False
        scratch = mmap.mmap(-1, BLOCK)
        for start in range(at, at + length, BLOCK):
            count = min(BLOCK, at + length - start)
            self.read(scratch, start, count)
            if not same(scratch, ZEROS, count):
                self.write(ZEROS, start, count)

    def flush(self) -> None:
        """Return once everything is on the disk, and out of the caches."""
        with self._blamed("flushing", 0):
            os.fsync(self._handle)
        if self.is_disk:
            with suppress(OSError):  # only root may; reading goes past the cache anyway
                fcntl.ioctl(self._handle, BLKFLSBUF)
        os.posix_fadvise(self._handle, 0, 0, os.POSIX_FADV_DONTNEED)

    def read_table_again(self) -> None:
        """Have the kernel read the partition table; a failure changes nothing on the disk."""
        if self.is_disk:
            for _ in range(5):
                try:
                    fcntl.ioctl(self._handle, BLKRRPART)
                except OSError as error:
                    if error.errno != errno.EBUSY:
                        return
                    time.sleep(0.2)  # udev is looking at the disk just now
                else:
                    return

    @contextmanager
    def _blamed(self, doing: str, at: int) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = f"{doing} {self.path} failed {at / 1e9:.2f} GB from its start"
            if error.errno == errno.ENOSPC:
                raise DiskFull(
                    f"{where}: the disk is full",
                    hint="it holds less than it claims to; take another one",
                ) from error
            raise GoniError(
                f"{where}: {error.strerror}",
                hint="plug it in again, try another port; if that doesn't help take another disk",
                code="disk_failed",
            ) from error

    def _measure(self) -> int:
        if not self.is_disk:
            return os.fstat(self._handle).st_size
        answer = fcntl.ioctl(self._handle, BLKGETSIZE64, bytes(8))
        return int(struct.unpack("Q", answer)[0])

    def _offers_zeroes(self) -> bool:
        limit = Path("/sys/block", self.path.name, "queue/write_zeroes_max_bytes")
        try:
            return self.is_disk and int(limit.read_text()) > 0
        except (OSError, ValueError):
            return False


def _open(path: Path, *, exclusive: bool) -> int:
    # O_EXCL without O_CREAT claims a block device: EBUSY while anything uses it (open(2)).
    flags = os.O_RDWR | os.O_CLOEXEC | (os.O_EXCL if exclusive else 0)
    try:
        try:
            return os.open(path, flags | os.O_DIRECT)
        except OSError as error:
            if error.errno != errno.EINVAL or exclusive:
                raise
            return os.open(path, flags)  # a file system without direct I/O
    except PermissionError as error:
        raise Forbidden(
            f"{path} may not be written by this user", hint="run it with sudo"
        ) from error
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise GoniError(
                f"{path} is in use by this machine",
                hint="unmount what is on it, or take another disk",
                code="in_use",
            ) from error
        raise GoniError(f"{path} can't be opened: {error.strerror}", code="disk_failed") from error


def eject(path: Path) -> bool:
    """Let go of a disk that was flushed: the kernel stops it and it may be unplugged. Returns
    whether there was something to do; memory cards and loop devices need nothing.
    """
    switch = Path("/sys/block", path.name, "device/delete")
    try:
        switch.write_text("1")
    except OSError:
        return False
    return True
