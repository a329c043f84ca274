"""The engine: llama.cpp's programs and libraries and their Python package, from one locked source.

    python3 -m image.engine --target host --output out/engine/host --link-into .venv

Fetches the source distribution of llama-cpp-python, builds it as ``image/recipe.py`` says, and puts
``bin/``, ``lib/``, ``python/`` and ``key`` into ``--output``. The key is a hash of all that the
result depends on: a folder that holds it is complete and left alone. The folder is replaced in one
step; an interrupted build goes on where it stopped. Needs nothing beyond the standard library, so
that it also runs inside the tools tree.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from goni_core import files
from goni_core.errors import DiskFull, GoniError, exit_with
from goni_core.run import run
from image import locked, recipe
from image.recipe import BACKEND_LOCK, LOCK, TARGETS, Target

SOURCES = Path("out/cache/sources")
ROOM = 1 << 30
"""Bytes that a build needs: the sources, the objects and the result."""


def key(target: Target) -> str:
    """SHA-256 of all that the result depends on: recipe, locks, target, compiler, distribution."""
    compiler = run(["g++", "-dumpfullversion", "-dumpmachine"], timeout=30).text
    return key_of(
        *(path.read_bytes() for path in (Path(recipe.__file__), LOCK, BACKEND_LOCK)),
        target.name.encode(),
        compiler.encode(),
        system(Path("/etc/os-release").read_text()).encode(),
    )


def key_of(*parts: bytes) -> str:
    """One hash over ``parts``, each hashed for itself, so that nothing moves between them."""
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def system(os_release: str) -> str:
    """``debian 13`` from the text of os-release(5)."""
    fields = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', os_release, re.MULTILINE))
    return f"{fields.get('ID', 'linux')} {fields.get('VERSION_ID', '')}"


def complete(output: Path, wanted: str) -> bool:
    """Whether ``output`` holds the result that ``wanted`` is the key of."""
    stamp = output / "key"
    return stamp.is_file() and stamp.read_text() == wanted


def ensure(target: Target, output: Path, *, sources: Path = SOURCES, jobs: int = 0) -> None:
    """Build the engine into ``output`` unless it is there.

    Without network if :func:`fetch` has filled ``sources``; ``jobs`` is how many compilers run at
    once (0: one per CPU).
    """
    recipe.check_tools(target)
    wanted = key(target)
    output.parent.mkdir(parents=True, exist_ok=True)
    with _alone(output):
        if not complete(output, wanted):
            work = _workplace(output, wanted)
            _build(target, work, sources, jobs or len(os.sched_getaffinity(0)))
            files.write(work / "result/key", wanted.encode(), mode=0o644)
            _replace(output, work)


def fetch(folder: Path) -> None:
    """Download what a build needs into ``folder``, unless it is there."""
    locked.fetch(BACKEND_LOCK, folder)
    locked.unpack_wheels(BACKEND_LOCK, folder, folder / "backend")
    locked.fetch(LOCK, folder, backend=folder / "backend")


def link_into(venv: Path, output: Path) -> None:
    """Let ``venv``'s Python import ``llama_cpp`` from ``output``."""
    found = sorted(venv.glob("lib/python3*/site-packages"))
    if not found:
        raise GoniError(f"{venv} is not a virtual environment", hint="run make setup")
    line = f"{(output / 'python').absolute()}\n"
    files.write(found[0] / "goni-engine.pth", line.encode(), mode=0o644)


@contextlib.contextmanager
def _alone(output: Path) -> Iterator[None]:
    """One build of ``output`` at a time; a second one waits and finds the first one's result."""
    with (output.parent / f".{output.name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _workplace(output: Path, wanted: str) -> Path:
    """This build's own folder, kept from an interrupted run with the same key; others' go."""
    work = output.parent.absolute() / f".{output.name}.{wanted[:16]}"
    for stale in work.parent.glob(f".{output.name}.{'[0-9a-f]' * 16}"):
        if stale != work:
            shutil.rmtree(stale)
    work.mkdir(exist_ok=True)
    free = shutil.disk_usage(work).free
    if free < ROOM and not (work / "build/build.ninja").exists():
        raise DiskFull(
            f"the engine needs {ROOM >> 20} MiB to build, {free >> 20} MiB are free",
            hint=f"free some space on the disk of {work.parent}",
        )
    return work


def _build(target: Target, work: Path, sources: Path, jobs: int) -> None:
    try:
        fetch(sources)
        recipe.build(target, work, sources=sources, jobs=jobs)
    except (GoniError, OSError) as error:
        # A compiler's exit status doesn't say that the disk was full.
        if shutil.disk_usage(work).free > 32 << 20:
            raise
        raise DiskFull("the disk is full", hint=f"make room for {work.parent}") from error


def _replace(output: Path, work: Path) -> None:
    """Put the result in ``output``'s place; whoever has the old files open keeps them."""
    if output.exists():
        output.rename(work / "old")
    (work / "result").rename(output)
    files.sync_folder(output.parent)
    shutil.rmtree(work)


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; exits with a message when it can't be understood."""
    parser = argparse.ArgumentParser(prog="python3 -m image.engine", description="Build llama.cpp.")
    parser.add_argument("--target", choices=sorted(TARGETS), default="host")
    parser.add_argument("--output", type=Path, help="folder of the result")
    parser.add_argument("--jobs", type=int, default=0, help="compilers at once (one per CPU)")
    parser.add_argument("--sources", type=Path, default=SOURCES, help="folder of the downloads")
    parser.add_argument("--fetch", action="store_true", help="only download the sources")
    parser.add_argument("--link-into", type=Path, metavar="VENV", help="make llama_cpp importable")
    parsed = parser.parse_args(words)
    if not parsed.output and not parsed.fetch:
        parser.error("--output or --fetch is required")
    return parsed


def main() -> None:
    asked = arguments()
    try:
        if asked.fetch:
            fetch(asked.sources)
        else:
            ensure(TARGETS[asked.target], asked.output, sources=asked.sources, jobs=asked.jobs)
            if asked.link_into:
                link_into(asked.link_into, asked.output)
    except GoniError as error:
        exit_with(error)
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
