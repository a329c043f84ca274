"""Run Goni in a virtual machine: ``python -m image.vm run [IMAGE]``.

Boots the image with its own disk, firmware variables and TPM below ``out/run``, kept between runs;
forwards a loopback port to the node's 443; follows the serial log until the setup page answers, and
prints its address and PIN. The image runs as it ships: nothing is brought in.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from goni_core.errors import GoniError, NotFound, exit_with
from image import build, console
from image.machine import Machine, Options, check_port

FOLDER = Path("out/run")
BOOT_TIMEOUT = 1200.0
PIN_PATIENCE = 10.0
"""Seconds that the wizard's line may come after the page already answers."""

EXAMPLES = """examples:
  python -m image.vm run                        the reference image, as make image left it
  python -m image.vm run --profile minimal      the small one
  python -m image.vm run --fresh                a new, blank machine
  python -m image.vm run out/my.raw --port 9443 --memory 4096

Ctrl-C presses the power button and waits. The machine's disk stays in out/run.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="image.vm",
        description="Run Goni in a virtual machine on this computer.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = top.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser(
        "run",
        help="boot an image and print the address and PIN of its setup page",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("image", nargs="?", type=Path, metavar="IMAGE", help="a raw image")
    run.add_argument("--profile", choices=build.PROFILES, default="reference")
    run.add_argument("--port", type=_port, default=8443, help="loopback port (default 8443)")
    run.add_argument("--memory", type=_memory, default=4096, help="MiB (default 4096)")
    run.add_argument("--fresh", action="store_true", help="forget the machine and its data")
    return top


def main() -> None:
    given = parser().parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    try:
        run(given.image or image_of(given.profile), given)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except GoniError as error:
        exit_with(error)


def image_of(profile: str) -> Path:
    """``profile``'s built image; :class:`NotFound` with the command that makes it."""
    path = build.image_path(profile)
    if not path.exists():
        words = "make image" if profile == "reference" else f"make image PROFILE={profile}"
        raise NotFound(f"{path} is not there", hint=words)
    return path


def run(image: Path, given: argparse.Namespace) -> None:
    """Boot ``image`` and stay until the machine ends or Ctrl-C."""
    if not image.is_file():
        raise NotFound(f"{image} is not there", hint="make image builds out/goni_*.raw")
    check_port(given.port)
    with machine_for(image, given) as machine:
        try:
            follow(machine)
            _say("Ctrl-C powers it off")
            while machine.running:
                time.sleep(0.5)
            _say("the machine has powered off")
        except KeyboardInterrupt:
            _stop(machine)


def machine_for(image: Path, given: argparse.Namespace) -> Machine:
    """The machine below :data:`FOLDER`, with its disk when it has one already."""
    keep = FOLDER.joinpath("disk.raw").exists() and not given.fresh
    made_from = FOLDER / "image.txt"
    machine = Machine(
        "goni",
        image,
        options=Options(memory=given.memory, ports=((443, given.port),), agent=False),
        folder=FOLDER,
        keep=keep,
    )
    now = identity(image)
    if not keep:
        made_from.write_text(now)
    elif made_from.exists() and made_from.read_text() != now:
        _say("this machine's disk was made from another build; --fresh takes the new one")
    return machine


def identity(image: Path) -> str:
    """What tells this build of ``image`` from another."""
    found = image.stat()
    return f"{image.absolute()} {found.st_mtime_ns}\n"


def follow(machine: Machine) -> None:
    """Print each stage of the boot, then where the page is, with the PIN if it asks for one."""
    _say(f"starting; serial log: {machine.console.path}")
    begun = time.monotonic()
    reached = ""
    answered = 0.0
    while True:
        machine.check_alive()
        text = machine.console.text()
        stage = console.stage(text)
        if stage != reached:
            _say(f"{time.monotonic() - begun:4.0f} s  {stage}")
            reached = stage
        if not answered and machine.get_https(timeout=5):
            answered = time.monotonic()
        setup = console.setup(text)
        if answered and (setup or time.monotonic() - answered > PIN_PATIENCE):
            print(page_line(machine.host_port(443), setup), flush=True)
            return
        if time.monotonic() - begun > BOOT_TIMEOUT:
            raise machine.error(f"no page within {BOOT_TIMEOUT:g} s")
        time.sleep(1)


def page_line(port: int, setup: console.Setup | None) -> str:
    """What the person is told: where to go, and the PIN while the node has no owner."""
    address = f"https://127.0.0.1:{port}/"
    if setup is None:
        return f"Goni: {address}  (already set up)"
    return f"Setup page: {address}  PIN: {setup.pin}"


def _stop(machine: Machine) -> None:
    if not machine.running:
        return
    _say("powering off (Ctrl-C again pulls the plug)")
    if not machine.shut_down():
        _say("it did not power off in time; pulling the plug")


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _port(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 65535:
        raise argparse.ArgumentTypeError("a port is a number from 1 to 65535")
    return value


def _memory(text: str) -> int:
    value = int(text)
    if not 512 <= value <= 1 << 20:
        raise argparse.ArgumentTypeError("memory is 512 MiB or more")
    return value


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
