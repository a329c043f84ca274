"""The machines' command line: isolated network, firmware, and paths that survive QEMU's commas."""

from __future__ import annotations

import itertools
from pathlib import Path

from image import accel, firmware, qemu


def hardware(**changes: object) -> qemu.Hardware:
    parts: dict[str, object] = {
        "accel": accel.TCG,
        "disk": Path("/vm/disk.raw"),
        "variables": Path("/vm/vars.fd"),
        "serial": Path("/vm/serial.log"),
        "qmp": Path("/s/qmp"),
    }
    return qemu.Hardware(**{**parts, **changes})  # type: ignore[arg-type]


def option(words: list[str], name: str) -> list[str]:
    return [after for word, after in itertools.pairwise(words) if word == name]


def test_the_network_reaches_nothing_outside() -> None:
    words = qemu.argv(hardware(forwards=(qemu.Forward(18443, 443),)))
    (network,) = option(words, "-netdev")
    assert network == "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:18443-:443"


def test_every_forward_is_bound_to_loopback() -> None:
    forwards = (qemu.Forward(1, 443), qemu.Forward(2, 80))
    (network,) = option(qemu.argv(hardware(forwards=forwards)), "-netdev")
    rules = [rule for rule in network.split(",") if rule.startswith("hostfwd=")]
    assert len(rules) == 2
    assert all(rule.startswith("hostfwd=tcp:127.0.0.1:") for rule in rules)


def test_nothing_is_added_that_the_description_lacks() -> None:
    words = qemu.argv(hardware())
    assert "-nodefaults" in words
    assert "-no-user-config" in words
    assert not option(words, "-tpmdev")
    assert not option(words, "-smbios")
    assert not [word for word in words if qemu.AGENT_PORT in word]


def test_a_comma_in_a_path_stays_part_of_the_path() -> None:
    words = qemu.argv(hardware(disk=Path("/vm/a,b/disk.raw"), strings=(Path("/c,d"),)))
    assert any(word.endswith("file=/vm/a,,b/disk.raw") for word in option(words, "-drive"))
    assert option(words, "-smbios") == ["type=11,path=/c,,d"]


def test_the_internal_disk_starts_the_machine_when_the_stick_is_out() -> None:
    words = qemu.argv(hardware(nvme=Path("/vm/nvme.raw")))
    devices = option(words, "-device")
    assert any("virtio-blk-pci" in word and "bootindex=1" in word for word in devices)
    assert any(word.startswith("nvme,") and "bootindex=2" in word for word in devices)
    alone = qemu.argv(hardware(disk=None, nvme=Path("/vm/nvme.raw")))
    assert not [word for word in option(alone, "-device") if "virtio-blk-pci" in word]


def test_only_smm_code_may_write_the_firmware_variables() -> None:
    words = qemu.argv(hardware())
    assert option(words, "-machine") == ["q35,smm=on,vmport=off"]
    assert "driver=cfi.pflash01,property=secure,value=on" in option(words, "-global")
    (code,) = [word for word in option(words, "-drive") if firmware.CODE in word]
    assert "readonly=on" in code


def test_tpm_agent_and_power_are_wired_to_their_sockets() -> None:
    words = qemu.argv(hardware(tpm=Path("/s/tpm"), agent=Path("/s/agent"), memory=3072, cpus=4))
    sockets = option(words, "-chardev")
    assert "socket,id=tpm,path=/s/tpm" in sockets
    assert "socket,id=agent,path=/s/agent,server=on,wait=off" in sockets
    assert f"virtserialport,chardev=agent,name={qemu.AGENT_PORT}" in option(words, "-device")
    assert option(words, "-m") == ["3072"]
    assert option(words, "-smp") == ["4"]


def test_sticks_can_be_plugged_in_where_that_was_asked_for() -> None:
    assert "qemu-xhci,id=usb" not in qemu.argv(hardware())
    devices = option(qemu.argv(hardware(sticks=True)), "-device")
    for stick in qemu.STICKS.values():
        bus = str(stick["bus"]).removesuffix(".0")
        assert any(device.endswith(f",id={bus}") for device in devices)
