"""``goni-mesh``: the node's identity at each start, its household, and a thin client of the socket.

Passwords and codes are asked for on the terminal, or read from standard input, a line each; they
are never arguments, which every process on a machine can read. Results go to standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import logging
import socket
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from goni_core import http, paths
from goni_core import log as logs
from goni_core.contract import MESH_PORT, PAIRING_PORT
from goni_core.errors import BadInput, GoniError, exit_with
from goni_mesh import certificate, identity
from goni_mesh.household import Household

log = logging.getLogger(__name__)

IMAGE_DATE = Path("/usr/lib/os-release")
"""Its modification time is the image's date."""
PATIENCE = http.Timeout(120.0, connect=5.0)
EXAMPLES = """\
examples:
  goni-mesh found "Our home" --node-name kitchen
  goni-mesh offer                                 on the new node: shows a PIN
  goni-mesh pair 192.168.1.20 --name attic        on a node of the household: asks for it
  goni-mesh invite --name cellar                  for a node that is not at hand; or --pin
  goni-mesh join 192.168.1.10                     on that node: asks for the code
  goni-mesh remove attic
  goni-mesh peers --json

GONI_RUN names the folder of the sockets (default /run/goni), GONI_STATE the one of the state.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    logs.setup()
    asked = _parser().parse_args(argv)
    try:
        if asked.command == "identity":
            make_identity(paths.state_dir("mesh"))
        elif asked.command == "fingerprint":
            show_fingerprint(paths.state_dir("mesh"), as_json=asked.json)
        elif asked.command == "serve":
            _serve(asked)
        else:
            answer = COMMANDS[asked.command](asked)
            print(
                json.dumps(answer, ensure_ascii=False, indent=2) if asked.json else _words(answer)
            )
    except GoniError as error:
        exit_with(error)
    return 0


def _serve(asked: argparse.Namespace) -> None:
    # Here, because the front door waits for "identity", which needs none of it.
    from goni_mesh import service  # noqa: PLC0415

    settings = service.Settings(asked.host, asked.port, asked.pairing_port, asked.discovery)
    asyncio.run(service.run(settings, today))


def today() -> datetime:
    """The date by which certificates are made."""
    return certificate.latest(datetime.now(UTC), image_date(IMAGE_DATE))


def make_identity(folder: Path) -> None:
    """Leave a good ``tls.key`` and ``tls.crt`` in ``folder``, and say in the log what was done."""
    try:
        household = Household(folder)
        try:
            made = identity.ensure(folder, socket.gethostname(), today(), household.issuer())
        finally:
            household.close()
    except OSError as error:
        raise GoniError(
            f"{folder} can't be written: {error.strerror}",
            hint="run it as the node's own user, with room on the disk",
        ) from error
    if made.reason:
        log.info("made a new certificate: %s", made.reason)
    else:
        log.info("the certificate is good")


def show_fingerprint(folder: Path, *, as_json: bool) -> None:
    """Print the certificate's SHA-256 fingerprint."""
    held = identity.load(folder)
    value = certificate.fingerprint(held)
    if not as_json:
        print(value)
        return
    until = certificate.read_certificate(held).not_valid_after_utc
    print(json.dumps({"sha256": value, "valid_until": until.isoformat()}))


def image_date(path: Path) -> datetime:
    """When the image was built, from ``path``'s modification time."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return certificate.FIRST_DAY


def ask(question: str) -> str:
    """A secret, typed or from the next line of standard input."""
    if sys.stdin.isatty():
        return getpass.getpass(f"{question}: ")
    line = sys.stdin.readline().rstrip("\n")
    if not line:
        raise BadInput(f"{question} is expected on standard input")
    return line


def call(method: str, path: str, body: object = None) -> dict[str, Any]:
    """One request to the running service."""

    async def asked() -> dict[str, Any]:
        mesh = http.Service("the mesh", paths.mesh_socket())
        try:
            return await mesh.call(method, path, json=body, timeout=PATIENCE)
        finally:
            await mesh.close()

    return asyncio.run(asked())


def _found(asked: argparse.Namespace) -> dict[str, Any]:
    body = {"name": asked.name, "node_name": asked.node_name, "password": ask("Owner's password")}
    return call("POST", "/household", body)


def _pair(asked: argparse.Namespace) -> dict[str, Any]:
    body = {"address": asked.address, "name": asked.name, "pin": ask("PIN on the new node")}
    return call("POST", "/pair", {**body, "password": ask("Owner's password")})


def _invite(asked: argparse.Namespace) -> dict[str, Any]:
    body = {"name": asked.name, "short": asked.pin}
    return call("POST", "/invite", {**body, "password": ask("Owner's password")})


def _join(asked: argparse.Namespace) -> dict[str, Any]:
    return call("POST", "/join", {"address": asked.address, "code": ask("Invitation code")})


def _remove(asked: argparse.Namespace) -> dict[str, Any]:
    if asked.recovery:
        return call("POST", "/remove", {"node": asked.node, "recovery": ask("Recovery key")})
    return call("POST", "/remove", {"node": asked.node, "password": ask("Owner's password")})


COMMANDS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "status": lambda asked: call("GET", "/status"),
    "peers": lambda asked: call("GET", "/peers"),
    "nearby": lambda asked: call("GET", "/nearby"),
    "fields": lambda asked: call("GET", "/fields"),
    "found": _found,
    "offer": lambda asked: call("POST", "/offer"),
    "pair": _pair,
    "invite": _invite,
    "join": _join,
    "remove": _remove,
    "leave": lambda asked: call("POST", "/leave", {}),
}


def _words(answer: dict[str, Any]) -> str:
    lines = []
    for name, value in answer.items():
        if isinstance(value, list):
            rows = [", ".join(f"{key} {one[key]}" for key in one) for one in value]
            lines += rows or [f"no {name}"]
        elif value not in (None, ""):
            lines.append(f"{name.replace('_', ' ')}: {value}")
    return "\n".join(lines) or "done"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="goni-mesh",
        description="This node's identity and its household.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("identity", help="make or renew the web page's key and certificate")
    shown = commands.add_parser("fingerprint", help="print the certificate's SHA-256")
    serve = commands.add_parser("serve", help="serve mesh.sock, the channel and pairing")
    serve.add_argument("--host", default="::", help="where peers reach this node (all addresses)")
    serve.add_argument("--port", type=int, default=MESH_PORT, help="the channel (%(default)s)")
    serve.add_argument(
        "--pairing-port", type=int, default=PAIRING_PORT, help="pairing (%(default)s)"
    )
    serve.add_argument(
        "--no-discovery", dest="discovery", action="store_false", help="announce nothing"
    )
    found = commands.add_parser("found", help="begin a household with this node")
    found.add_argument("name", metavar="NAME", help="the household's")
    found.add_argument("--node-name", required=True, metavar="NAME")
    pair = commands.add_parser("pair", help="let the node in that shows a PIN")
    join = commands.add_parser("join", help="join a household by an invitation")
    for command in (pair, join):
        command.add_argument("address", metavar="HOST[:PORT]")
    invite = commands.add_parser("invite", help="make a code by which one node can join")
    invite.add_argument("--pin", action="store_true", help="a PIN, for a node that is near")
    for command in (pair, invite):
        command.add_argument("--name", required=True, help="what the new node is called")
    remove = commands.add_parser("remove", help="remove a node for good")
    remove.add_argument("node", metavar="NODE", help="its name or id")
    remove.add_argument("--recovery", action="store_true", help="with the recovery key")
    plain = {
        "status": "this node in its household",
        "peers": "the other nodes and how they are",
        "nearby": "who announces itself on the network",
        "fields": "what the household has noted",
        "offer": "wait to be joined; shows a PIN",
        "leave": "forget the household",
    }
    others = [commands.add_parser(name, help=words) for name, words in plain.items()]
    for command in (shown, found, pair, join, invite, remove, *others):
        command.add_argument("--json", action="store_true", help="as a JSON object")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
