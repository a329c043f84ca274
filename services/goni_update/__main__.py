"""``goni-update``: the service, and what a person asks it from the command line.

``verify`` looks at a folder by itself; everything else is asked of the running service.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from goni_core import http, paths, serve
from goni_core import log as logs
from goni_core.errors import GoniError, exit_with
from goni_update import catalog, inspect, trust
from goni_update.app import build
from goni_update.updates import Updates, places

EXAMPLES = """\
examples:
  goni-update check                          is there a newer version?
  goni-update apply                          install it, restart in the quiet hours
  goni-update apply --now                    install it and restart at once
  goni-update apply --from /run/media/stick  the same from a stick
  goni-update status --json                  versions, slots, what runs, what went wrong
  goni-update history                        what was installed, and what failed why
  goni-update rollback                       start the other version from now on
  goni-update pause | pause --off            no updates by themselves | again
  goni-update channel beta                   where updates come from: stable or beta
  goni-update verify /run/media/stick        is everything in this folder genuine and whole?
"""
STAGES = {
    "fetch": "fetching",
    "unpack": "unpacking",
    "rebuild": "putting together",
    "check": "checking",
    "write": "writing into the free slot",
}


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    logs.setup()
    parser = _parser()
    given = parser.parse_args(argv)
    try:
        if given.command == "serve":
            asyncio.run(_serve())
            return 0
        if given.command == "verify":
            return _verify(given)
        return asyncio.run(_ask(given))
    except GoniError as error:
        exit_with(error)


async def _serve() -> None:
    updates = Updates(places())
    socket = serve.unix_or_inherited("update", paths.update_socket())
    await serve.serve([serve.Listener(build(updates), socket)])


def _verify(given: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as work:
        found = inspect.folder(given.folder, given.root, Path(work))
    if given.json:
        print(json.dumps(found))
    else:
        for line in found["problems"]:
            print(f"FAILED  {line}")
        kind = "development keys" if found["development"] else "the keys of this image"
        print(f"{found['files']} files signed by {kind}; releases: {', '.join(found['releases'])}")
    return 1 if found["problems"] else 0


async def _ask(given: argparse.Namespace) -> int:
    service = http.Service("the update service", paths.update_socket())
    try:
        return await _COMMANDS[given.command](service, given)
    finally:
        await service.close()


async def _check(service: http.Service, given: argparse.Namespace) -> int:
    found = await service.call("POST", "/check", json=_from(given), timeout=http.ANSWER_TIMEOUT)
    _show(given, found, found["words"])
    return 0


async def _apply(service: http.Service, given: argparse.Namespace) -> int:
    body: dict[str, Any] = {**_from(given), "now": given.now}
    if given.version:
        body["version"] = given.version
    await service.call("POST", "/apply", json=body)
    last: dict[str, Any] = {}
    async with service.stream("GET", "/events") as events:
        pending = b""
        async for block in events.blocks():
            *lines, pending = (pending + block).split(b"\n")
            for line in lines:
                last = json.loads(line)
                _progress(last)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    if last.get("error"):
        raise GoniError(str(last["error"]), hint=str(last["hint"]), code=str(last["code"]))
    _show(given, last, last.get("words", ""))
    return 0


def _progress(now: dict[str, Any]) -> None:
    if not sys.stderr.isatty() or now["stage"] not in STAGES:
        return
    share = f" {100 * now['done'] // now['total']} %" if now["total"] else ""
    print(f"\r\033[K{STAGES[now['stage']]}{share}", end="", file=sys.stderr, flush=True)


async def _status(service: http.Service, given: argparse.Namespace) -> int:
    found = await service.call("GET", "/status")
    lines = [f"runs        {found['version']} ({found['variant']}), channel {found['channel']}"]
    lines += [f"slot        {one['version']}: {one['state']}" for one in found["slots"]]
    lines.append(f"checked     {found['checked'] or 'never'}")
    for name, words in (
        ("offered", found["offered"]),
        ("household", found["waits"]),
        ("sticks", ", ".join(found["sticks"])),
        ("waits", f"{found['pending']} starts with the next restart" if found["pending"] else ""),
        ("failed", ", ".join(found["failed"])),
        ("trouble", found["trouble"]),
        ("keys", "development keys: not for a household" if found["development"] else ""),
        ("paused", "no updates by themselves" if found["paused"] else ""),
    ):
        if words:
            lines.append(f"{name:<11} {words}")
    lines += [f"last        {_event(one)}" for one in found["last"]]
    _show(given, found, "\n".join(lines))
    return 0


async def _history(service: http.Service, given: argparse.Namespace) -> int:
    found = await service.call("GET", "/history")
    lines = [_event(one) for one in found["events"]]
    _show(given, found, "\n".join(lines) or "nothing yet")
    return 0


def _event(event: dict[str, Any]) -> str:
    words = f": {event['words']}" if event["words"] else ""
    return f"{event['at']}  {event['version']} {event['what']}{words}"


async def _rollback(service: http.Service, given: argparse.Namespace) -> int:
    found = await service.call(
        "POST", "/rollback", json={"now": given.now}, timeout=http.ANSWER_TIMEOUT
    )
    _show(given, found, found["words"])
    return 0


async def _restart(service: http.Service, given: argparse.Namespace) -> int:
    found = await service.call("POST", "/restart")
    _show(given, found, found["words"])
    return 0


async def _pause(service: http.Service, given: argparse.Namespace) -> int:
    found = await service.call("POST", "/settings", json={"paused": not given.off})
    _show(given, found, "updates go on" if given.off else "no updates by themselves")
    return 0


async def _channel(service: http.Service, given: argparse.Namespace) -> int:
    found = await service.call("POST", "/settings", json={"channel": given.name})
    _show(given, found, f"updates come from {given.name}")
    return 0


async def _auto(service: http.Service, given: argparse.Namespace) -> int:
    found = await service.call("POST", "/auto", timeout=http.ANSWER_TIMEOUT)
    print(found["words"])
    return 0


_COMMANDS = {
    "check": _check,
    "apply": _apply,
    "status": _status,
    "history": _history,
    "restart": _restart,
    "rollback": _rollback,
    "pause": _pause,
    "channel": _channel,
    "auto": _auto,
}


def _from(given: argparse.Namespace) -> dict[str, str]:
    return {"from": str(given.source.resolve())} if given.source else {}


def _show(given: argparse.Namespace, found: object, words: str) -> None:
    print(json.dumps(found, indent=2) if given.json else words)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="goni-update",
        description="Updates of this node: signed, small, and undone when they go wrong.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="look for a newer version")
    apply = commands.add_parser("apply", help="install the newest version")
    apply.add_argument("--version", metavar="VERSION", help="this one, even if it failed before")
    for one in (check, apply):
        one.add_argument("--from", dest="source", type=Path, metavar="DIR", help="a release folder")
    commands.add_parser("status", help="what runs, what waits, what went wrong")
    commands.add_parser("history", help="what was installed, and what failed why")
    commands.add_parser("restart", help="start the installed version now, not in the quiet hours")
    rollback = commands.add_parser("rollback", help="go back to the version in the other slot")
    for one in (apply, rollback):
        one.add_argument("--now", action="store_true", help="restart without waiting")
    pause = commands.add_parser("pause", help="install nothing by itself")
    pause.add_argument("--off", action="store_true", help="end the pause")
    channel = commands.add_parser("channel", help="where updates come from")
    channel.add_argument("name", choices=catalog.CHANNELS)
    verify = commands.add_parser("verify", help="check a folder with releases")
    verify.add_argument("folder", type=Path, metavar="DIR")
    verify.add_argument("--root", type=Path, default=trust.ROOT, help="the root keys to trust")
    for one in commands.choices.values():
        one.add_argument("--json", action="store_true", help="for scripts")
    commands.add_parser("auto", help="what the timer does: check, and apply unless paused")
    commands.add_parser("serve", help="run the service until SIGTERM")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
