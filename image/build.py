"""Build the image: ``python -m image.build [--profile minimal|reference] [--release]``.

Flow: tools tree -> keys -> engine and embedding model (cached by content) -> initrd -> image ->
checksums. mkosi does the work; this finds what it needs and names what is missing.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from goni_core import files
from goni_core.contract import EMBEDDING_FILE
from goni_core.errors import GoniError, exit_with
from goni_core.run import stream
from goni_core.sparse import extent
from image import bmap, embedding, engine, fixed, keys, mkosi, parts, sbom, tools
from image.mirror import blame, host_mirror, write_sandbox
from image.release import home

OUT = Path("out")
PROFILES = ("reference", "minimal")
ZEROS = memoryview(bytes(1 << 20))
ROOM = 12 << 30
"""Bytes that a first build takes below ``out/``."""

EXAMPLES = """examples:
  python -m image.build                                 the reference image
  python -m image.build --profile minimal               the small one for virtual machines
  python -m image.build --release --keys production.toml
"""


def version() -> str:
    """The version in pyproject.toml; tests of updates build another one (``GONI_VERSION``)."""
    if other := os.environ.get("GONI_VERSION"):
        return other
    return str(tomllib.loads(Path("pyproject.toml").read_text())["project"]["version"])


def output_name(profile: str, number: str) -> str:
    """The image's file name without its ending: the reference image is the plain one."""
    return f"goni_{number}_x86-64" if profile == "reference" else f"goni-{profile}_{number}_x86-64"


def image_path(profile: str) -> Path:
    """Where ``profile``'s image is once it is built."""
    return OUT / f"{output_name(profile, version())}.raw"


@contextmanager
def step(name: str) -> Iterator[None]:
    """A line when a part of the build starts, and one with its time when it ends."""
    print(f"‣ {name}", file=sys.stderr, flush=True)
    begun = time.monotonic()
    yield
    print(f"  {name}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)


def check_host() -> None:
    """Refuse what would fail half-way: another architecture, no room, no right to write."""
    if os.uname().machine != "x86_64":
        raise GoniError("the image is built on x86-64 machines only")
    OUT.mkdir(exist_ok=True)
    if not os.access(OUT, os.W_OK):
        raise GoniError(f"{OUT}/ is not writable", hint="run as the user who owns the checkout")
    free = shutil.disk_usage(OUT).free
    if free < ROOM and not tools.TREE.exists():
        raise GoniError(
            f"{free >> 30} GiB free below {OUT}/, a first build takes {ROOM >> 30} GiB",
            hint="free some disk space",
        )


def common_options(cache: str) -> list[str]:
    """What every run of mkosi takes. ``cache`` names a folder: mkosi's own key for its incremental
    cache tells neither the initrd nor the profiles apart.
    """
    folder = OUT / "cache/mkosi-images" / cache
    folder.mkdir(parents=True, exist_ok=True)
    return [
        *mkosi.command(),
        f"--tools-tree={tools.TREE.absolute()}",
        f"--sandbox-tree={tools.SANDBOX.absolute()}",
        f"--package-cache-dir={tools.PACKAGES.absolute()}",
        f"--cache-directory={folder.absolute()}",
        f"--image-version={version()}",
    ]


def build_engine(folder: Path) -> None:
    """The engine in trixie: fetched by this machine's pip, compiled in the tools tree."""
    engine.fetch(engine.SOURCES)
    words = ["python3", "-m", "image.engine", "--target", "image", "--output", str(folder)]
    here = f"{Path('services').absolute()}:{Path.cwd()}"
    stream(tools.in_tree(words), timeout=5400, env={"PYTHONPATH": here})


def build_initrd() -> Path:
    """mkosi's initrd with Goni's units, rebuilt when its configuration or the version changed."""
    folder = OUT / "cache/initrd"
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "initrd.cpio.zst"
    stamp = folder / "key"
    key = _tree_key(Path("image/initrd"), Path("image/common.conf"))
    if done.exists() and stamp.exists() and stamp.read_text() == key:
        return done
    stream(
        [
            *common_options("initrd"),
            # Its own time, not the last commit's: it is only built when its sources change.
            *fixed.options("initrd", "image/initrd", "image/common.conf"),
            "--directory=image/initrd",
            f"--output-directory={folder.absolute()}",
            "--force",
            "build",
        ],
        timeout=1800,
    )
    files.write(stamp, key.encode())
    return done


def _tree_key(*places: Path) -> str:
    digest = hashlib.sha256()
    for place in places:
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file():
                digest.update(f"{path}\0".encode() + path.read_bytes())
    return digest.hexdigest()


@contextmanager
def extra_tree(root: Path) -> Iterator[Path]:
    """An extra tree that tells the image which commands pyproject.toml defines, and which root
    keys its updates have to be signed with.
    """
    scripts = tomllib.loads(Path("pyproject.toml").read_text())["project"]["scripts"]
    with tempfile.TemporaryDirectory(dir=OUT) as folder:
        target = Path(folder) / "usr/share/goni/commands.toml"
        target.parent.mkdir(parents=True)
        # What isn't in the image has no command there.
        lines = [
            f'{name} = "{entry}"'
            for name, entry in sorted(scripts.items())
            if not entry.startswith("goni_flash")
        ]
        target.write_text("[scripts]\n" + "\n".join(lines) + "\n")
        trusted = target.parent / "update/root.json"
        trusted.parent.mkdir()
        shutil.copyfile(root, trusted)
        yield Path(folder).absolute()


def build_image(profile: str, signing: list[keys.Key], initrd: Path, root: Path) -> Path:
    """Run mkosi for ``profile``; returns the raw image's path."""
    name = output_name(profile, version())
    with extra_tree(root) as extra:
        stream(
            [
                *common_options(profile),
                *fixed.options(name),
                f"--profile={profile}",
                f"--output={name}",
                f"--output-directory={OUT.absolute()}",
                f"--initrd={initrd.absolute()}",
                f"--extra-tree={extra}:/",
                f"--environment=GONI_VARIANT={profile}",
                *(word for key in signing for word in key.options()),
                "--force",
                "build",
            ],
            timeout=3600,
        )
    return OUT / f"{name}.raw"


def write_checksums(name: str) -> Path:
    """``SHA256SUMS`` over every file of this build, in sha256sum(1)'s format."""
    made = [
        path
        for path in OUT.glob(f"{name}*")
        if path.is_file() and not path.is_symlink() and "SHA256SUMS" not in path.name
    ]
    # The largest first, so that no core is left with it at the end; hashing frees the others.
    made.sort(key=lambda path: path.stat().st_size, reverse=True)
    with ThreadPoolExecutor() as workers:
        sums = dict(zip(made, workers.map(_sha256, made), strict=True))
    lines = [f"{sums[path]}  {path.name}\n" for path in sorted(made)]
    target = OUT / ("SHA256SUMS" if name.startswith("goni_") else f"{name}.SHA256SUMS")
    files.write(target, "".join(lines).encode(), mode=0o644)
    return target


def _sha256(path: Path) -> str:
    """The digest of a sparse file. Its holes are not read, as the kernel would fill the page cache
    with their zeros (lseek(2), SEEK_DATA).
    """
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as source:
        size = os.fstat(source.fileno()).st_size
        at = 0
        while at < size:
            data, end = extent(source.fileno(), at, size)
            for start in range(at, data, len(ZEROS)):
                digest.update(ZEROS[: data - start])
            source.seek(data)
            for start in range(data, end, len(ZEROS)):
                digest.update(source.read(min(len(ZEROS), end - start)))
            at = end
    return digest.hexdigest()


def build(profile: str, *, release: bool, key_file: Path | None) -> Path:
    """Everything, from an empty ``out/`` to a signed image with its checksums."""
    check_host()
    with step("tools tree"):
        write_sandbox(tools.SANDBOX, host_mirror())
        tools.ensure()
    signing = keys.from_file(key_file) if key_file else keys.development()
    root = keys.update_root(key_file) if key_file else home.development_root()
    if release:
        keys.refuse_development(signing)
        home.refuse_development(root)
    with step("engine"):
        build_engine(OUT / "engine/image")
    with step("embedding model"):
        embedding.ensure(OUT / "models" / EMBEDDING_FILE)
        parts.ensure(OUT / "python")
    with step("initrd"):
        initrd = build_initrd()
    with step(f"image ({profile})"):
        image = build_image(profile, signing, initrd, root)
    with step("bill of materials"):
        sbom.write(image)
    with step("checksums"):
        bmap.write(image)
        sums = write_checksums(output_name(profile, version()))
        keys.sign(next(key for key in signing if key.name == "image"), sums)
    return image


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="image.build",
        description="Build Goni's signed image.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--profile", choices=PROFILES, default="reference")
    parser.add_argument("--release", action="store_true", help="refuse development keys")
    parser.add_argument("--keys", type=Path, metavar="FILE", help="production keys (TOML)")
    parser.add_argument("--print-path", action="store_true", help="say where the image would be")
    given = parser.parse_args()
    if given.print_path:
        print(image_path(given.profile))
        return
    try:
        image = build(given.profile, release=given.release, key_file=given.keys)
    except GoniError as error:
        exit_with(blame(host_mirror(), error) if error.code == "process_failed" else error)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    print(image)


if __name__ == "__main__":
    main()
