"""How a test brings its agent into the unchanged image: systemd credentials in SMBIOS strings.

systemd reads OEM strings ``io.systemd.credential.binary:NAME=BASE64`` (systemd(1)) and makes units
and drop-ins of the ones with the right names (systemd-debug-generator(8), since 256). QEMU takes
each string from a file: on its command line they would hit its length limit.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

from goni_core.errors import BadInput

LARGEST = 48 << 10
"""Bytes of one string: with all its strings an SMBIOS 2.x table stays below 64 KiB."""

AGENT = "goni.test-agent"
UNIT = "goni-test-agent.service"

UNIT_TEXT = f"""\
[Unit]
Description=Test agent brought by the virtual machine
# In neither order with anything: it is there to look at a boot that doesn't get any further.
DefaultDependencies=no
IgnoreOnIsolate=yes
ConditionPathExists=!/etc/initrd-release
Conflicts=shutdown.target
Before=shutdown.target

[Service]
ExecStart=/usr/bin/python3 -I /run/credentials/@system/{AGENT}
"""

WANTS = f"[Unit]\nWants={UNIT}\n"


def agent() -> dict[str, bytes]:
    """The credentials that start the agent early in the boot."""
    source = Path(__file__).with_name("guest_agent.py")
    return {
        AGENT: source.read_bytes(),
        f"systemd.extra-unit.{UNIT}": UNIT_TEXT.encode(),
        "systemd.unit-dropin.sysinit.target~goni-test": WANTS.encode(),
    }


def string(name: str, value: bytes) -> str:
    """One credential as an OEM string; :class:`BadInput` when it wouldn't arrive whole."""
    text = f"io.systemd.credential.binary:{name}={base64.b64encode(value).decode('ascii')}"
    if len(text) > LARGEST:
        raise BadInput(f"credential {name} is too long for an SMBIOS string")
    return text


def write(credentials: Mapping[str, bytes], folder: Path) -> tuple[Path, ...]:
    """One file per credential in ``folder``, for ``-smbios type=11,path=``."""
    texts = [string(name, value) for name, value in credentials.items()]
    if sum(len(text) + 1 for text in texts) > LARGEST:
        raise BadInput("these credentials are too long for one SMBIOS table")
    folder.mkdir(parents=True, exist_ok=True)
    paths = tuple(folder / f"{number:02}.txt" for number in range(len(texts)))
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text, encoding="ascii")
    return paths
