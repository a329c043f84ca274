"""What goni-install decides before it writes, and the small parts of what it writes."""

from __future__ import annotations

import json
import os
import struct
import uuid
from pathlib import Path
from typing import Any

import pytest

from goni_core.disks import Content, Disk
from goni_core.errors import BadInput, Forbidden, GoniError, NotFound
from goni_core.progress import Monitor
from goni_install import __main__ as command
from goni_install import blocks, boot, candidates, definitions, install, keys, root, running, table
from goni_install.running import Running

GIB = 1 << 30
HASH = "0123456789abcdef" * 4


def partition(number: int, kind: str, label: str) -> dict[str, Any]:
    return {
        "node": f"/dev/nvme0n1p{number}",
        "start": 2048 * number,
        "size": 2048,
        "type": kind.upper(),
        "uuid": str(uuid.UUID(int=number)).upper(),
        "name": label,
    }


def goni(*, data: bool = True, label: str = "gpt") -> bytes:
    """What sfdisk says of a Goni disk after its first boot."""
    parts = [
        partition(1, table.ESP, "esp"),
        partition(2, table.SIGNATURE, "goni_0.1.0_verity_sig"),
        partition(3, table.VERITY, "goni_0.1.0_verity"),
        partition(4, table.USR, "goni_0.1.0"),
        partition(5, table.SIGNATURE, "_empty"),
        partition(6, table.VERITY, "_empty"),
        partition(7, table.USR, "_empty"),
    ]
    parts += [partition(8, table.ROOT, "root")] if data else []
    return json.dumps({"partitiontable": {"label": label, "partitions": parts}}).encode()


def disk(**more: Any) -> Disk:
    facts: dict[str, Any] = {
        "path": "/dev/nvme0n1",
        "kind": "disk",
        "size": 500 * GIB,
        "sector": 512,
        "name": "Fast 990",
        "serial": "S6Z2",
        "transport": "nvme",
        "read_only": False,
        "removable": False,
        "contents": (),
    }
    return Disk(**facts | more)


def judged(found: Disk, said: bytes = b"") -> candidates.Candidate:
    known = table.parse(said) if said else table.NOTHING
    return candidates.judge(found, known, Path("/dev/sda"), 9 * GIB)


@pytest.fixture
def system(tmp_path: Path) -> Running:
    """A Goni that runs from below ``tmp_path``."""
    esp = tmp_path / "boot"
    for name, content in (
        ("EFI/Linux/goni_0.1.0_x86-64+2-1.efi", b"uki"),
        ("EFI/Linux/goni_0.0.9_x86-64.efi", b"older"),
        ("EFI/systemd/systemd-bootx64.efi", b"loader"),
        ("EFI/BOOT/BOOTX64.EFI", b"loader"),
        ("loader/loader.conf", b"timeout 0\n"),
        ("loader/keys/auto/db.auth", b"key"),
        ("loader/random-seed", b"the stick's own"),
        ("goni.yaml", b"install:\n  disk: S6Z2\n"),
    ):
        path = esp / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    folder = tmp_path / "dev"
    return Running(
        "0.1.0", HASH, Path("/dev/sda"), folder / "usr", folder / "v", folder / "s", esp, tpm=True
    )


def test_slots_and_data_are_found_in_a_goni_disk() -> None:
    found = table.parse(goni())
    assert found.versions == ("0.1.0",)
    assert [slot.usr.number for slot in found.slots] == [4, 7]
    assert found.is_goni and found.has_data
    assert not table.parse(goni(data=False)).has_data


@pytest.mark.parametrize("said", [b"", b"[]", b"{}", b'{"partitiontable": {"label": "gpt"'])
def test_nonsense_is_no_table(said: bytes) -> None:
    with pytest.raises(GoniError):
        table.parse(said)


def test_an_older_kind_of_table_counts_as_none() -> None:
    assert table.parse(goni(label="dos")) == table.NOTHING


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"path": "/dev/sda"}, "running"),
        ({"size": 8 * GIB}, "too_small"),
        ({"read_only": True}, "read_only"),
        ({"contents": (Content("/dev/x", "part", 1, "ext4", "", ("/mnt",)),)}, "mounted"),
        ({"contents": (Content("/dev/x", "crypt", 1, "ext4", ""),)}, "in_use"),
    ],
)
def test_a_disk_is_refused_with_the_reason(more: dict[str, Any], code: str) -> None:
    candidate = judged(disk(**more))
    assert [reason.code for reason in candidate.refusals] == [code]
    with pytest.raises(Forbidden) as caught:
        candidates.find(candidate.name, [candidate])
    assert caught.value.code == code and caught.value.hint


@pytest.mark.parametrize("name", ["nvme0n1", "/dev/nvme0n1", "S6Z2"])
def test_a_disk_is_found_by_what_people_call_it(name: str) -> None:
    assert candidates.find(name, [judged(disk())]).name == "nvme0n1"


@pytest.mark.parametrize("name", ["", "nvme", "/dev/nvme0n1p1", "s6z2"])
def test_no_disk_is_found_by_anything_else(name: str) -> None:
    with pytest.raises(NotFound):
        candidates.find(name, [judged(disk())])


def test_two_disks_of_one_serial_number_are_told_apart_by_name_only() -> None:
    both = [judged(disk()), judged(disk(path="/dev/nvme1n1"))]
    with pytest.raises(BadInput):
        candidates.find("S6Z2", both)
    assert candidates.find("nvme1n1", both).name == "nvme1n1"


def test_what_is_said_of_a_disk_is_json() -> None:
    said = json.loads(json.dumps(judged(disk(), goni()).plain()))
    assert said["goni"] == "0.1.0" and said["keeps_data"] is True and said["refused"] == ""


def test_slot_a_gets_the_names_that_the_root_hash_gives(system: Running) -> None:
    texts = definitions.texts(system, Path("mkosi.extra/usr/lib/repart.d"))
    assert "UUID=01234567-89ab-cdef-0123-456789abcdef\n" in texts["12-usr-a.conf"]
    assert "Encrypt=key-file+tpm2" in texts["40-root.conf"]
    assert 8 * GIB < definitions.least(texts) < 10 * GIB


def test_without_a_tpm_nothing_is_bound_to_one(system: Running) -> None:
    without = Running(**{**vars(system), "tpm": False})
    texts = definitions.texts(without, Path("mkosi.extra/usr/lib/repart.d"))
    assert "Encrypt=key-file\n" in texts["40-root.conf"]
    words = install.repart(without, Path("/dev/nvme0n1"), Path("/d"), Path("/k"))
    assert not [word for word in words if "tpm2" in str(word)]


def test_the_root_is_bound_to_the_state_before_any_root_was_opened(system: Running) -> None:
    words = install.repart(system, Path("/dev/nvme0n1"), Path("/d"), Path("/k"))
    assert f"--tpm2-pcrs=15:sha256={'0' * 64}" in words
    assert words[-1] == Path("/dev/nvme0n1") and "--empty=force" in words


def test_the_boot_partition_gets_this_version_and_nothing_of_the_stick(
    system: Running, tmp_path: Path
) -> None:
    esp = tmp_path / "new"
    boot.fill(system, esp)
    boot.check(system, esp)
    names = {str(path.relative_to(esp)) for path in esp.rglob("*") if path.is_file()}
    assert names == {
        "EFI/Linux/goni_0.1.0_x86-64+3.efi",
        "EFI/systemd/systemd-bootx64.efi",
        "EFI/BOOT/BOOTX64.EFI",
        "loader/loader.conf",
        "loader/keys/auto/db.auth",
    }
    (esp / "EFI/BOOT/BOOTX64.EFI").write_bytes(b"other")
    with pytest.raises(GoniError):
        boot.check(system, esp)
    boot.forget(esp)
    assert not list(esp.glob("EFI/Linux/*")) and not list(esp.glob("EFI/BOOT/*"))


def test_a_version_that_is_good_here_is_good_there() -> None:
    assert boot.uki_name("goni_0.1.0_x86-64.efi") == "goni_0.1.0_x86-64.efi"
    assert boot.uki_name("goni_0.1.0_x86-64+1-2.efi") == "goni_0.1.0_x86-64+3.efi"


def test_blocks_are_copied_and_counted(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(9 << 20))
    target.write_bytes(b"\xff" * (16 << 20))
    monitor = Monitor()
    blocks.copy(source, target, 9 << 20, monitor)
    assert target.read_bytes() == source.read_bytes() + b"\xff" * (7 << 20)
    with pytest.raises(GoniError) as caught:
        blocks.copy(source, target, 12 << 20, monitor)
    assert caught.value.code == "source_failed"


def test_a_blanked_disk_has_no_table_at_either_end(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(b"\xff" * (4 << 20))
    blocks.blank(path)
    assert path.read_bytes() == bytes(1 << 20) + b"\xff" * (2 << 20) + bytes(1 << 20)


def test_the_size_of_usr_is_that_of_its_tree(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    head = struct.pack("<8sII16s32sIIQ", b"verity", 1, 1, bytes(16), b"sha256", 4096, 4096, 77)
    tree.write_bytes(head + bytes(4096))
    assert blocks.data_size(tree) == 77 * 4096
    tree.write_bytes(bytes(4096))
    with pytest.raises(GoniError):
        blocks.data_size(tree)


def test_the_roots_own_key_is_for_root_only_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with keys.fresh(tmp_path) as key:
        assert key.stat().st_mode & 0o777 == 0o600
        assert len(set(key.read_bytes())) > 16
        keys.keep(key, tmp_path / "root")
        kept = tmp_path / "root" / keys.OWN
        assert kept.read_bytes() == key.read_bytes()
        assert kept.stat().st_mode & 0o777 == 0o600
        assert kept.parent.stat().st_mode & 0o777 == 0o700
    assert not key.exists()


def test_without_its_own_key_a_root_gets_no_recovery_key(tmp_path: Path) -> None:
    with pytest.raises(GoniError) as caught:
        root.enroll_recovery(root.Places(root=tmp_path))
    assert caught.value.code == "no_own_key"


def test_the_tpm_is_bound_again_only_after_somebody_was_asked(tmp_path: Path) -> None:
    tpm, asked = tmp_path / "tpm", tmp_path / "asked"
    places = root.Places(root=tmp_path, esp=tmp_path, asked=asked, tpm=tpm)
    asked.touch()
    assert not root.must_bind(places)
    tpm.touch()
    assert root.must_bind(places)
    asked.unlink()
    assert not root.must_bind(places)
    places.beside.touch()
    assert root.must_bind(places)


def test_what_is_no_goni_is_said(tmp_path: Path) -> None:
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "proc").mkdir()
    (tmp_path / "usr/lib/os-release").write_text("ID=debian\n")
    (tmp_path / "proc/cmdline").write_text("quiet\n")
    with pytest.raises(GoniError, match="not a Goni"):
        running.look(tmp_path)


@pytest.mark.parametrize("typed", ["", "nvme", "nvme0n1p1", "NVME0N1"])
def test_another_name_than_the_disks_confirms_nothing(typed: str) -> None:
    with pytest.raises(BadInput):
        command.confirm(judged(disk()), typed, Monitor(), keep=False)
