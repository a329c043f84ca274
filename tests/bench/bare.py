"""The bare Debian that boot times are held against: trixie with systemd and a cloud kernel on a
plain ext4 root, built with the same tools, booted by the same signed loader. Kept in
``out/bench/debian`` until its configuration, the tools or the key change.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from goni_core import files
from goni_core.run import stream
from image import build, keys, tools

CONFIGURATION = Path(__file__).parent / "debian"
FOLDER = Path("out/bench/debian")


def ensure(folder: Path = FOLDER) -> Path:
    """The raw image, built if it isn't there or is another's."""
    (signing,) = (key for key in keys.development() if key.name == "secure_boot")
    image, stamp = folder / "debian.raw", folder / "key"
    key = depends_on(CONFIGURATION, signing.certificate)
    if image.exists() and stamp.exists() and stamp.read_text() == key:
        return image
    folder.mkdir(parents=True, exist_ok=True)
    stream(
        [
            *build.common_options("bare-debian"),
            f"--directory={CONFIGURATION.absolute()}",
            f"--output-directory={folder.absolute()}",
            *signing.options(),
            "--force",
            "build",
        ],
        timeout=1800,
    )
    files.write(stamp, key.encode())
    return image


def depends_on(configuration: Path, certificate: Path) -> str:
    """What tells one bare Debian from another."""
    digest = hashlib.sha256(tools.key().encode() + certificate.read_bytes())
    for path in sorted(configuration.rglob("*.conf")):
        digest.update(f"{path.relative_to(configuration)}\0".encode() + path.read_bytes())
    return digest.hexdigest()
