"""Landlock: from here on this process and what it executes may open only what is named.

The three system calls of landlock(7), which glibc has no functions for, with all the rights that
the running kernel knows (its ABI version: 2 on Debian 12, 6 on Debian 13). What is open already
stays usable. A kernel without Landlock is an error, never a reason to go on without it.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

from goni_core.errors import GoniError

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""The same numbers on every architecture."""
VERSION_FLAG = 1
PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = (1 << bit for bit in range(4))
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
"""How many rights over files there are since an ABI version: all of them are taken away."""
NETWORK = 0b11
"""Binding and connecting TCP, since ABI 4."""
SCOPES = 0b11
"""Abstract Unix sockets and signals to processes outside, since ABI 6."""


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


_libc = ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """The kernel's ABI version; 0 when it has no Landlock or it is off."""
    return max(0, int(_libc.syscall(CREATE_RULESET, None, 0, VERSION_FLAG)))


def restrict(readable: Iterable[Path], executable: Iterable[Path], document: int) -> None:
    """Allow reading below ``readable``, executing the files ``executable``, and opening the file
    behind the descriptor ``document`` once more; nothing else of any file system, and no TCP.

    The process must have no_new_privs set. Paths that don't exist are left out. Raises
    :class:`GoniError` where there is no Landlock.
    """
    abi = version()
    if abi < 1:
        raise GoniError(
            "this kernel has no Landlock, so no document is read",
            hint='add "landlock" to the kernel\'s lsm= list',
            code="no_landlock",
        )
    rules = _ruleset(abi)
    try:
        for path in readable:
            _allow(rules, path, READ_FILE | READ_DIR)
        for path in executable:
            _allow(rules, path, EXECUTE | READ_FILE)
        _add(rules, document, READ_FILE)
        _checked(_libc.syscall(RESTRICT_SELF, rules, 0))
    finally:
        os.close(rules)


def _ruleset(abi: int) -> int:
    rights = (1 << max(bits for since, bits in FILE_RIGHTS.items() if since <= abi)) - 1
    asked = _Ruleset(rights, NETWORK if abi >= 4 else 0, SCOPES if abi >= 6 else 0)
    # An older kernel takes the beginning of the structure that it knows.
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    return _checked(_libc.syscall(CREATE_RULESET, ctypes.byref(asked), size, 0))


def _allow(rules: int, path: Path, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        _add(rules, handle, rights if path.is_dir() else rights & ~READ_DIR)
    finally:
        os.close(handle)


def _add(rules: int, handle: int, rights: int) -> None:
    rule = _PathBeneath(rights, handle)
    _checked(_libc.syscall(ADD_RULE, rules, PATH_BENEATH, ctypes.byref(rule), 0))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"landlock: {os.strerror(number)}")
    return result
