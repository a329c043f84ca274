"""The signing keys: Secure Boot (UKI, boot loader), verity (/usr), PCR policy (TPM), and image (the
checksums of what is published, which goni-flash checks).

Development keys are made on first use below ``keys/``, readable by their owner only, ignored by
git, and carry "development" in their subject. Production keys are named by a TOML file given with
``--keys FILE``, one table per key::

    [secure_boot]
    key = "pkcs11:object=goni-sb"      # a PKCS#11 URI or a file
    certificate = "/secure/sb.crt"
    source = "provider:pkcs11"         # "file" (default), "engine:NAME" or "provider:NAME"

with the same for ``[verity]``, ``[pcr]`` and ``[image]``; the last is an Ed25519 or RSA key, the
others are RSA. In front of them stands the root that updates will be signed by, from
``python -m image.release keys``::

    update_root = "/secure/update/root.json"

``--release`` refuses development keys.
"""

from __future__ import annotations

import os
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from goni_core import fields
from goni_core.errors import GoniError
from goni_core.run import run
from image.tools import in_tree

NAMES = ("secure_boot", "verity", "pcr", "image")
OPTION = {"secure_boot": "secure-boot", "verity": "verity", "pcr": "sign-expected-pcr"}
DEVELOPMENT = Path("keys")
MARK = "Goni development"


@dataclass(frozen=True)
class Key:
    """One key pair: where its private half is, and its certificate's file (PEM)."""

    name: str
    key: str
    certificate: Path
    source: str = "file"

    def options(self) -> list[str]:
        """mkosi's command-line options for this key; none for one that mkosi has no use for."""
        if self.name not in OPTION:
            return []
        option = OPTION[self.name]
        words = [
            f"--{option}-key={self.key}",
            f"--{option}-certificate={self.certificate.absolute()}",
        ]
        if self.source != "file":
            words.append(f"--{option}-key-source={self.source}")
        return words


def development(folder: Path = DEVELOPMENT) -> list[Key]:
    """The development keys, made now if they aren't there yet."""
    folder.mkdir(mode=0o700, exist_ok=True)
    return [_development_key(folder, name) for name in NAMES]


def _development_key(folder: Path, name: str) -> Key:
    key, certificate = folder / f"{name}.key", folder / f"{name}.crt"
    if not (key.exists() and certificate.exists()):
        print(f"keys: making a development key for {name}", file=sys.stderr)
        old = os.umask(0o077)
        try:
            subject = f"/CN={MARK} {name}/"
            # RSA 2048: what firmware and TPM policies take everywhere.
            kind = "rsa:2048" if name in OPTION else "ed25519"
            words = ["openssl", "req", "-new", "-x509", "-newkey", kind, "-noenc"]
            words += ["-keyout", str(key), "-out", str(certificate), "-days", "3650"]
            run(in_tree([*words, "-subj", subject]), timeout=120)
        finally:
            os.umask(old)
    return Key(name, str(key.absolute()), certificate)


def from_file(path: Path) -> list[Key]:
    """The keys that a TOML file names; :class:`GoniError` names what is wrong with it."""
    tables = _tables(path)
    return [_named(path, name, tables.get(name)) for name in NAMES]


def update_root(path: Path) -> Path:
    """The root of updates that a TOML file names."""
    root = Path(fields.text(_tables(path), "update_root"))
    if not root.is_file():
        raise GoniError(f"{path}: update_root: no file at {root}")
    return root


def _tables(path: Path) -> fields.Object:
    try:
        tables = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise GoniError(f"{path}: {error}") from error
    fields.only(tables, ("update_root", *NAMES))
    return tables


def _named(path: Path, name: str, table: object) -> Key:
    if not isinstance(table, dict):
        raise GoniError(f"{path}: the table [{name}] is missing")
    fields.only(table, ("key", "certificate", "source"))
    certificate = Path(fields.text(table, "certificate"))
    if not certificate.is_file():
        raise GoniError(f"{path}: {name}: no certificate at {certificate}")
    key = fields.text(table, "key")
    source = fields.text(table, "source", default="file")
    if source == "file" and not Path(key).is_file():
        raise GoniError(f"{path}: {name}: no key at {key}")
    return Key(name, key, certificate, source)


def sign(key: Key, path: Path) -> Path:
    """Sign the file at ``path`` with ``key``; the raw signature's file, ``path`` with .sig added
    (``goni_flash.signature`` says how it is checked).
    """
    target = path.with_name(f"{path.name}.sig")
    words = [
        "openssl",
        "pkeyutl",
        "-sign",
        "-rawin",
        "-inkey",
        key.key,
        "-in",
        str(path.absolute()),
    ]
    kind, _, name = key.source.partition(":")
    words += ["-engine", name, "-keyform", "engine"] if kind == "engine" else []
    words += ["-provider", name, "-provider", "default"] if kind == "provider" else []
    if "ED25519" not in _described(key):
        words += ["-digest", "sha256"]
    run(in_tree([*words, "-out", str(target.absolute())]), timeout=120)
    target.chmod(0o644)
    return target


def _described(key: Key) -> str:
    argv = ["openssl", "x509", "-in", str(key.certificate.absolute()), "-noout", "-text"]
    return run(in_tree(argv), timeout=60).text


def is_development(key: Key) -> bool:
    """Whether ``key``'s certificate says that it is only for development."""
    subject = next(line for line in _described(key).splitlines() if "Subject:" in line)
    return "development" in subject.lower()


def refuse_development(keys: list[Key]) -> None:
    """Raise :class:`GoniError` if any of ``keys`` is a development key."""
    if weak := [key.name for key in keys if is_development(key)]:
        raise GoniError(
            f"a release can't be signed with development keys ({', '.join(weak)})",
            hint="name production keys with --keys FILE; see image/keys.py",
        )
