"""``goni-install``: from the stick that Goni runs on to an internal disk, and what becomes of a
disk's keys. Root only.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import time
from collections.abc import Sequence

from goni_core import log as logs
from goni_core import paths, serve
from goni_core.errors import BadInput, Forbidden, GoniError
from goni_core.progress import Bar, JsonLines, Monitor
from goni_core.run import run
from goni_install import candidates, install, preseed, root, running
from goni_install.candidates import Candidate

EXAMPLES = """\
examples:
  goni-install list                              the disks, what is on them, which can be had
  goni-install to nvme0n1                        asks for the disk's name before it erases it
  goni-install to nvme0n1 --yes nvme0n1 --json   without a question, progress as lines of JSON
  goni-install to nvme0n1 --keep-data            put this version on a Goni disk, keep what is its
  goni-install recovery-key                      a new key to write down; earlier ones end
  goni-install bind                              let this box's TPM open the disk from now on
  goni-install reset                             erase everything of this household; asks twice

Exit status: 0 installed and checked, 1 refused or failed, 2 wrong usage.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    logs.setup()
    given = parser().parse_args(argv)
    monitor: Monitor = JsonLines() if given.json else Bar()
    try:
        if os.geteuid() != 0:
            raise Forbidden("goni-install needs root")
        if given.command == "serve":
            serve.run(served())
            return 0
        _COMMANDS[given.command](given, monitor)
    except GoniError as error:
        monitor.event("error", code=error.code, message=error.message, hint=error.hint)
        print(f"error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        return 1
    return 0


async def served() -> None:
    """The service behind ``install.sock``."""
    from goni_install.app import Disks  # noqa: PLC0415 - the commands need no web framework

    listening = serve.unix_or_inherited("install", paths.install_socket())
    await serve.serve([serve.Listener(Disks(root.Places()).application(), listening)])


def listed(given: argparse.Namespace, _monitor: Monitor) -> None:
    show(install.disks(running.look()), as_json=given.json)


def recovery_key(given: argparse.Namespace, _monitor: Monitor) -> None:
    key = root.enroll_recovery(root.Places())
    print(json.dumps({"recovery": key}) if given.json else key)


def bind(given: argparse.Namespace, monitor: Monitor) -> None:
    places = root.Places()
    if given.if_needed and not root.must_bind(places):
        return
    root.bind(places)
    monitor.say("this box's TPM opens the disk from now on")


def reset(given: argparse.Namespace, monitor: Monitor) -> None:
    """Erase the root and restart, once it was asked for twice."""
    name = socket.gethostname()
    if not given.yes:
        if not sys.stdin.isatty():
            raise BadInput("nobody is there to confirm", hint=f"add --yes {name}")
        monitor.say("all documents, chats, models and settings of this node will be erased")
        asked("type erase to go on: ", "erase")
    if not given.yes:
        asked(f"nothing brings them back. Type {name} to erase them: ", name)
    elif given.yes != name:
        raise BadInput(f"{name} was not typed; nothing was erased", code="not_confirmed")
    root.erase(root.Places())
    run(["systemctl", "reboot", "--no-block"], timeout=60)


def preseeded(_given: argparse.Namespace, monitor: Monitor) -> None:
    """What goni.yaml on the stick asks for; powers off when that was an installation, for the stick
    to be taken out.
    """
    if preseed.work(preseed.Places(), monitor):
        run(["systemctl", "poweroff", "--no-block"], timeout=60)


def asked(question: str, answer: str) -> None:
    """Ask; :class:`BadInput` for any other answer."""
    print(question, end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != answer:
        raise BadInput(f"{answer} was not typed; nothing was done", code="not_confirmed")


def to(given: argparse.Namespace, monitor: Monitor) -> None:
    """Install to the disk that was named, once its name was typed."""
    now = running.look()
    candidate = candidates.find(given.disk, install.disks(now))
    confirm(candidate, given.yes, monitor, keep=given.keep_data)
    begun = time.monotonic()
    install.install(now, candidate, monitor, keep=given.keep_data)
    seconds = round(time.monotonic() - begun, 3)
    monitor.event("done", path=candidate.disk.path, version=now.version, seconds=seconds)
    if not given.json:
        print(f"Goni {now.version} is on {candidate.disk.path}: take the stick out and restart")
    if given.restart:
        run(["systemctl", "reboot", "--no-block"], timeout=60)


def confirm(candidate: Candidate, yes: str, monitor: Monitor, *, keep: bool) -> None:
    """Say what will be lost; :class:`BadInput` unless the disk's name is typed."""
    lost = "its system will be replaced, its data kept" if keep else "all of this will be erased"
    monitor.say("\n    ".join([f"{candidate.disk.words}: {lost}", *candidate.contents]))
    typed = yes
    if not typed:
        if not sys.stdin.isatty():
            hint = f"add --yes {candidate.name}"
            raise BadInput("nobody is there to confirm", hint=hint, code="not_confirmed")
        print(f"type {candidate.name} to go on: ", end="", file=sys.stderr, flush=True)
        typed = sys.stdin.readline().strip()
    if typed != candidate.name:
        raise BadInput(f"{candidate.name} was not typed; nothing was written", code="not_confirmed")


def show(found: Sequence[Candidate], *, as_json: bool) -> None:
    """Print every disk."""
    if as_json:
        print(json.dumps({"disks": [one.plain() for one in found]}))
        return
    for one in found:
        print(one.disk.words)
        for line in one.contents:
            print(f"      {line}")
        if one.goni:
            data = ", with data that can be kept" if one.table.has_data else ""
            print(f"      Goni {one.goni}{data}")
        for reason in one.refusals:
            print(f"      refused: {reason.words} ({reason.hint})")


_COMMANDS = {
    "list": listed,
    "to": to,
    "recovery-key": recovery_key,
    "bind": bind,
    "reset": reset,
    "preseed": preseeded,
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="goni-install",
        description="Install Goni from the stick it runs on to an internal disk.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    shown = commands.add_parser("list", help="the disks and what is on them")
    onto = commands.add_parser("to", help="install to a disk")
    onto.add_argument("disk", metavar="DISK", help="its name, path or serial number")
    onto.add_argument("--yes", default="", metavar="NAME", help="the disk's name: don't ask")
    onto.add_argument("--keep-data", action="store_true", help="keep the data of a Goni on it")
    onto.add_argument("--restart", action="store_true", help="restart when it is done")
    recovery = commands.add_parser("recovery-key", help="make a new recovery key, and say it once")
    bound = commands.add_parser("bind", help="let this box's TPM open the disk")
    bound.add_argument("--if-needed", action="store_true", help="only if it did not this time")
    erased = commands.add_parser("reset", help="factory reset: erase everything and restart")
    erased.add_argument("--yes", default="", metavar="NAME", help="the node's name: don't ask")
    commands.add_parser("serve", help="run the service until SIGTERM").set_defaults(json=False)
    answers = commands.add_parser("preseed", help="do what goni.yaml on the stick says")
    for one in (shown, onto, recovery, bound, erased, answers):
        one.add_argument("--json", action="store_true", help="for programs")
    return made


if __name__ == "__main__":
    raise SystemExit(main())
