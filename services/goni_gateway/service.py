"""The running gateway: the control socket from the start, the web listener once it is set up.

Until then the set-up wizard accepts on the very same web socket; connections that come in between
wait in the kernel. Port 80, where there is one, is served from the start.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from socket import socket

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from goni_core import paths, serve, web
from goni_core.errors import GoniError
from goni_core.serve import Listener
from goni_core.tls import Certificate
from goni_gateway import (
    account_api,
    bodies,
    chat_api,
    control,
    dav,
    documents_api,
    downloads_api,
    gateway,
    library_api,
    metrics_api,
    nodes_api,
    openai_api,
    openapi,
    pages,
    people_api,
    pictures_api,
    responses_api,
    sticks_api,
    trust,
    updates_api,
)
from goni_gateway.cors import Cors
from goni_gateway.edge import Edge
from goni_gateway.gateway import Gateway


@dataclass(frozen=True)
class Settings:
    """Command-line settings; what isn't given comes from systemd. ``listen`` is host and port."""

    listen: tuple[str, int] | None = None
    certificate: Path | None = None
    key: Path | None = None
    plain: tuple[str, int] | None = None


def application(gate: Gateway) -> Starlette:
    """What the web listener serves, without the outermost layer."""
    return web.application(
        routes(), middleware=[Middleware(bodies.Weighed)], lifespan=gateway.carried(gate)
    )


def routes() -> list[BaseRoute]:
    """All that is served on the web listener."""
    return [
        *openai_api.ROUTES,
        *responses_api.ROUTES,
        *account_api.ROUTES,
        *people_api.ROUTES,
        *chat_api.ROUTES,
        *pictures_api.ROUTES,
        *downloads_api.ROUTES,
        *sticks_api.ROUTES,
        *updates_api.ROUTES,
        *library_api.ROUTES,
        *documents_api.ROUTES,
        *dav.ROUTES,
        *metrics_api.ROUTES,
        *nodes_api.ROUTES,
        *openapi.ROUTES,
        *pages.ROUTES,
    ]


async def run(settings: Settings) -> None:
    """Serve until told to stop; :class:`GoniError` when a socket or the certificate is missing."""
    certificate = Certificate(
        _given("tls.crt", settings.certificate, "--certificate"),
        _given("tls.key", settings.key, "--key"),
    )
    web_socket = _web_socket(settings)
    gate = gateway.open_gateway()
    keeping = asyncio.create_task(certificate.keep())
    try:
        await gate.downloads.start()
        gate.household.start()
        await serve.serve(
            [
                Listener(
                    control.application(gate),
                    serve.unix_or_inherited("gateway", paths.gateway_socket()),
                ),
                Listener(
                    Edge(Cors(application(gate), gate)),
                    web_socket,
                    when=gate.complete,
                    tls=certificate.context,
                ),
                *_plain(settings, gate),
            ]
        )
    finally:
        keeping.cancel()
        await gateway.close_gateway(gate)


def _given(credential: str, setting: Path | None, option: str) -> Path:
    path = setting or paths.credential(credential)
    if path is None or not path.is_file():
        raise GoniError(
            f"there is no {credential}",
            hint=f"give {option} FILE, or the unit LoadCredential={credential}:…",
            code="missing_certificate",
        )
    return path


def _plain(settings: Settings, gate: Gateway) -> list[Listener]:
    """Port 80, if this node has one."""
    found = serve.bind_tcp(*settings.plain) if settings.plain else serve.inherited("http")
    return [] if found is None else [Listener(trust.application(gate.mesh), found)]


def _web_socket(settings: Settings) -> socket:
    if settings.listen is not None:
        return serve.bind_tcp(*settings.listen)
    found = serve.inherited("https")
    if found is None:
        raise GoniError(
            "there is no socket to serve the web page on",
            hint="start goni-gateway.socket, or give --listen HOST:PORT",
            code="missing_socket",
        )
    return found
