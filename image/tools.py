"""The tools tree: a small trixie with QEMU, OVMF, swtpm, systemd's image tools and the compilers.

Built once by mkosi below ``out/cache/tools`` and used for everything that a build host shouldn't
need to have: mkosi runs with it, the engine is compiled in it, virtual machines start from it.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from goni_core.run import Argument, stream
from image import mirror, mkosi

HERE = Path(__file__).parent
TREE = Path("out/cache/tools")
SANDBOX = Path("out/cache/sandbox")
PACKAGES = Path("out/cache/packages")
FROM_TREE = ("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "swtpm_setup.conf")
FROM_HOST = ("passwd", "group", "hosts", "nsswitch.conf", "resolv.conf", "ssl", "pip.conf")
"""What /etc holds inside: the tree's links to programs, this machine's users and network."""


def key() -> str:
    """What the tree depends on: its configuration."""
    return hashlib.sha256((HERE / "tools-tree/mkosi.conf").read_bytes()).hexdigest()


def ensure() -> Path:
    """The tools tree, built if it isn't there or its configuration changed."""
    stamp = TREE / ".goni-key"
    if stamp.exists() and stamp.read_text() == key():
        return TREE
    print("tools: building the tools tree (about two minutes)", file=sys.stderr)
    mirror.write_sandbox(SANDBOX, mirror.host_mirror())
    shutil.rmtree(TREE, ignore_errors=True)
    for folder in (TREE.parent, PACKAGES):
        folder.mkdir(parents=True, exist_ok=True)
    stream(
        [
            *mkosi.command(),
            f"--directory={HERE / 'tools-tree'}",
            f"--sandbox-tree={SANDBOX.absolute()}",
            f"--output-directory={TREE.parent.absolute()}",
            f"--package-cache-dir={PACKAGES.absolute()}",
            "--output=tools",
            "--force",
            "build",
        ],
        timeout=1800,
    )
    stamp.write_text(key())
    return TREE


def in_tree(argv: Sequence[Argument]) -> list[str]:
    """The words that run ``argv`` with the tools tree's /usr and this machine's other files."""
    tree = ensure().absolute()
    words = [*mkosi.sandbox_command(), "--ro-bind", str(tree / "usr"), "/usr"]
    for name in ("bin", "sbin", "lib", "lib64"):
        words += ["--symlink", f"usr/{name}", f"/{name}"]
    for name in FROM_TREE:
        words += ["--ro-bind-try", str(tree / "etc" / name), f"/etc/{name}"]
    words += ["--symlink", "../usr/lib/os-release", "/etc/os-release"]
    for name in FROM_HOST:
        words += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    for entry in sorted(Path("/").iterdir()):
        name = entry.name
        if name in {"usr", "bin", "sbin", "etc", "proc", "lost+found"} or name.startswith("lib"):
            continue
        if entry.is_dir() and not entry.is_symlink():
            words += ["--bind", str(entry), str(entry)]
    words += ["--proc", "/proc", "--same-dir", "--setenv", "PATH", "/usr/bin:/usr/sbin"]
    return [*words, *(str(word) for word in argv)]
