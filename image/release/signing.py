"""The keys that sign releases: Ed25519, one PEM file each, found by what they can sign.

Development keys are made on first use below ``keys/update``, readable by their owner only. Their
public halves are named "development …" in the root metadata, which says so in a field of its own
too. Production keys are made with ``python -m image.release keys --production FOLDER``; each can
then live where it should (root keys on sticks in drawers), and whoever signs names the folders.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner, SSlibKey

from goni_core import files
from goni_core.errors import GoniError

ROOTS = ("root-1", "root-2", "root-3")
ROOT_THRESHOLD = 2
CHANNELS = ("stable", "beta")
NAMES = (*ROOTS, "targets", "snapshot", "timestamp", *CHANNELS)
DEVELOPMENT = Path("keys/update")
PUBLICS = "public.json"
NAME = "x-goni-name"
"""Field of a public key with its name for people."""


@dataclass(frozen=True)
class Keys:
    """Private keys at hand, by their key id."""

    signers: Mapping[str, CryptoSigner]

    def signer(self, keyid: str) -> CryptoSigner | None:
        return self.signers.get(keyid)


def make(folder: Path, name: str, *, development: bool) -> SSlibKey:
    """A new key in ``folder``; returns its public half."""
    signer = CryptoSigner.generate_ed25519()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    public = signer.public_key
    path = folder / f"{name}.pem"
    if path.exists():  # a successor: the old key may still have to sign its own going
        path = folder / f"{name}.{public.keyid[:8]}.pem"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as sink:
        sink.write(signer.private_bytes)
    assert isinstance(public, SSlibKey)
    public.unrecognized_fields[NAME] = f"development {name}" if development else name
    return public


def make_all(folder: Path, *, development: bool) -> dict[str, SSlibKey]:
    """A whole new set of keys in ``folder``; returns the public halves by name, which are kept
    beside them too.
    """
    publics = {name: make(folder, name, development=development) for name in NAMES}
    keep_publics(folder, publics)
    return publics


def keep_publics(folder: Path, publics: Mapping[str, SSlibKey]) -> None:
    listed = {name: {"keyid": key.keyid, **key.to_dict()} for name, key in publics.items()}
    files.write(folder / PUBLICS, json.dumps(listed, indent=1).encode(), mode=0o644)


def publics(folder: Path) -> dict[str, SSlibKey]:
    """The public halves that :func:`make_all` left in ``folder``."""
    try:
        listed = json.loads((folder / PUBLICS).read_bytes())
        return {name: SSlibKey.from_dict(listed[name].pop("keyid"), listed[name]) for name in NAMES}
    except (OSError, ValueError, KeyError) as error:
        raise GoniError(f"{folder / PUBLICS} can't be used") from error


def load(folders: Iterable[Path]) -> Keys:
    """Every key in ``folders``; :class:`GoniError` names a file that holds none."""
    signers: dict[str, CryptoSigner] = {}
    for folder in folders:
        if not folder.is_dir():
            raise GoniError(f"there is no folder of keys at {folder}")
        for path in sorted(folder.glob("*.pem")):
            signer = _read(path)
            signers[signer.public_key.keyid] = signer
    return Keys(signers)


def _read(path: Path) -> CryptoSigner:
    if path.stat().st_mode & 0o077:
        raise GoniError(f"{path} can be read by others", hint=f"chmod 600 {path}")
    try:
        return CryptoSigner(load_pem_private_key(path.read_bytes(), None))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise GoniError(f"{path} holds no usable private key") from error
