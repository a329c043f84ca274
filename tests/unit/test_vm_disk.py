"""A machine's disk: the image at its start, holes kept, partitions found, single bits turned."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from goni_core.errors import BadInput, NotFound
from image import disk

MIB = 1 << 20


def gpt_image(path: Path, *, entry_size: int = 128) -> Path:
    """A raw image with a GPT of two partitions, a hole, and data in the second."""
    header = struct.pack("<8s64x", b"EFI PART") + struct.pack("<QII4x", 2, 4, entry_size)
    with path.open("wb") as sink:
        sink.truncate(8 * MIB)
        sink.seek(512)
        sink.write(header)
        for number, (label, first, last) in enumerate([("esp", 40, 99), ("goni_1", 8192, 12287)]):
            sink.seek(1024 + number * 128)
            ids = b"\x01" * 32
            name = label.encode("utf-16-le").ljust(72, b"\0")
            sink.write(ids + struct.pack("<QQQ", first, last, 0) + name)
        sink.seek(4 * MIB)
        sink.write(b"data" * 1000)
    return path


def test_the_disk_begins_with_the_image_and_is_as_large_as_asked(tmp_path: Path) -> None:
    image = gpt_image(tmp_path / "image.raw")
    disk.write_image(image, tmp_path / "disk.raw", size=64 * MIB)
    made = (tmp_path / "disk.raw").read_bytes()
    assert made[: 8 * MIB] == image.read_bytes()
    assert len(made) == 64 * MIB
    assert not any(made[8 * MIB :])


def test_holes_stay_holes(tmp_path: Path) -> None:
    image = gpt_image(tmp_path / "image.raw")
    disk.write_image(image, tmp_path / "disk.raw")
    found = (tmp_path / "disk.raw").stat()
    assert found.st_size == 16_000_000_000
    assert found.st_blocks * 512 < MIB


def test_an_image_larger_than_the_disk_is_refused(tmp_path: Path) -> None:
    image = gpt_image(tmp_path / "image.raw")
    with pytest.raises(BadInput, match="larger than the disk"):
        disk.write_image(image, tmp_path / "disk.raw", size=MIB)
    assert not (tmp_path / "disk.raw").exists()


def test_partitions_are_found_by_their_label(tmp_path: Path) -> None:
    image = gpt_image(tmp_path / "image.raw")
    assert [one.label for one in disk.partitions(image)] == ["esp", "goni_1"]
    assert disk.partition(image, "goni_1") == disk.Partition("goni_1", 4 * MIB, 2 * MIB)
    with pytest.raises(NotFound, match="home"):
        disk.partition(image, "home")


def test_a_disk_without_a_usable_gpt_is_refused(tmp_path: Path) -> None:
    (tmp_path / "none.raw").write_bytes(bytes(MIB))
    with pytest.raises(BadInput, match="no GPT"):
        disk.partitions(tmp_path / "none.raw")
    with pytest.raises(BadInput, match="unusable"):
        disk.partitions(gpt_image(tmp_path / "odd.raw", entry_size=1))


def test_exactly_one_bit_is_turned(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(b"\x00\x0f\x00")
    disk.flip_bit(path, 1, bit=7)
    assert path.read_bytes() == b"\x00\x8f\x00"
    disk.flip_bit(path, 1, bit=7)
    assert path.read_bytes() == b"\x00\x0f\x00"


def test_a_bit_beyond_the_disk_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(b"\x00")
    with pytest.raises(BadInput, match="ends before"):
        disk.flip_bit(path, 1)
