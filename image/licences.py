"""Which licences a Debian package states: from the copyright file inside the package.

The image itself has no ``/usr/share/doc``; the packages that it was made of are in the build's
cache. Machine-readable files (Debian's copyright-format 1.0, "DEP 5") name each licence; short
names become SPDX identifiers where both mean the same. What a file only tells in prose stays
unknown, and is said to be.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path, PurePosixPath

from goni_core import files
from goni_core.run import run

FORMAT = re.compile(r"Format(-Specification)?:\s*\S*(copyright-format|dep5)", re.IGNORECASE)
STATED = re.compile(r"^License:[ \t]*(\S.*)$", re.MULTILINE)
LIMIT = 8 << 20
"""Bytes of a copyright file at most."""
SPDX = {
    "expat": "MIT",
    "mit": "MIT",
    "apache-2.0": "Apache-2.0",
    "apache-2": "Apache-2.0",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "bsd-4-clause": "BSD-4-Clause",
    "isc": "ISC",
    "zlib": "Zlib",
    "mpl-2.0": "MPL-2.0",
    "cc0-1.0": "CC0-1.0",
    "cc0": "CC0-1.0",
    "psf-2": "PSF-2.0",
    "artistic": "Artistic-1.0-Perl",
    "artistic-2.0": "Artistic-2.0",
    "bsl-1.0": "BSL-1.0",
    "openssl": "OpenSSL",
    "curl": "curl",
    "x11": "X11",
    "0bsd": "0BSD",
    "unicode-3.0": "Unicode-3.0",
}
NUMBERED = re.compile(r"(A?GPL|LGPL|GFDL)-?v?(\d)(?:\.(\d))?(\+?)", re.IGNORECASE)


def spdx(name: str) -> str:
    """The SPDX identifier of a Debian short name; empty when there is none that means the same."""
    name = name.strip()
    if match := NUMBERED.fullmatch(name):
        family, major, minor, later = match[1].upper(), match[2], match[3] or "0", match[4]
        return f"{family}-{major}.{minor}-{'or-later' if later else 'only'}"
    return SPDX.get(name.lower(), "")


def stated(text: str) -> list[str]:
    """The licences that a copyright file names, in order, each once; empty when it is prose."""
    if not FORMAT.search(text[:2000]):
        return []
    found = (" ".join(match.split()) for match in STATED.findall(text))
    return list(dict.fromkeys(found))


def read(package: Path, folder: Path) -> list[str]:
    """What the Debian package in the file ``package`` states; ``folder`` holds the others, since
    some packages point to another's copyright file.
    """
    name = package.name.split("_")[0]
    text, other = _copyright(package, name)
    if not text and other:
        texts = (_copyright(path, other)[0] for path in sorted(folder.glob(f"{other}_*.deb")))
        text = next((found for found in texts if found), "")
    return stated(text)


def _copyright(package: Path, name: str) -> tuple[str, str]:
    """The copyright file's text, or the name of the package whose one it is."""
    place = f"usr/share/doc/{name}"
    packed = run(["dpkg-deb", "--fsys-tarfile", package], timeout=600).stdout
    other = ""
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        for member in archive:
            path = member.name.removeprefix("./")
            if path == place and member.issym():
                other = PurePosixPath(member.linkname).name
            elif path == f"{place}/copyright" and member.isfile():
                file = archive.extractfile(member)
                return (file.read(LIMIT).decode(errors="replace") if file else ""), ""
            elif path == f"{place}/copyright" and member.issym():
                other = PurePosixPath(member.linkname).parent.name
    return "", other


def of_packages(packages: Iterable[Path], cache: Path) -> dict[str, list[str]]:
    """The licences of every package file, by its name. Unpacking takes long and a package never
    changes, so what was read is kept in ``cache`` (JSON).
    """
    wanted = list(packages)
    try:
        known: dict[str, list[str]] = json.loads(cache.read_text())
    except (OSError, ValueError):
        known = {}
    new = [path for path in wanted if path.name not in known]
    with ThreadPoolExecutor(2) as threads:  # each holds a whole unpacked package in memory
        found = threads.map(lambda path: read(path, path.parent), new)
        known |= {path.name: names for path, names in zip(new, found, strict=True)}
    if new:
        cache.parent.mkdir(parents=True, exist_ok=True)
        files.write(cache, json.dumps(known, indent=1, sort_keys=True).encode())
    return {path.name: known[path.name] for path in wanted}
