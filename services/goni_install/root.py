"""The running system's own root: a recovery key for it, binding it to the TPM again, and its end.

All of it needs the root's own key (see ``keys``), which only root can read.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path

from goni_core import files
from goni_core.contract import Recovery
from goni_core.errors import Conflict, GoniError, NotFound
from goni_core.run import Argument, run
from goni_install import keys

log = logging.getLogger(__name__)

MODHEX = "cbdefghijklnrtuv"
RECOVERY = re.compile(rf"[{MODHEX}]{{8}}(?:-[{MODHEX}]{{8}}){{7}}")
"""As systemd-cryptenroll(1) writes it: 256 bits."""


@dataclass(frozen=True)
class Places:
    """Where things are: the encrypted partition, the root, the boot partition, and what the initrd
    leaves when the root had to be opened by a person.
    """

    partition: Path = Path("/dev/goni/by-label/root")
    root: Path = Path("/")
    esp: Path = Path("/boot")
    asked: Path = Path("/run/goni-install/asked")
    tpm: Path = Path("/dev/tpmrm0")

    @property
    def key(self) -> Path:
        return self.root / keys.OWN

    @property
    def beside(self) -> Path:
        """The own key on the boot partition, where no TPM holds one (make-root in the initrd)."""
        return self.esp / "goni-root.key"


def recovery(places: Places) -> Recovery:
    """Whether the root can have a recovery key, and has one."""
    if not places.key.exists():
        return Recovery(False, False, "the root's own key is not there")
    words: list[Argument] = ["cryptsetup", "luksDump", "--dump-json-metadata", places.partition]
    tokens = json.loads(run(words, timeout=keys.SECONDS).stdout)["tokens"].values()
    return Recovery(True, any(token["type"] == "systemd-recovery" for token in tokens))


def enroll_recovery(places: Places) -> str:
    """A new recovery key, the only good one from now on; it is kept nowhere."""
    done = _enroll(places, "--wipe-slot=recovery", "--recovery-key")
    found = RECOVERY.search(done)
    if not found:
        raise GoniError("the recovery key was not said", hint="ask for another one")
    log.info("a recovery key was made")
    return found[0]


def bind(places: Places) -> None:
    """Bind the root to this box's TPM, in place of any other."""
    if not places.tpm.exists():
        raise NotFound("this box has no TPM 2.0", hint="switch it on in the firmware's setup")
    _enroll(places, "--wipe-slot=tpm2", "--tpm2-device=auto", *keys.PCRS)
    if places.beside.exists():
        places.beside.unlink()
        files.sync_folder(places.beside.parent)
    log.info("the root is bound to this box's TPM")


def must_bind(places: Places) -> bool:
    """Whether the TPM there is did not open the root at this boot."""
    return places.tpm.exists() and (places.asked.exists() or places.beside.exists())


def erase(places: Places) -> None:
    """Destroy every key of the root, the recovery key too: from the next boot on it is as after
    the first one. Nothing brings its data back.
    """
    run(["cryptsetup", "luksErase", "--batch-mode", places.partition], timeout=keys.SECONDS)
    places.beside.unlink(missing_ok=True)
    log.warning("the data of this Goni was erased")


def _enroll(places: Places, *words: Argument) -> str:
    if not places.key.exists():
        raise Conflict(
            "the root's own key is not there",
            hint="a factory reset makes a new root with one",
            code="no_own_key",
        )
    argv = ["systemd-cryptenroll", f"--unlock-key-file={places.key}", *words, places.partition]
    return run(argv, timeout=keys.SECONDS).text
