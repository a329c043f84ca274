"""Small releases with real keys, real metadata and real verity data, for tests."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from goni_update import trust, verity, version
from goni_update.catalog import Catalog
from goni_update.source import Source
from goni_update.trust import Trust
from image.release import bundle, home
from image.release.bundle import Image, Wanted
from image.release.repository import Repository

VARIANT = "minimal"


def noise(name: str, size: int) -> bytes:
    """Bytes that don't compress, the same for the same ``name``."""
    return hashlib.shake_256(name.encode()).digest(size)


def write_image(
    stem: Path, number: str, *, usr: bytes | None = None, efi: bytes | None = None
) -> Image:
    """The four files of a version as ``make image`` leaves them, with true verity data."""
    usr = usr or noise(f"usr {number}", 64 * verity.BLOCK)
    salt = noise(number, 32)
    head = struct.pack(
        "<8sII16s32sIIQH6s256s", b"verity\0\0", 1, 1, bytes(16), b"sha256", verity.BLOCK,
        verity.BLOCK, len(usr) // verity.BLOCK, len(salt), b"", salt,
    )  # fmt: skip
    files = {name: stem.with_name(stem.name + suffix) for name, suffix in bundle.SUFFIX.items()}
    files["usr"].write_bytes(usr + bytes(1 << 20))
    root, tree = verity.tree(files["usr"], verity.superblock(head))
    files["usr-verity"].write_bytes(tree.ljust(1 << 20, b"\0"))
    signature = json.dumps({"rootHash": root}).encode()
    files["usr-verity-sig"].write_bytes(signature.ljust(16384, b"\0"))
    files["efi"].write_bytes(efi or noise(f"efi {number}", 100_000))
    return bundle.image_at(stem, version.parse(number))


@dataclass
class Publisher:
    """A builder with a repository: ``folder`` holds keys, images and the repository."""

    folder: Path
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    @property
    def keys(self) -> Path:
        return self.folder / "keys"

    @property
    def first_root(self) -> Path:
        """What an image carries that was built on the first day."""
        return self.folder / "root.json"

    def start(self) -> Publisher:
        home.make(self.keys, development=True, now=self.now)
        self.first_root.write_bytes((self.keys / "root.json").read_bytes())
        self.open()
        return self

    def open(self) -> Repository:
        return home.open_repository(self.repository, [self.keys], now=self.now)

    def publish(
        self,
        number: str,
        *,
        channel: str = "stable",
        image: Image | None = None,
        deltas: int = 0,
        **wanted: object,
    ) -> Catalog:
        work = self.folder / f"work-{number}"
        images = self.folder / "images"
        for folder in (work, images):
            folder.mkdir(exist_ok=True)
        image = image or write_image(images / f"goni_{number}_x86-64", number)
        what = Wanted(
            version.parse(number),
            version.parse(str(wanted.pop("minimum", "0.1.0"))),
            **wanted,  # type: ignore[arg-type]
        )
        made = bundle.build(image, what, f"{channel}/{VARIANT}/{number}", work, level=1)
        made = bundle.with_deltas(self.open(), channel, VARIANT, made, work, last=deltas)
        return bundle.publish(self.open(), channel, VARIANT, made, work, self.now)

    def later(self, **time: float) -> Publisher:
        self.now += timedelta(**time)
        return self


def trusting(
    publisher: Publisher, folder: Path, source: Source, *, now: datetime | None = None
) -> Trust:
    """A node's view of ``publisher``'s repository."""
    return Trust(
        folder / "tuf",
        publisher.first_root,
        source,
        now=now or publisher.now,
        mirror=folder / "mirror",
    )


__all__ = ["VARIANT", "Publisher", "noise", "trust", "trusting", "write_image"]
