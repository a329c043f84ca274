"""goni-flash: write Goni's image to a stick or disk, and check that it is there.

Flow: image (fetched if it is a URL) -> signature and checksum -> disk (refused unless it may be
erased, confirmed by the person) -> write -> read back and compare -> preseed -> eject. Nothing is
written before everything was checked.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from goni_core import preseed as schema
from goni_core.disks import Disk, present
from goni_core.errors import BadInput, Forbidden, GoniError
from goni_core.progress import Bar, JsonLines, Monitor
from goni_core.run import shown
from goni_flash import completion, disks, flash, preseed, signature, source, target

EXAMPLES = """examples:
  goni-flash --list                                   which disks there are
  sudo goni-flash out/goni_0.1.0_x86-64.raw           choose the disk from a list
  sudo goni-flash goni.raw.zst /dev/sdb               name it
  sudo goni-flash https://example.org/goni_0.1.0_x86-64.raw.zst /dev/sdb --key builder.crt
  sudo goni-flash goni.raw /dev/sdb --preseed goni.yaml --yes --json
  sudo goni-flash goni.raw /dev/nvme0n1 --serial S6Z2NJ0W    a disk that is built in
  goni-flash --completion bash > /etc/bash_completion.d/goni-flash

Exit status: 0 written and checked, 1 refused or failed, 2 wrong usage, 130 interrupted.
"""


@dataclass(frozen=True)
class Verified:
    """An image, and who signed it (empty: nobody was asked)."""

    image: source.Source
    signed_by: str


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="goni-flash",
        description="Write Goni's image to a stick or disk, and check that it is there.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("image", nargs="?", metavar="IMAGE", help=".raw or .raw.zst, file or URL")
    made.add_argument("device", nargs="?", metavar="DEVICE", help="the disk; asked for if left out")
    made.add_argument("--list", action="store_true", help="list the disks and what is on them")
    made.add_argument("--key", type=Path, metavar="FILE", help="the builder's certificate (PEM)")
    made.add_argument("--insecure", action="store_true", help="don't check the signature")
    made.add_argument(
        "--serial", default="", help="allow the built-in disk with this serial number"
    )
    made.add_argument(
        "--preseed", type=Path, metavar="FILE", help="put this goni.yaml on the stick"
    )
    made.add_argument("--yes", action="store_true", help="erase the disk without asking")
    made.add_argument("--no-verify", action="store_true", help="don't read back what was written")
    made.add_argument("--no-eject", action="store_true", help="keep the disk attached")
    made.add_argument("--json", action="store_true", help="progress as lines of JSON")
    made.add_argument("--help-preseed", action="store_true", help="what goni.yaml may hold")
    made.add_argument("--completion", choices=completion.SHELLS, help="print a completion script")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    made = parser()
    given = made.parse_intermixed_args(argv)  # options may stand between IMAGE and DEVICE
    monitor: Monitor = JsonLines() if given.json else Bar()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if given.completion:
            print(completion.script(made, given.completion))
        elif given.help_preseed:
            print(schema.__doc__)
        elif given.list:
            show(present(), as_json=given.json)
        elif not given.image:
            made.error("name an IMAGE, or --list")
        else:
            work(given, monitor)
    except GoniError as error:
        monitor.event("error", code=error.code, message=error.message, hint=error.hint)
        print(f"\nerror: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        words = "interrupted; a disk that was being written has no partition table now"
        monitor.event("error", code="interrupted", message=words, hint="start again")
        print(f"\n{words}: start again", file=sys.stderr)
        return 130
    return 0


def work(given: argparse.Namespace, monitor: Monitor) -> None:
    """Everything from the image's name to a stick that may be unplugged."""
    if sys.platform != "linux":
        raise GoniError(
            "goni-flash writes on Linux only",
            hint="check SHA256SUMS as SECURITY.md says, and write the .raw with any imager",
        )
    answers = preseed.load(given.preseed) if given.preseed else None
    # Named disks are judged before anything is fetched or hashed, which takes long.
    named = disks.find(given.device, present()) if given.device else None
    if named:
        refuse(named, 0, given.serial)
    verified = image_of(given, monitor)
    size = verified.image.size
    disk = named or choose(present(), size, monitor)
    refuse(disk, size, given.serial)
    confirm(disk, monitor, sure=given.yes)
    begun = time.monotonic()
    put(verified.image, disk, answers, monitor, verify=not given.no_verify)
    ejected = disk.kind == "disk" and not given.no_eject and target.eject(Path(disk.path))
    monitor.event(
        "done",
        path=disk.path,
        bytes=size,
        seconds=round(time.monotonic() - begun, 3),
        verified=not given.no_verify,
        ejected=ejected,
    )
    state = "ready, and ejected" if ejected else "ready"
    if not given.json:
        print(f"{disk.path} is {state}: {verified.image.path.name} is on it")


def image_of(given: argparse.Namespace, monitor: Monitor) -> Verified:
    """The image that was named, once its signature was checked."""
    trusted = None if given.insecure else signature.signer(given.key)
    path = Path(given.image)
    if given.image.startswith(("https://", "http://")):
        from goni_flash import fetch  # noqa: PLC0415 - an HTTP client takes long to load

        path = fetch.fetch(given.image, monitor, signed=not given.insecure)
    image = source.open_image(path, monitor)
    if trusted:
        signature.check(image, trusted, monitor)
        monitor.say(f"signed by {trusted.name}, key {trusted.fingerprint}")
        if trusted.development:
            monitor.say("this is a development key: good for images that you built yourself")
    else:
        monitor.say("NOT CHECKED: whoever made this image, --insecure takes it")
    name = trusted.name if trusted else ""
    facts = {"path": str(image.path), "bytes": image.size, "verified": bool(trusted)}
    monitor.event("image", **facts, signed_by=name)
    return Verified(image, name)


def refuse(disk: Disk, size: int, serial: str) -> None:
    """Raise :class:`Forbidden` with the first reason not to erase ``disk``, if there is one."""
    for reason in disks.refusals(disk, size, serial=serial):
        raise Forbidden(
            f"{disk.path} is refused: {reason.words}", hint=reason.hint, code=reason.code
        )


def choose(found: Sequence[Disk], size: int, monitor: Monitor) -> Disk:
    """The disk that a person picks from those that may be erased."""
    usable = [disk for disk in found if disk.kind == "disk" and not disks.refusals(disk, size)]
    if not sys.stdin.isatty() or isinstance(monitor, JsonLines):
        raise BadInput("no disk was named", hint="name one; goni-flash --list shows them")
    if not usable:
        raise BadInput(
            "there is no disk that may be erased",
            hint="plug a stick in; goni-flash --list says why the others are refused",
        )
    for number, disk in enumerate(usable, 1):
        monitor.say(f"{number:2}  {described(disk)}")
    try:
        return usable[int(input("number of the disk to erase: ")) - 1]
    except (ValueError, IndexError, EOFError) as error:
        raise BadInput("no disk was chosen") from error


def confirm(disk: Disk, monitor: Monitor, *, sure: bool) -> None:
    """Say what will be lost, and let the person refuse."""
    monitor.event(
        "disk",
        path=disk.path,
        bytes=disk.size,
        name=disk.name,
        serial=disk.serial,
        transport=disk.transport,
    )
    monitor.say(f"everything on it will be lost:\n    {described(disk)}")
    if sure:
        return
    if not sys.stdin.isatty():
        raise BadInput("nobody is there to confirm", hint="add --yes to erase it without asking")
    print(f"type {disk.identity} to erase it: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != disk.identity:
        raise BadInput("not confirmed; nothing was written")


def put(
    image: source.Source, disk: Disk, answers: bytes | None, monitor: Monitor, *, verify: bool
) -> None:
    """Write ``image`` to ``disk``, compare, add the preseed."""
    before = _state(image.path)
    path = Path(disk.path)
    if not os.access(path, os.W_OK):
        words = shown(["sudo", *sys.argv])
        raise Forbidden(f"{path} may not be written by this user", hint=f"run: {words}")
    with target.Target(path) as opened:
        if opened.size != disk.size:
            raise GoniError(f"{path} is another disk than a moment ago", hint="start again")
        flash.write(image, opened, monitor)
        if verify:
            flash.compare(image, opened, monitor)
        if _state(image.path) != before:
            raise GoniError("the image was changed while it was written", hint="start again")
        opened.read_table_again()
    if answers is not None:
        preseed.put(path, answers)
        monitor.say(f"{schema.FILE} is on its boot partition")


def described(disk: Disk) -> str:
    """``disk`` and what is on it, a line each."""
    inside = [content.words for content in disk.contents[1:] or disk.contents if content.filesystem]
    return "\n      ".join([disk.words, *(inside or ["nothing that is known"])])


def show(found: Sequence[Disk], *, as_json: bool) -> None:
    """Print every disk, and why it would be refused."""
    if as_json:
        monitor = JsonLines()
        for disk in found:
            refused = [reason.code for reason in disks.refusals(disk, 0)]
            facts = {"path": disk.path, "bytes": disk.size, "name": disk.name, "refused": refused}
            inside = [content.words for content in disk.contents]
            extra = {"serial": disk.serial, "transport": disk.transport, "contents": inside}
            monitor.event("disk", **facts, **extra)
        return
    for disk in found:
        print(described(disk))
        for reason in disks.refusals(disk, 0):
            print(f"      refused: {reason.words} ({reason.hint})")


def _state(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    raise SystemExit(main())
