"""The wizard's pages, rendered on the node, complete in one response each.

Style sheet and script are inside every page and allowed by their hashes: the last page is delivered
while the listening socket changes hands, so it must not need a second request. Every page does its
work without the script, which moves progress bars, prints the sheet and finds the time zone.
No picture from elsewhere, nothing kept by a cache.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.datastructures import MutableHeaders
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from goni_firstboot import codes
from goni_firstboot.texts import Texts


def _hash(text: str) -> str:
    """``text`` as a source expression of a content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


STATIC = resources.files("goni_firstboot") / "static"
STYLE = (STATIC / "page.css").read_text("utf-8")
SCRIPT = (STATIC / "page.js").read_text("utf-8")
HEADERS = {
    "content-security-policy": (
        f"default-src 'none'; style-src {_hash(STYLE)}; script-src {_hash(SCRIPT)}; "
        "connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not "no-referrer": browsers then send "Origin: null" with the node's own forms (Fetch
    # standard, "append a request Origin header"), and the Origin check would refuse them.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Pages:
    """Renders the templates, each page in the language of the texts that it is given."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=PackageLoader("goni_firstboot"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        # Both are ours, and their hashes only fit when they aren't escaped.
        self._templates.globals.update(
            style=Markup(STYLE),  # noqa: S704
            script=Markup(SCRIPT),  # noqa: S704
            code=codes.picture,
        )

    def page(
        self,
        template: str,
        texts: Texts,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **values: object,
    ) -> HTMLResponse:
        """``templates/<template>.html`` filled in."""
        html = self._templates.get_template(f"{template}.html").render(t=texts, **values)
        return HTMLResponse(html, status_code=status, headers=headers)


class Guarded:
    """``app`` with :data:`HEADERS` on whatever it answers, errors included."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarding(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, guarding)
