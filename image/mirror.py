"""Where Debian's packages come from: the build host's own apt configuration, nothing else.

mkosi's own Debian sources include the debug archive, which not every mirror carries; a sandbox tree
with ``etc/apt/sources.list.d/mkosi.sources`` (exactly that name) replaces them. It is written at
build time from ``apt-get indextargets``, so no mirror's name is ever committed. ``GONI_MIRROR`` and
``GONI_SECURITY_MIRROR`` override what the host uses.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from goni_core import files
from goni_core.errors import GoniError
from goni_core.run import run

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
RELEASE = "trixie"
FORMAT = "$(REPO_URI)|$(ORIGIN)|$(LABEL)|$(CREATED_BY)"


@dataclass(frozen=True)
class Mirror:
    """Base addresses of Debian's main and security archives."""

    main: str
    security: str


def pick(targets: Iterable[str]) -> Mirror:
    """The mirror that lines of ``apt-get indextargets --format FORMAT`` speak of."""
    found: dict[str, str] = {}
    for line in targets:
        uri, _, rest = line.partition("|")
        origin, label, created = ([*rest.split("|"), "", "", ""])[:3]
        if origin == "Debian" and created == "Packages":
            found.setdefault(label, uri.rstrip("/"))
    main = os.environ.get("GONI_MIRROR") or found.get("Debian")
    if not main:
        raise GoniError(
            "no Debian mirror in this machine's apt configuration",
            hint="run apt-get update first, or set GONI_MIRROR to a mirror's address",
        )
    security = os.environ.get("GONI_SECURITY_MIRROR") or found.get("Debian-Security")
    return Mirror(main, security or f"{main.removesuffix('/debian')}/debian-security")


def host_mirror() -> Mirror:
    """The mirror that this machine's apt uses."""
    done = run(["apt-get", "indextargets", "--format", FORMAT], timeout=60)
    return pick(done.text.splitlines())


def sources(mirror: Mirror, *, release: str = RELEASE) -> str:
    """The deb822 text (sources.list(5)) of ``release``, its updates, security and backports."""
    stanzas = (
        (mirror.main, f"{release} {release}-updates {release}-backports"),
        (mirror.security, f"{release}-security"),
    )
    return "\n".join(
        f"Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: main non-free-firmware\n"
        f"Signed-By: {KEYRING}\n"
        for uri, suites in stanzas
    )


def blame(mirror: Mirror, error: GoniError) -> GoniError:
    """A better reason for ``error`` when it is that ``mirror`` can't be reached."""
    parts = urlsplit(mirror.main)
    if not parts.hostname or any(name.lower() == "http_proxy" for name in os.environ):
        return error
    port = parts.port or {"https": 443}.get(parts.scheme, 80)
    try:
        socket.create_connection((parts.hostname, port), timeout=10).close()
    except OSError:
        return GoniError(
            f"this machine's Debian mirror ({parts.hostname}) can't be reached",
            hint="check the network, or set GONI_MIRROR to a mirror's address",
        )
    return error


def write_sandbox(folder: Path, mirror: Mirror) -> Path:
    """A sandbox tree for mkosi (``SandboxTrees=``) with the sources above."""
    target = folder / "etc/apt/sources.list.d/mkosi.sources"
    target.parent.mkdir(parents=True, exist_ok=True)
    text = sources(mirror).encode()
    if not target.exists() or target.read_bytes() != text:
        files.write(target, text, mode=0o644)
    return folder
