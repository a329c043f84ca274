"""Port 80: how to trust the household's certificate, and the certificate. Nothing else is here.

Plain HTTP can be changed on its way; so the page asks people to compare the fingerprint with the
one that a node shows over HTTPS, and the certificate is good for the house's addresses only.
"""

from __future__ import annotations

import base64
import hashlib
import plistlib
import re
import ssl
import uuid
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from goni_core import fields
from goni_core.errors import GoniError
from goni_core.http import Service

HERE = Path(__file__).parent
HOST = re.compile(r"[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:]{2,45}\]")
SPACE = uuid.UUID("6f0a2a6e-6c38-5d0e-9d55-3c6a8f5f7b10")
"""Of the identifiers in profiles (RFC 9562, version 5): the same certificate, the same profile."""
LANGUAGES = ("en", "de")
STYLE = (HERE / "static" / "trust.css").read_text("utf-8")
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
}
_templates = Environment(
    loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined
)


def application(mesh: Service) -> Starlette:
    """What port 80 serves; ``mesh`` has the certificate."""

    async def page(request: Request) -> Response:
        texts = _texts(preferred(request.headers.get("accept-language", "")))
        der = await root(mesh)
        shown = hashlib.sha256(der).digest().hex(":").upper() if der else ""
        html = _templates.get_template("trust.html").render(
            t=texts, style=STYLE, fingerprint=shown, host=host_of(request.headers)
        )
        return HTMLResponse(html, headers={**HEADERS, "vary": "accept-language"})

    def file(name: str, kind: str, made: object) -> Route:
        async def answer(request: Request) -> Response:
            der = await root(mesh)
            if not der:
                return nothing()
            assert callable(made)
            headers = {**HEADERS, "content-disposition": f'attachment; filename="{name}"'}
            return Response(made(der), media_type=kind, headers=headers)

        return Route(f"/{name}", answer, methods=["GET"])

    async def elsewhere(request: Request, error: Exception) -> Response:
        return nothing()

    return Starlette(
        routes=[
            Route("/", page, methods=["GET"]),
            file("goni.crt", "application/x-x509-ca-cert", bytes),
            file("goni.pem", "application/x-pem-file", ssl.DER_cert_to_PEM_cert),
            file("goni.mobileconfig", "application/x-apple-aspen-config", profile),
        ],
        exception_handlers={404: elsewhere, 405: elsewhere},
    )


def nothing() -> Response:
    return PlainTextResponse("Nothing is here; try https.\n", status_code=404, headers=HEADERS)


async def root(mesh: Service) -> bytes:
    """The household's root certificate in DER; empty while there is no household."""
    try:
        said = await mesh.call("GET", "/authority")
    except GoniError:
        return b""
    return ssl.PEM_cert_to_DER_cert(fields.text(said, "certificate", longest=10_000))


def profile(der: bytes) -> bytes:
    """A configuration profile for Apple's systems that holds the certificate, and only it.

    https://developer.apple.com/documentation/devicemanagement/certificateroot
    """
    mark = hashlib.sha256(der).hexdigest()
    identifier = f"local.goni.{mark[:16]}"
    certificate = {
        "PayloadType": "com.apple.security.root",
        "PayloadVersion": 1,
        "PayloadIdentifier": f"{identifier}.root",
        "PayloadUUID": str(uuid.uuid5(SPACE, f"{mark} root")).upper(),
        "PayloadDisplayName": "Goni",
        "PayloadCertificateFileName": "goni.crt",
        "PayloadContent": der,
    }
    whole = {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadIdentifier": identifier,
        "PayloadUUID": str(uuid.uuid5(SPACE, mark)).upper(),
        "PayloadDisplayName": "Goni",
        "PayloadDescription": f"SHA-256 {mark}",
        "PayloadContent": [certificate],
    }
    return plistlib.dumps(whole)


def preferred(header: str) -> str:
    """The language of :data:`LANGUAGES` that an Accept-Language header (RFC 9110, 12.5.4) likes
    best; English for none.
    """
    found: list[tuple[float, str]] = []
    for part in header[:1000].split(","):
        tag, _, weight = part.strip().partition(";q=")
        language = tag.split("-")[0].lower()
        if language in LANGUAGES:
            number = re.fullmatch(r"[01](\.[0-9]{0,3})?", weight or "1")
            found.append((float(number[0]) if number else 0.0, language))
    # Of equals the one named first.
    return max(found, key=lambda one: one[0], default=(1.0, "en"))[1]


def host_of(headers: Mapping[str, str]) -> str:
    """The name or address by which the browser came, without its port; empty for an odd one."""
    given = headers.get("host", "")
    match = re.fullmatch(rf"({HOST.pattern})(:[0-9]{{1,5}})?", given)
    return match[1] if match else ""


def _texts(language: str) -> Mapping[str, str]:
    source = resources.files("goni_gateway") / "texts" / f"trust.{language}.yaml"
    read = yaml.safe_load(source.read_text("utf-8"))
    assert isinstance(read, dict)
    return read
