"""Which disks goni-flash would erase, from what lsblk says; and what it does with nonsense."""

from __future__ import annotations

import json
from typing import Any

import pytest

from goni_core.disks import Disk, amount, parse
from goni_core.errors import BadInput, GoniError, NotFound
from goni_flash import disks

GB = 10**9
IMAGE = 3 * GB


def device(**more: Any) -> dict[str, Any]:
    """A USB stick as lsblk describes it, with changes."""
    return {
        "name": "sdb",
        "path": "/dev/sdb",
        "type": "disk",
        "size": 32 * GB,
        "log-sec": 512,
        "ro": False,
        "rm": True,
        "hotplug": True,
        "tran": "usb",
        "vendor": "SanDisk ",
        "model": "Ultra",
        "serial": "4C53",
        "fstype": None,
        "label": None,
        "partlabel": None,
        "mountpoints": [None],
    } | more


def part(**more: Any) -> dict[str, Any]:
    return device(**{"name": "sdb1", "path": "/dev/sdb1", "type": "part", "size": 16 * GB} | more)


def parsed(*devices: dict[str, Any]) -> tuple[Disk, ...]:
    return parse(json.dumps({"blockdevices": devices}).encode())


def codes(found: dict[str, Any], **more: Any) -> list[str]:
    (disk,) = parsed(found)
    return [one.code for one in disks.refusals(disk, IMAGE, **more)]


def test_a_stick_may_be_erased_and_says_what_it_is() -> None:
    (disk,) = parsed(device())
    assert disks.refusals(disk, IMAGE) == []
    assert disk.words == "/dev/sdb  32.0 GB  SanDisk Ultra, usb, serial 4C53"


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (device(mountpoints=["/media/x"]), "mounted"),
        (device(children=[part(mountpoints=["/media/a b"])]), "mounted"),
        (device(children=[part(mountpoints=["/"])]), "system"),
        (device(children=[part(mountpoints=["/boot/efi"])]), "system"),
        (device(children=[part(mountpoints=["[SWAP]"])]), "swap"),
        (device(children=[part(children=[part(type="crypt")])]), "in_use"),
        (device(children=[part(children=[part(type="lvm")])]), "in_use"),
        (device(children=[part(type="raid1")]), "in_use"),
        (device(ro=True), "read_only"),
        (device(size=IMAGE - 1), "too_small"),
        (device(**{"log-sec": 4096}), "sector_size"),
        (device(rm=False, hotplug=False, tran="nvme"), "not_removable"),
    ],
)
def test_a_disk_is_refused_with_a_reason_and_a_hint(found: dict[str, Any], code: str) -> None:
    assert codes(found) == [code]
    (disk,) = parsed(found)
    (reason,) = disks.refusals(disk, IMAGE)
    assert reason.words
    assert reason.hint


def test_the_system_on_an_encrypted_volume_is_still_the_system() -> None:
    stacked = part(children=[part(type="crypt", children=[part(type="lvm", mountpoints=["/"])])])
    assert codes(device(children=[stacked])) == ["system", "in_use"]


def test_a_built_in_disk_wants_its_own_serial_number_and_no_other() -> None:
    inside = device(rm=False, hotplug=False, tran="nvme", serial="S6Z2")
    assert codes(inside, serial="S6Z2") == []
    assert codes(inside, serial="S6Z") == ["not_removable"]
    assert codes(inside, serial="") == ["not_removable"]


def test_a_built_in_disk_without_a_serial_number_wants_its_name() -> None:
    inside = device(rm=False, hotplug=False, serial=None)
    assert codes(inside, serial="sdb") == []
    assert codes(inside, serial="") == ["not_removable"]


def test_the_serial_number_opens_nothing_but_that_lock() -> None:
    inside = device(rm=False, hotplug=False, ro=True, mountpoints=["/"])
    assert codes(inside, serial="4C53") == ["system", "read_only"]


def test_a_usb_disk_in_a_case_counts_as_removable() -> None:
    assert codes(device(rm=False, hotplug=True)) == []


def test_empty_card_readers_and_optical_drives_are_no_disks() -> None:
    assert parsed(device(size=0), device(type="rom"), device(type="part")) == ()


def test_a_partition_is_answered_with_its_disk() -> None:
    found = parsed(device(children=[part()]))
    assert disks.find("/dev/sdb", found).serial == "4C53"
    with pytest.raises(BadInput) as caught:
        disks.find("/dev/sdb1", found)
    assert caught.value.hint == "name the whole disk: /dev/sdb"


@pytest.mark.parametrize(("name", "error"), [("/dev/goni-none", NotFound), ("/dev/null", BadInput)])
def test_what_is_no_disk_is_refused(name: str, error: type[GoniError]) -> None:
    with pytest.raises(error) as caught:
        disks.find(name, ())
    assert "--list" in caught.value.hint


@pytest.mark.parametrize(
    "listing",
    [b"", b"[]", b"{}", b'{"blockdevices": 1}', b'{"blockdevices": [{"type": "disk"}]}', b"\xff"],
)
def test_another_lsblks_words_are_refused(listing: bytes) -> None:
    with pytest.raises(GoniError, match="can't be read"):
        parse(listing)


def test_a_hostile_label_stays_text() -> None:
    (disk,) = parsed(device(label="\x1b[2J; rm -rf /", fstype="vfat"))
    assert "\x1b" not in disk.contents[0].words


@pytest.mark.parametrize(("size", "words"), [(999, "999 B"), (31_914_983_424, "31.9 GB")])
def test_sizes_are_as_disks_are_sold(size: int, words: str) -> None:
    assert amount(size) == words
