"""The machines' UEFI firmware: the tools tree's OVMF with Secure Boot and SMM.

Each machine has its own variable store. A fresh one is in setup mode: systemd-boot enrols the
image's keys into it on the first boot and restarts the machine once.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from image import tools

CODE = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"
"""Inside the tools tree, where QEMU runs."""
VARIABLES = "usr/share/OVMF/OVMF_VARS_4M.fd"
"""Below the tools tree: no keys enrolled."""


def fresh_variables(target: Path) -> Path:
    """A variable store in setup mode at ``target``."""
    shutil.copyfile(tools.ensure() / VARIABLES, target)
    target.chmod(0o600)
    return target


def words(variables: Path) -> tuple[str, ...]:
    """QEMU's words for the board and its firmware; only code in SMM may write ``variables``."""
    store = str(variables).replace(",", ",,")
    return (
        "-machine", "q35,smm=on,vmport=off",
        "-global", "driver=cfi.pflash01,property=secure,value=on",
        # S3 needs memory that the firmware would have to set aside and lock.
        "-global", "ICH9-LPC.disable_s3=1",
        "-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={CODE}",
        "-drive", f"if=pflash,unit=1,format=raw,file={store}",
    )  # fmt: skip
