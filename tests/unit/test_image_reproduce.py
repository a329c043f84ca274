"""Comparing two builds: what counts as equal, and how a difference is named."""

from __future__ import annotations

import struct
import subprocess
import uuid
from pathlib import Path

import pytest

from goni_core.errors import BadInput, NotFound
from image import build, fixed, pe, reproduce

SECTIONS = {".osrel": b"ID=goni\n", ".linux": b"kernel" * 100, ".initrd": b"files" * 50}


def image(sections: dict[str, bytes], *, signature: bytes = b"", checksum: int = 0) -> bytes:
    """A PE32+ file as small as the format allows (PE Format, "File Headers")."""
    at = 0x400
    table, body = b"", b""
    for name, content in sections.items():
        padded = content.ljust(-(-len(content) // 512) * 512, b"\0")
        table += struct.pack(
            "<8sIIII16x", name.encode(), len(content), 0x1000, len(padded), at + len(body)
        )
        body += padded
    optional = bytearray(240)
    struct.pack_into("<H", optional, 0, pe.PE32_PLUS)
    struct.pack_into("<I", optional, pe.CHECKSUM, checksum)
    if signature:
        place = (at + len(body), len(signature))
        struct.pack_into("<II", optional, pe.CERTIFICATES, *place)
    head = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40) + b"PE\0\0"
    head += struct.pack("<HHIIIHH", 0x8664, len(sections), 0, 0, 0, len(optional), 0)
    return (head + optional + table).ljust(at, b"\0") + body + signature


def test_a_signature_is_no_difference() -> None:
    plain = image(SECTIONS)
    for one in (b"signature of one day", b"another"):
        assert pe.unsigned(image(SECTIONS, signature=one, checksum=7)) == plain
    assert reproduce.uki(image(SECTIONS, signature=b"a"), image(SECTIONS, signature=b"b")).equal
    assert pe.sections(plain) == SECTIONS


def test_a_difference_is_named_by_its_section() -> None:
    other = image(SECTIONS | {".initrd": b"filez" * 50}, signature=b"x")
    found = reproduce.uki(image(SECTIONS), other)
    assert (found.equal, found.where) == (False, "sections .initrd")
    assert not reproduce.uki(image(SECTIONS), image(SECTIONS | {".more": b"x"})).equal


def test_the_signature_of_the_pcr_policy_is_one_too() -> None:
    one, other = (image(SECTIONS | {".pcrsig": text}) for text in (b"one", b"two"))
    found = reproduce.uki(one, other)
    assert found.equal
    assert "PCR" in found.where


@pytest.mark.parametrize("data", [b"", b"MZ", b"x" * 4096, image(SECTIONS)[:100]])
def test_what_is_no_uki_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput):
        pe.unsigned(data)


def parts(folder: Path, usr: bytes, tree: bytes = b"tree") -> Path:
    folder.mkdir()
    (folder / "goni.usr.raw").write_bytes(usr)
    (folder / "goni.usr-verity.raw").write_bytes(tree)
    (folder / "goni.efi").write_bytes(image(SECTIONS))
    return folder


def test_two_builds_are_compared_part_by_part(tmp_path: Path) -> None:
    first = parts(tmp_path / "a", b"same" * 1000)
    same = parts(tmp_path / "b", b"same" * 1000)
    assert all(one.equal for one in reproduce.compare(first, same))
    other = parts(tmp_path / "c", b"same" * 999 + b"sane", b"longer tree")
    lines = [one.line() for one in reproduce.compare(first, other)]
    assert lines[0].startswith("DIFFERS  usr.raw: ")
    assert "byte 3999" in lines[0]
    assert lines[1] == "DIFFERS  usr-verity.raw: 4 and 11 bytes"
    assert lines[2] == "equal    efi (unsigned)"
    (other / "goni.efi").unlink()
    with pytest.raises(NotFound, match=r"0 files \*\.efi"):
        reproduce.compare(first, other)


def test_the_second_build_has_nothing_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "OUT", tmp_path / "out")
    monkeypatch.setattr(reproduce, "FOLDER", tmp_path / "out/reproduce")
    turns: list[list[bool]] = []

    def make(profile: str) -> None:
        turns.append([(build.OUT / one).exists() for one in reproduce.FORGOTTEN])
        for one in reproduce.FORGOTTEN:
            (build.OUT / one).mkdir(parents=True, exist_ok=True)
        for part in reproduce.PARTS:
            path = build.OUT / f"{build.output_name(profile, build.version())}.{part}"
            path.unlink(missing_ok=True)
            path.write_bytes(image(SECTIONS) if part == "efi" else b"x")

    first, second = reproduce.twice("minimal", make)
    assert turns == [[False] * 3, [False] * 3]
    assert all(one.equal for one in reproduce.compare(first, second))


def test_times_and_identifiers_follow_from_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fixed.options("goni_1")[0] == fixed.options("goni_1")[0] != fixed.options("goni_2")[0]
    uuid.UUID(fixed.options("goni_1")[0].partition("=")[2])
    monkeypatch.chdir(tmp_path)
    assert len(fixed.options("goni_1")) == 1, "no history: mkosi takes the present"
    who = ["-c", "user.name=t", "-c", "user.email=t@t"]
    env = {
        "GIT_COMMITTER_DATE": "@1700000000 +0000",
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
    }
    (tmp_path / "a").write_text("x")
    for words in (["init", "-q"], ["add", "a"], [*who, "commit", "-qm", "x"]):
        subprocess.run(["git", *words], check=True, env=env, timeout=60)
    assert fixed.options("goni_1")[1] == "--source-date-epoch=1700000000"
    assert fixed.commit_time("a") == 1_700_000_000
    assert fixed.commit_time("never") is None
