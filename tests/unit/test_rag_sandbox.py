"""goni_rag.sandbox from the inside: a program that means harm, in place of poppler or our reader,
tries everything that it must not be able to do, and each limit ends it.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from goni_core import run
from goni_core.errors import GoniError
from goni_rag import confine, extract, landlock, sandbox
from goni_rag.confine import Limits
from goni_rag.sandbox import End
from tests import papers

LIMITS = Limits(cpu_s=60)
SECRET = "Anna's diary"
PRELUDE = """
import errno, os, signal, socket, subprocess, sys, ctypes
def refused(what, *args, **named):
    try:
        what(*args, **named)
    except OSError as error:
        assert error.errno in (errno.EPERM, errno.EACCES, errno.EBADF), error
    else:
        sys.exit(f"allowed: {what} {args}")
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *args):
    if libc.syscall(number, *args) < 0:
        raise OSError(ctypes.get_errno(), "refused")
"""


@pytest.fixture
def document(tmp_path: Path) -> Iterator[object]:
    path = tmp_path / "document"
    path.write_bytes(b"the document")
    with path.open("rb") as opened:
        yield opened


def end_of(document, code: str, limits: Limits = LIMITS) -> tuple[End, str]:
    """How ``code`` ends inside, and what it said; Python is the hostile tool."""
    with sandbox.tool([sys.executable, "-S", "-c", PRELUDE + code], document, limits) as outcome:
        return outcome.end, outcome.output.read(10_000).decode() + outcome.said


def ends_well(document, code: str) -> None:
    end, said = end_of(document, code)
    assert end is End.WELL, said


def test_processes_can_be_confined_here():
    sandbox.check()


def test_the_document_is_standard_input_and_can_be_opened_by_name(document):
    end, said = end_of(
        document, "sys.stdout.write(sys.stdin.read() + open('/proc/self/fd/0').read())"
    )
    assert (end, said) == (End.WELL, "the documentthe document")


def test_it_can_not_be_written_to(document):
    ends_well(document, "refused(open, '/proc/self/fd/0', 'r+'); refused(os.write, 0, b'x')")


def test_no_other_file_can_be_read(document, tmp_path: Path):
    other = tmp_path / "diary.txt"
    other.write_text(SECRET)
    places = ["/etc/passwd", "/proc/self/environ", f"/proc/{os.getpid()}/environ", str(other)]
    ends_well(document, f"for place in {places}: refused(open, place)")
    ends_well(document, f"for place in {['/', '/home', str(tmp_path)]}: refused(os.listdir, place)")


def test_no_file_can_be_made_changed_or_removed(document, tmp_path: Path):
    other = tmp_path / "diary.txt"
    other.write_text(SECRET)
    code = f"""
there, other = {str(tmp_path)!r}, {str(other)!r}
for place in (there, "/tmp", "/var/tmp", "/dev/shm"):
    refused(open, place + "/new", "w")
    refused(os.mkdir, place + "/folder")
refused(open, other, "a")
for change in (os.unlink, os.remove): refused(change, other)
refused(os.rename, other, there + "/mine")
refused(os.symlink, other, there + "/link")
refused(os.link, other, there + "/link")
refused(os.chmod, other, 0o777)
refused(os.truncate, other, 0)
refused(os.memfd_create, "hidden")
"""
    ends_well(document, code)
    assert other.read_text() == SECRET
    assert sorted(path.name for path in tmp_path.iterdir()) == ["diary.txt", "document"]


def test_there_is_no_network_and_no_socket(document, tmp_path: Path):
    heard = tmp_path / "service.sock"
    with socket.socket(socket.AF_UNIX) as unix, socket.create_server(("127.0.0.1", 0)) as tcp:
        unix.bind(str(heard))
        unix.listen()
        code = f"""
refused(socket.create_connection, ("127.0.0.1", {tcp.getsockname()[1]}))
for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK):
    refused(socket.socket, family, socket.SOCK_STREAM)
refused(socket.socketpair)
"""
        ends_well(document, code)


def test_it_stays_one_process(document):
    code = """
import _thread
refused(os.fork)
refused(os.posix_spawn, "/usr/bin/true", ["true"], {})
refused(subprocess.run, ["/usr/bin/true"])
try: _thread.start_new_thread(print, ())
except RuntimeError: pass
else: sys.exit("a thread")
"""
    ends_well(document, code)


def test_it_becomes_no_other_program(document):
    ends_well(document, "refused(os.execv, '/usr/bin/true', ['true'])")


def test_it_reaches_no_other_process(document):
    code = f"""
for number in (0, signal.SIGTERM): refused(os.kill, {os.getpid()}, number)
refused(os.kill, 1, 0)
refused(os.kill, -1, 0)
refused(call, 101, 16, {os.getpid()}, 0, 0)   # ptrace
refused(call, 310, {os.getpid()}, 0, 0, 0, 0, 0)   # process_vm_readv
refused(call, 302, {os.getpid()}, 7, 0, 0)   # prlimit64
refused(os.setpriority, os.PRIO_PROCESS, {os.getpid()}, 10)
refused(os.sched_setaffinity, {os.getpid()}, [0])
refused(os.setsid)
"""
    ends_well(document, code)


def test_the_kernels_rarer_doors_are_shut(document):
    code = """
for number in (16, 165, 161, 272, 298, 321, 323, 425, 9999):
    # ioctl mount chroot unshare perf_event_open bpf userfaultfd io_uring_setup and none at all
    refused(call, number, 1, 2, 3, 4, 5)
import resource
try: resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
except (ValueError, OSError): pass
else: sys.exit("limits can be raised")
"""
    ends_well(document, code)


def test_root_has_no_privileges_left(document):
    ends_well(document, "refused(os.setuid, 1); refused(os.chown, '/usr', 0, 0)")


def test_our_own_reader_can_not_even_execute(document):
    code = f"""
import sys
from goni_rag import confine
confine.enter(confine.Limits.from_words({LIMITS.words()!r}))
{PRELUDE}
refused(os.execv, "/usr/bin/true", ["true"])
refused(os.execv, sys.executable, ["python"])
refused(open, "/etc/passwd")
refused(os.fork)
"""
    script = Path(document.name).with_name("reader.py")
    script.write_text(code)
    with Path(os.devnull).open("r+b") as nothing:
        done = run.through(
            [sys.executable, script], document, nothing, timeout=180, env=sandbox._environment()
        )
    assert done.returncode == 0, done.stderr.decode()


def test_memory_ends(document):
    end, said = end_of(document, "bytes(1 << 30)", Limits(memory=300 << 20))
    assert end is End.FAILED
    assert "MemoryError" in said


def test_many_small_pieces_of_memory_end_too(document):
    end, said = end_of(
        document, "kept = []\nwhile True: kept.append(bytes(100_000))", Limits(memory=300 << 20)
    )
    assert end is End.FAILED
    assert "MemoryError" in said


def test_computing_ends(document):
    assert end_of(document, "while True: pass", Limits(cpu_s=1))[0] is End.TIME


def test_sleeping_ends(document):
    begun = time.monotonic()
    end, _ = end_of(document, "import time; time.sleep(600)", Limits(cpu_s=1))
    assert end is End.TIME
    assert time.monotonic() - begun < 300


def test_a_flood_of_output_ends_on_both_sides(document):
    flood = "signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\nwhile True: os.write({}, b'x' * 65536)"
    limits = Limits(output=1 << 20)
    for number in (1, 2):
        with sandbox.tool(
            [sys.executable, "-S", "-c", PRELUDE + flood.format(number)], document, limits
        ) as outcome:
            assert outcome.end is End.OUTPUT
            assert len(outcome.output.read()) <= 1 << 20
            assert len(outcome.said) <= sandbox.SAID


def test_open_files_end(document):
    end, said = end_of(document, "kept = [open('/dev/null') for _ in range(1000)]")
    assert end is End.FAILED
    assert "Too many open files" in said


def test_nothing_of_our_environment_gets_in(document, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GONI_SECRET", SECRET)
    end, said = end_of(document, "print(dict(os.environ), os.getcwd())")
    assert end is End.WELL
    assert "GONI_SECRET" not in said
    assert SECRET not in said


def test_no_descriptor_of_ours_gets_in(document, tmp_path: Path):
    with (tmp_path / "diary.txt").open("w") as ours:
        os.set_inheritable(ours.fileno(), True)
        ends_well(
            document,
            "for number in range(3, 64):\n try: os.fstat(number)\n except OSError: pass\n"
            " else: sys.exit(number)",
        )


def test_a_kernel_without_landlock_reads_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(landlock, "version", lambda: 0)
    with pytest.raises(GoniError) as caught:
        landlock.restrict([], [], 0)
    assert caught.value.code == "no_landlock"


def test_a_missing_tool_is_named(document):
    with pytest.raises(GoniError) as caught, sandbox.tool(["pdftoast"], document, LIMITS):
        pass
    assert caught.value.code == "missing_program"


def test_who_could_not_be_confined_is_told_from_who_says_so(document):
    """A forged document may make its reader end with that status; that is no fault of ours."""
    assert end_of(document, f"sys.exit({confine.NOT_CONFINED})")[0] is End.FAILED


def test_a_service_that_stops_waits_for_no_document(document):
    """In a process of its own, because stopping is for good."""
    code = """
import sys, threading, time
from goni_core import run
from goni_core.errors import Unavailable
from goni_rag import sandbox
from goni_rag.confine import Limits

def read():
    try:
        with open("/dev/null", "rb") as document:
            with sandbox.tool(["sleep", "600"], document, Limits(cpu_s=200)):
                print("it slept")
    except Unavailable:
        print("stopped")

thread = threading.Thread(target=read)
thread.start()
while not run._filters:
    time.sleep(0.05)
time.sleep(0.5)
sandbox.stop()
thread.join()
"""
    done = run.run([sys.executable, "-c", code], timeout=240)
    assert done.text == "stopped\n"


def test_readers_that_died_are_replaced(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_text("some text")
    assert extract.read(path).sections
    for nursery in sandbox._nurseries._all:
        nursery.process.kill()
        nursery.process.wait()
    assert extract.read(path).sections


def test_a_reader_is_gone_when_its_document_is_read(tmp_path: Path, document):
    with (
        (tmp_path / "out").open("wb") as output,
        sandbox._nurseries.one(sandbox._environment()) as nursery,
    ):
        process = Path(f"/proc/{nursery.process.pid}/task/{nursery.process.pid}/children")
        assert nursery.read("text", LIMITS, (document, output, output), 60) == 0
        assert process.read_text() == ""


def test_a_reader_that_takes_too_long_is_killed(tmp_path: Path, document):
    (tmp_path / "large").write_bytes("ä".encode() * (8 << 20))
    with (
        (tmp_path / "out").open("wb") as output,
        (tmp_path / "large").open("rb") as large,
        sandbox._nurseries.one(sandbox._environment()) as nursery,
    ):
        assert nursery.read("text", LIMITS, (large, output, output), 0.005) is None
        assert nursery.read("text", LIMITS, (document, output, output), 60) == 0


def test_what_is_no_file_is_not_read(tmp_path: Path):
    """Landlock could not tell a pipe from another."""
    reading, writing = os.pipe()
    with (
        (tmp_path / "out").open("wb") as output,
        os.fdopen(reading, "rb") as pipe,
        sandbox._nurseries.one(sandbox._environment()) as nursery,
    ):
        os.close(writing)
        status = nursery.read("text", LIMITS, (pipe, output, output), 60)
    assert status == confine.NOT_CONFINED


def test_it_holds_where_no_memory_can_become_code(tmp_path: Path):
    """As in goni-rag.service, whose MemoryDenyWriteExecute= children inherit; PR_SET_MDWE is the
    kernel's own way to say the same (prctl(2), since Linux 6.3).
    """
    (tmp_path / "a.pdf").write_bytes(papers.pdf([["The words of a page."]]))
    (tmp_path / "a.docx").write_bytes(papers.docx(["The words of a page."]))
    code = f"""
import ctypes
from pathlib import Path
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) == 0:
    from goni_rag import extract
    for name in ("a.pdf", "a.docx"):
        assert "words" in extract.read(Path({str(tmp_path)!r}) / name).sections[0].text
"""
    run.run([sys.executable, "-c", code], timeout=240)
