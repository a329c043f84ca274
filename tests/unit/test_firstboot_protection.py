"""What protects the node, read from trees made like the kernel's."""

from __future__ import annotations

from pathlib import Path

import pytest

from goni_firstboot import protection, texts

WORDS = texts.load()
ATTRIBUTES = b"\x06\x00\x00\x00"


def put(path: Path, data: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def efi(root: Path, *, secure: int, setup: int) -> None:
    variables = root / "sys/firmware/efi/efivars"
    put(variables / f"SecureBoot-{protection.GLOBAL}", ATTRIBUTES + bytes([secure]))
    put(variables / f"SetupMode-{protection.GLOBAL}", ATTRIBUTES + bytes([setup]))


def mounted(root: Path, source: str) -> None:
    put(
        root / "proc/self/mountinfo",
        "21 25 0:20 / /proc rw,nosuid shared:5 - proc proc rw\n"
        f"25 1 253:1 / / rw,relatime shared:1 - ext4 {source} rw\n",
    )


def mapped(root: Path, name: str, uuid: str) -> None:
    put(root / "sys/block/dm-0/dm/name", "usr\n")
    put(root / "sys/block/dm-0/dm/uuid", "CRYPT-VERITY-1234-usr\n")
    put(root / "sys/block/dm-1/dm/name", f"{name}\n")
    put(root / "sys/block/dm-1/dm/uuid", f"{uuid}\n")


@pytest.mark.parametrize(
    ("secure", "setup", "state"),
    [(1, 0, "enabled"), (0, 1, "setup_mode"), (0, 0, "disabled")],
)
def test_secure_boot_is_what_the_firmware_says(
    tmp_path: Path, secure: int, setup: int, state: str
) -> None:
    efi(tmp_path, secure=secure, setup=setup)
    assert protection.secure_boot(tmp_path) == state


def test_machine_without_uefi_boots_the_old_way(tmp_path: Path) -> None:
    assert protection.secure_boot(tmp_path) == "legacy"


def test_unreadable_variables_are_not_taken_for_disabled(tmp_path: Path) -> None:
    (tmp_path / "sys/firmware/efi/efivars").mkdir(parents=True)
    assert protection.secure_boot(tmp_path) == "unknown"


def test_truncated_variable_is_not_taken_for_enabled(tmp_path: Path) -> None:
    efi(tmp_path, secure=0, setup=0)
    put(tmp_path / f"sys/firmware/efi/efivars/SecureBoot-{protection.GLOBAL}", b"\x01")
    assert protection.secure_boot(tmp_path) == "disabled"


@pytest.mark.parametrize(("version", "state"), [("2\n", "two"), ("1\n", "old")])
def test_tpm_is_known_by_its_version(tmp_path: Path, version: str, state: str) -> None:
    put(tmp_path / "sys/class/tpm/tpm0/tpm_version_major", version)
    assert protection.tpm(tmp_path) == state


def test_no_tpm_is_none(tmp_path: Path) -> None:
    assert protection.tpm(tmp_path) == "none"


@pytest.mark.parametrize("source", ["/dev/mapper/root", "/dev/dm-1"])
def test_root_on_luks2_is_found_by_either_name(tmp_path: Path, source: str) -> None:
    mounted(tmp_path, source)
    mapped(tmp_path, "root", "CRYPT-LUKS2-00112233-root")
    assert protection.encryption(tmp_path) == "luks2"


def test_escaped_device_names_are_understood(tmp_path: Path) -> None:
    mounted(tmp_path, "/dev/mapper/my\\040root")
    mapped(tmp_path, "my root", "CRYPT-LUKS1-00112233-root")
    assert protection.encryption(tmp_path) == "luks1"


def test_root_on_a_bare_partition_or_on_verity_is_not_encrypted(tmp_path: Path) -> None:
    mounted(tmp_path, "/dev/nvme0n1p4")
    assert protection.encryption(tmp_path) == "none"
    mounted(tmp_path, "/dev/mapper/usr")
    mapped(tmp_path, "root", "CRYPT-LUKS2-00112233-root")
    assert protection.encryption(tmp_path) == "none"


@pytest.mark.parametrize("source", ["overlay", "/dev/mapper/elsewhere"])
def test_root_that_can_not_be_traced_is_not_called_safe(tmp_path: Path, source: str) -> None:
    mounted(tmp_path, source)
    assert protection.encryption(tmp_path) == "unknown"


def test_garbage_in_mountinfo_is_no_root() -> None:
    assert protection.root_source("\x00\n - \n1 2 3 - x\n") == ""


def test_every_finding_has_words() -> None:
    states = {
        "secure_boot": ("enabled", "setup_mode", "disabled", "legacy", "unknown"),
        "tpm": ("two", "old", "none"),
        "encryption": ("luks2", "luks1", "none", "unknown"),
    }
    for subject, possible in states.items():
        assert all(WORDS(f"protection.{subject}.{state}") for state in possible)
    assert [one.subject for one in protection.look()] == list(states)
    assert all(one.state in states[one.subject] for one in protection.look())
