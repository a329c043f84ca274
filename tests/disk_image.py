"""A small image with what makes one Goni's: a GPT, a FAT boot partition, data, and holes."""

from __future__ import annotations

import os
import struct
import subprocess
import uuid
import zlib
from pathlib import Path

SECTOR = 512
ESP = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
USR = uuid.UUID("8484680c-9521-48c6-9c11-b0720656f69e")
ESP_AT = 1 << 20
ESP_SIZE = 8 << 20
USR_AT = ESP_AT + ESP_SIZE


def make(path: Path, *, size: int = 48 << 20, data: int = 6 << 20) -> Path:
    """An image of ``size`` bytes at ``path`` with ``data`` bytes that compress badly, in two
    places, the last of them at its very end.
    """
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(USR_AT)
        file.write(os.urandom(data))
        file.seek(size - (1 << 20))
        file.write(os.urandom((1 << 20) - 34 * SECTOR))
        entries = _entry(ESP, "esp", ESP_AT, ESP_SIZE)
        entries += _entry(USR, "goni_0.1.0", USR_AT, size - USR_AT - (1 << 20))
        entries = entries.ljust(128 * 128, b"\0")
        last = size // SECTOR - 1
        for here, other, table in ((1, last, 2), (last, 1, last - 32)):
            file.seek(table * SECTOR)
            file.write(entries)
            file.seek(here * SECTOR)
            file.write(_header(here, other, table, last, entries))
    place = f"{path}@@{ESP_AT}"
    sectors = str(ESP_SIZE // SECTOR)
    subprocess.run(["mformat", "-i", place, "-T", sectors, "::"], check=True, timeout=60)
    return path


def _entry(kind: uuid.UUID, label: str, at: int, size: int) -> bytes:
    first, last = at // SECTOR, (at + size) // SECTOR - 1
    head = kind.bytes_le + uuid.uuid4().bytes_le + struct.pack("<QQQ", first, last, 0)
    return (head + label.encode("utf-16-le")).ljust(128, b"\0")


def _header(here: int, other: int, table: int, last: int, entries: bytes) -> bytes:
    """UEFI specification, table 5-5."""
    head = struct.pack("<8sIIII", b"EFI PART", 0x10000, 92, 0, 0)
    body = struct.pack("<QQQQ", here, other, 34, last - 33) + uuid.uuid4().bytes_le
    body += struct.pack("<QIII", table, 128, 128, zlib.crc32(entries))
    crc = zlib.crc32(head + body)
    return head[:16] + struct.pack("<I", crc) + head[20:] + body


def sign(image: Path, key: Path) -> Path:
    """``SHA256SUMS`` with every image and map beside ``image``, signed with ``key`` as
    image/keys.py does; the list.
    """
    folder = image.parent
    names = sorted(
        path.name for path in folder.iterdir() if ".raw" in path.name or path.suffix == ".bmap"
    )
    sums = folder / "SHA256SUMS"
    made = subprocess.run(
        ["sha256sum", *names], cwd=folder, stdout=subprocess.PIPE, check=True, timeout=60
    )
    sums.write_bytes(made.stdout)
    words = ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", sums]
    if b"ED25519" not in _text(key):
        words += ["-digest", "sha256"]
    subprocess.run([*words, "-out", f"{sums}.sig"], check=True, timeout=60)
    return sums


def _text(key: Path) -> bytes:
    words = ["openssl", "pkey", "-in", key, "-noout", "-text"]
    return subprocess.run(words, stdout=subprocess.PIPE, check=True, timeout=60).stdout.upper()


def make_key(folder: Path, name: str = "image", kind: str = "ed25519") -> tuple[Path, Path]:
    """A signing key and its certificate."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.crt"
    words = [
        "openssl",
        "req",
        "-new",
        "-x509",
        "-newkey",
        kind,
        "-noenc",
        "-subj",
        f"/CN=Test {name}",
    ]
    subprocess.run(
        [*words, "-keyout", key, "-out", certificate], check=True, timeout=60, capture_output=True
    )
    return key, certificate
