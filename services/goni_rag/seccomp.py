"""seccomp: from here on this process may only compute, read, and write what is open.

A list of what is allowed, through libseccomp (seccomp_rule_add(3)); everything else fails with
EPERM, system calls of another architecture end the process. No sockets, no new process or thread,
no signal to anybody else, nothing that makes, changes or removes a file. It is the second line
behind Landlock, and the only one against the network on kernels before 6.7.
"""

from __future__ import annotations

import ctypes
import os

from goni_core.errors import GoniError

LIBRARY = "libseccomp.so.2"
ALLOW = 0x7FFF0000
REFUSE = 0x00050000 | 1
"""SCMP_ACT_ERRNO(EPERM)."""
EQUAL = 4
"""SCMP_CMP_EQ."""

ALLOWED = """
read pread64 readv write writev lseek close fstat newfstatat stat lstat statx access faccessat
faccessat2 open openat getcwd readlink readlinkat getdents64 fcntl dup fadvise64 statfs fstatfs
mmap mprotect munmap mremap madvise brk poll ppoll select pselect6
rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack restart_syscall futex set_robust_list rseq
set_tid_address arch_prctl sched_yield sched_getaffinity membarrier
exit exit_group getpid getppid gettid getuid geteuid getgid getegid getgroups getrlimit getrusage
clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time times sysinfo uname getrandom
"""
TERMINAL_QUESTIONS = (0x5401, 0x5451)
"""ioctls that ask whether a file is a terminal and set close-on-exec: Python's, on each open."""


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("value", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


def restrict(*, execute: bool) -> None:
    """Load the filter, for good; with ``execute`` this process may still become another program.

    Raises :class:`GoniError` when the library is missing, OSError when the kernel refuses.
    """
    library = _library()
    context = library.seccomp_init(REFUSE)
    if not context:
        raise MemoryError
    try:
        for name in [*ALLOWED.split(), *(["execve"] if execute else [])]:
            _add(library, context, name)
        for question in TERMINAL_QUESTIONS:
            _add(library, context, "ioctl", (1, question))
        # A program that gives up (abort(3)) signals itself; limits are asked for with pid 0.
        for name in ("kill", "tgkill", "tkill"):
            _add(library, context, name, (0, os.getpid()))
        _add(library, context, "prlimit64", (0, 0))
        _checked(library.seccomp_load(context))
    finally:
        library.seccomp_release(context)


def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise GoniError(
            f"{LIBRARY} is missing, so no document is read",
            hint="apt-get install libseccomp2",
            code="missing_library",
        ) from error
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = (ctypes.c_uint32,)
    library.seccomp_load.argtypes = (ctypes.c_void_p,)
    library.seccomp_release.argtypes = (ctypes.c_void_p,)
    library.seccomp_release.restype = None
    library.seccomp_syscall_resolve_name.argtypes = (ctypes.c_char_p,)
    library.seccomp_rule_add_array.argtypes = (
        *(ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint),
        ctypes.POINTER(_Comparison),
    )
    return library


def _add(
    library: ctypes.CDLL, context: int, name: str, condition: tuple[int, int] | None = None
) -> None:
    number = library.seccomp_syscall_resolve_name(name.encode())
    comparisons = (_Comparison * 1)()
    if condition:
        comparisons[0] = _Comparison(condition[0], EQUAL, condition[1], 0)
    count = 1 if condition else 0
    _checked(library.seccomp_rule_add_array(context, ALLOW, number, count, comparisons))


def _checked(result: int) -> None:
    if result < 0:
        raise OSError(-result, f"seccomp: {os.strerror(-result)}")
