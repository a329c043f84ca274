"""How many bytes an image takes: its /usr file system, its UKI, the raw image, and the largest
things in /usr.

A slot is larger than its file system, so /usr is what the erofs superblock says, and the raw image
what the disk holds of the sparse file. A package counts as Debian's index has it: unpacked, with
the documentation that the image leaves out; /usr itself is compressed.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

from goni_core.errors import BadInput
from image import tools
from tests.bench.rows import Row, measured

TARGETS = {"minimal": {"/usr": 450_000_000, "UKI": 80_000_000}}
SUPERBLOCK = 1024
"""Where erofs's superblock starts (Linux, fs/erofs/erofs_fs.h)."""
MAGIC = 0xE0F5E1E2
LARGEST = 10
OWN = {
    "engine (llama.cpp)": Path("out/engine/image"),
    "embedding model": Path("out/models"),
    "Python packages that Debian lacks": Path("out/python"),
    "Goni's services": Path("services"),
}
"""What is in /usr beside Debian's packages."""


def rows(profile: str, image: Path) -> list[Row]:
    """The rows of the built ``image`` of ``profile``."""
    targets = TARGETS.get(profile, {})
    sizes = {
        "/usr": erofs_bytes(image.with_suffix(".usr.raw")),
        "UKI": image.with_suffix(".efi").stat().st_size,
        "raw image": image.stat().st_blocks * 512,
    }
    found = [
        measured(f"{profile}: {name}", [size], "bytes", target=targets.get(name))
        for name, size in sizes.items()
    ]
    installed = package_bytes(image.with_suffix(".manifest"), index_files())
    installed |= {name: tree_bytes(folder) for name, folder in OWN.items()}
    return found + [
        measured(f"{profile}, unpacked: {name}", [installed[name]], "bytes")
        for name in largest(installed)
    ]


def erofs_bytes(path: Path) -> int:
    """The size of the erofs file system at the start of ``path``."""
    with path.open("rb") as source:
        source.seek(SUPERBLOCK)
        head = source.read(64)
    if len(head) < 64 or struct.unpack_from("<I", head)[0] != MAGIC:
        raise BadInput(f"{path} has no erofs file system")
    block_bits = head[12]
    (blocks,) = struct.unpack_from("<I", head, 36)
    if not 9 <= block_bits <= 16:
        raise BadInput(f"{path} has an unusable erofs superblock")
    return int(blocks << block_bits)


def index_files() -> list[Path]:
    """The package indexes that the image was built from."""
    return sorted((tools.PACKAGES / "lib/apt/lists").glob("*_Packages"))


def package_bytes(manifest: Path, indexes: Iterable[Path]) -> dict[str, int]:
    """The installed size of each package in mkosi's ``manifest``; those that no index knows any
    more, even in another version, are left out.
    """
    packages = json.loads(manifest.read_text())["packages"]
    versions = {package["name"]: package["version"] for package in packages}
    sizes: dict[str, int] = {}
    for index in indexes:
        with index.open(encoding="utf-8") as lines:
            for name, version, size in stanzas(lines):
                if name in versions and (version == versions[name] or name not in sizes):
                    sizes[name] = size
    if not sizes:
        raise BadInput(f"no package index knows the packages in {manifest}")
    return sizes


def stanzas(lines: Iterable[str]) -> Iterable[tuple[str, str, int]]:
    """Name, version and installed bytes of each package in an index (Debian policy, 5.6.20)."""
    fields: dict[str, str] = {}
    for line in [*lines, "\n"]:
        if line.strip():
            name, separator, value = line.partition(": ")
            if separator and name in ("Package", "Version", "Installed-Size"):
                fields[name] = value.strip()
            continue
        if len(fields) == 3:
            yield fields["Package"], fields["Version"], int(fields["Installed-Size"]) << 10
        fields = {}


def tree_bytes(folder: Path) -> int:
    """The bytes of all files below ``folder``; links count nothing."""
    paths = (path for path in folder.rglob("*") if "__pycache__" not in path.parts)
    return sum(path.stat().st_size for path in paths if path.is_file() and not path.is_symlink())


def largest(sizes: Mapping[str, int]) -> list[str]:
    """The names of the :data:`LARGEST` of ``sizes``, largest first."""
    return sorted(sizes, key=lambda name: -sizes[name])[:LARGEST]
