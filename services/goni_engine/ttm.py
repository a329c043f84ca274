"""``goni-ttm``: how much of the main memory the GPU may map, from how much there is.

On boxes whose GPU has no memory of its own (Strix Halo) Linux lets it map half of the main memory.
``ttm.pages_limit`` is that limit, in pages; amdgpu reads it once, when it starts
(amdgpu_ttm_init in the kernel's drivers/gpu/drm/amd/amdgpu/amdgpu_ttm.c). So this runs before udev
loads drivers, and leaves an option for modprobe (modprobe.d(5)) in /run, where it ends with the
boot. A limit on the kernel's command line wins; the unit then doesn't run.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from goni_core import files
from goni_core.errors import GoniError, exit_with

GIB = 1 << 30
LEAST = 32 * GIB
"""Bytes of memory below which the kernel's own half is left as it is."""
SYSTEM = 16 * GIB
"""Bytes that stay with the system: documents, the page cache, everything that isn't a model."""
MOST = 112 * GIB
STEP = 4 * GIB
OPTION = Path("/run/modprobe.d/goni-ttm.conf")


def limit(memory: int) -> int:
    """Bytes that the GPU may map of ``memory`` bytes in all; 0 leaves the kernel's own limit."""
    if memory < LEAST:
        return 0
    allowed = min(MOST, memory - SYSTEM) // STEP * STEP
    return allowed if allowed > memory // 2 else 0


def pages(memory: int, page: int) -> int:
    """The limit in pages of ``page`` bytes."""
    return limit(memory) // page


def present(meminfo: str) -> int:
    """Bytes of main memory in the text of /proc/meminfo (proc_meminfo(5))."""
    match = re.search(r"^MemTotal:\s+(\d+) kB$", meminfo, re.MULTILINE)
    if not match:
        raise GoniError("/proc/meminfo has no MemTotal")
    return int(match[1]) << 10


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns 0."""
    parser = argparse.ArgumentParser(
        prog="goni-ttm", description="Let the GPU map most of this machine's memory."
    )
    parser.add_argument("--print", action="store_true", help="say the limit, and set nothing")
    given = parser.parse_args(argv)
    try:
        memory = present(Path("/proc/meminfo").read_text())
        count = pages(memory, os.sysconf("SC_PAGE_SIZE"))
        words = f"{memory / GIB:.1f} GiB of memory: " + (
            f"the GPU may map {limit(memory) / GIB:.0f} GiB ({count} pages)"
            if count
            else "the kernel's own limit stays"
        )
        print(words, file=sys.stdout if given.print else sys.stderr)
        if count and not given.print:
            files.write(OPTION, f"options ttm pages_limit={count}\n".encode(), mode=0o644)
    except OSError as error:
        exit_with(GoniError(f"{error.filename}: {error.strerror}", hint="run it as root"))
    except GoniError as error:
        exit_with(error)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
