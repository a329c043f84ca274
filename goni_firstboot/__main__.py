"""``goni-firstboot serve``: the wizard as a service, until the node belongs to somebody.

Asks the gateway first and ends at once when the node is set up. Otherwise it makes a PIN, shows it
on the screens, and serves the wizard on the HTTPS socket that systemd holds; when the summary is
delivered it lets go of that socket and ends, and the gateway goes on serving the same one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import logging
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from systemd import daemon

from goni_core import fields, files, paths
from goni_core import log as logs
from goni_core import serve as serving
from goni_core.errors import BadInput, GoniError, Unavailable, exit_with
from goni_core.http import Service
from goni_firstboot import addresses, consoles, form, pin, protection, texts
from goni_firstboot.pages import Pages
from goni_firstboot.screen import View
from goni_firstboot.sessions import Sessions
from goni_firstboot.wizard import Wizard

log = logging.getLogger(__name__)

GATEWAY_S = 120.0
"""Seconds that the gateway may take to answer at start."""
LOOK_S = 3.0
"""Seconds between two looks at the node's addresses."""
END_S = 6.0
"""Seconds that open connections may take to end once the node is set up."""


@dataclass(frozen=True)
class Options:
    """What the command was started with, checked."""

    listening: socket.socket
    certificate: Path
    key: Path
    screen: Path | None


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    logs.setup()
    arguments = _parser().parse_args(argv)
    try:
        asyncio.run(_serve(arguments))
    except GoniError as error:
        exit_with(error)
    return 0


async def _serve(arguments: argparse.Namespace) -> None:
    gateway = Service("the gateway", paths.gateway_socket())
    try:
        owned_as = await setup_name(gateway)
        if owned_as is None:
            await set_up(gateway, options(arguments))
            return
        # A power cut may have come between the gateway's answer and this file.
        keep_name(owned_as)
        log.info("the node is set up already")
        # Without this, systemd takes an early end of a notifying service for a failure.
        daemon.notify("READY=1")
    finally:
        await gateway.close()


async def setup_name(gateway: Service) -> str | None:
    """The node's name when it is set up, None when not; waits for the gateway to answer."""
    deadline = time.monotonic() + GATEWAY_S
    while True:
        try:
            state = await gateway.call("GET", "/setup")
        except Unavailable:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)
            continue
        if not fields.flag(state, "complete"):
            return None
        return fields.text(state, "node_name", default="")


async def set_up(gateway: Service, given: Options) -> None:
    """Show the PIN and serve the wizard until it is done or the service is stopped."""
    number = pin.new()
    words = texts.load()
    gate = pin.Gate(number, time.monotonic)
    sessions = Sessions(time.monotonic)
    wizard = Wizard(gate, sessions, gateway, Pages(words), protection.look, keep_name)
    found = () if given.screen else consoles.find()
    screens = consoles.Screens(found, words, given.screen)
    view = View(socket.gethostname(), (), number, short_fingerprint(given.certificate))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(keep_painting(screens, view, wizard.done))
        tasks.create_task(serve_until_done(wizard, given))
    if wizard.node_name is not None:
        ready = View(wizard.node_name, await current_addresses(), None, view.fingerprint)
        await asyncio.to_thread(screens.show, ready)


async def serve_until_done(wizard: Wizard, given: Options) -> None:
    """Serve; once done, leave open connections :data:`END_S` and no more, as an idle one must not
    keep the screen from saying that all is well.
    """
    listener = serving.Listener(
        wizard.application(), given.listening, certificate=given.certificate, key=given.key
    )
    served = asyncio.create_task(
        serving.serve([listener], stop=wizard.done, status="waiting for the owner")
    )
    stopped = asyncio.create_task(wizard.done.wait())
    await asyncio.wait([served, stopped], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    await asyncio.wait([served], timeout=END_S)
    served.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await served


async def keep_painting(screens: consoles.Screens, view: View, done: asyncio.Event) -> None:
    """Show ``view`` with the addresses that the node has at each moment, until ``done``."""
    while not done.is_set():
        now = View(view.name, await current_addresses(), view.pin, view.fingerprint)
        # Never abandoned half-way: an old page must not come after the last one.
        await asyncio.to_thread(screens.show, now)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), LOOK_S)


async def current_addresses() -> tuple[str, ...]:
    try:
        return await asyncio.to_thread(addresses.current)
    except GoniError as error:
        log.warning("%s", error)
        return ()


def keep_name(name: str) -> None:
    """Leave ``name`` where the unit that sets the hostname finds it."""
    if not form.is_label(name):
        log.warning("the node's name can't be a hostname")
        return
    try:
        folder = paths.state_dir("firstboot")
        folder.mkdir(parents=True, exist_ok=True)
        files.sweep(folder)
        if not (folder / "hostname").exists() or (folder / "hostname").read_text() != f"{name}\n":
            files.write(folder / "hostname", f"{name}\n".encode(), mode=0o644)
    except OSError as error:
        log.warning("the hostname can't be kept: %s", error.strerror)


def short_fingerprint(certificate: Path) -> str:
    """The first eight bytes of the certificate's SHA-256, as browsers write it."""
    try:
        der = ssl.PEM_cert_to_DER_cert(certificate.read_text("ascii"))
    except (OSError, ValueError) as error:
        raise GoniError("the certificate can't be read", hint="run goni-mesh identity") from error
    return hashlib.sha256(der).digest()[:8].hex(":").upper()


def options(arguments: argparse.Namespace) -> Options:
    """The command's options, with what systemd hands over where none was given."""
    certificate = arguments.certificate or paths.credential("tls.crt")
    key = arguments.key or paths.credential("tls.key")
    if certificate is None or key is None:
        raise BadInput(
            "there is no certificate",
            hint="pass the credentials tls.crt and tls.key, or --certificate and --key",
        )
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except OSError as error:  # SSLError is one
        raise GoniError(
            f"the certificate or its key can't be used: {error.strerror}",
            hint="run goni-mesh identity",
        ) from error
    return Options(_socket(arguments.listen), certificate, key, arguments.screen)


def _socket(listen: str | None) -> socket.socket:
    if listen is None:
        listening = serving.inherited("https")
        if listening is None:
            raise BadInput("there is no socket to serve", hint="start the unit, or use --listen")
        return listening
    host, _, port = listen.rpartition(":")
    if not (host and port.isascii() and port.isdigit() and int(port) < 65536):
        raise BadInput("--listen must be HOST:PORT")
    try:
        return serving.bind_tcp(host.strip("[]"), int(port))
    except OSError as error:
        raise GoniError(f"can't listen on {listen}: {error.strerror}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="goni-firstboot", description="The setup wizard.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve the wizard until the node is set up")
    serve.add_argument("--listen", metavar="HOST:PORT", help="instead of systemd's socket")
    serve.add_argument("--certificate", type=Path, metavar="FILE", help="PEM")
    serve.add_argument("--key", type=Path, metavar="FILE", help="PEM")
    serve.add_argument("--screen", type=Path, metavar="FILE", help="a file instead of consoles")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
