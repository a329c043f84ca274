"""``goni-firstboot serve``: the wizard as a service, until the node belongs to somebody; then
``goni-firstboot screen`` shows how the node is.

Asks the gateway first and ends at once when the node is set up. Otherwise it makes a PIN, shows it
on the screens, and serves the wizard on the HTTPS socket that systemd holds; when the summary is
delivered it lets go of that socket and ends, and the gateway goes on serving the same one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from systemd import daemon

from goni_core import fields, paths
from goni_core import log as logs
from goni_core import serve as serving
from goni_core.errors import BadInput, GoniError, Unavailable, exit_with
from goni_core.http import Service
from goni_firstboot import (
    addresses,
    answers,
    consoles,
    fingerprint,
    health,
    kept,
    pin,
    steps,
    texts,
)
from goni_firstboot.answers import Store
from goni_firstboot.door import Door
from goni_firstboot.screen import View
from goni_firstboot.sessions import Sessions
from goni_firstboot.step import Memory, Services
from goni_firstboot.wizard import Wizard

log = logging.getLogger(__name__)

GATEWAY_S = 120.0
"""Seconds that the gateway may take to answer at start."""
LOOK_S, HEALTH_S = 1.0, 10.0
"""Seconds between two looks at what the screen shows, while the node is set up and afterwards."""
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
    work = _serve if arguments.command == "serve" else _screen
    try:
        asyncio.run(work(arguments))
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
        kept.keep_name(owned_as)
        log.info("the node is set up already")
        # Without this, systemd takes an early end of a notifying service for a failure.
        daemon.notify("READY=1")
    finally:
        await gateway.close()


async def _screen(arguments: argparse.Namespace) -> None:
    """Show how a node is that is set up, until the service is stopped."""
    services = tuple(
        Service(name, path)
        for name, path in (
            ("the engine", paths.engine_socket()),
            ("the document search", paths.rag_socket()),
            ("the gateway", paths.gateway_socket()),
            ("the household service", paths.mesh_socket()),
        )
    )
    certificate = _credential("tls.crt", arguments.certificate)
    language = Store(paths.state_dir("firstboot")).language
    screens = consoles.Screens(() if arguments.screen else consoles.find(), arguments.screen)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    async def look() -> View:
        said = health.words(await health.asked(services), texts.load(language))
        shown = fingerprint.of(certificate)
        name, at = socket.gethostname(), await current_addresses()
        return View(name, at, None, shown.digits, shown.words, said, language)

    daemon.notify("READY=1")
    await keep_painting(screens, look, stop, HEALTH_S)
    for service in services:
        await service.close()


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
    services = Services(
        gateway,
        Service("the engine", paths.engine_socket()),
        Service("the household service", paths.mesh_socket()),
        Service("the disk service", paths.install_socket()),
    )
    door = Door(pin.Gate(number, time.monotonic), Sessions(time.monotonic))
    given_before = answers.preseeded(paths.run_dir() / "preseed.json")
    store = Store(paths.state_dir("firstboot"), given_before.answers)
    memory = Memory(trouble=given_before.trouble)
    wizard = Wizard(door, services, steps.row(services), store, kept.keep_name, memory)
    found = () if given.screen else consoles.find()
    screens = consoles.Screens(found, given.screen)
    shown = fingerprint.of(given.certificate)

    async def look(*, ready: str | None = None) -> View:
        name, at = ready or socket.gethostname(), await current_addresses()
        typed, now = (None, joined(wizard)) if ready else (number, wizard.now())
        return View(name, at, typed, shown.digits, shown.words, now, wizard.language)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(keep_painting(screens, look, wizard.done, LOOK_S))
        tasks.create_task(serve_until_done(wizard, given))
        tasks.create_task(wizard.follow(number))
    await services.close()
    if wizard.node_name is not None:
        await asyncio.to_thread(screens.show, await look(ready=wizard.node_name))


def joined(wizard: Wizard) -> str:
    """What the screen says of a node that was taken in: the words to compare."""
    return texts.load(wizard.language)("screen.joined", words=wizard.words) if wizard.words else ""


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


async def keep_painting(
    screens: consoles.Screens,
    look: Callable[[], Awaitable[View]],
    done: asyncio.Event,
    pause: float,
) -> None:
    """Show what ``look`` sees, every ``pause`` seconds until ``done``."""
    while not done.is_set():
        # Never abandoned half-way: an old page must not come after the last one.
        await asyncio.to_thread(screens.show, await look())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), pause)


async def current_addresses() -> tuple[str, ...]:
    try:
        return await asyncio.to_thread(addresses.current)
    except GoniError as error:
        log.warning("%s", error)
        return ()


def options(arguments: argparse.Namespace) -> Options:
    """The command's options, with what systemd hands over where none was given."""
    certificate = _credential("tls.crt", arguments.certificate)
    key = _credential("tls.key", arguments.key)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except OSError as error:  # SSLError is one
        raise GoniError(
            f"the certificate or its key can't be used: {error.strerror}",
            hint="run goni-mesh identity",
        ) from error
    return Options(_socket(arguments.listen), certificate, key, arguments.screen)


def _credential(name: str, given: Path | None) -> Path:
    path = given or paths.credential(name)
    if path is None:
        raise BadInput(
            "there is no certificate",
            hint="pass the credentials tls.crt and tls.key, or --certificate and --key",
        )
    return path


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
    screen = commands.add_parser("screen", help="show on the screen how the node is, once set up")
    screen.add_argument("--certificate", type=Path, metavar="FILE", help="PEM")
    for command in (serve, screen):
        words = "a file instead of consoles"
        command.add_argument("--screen", type=Path, metavar="FILE", help=words)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
