"""QEMU's command line, from a plain description of the machine's parts. Starts nothing.

The guest's network is QEMU's user network with ``restrict=on``: nothing leaves it but what the
listed forwards let in, from loopback.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from image import firmware
from image.accel import Accel

AGENT_PORT = "org.goni.test"
# A cloud kernel knows no USB; for it a stick is a SCSI disk that can be taken out.
STICK_PORTS = ("-device", "qemu-xhci,id=usb", "-device", "virtio-scsi-pci,id=scsi")
STICKS: dict[str, dict[str, object]] = {
    "usb": {"driver": "usb-storage", "bus": "usb.0", "removable": True},
    "scsi": {"driver": "scsi-hd", "bus": "scsi.0", "removable": True},
}
"""What QMP's device_add is told of a stick, by the bus it is plugged into."""


@dataclass(frozen=True)
class Forward:
    """A loopback port of this machine that reaches ``guest`` in the virtual one."""

    host: int
    guest: int


@dataclass(frozen=True)
class Hardware:
    """One virtual machine. ``memory`` in MiB; ``strings`` are files of SMBIOS OEM strings;
    ``sticks``: it has somewhere to plug them in. It starts from ``disk``, or from ``nvme``, its
    internal disk, where there is no other.
    """

    accel: Accel
    disk: Path | None
    variables: Path
    serial: Path
    qmp: Path
    tpm: Path | None = None
    agent: Path | None = None
    strings: tuple[Path, ...] = ()
    forwards: tuple[Forward, ...] = ()
    memory: int = 2048
    cpus: int = 2
    sticks: bool = False
    nvme: Path | None = None


def argv(hardware: Hardware) -> list[str]:
    """The words that start ``hardware``."""
    return [
        "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none",
        *hardware.accel.words,
        "-smp", str(hardware.cpus),
        "-m", str(hardware.memory),
        *firmware.words(hardware.variables),
        *_disk(hardware.disk),
        *_nvme(hardware.nvme),
        *_network(hardware.forwards),
        *_ports(hardware),
        *_tpm(hardware.tpm),
        *(STICK_PORTS if hardware.sticks else ()),
        "-object", "rng-random,id=entropy,filename=/dev/urandom",
        "-device", "virtio-rng-pci,rng=entropy",
        # A screen for screendump; -display none still renders it.
        "-device", "VGA",
        *(word for path in hardware.strings for word in ("-smbios", f"type=11,path={_safe(path)}")),
    ]  # fmt: skip


def _safe(path: Path) -> str:
    """QEMU splits its options at commas; a doubled comma is a comma."""
    return str(path).replace(",", ",,")


def _disk(path: Path | None) -> tuple[str, ...]:
    if path is None:
        return ()
    # cache=unsafe drops the guest's flushes. What the guest wrote is in this machine's page cache
    # even when QEMU is killed, because the file is raw: a power cut of the guest loses nothing.
    return (
        "-drive", f"if=none,id=disk,format=raw,cache=unsafe,discard=unmap,file={_safe(path)}",
        "-device", "virtio-blk-pci,drive=disk,serial=goni,bootindex=1",
    )  # fmt: skip


def _nvme(path: Path | None) -> tuple[str, ...]:
    if path is None:
        return ()
    return (
        "-drive", f"if=none,id=nvme,format=raw,cache=unsafe,discard=unmap,file={_safe(path)}",
        "-device", "nvme,drive=nvme,serial=internal-1,bootindex=2",
    )  # fmt: skip


def _network(forwards: tuple[Forward, ...]) -> tuple[str, ...]:
    rules = "".join(f",hostfwd=tcp:127.0.0.1:{one.host}-:{one.guest}" for one in forwards)
    return (
        "-netdev", f"user,id=net,restrict=on{rules}",
        # No option ROM: the firmware shouldn't spend time on booting from the network.
        "-device", "virtio-net-pci,netdev=net,romfile=",
    )  # fmt: skip


def _ports(hardware: Hardware) -> tuple[str, ...]:
    words = (
        "-chardev", f"file,id=serial,path={_safe(hardware.serial)},append=on",
        "-serial", "chardev:serial",
        "-qmp", f"unix:{_safe(hardware.qmp)},server=on,wait=off",
    )  # fmt: skip
    if hardware.agent is None:
        return words
    return (
        *words,
        "-device", "virtio-serial-pci",
        "-chardev", f"socket,id=agent,path={_safe(hardware.agent)},server=on,wait=off",
        "-device", f"virtserialport,chardev=agent,name={AGENT_PORT}",
    )  # fmt: skip


def _tpm(socket: Path | None) -> tuple[str, ...]:
    if socket is None:
        return ()
    return (
        "-chardev", f"socket,id=tpm,path={_safe(socket)}",
        "-tpmdev", "emulator,id=tpm0,chardev=tpm",
        "-device", "tpm-crb,tpmdev=tpm0",
    )  # fmt: skip
