"""Who mounts the folders: Basic authentication (RFC 7617) with an API key as the password, since
that is all that Finder and Explorer know. There is no way in but TLS, so it travels encrypted.

A browser may send such a password by itself, so what another site starts is refused. Wrong keys are
slowed down as wrong passwords are.
"""

from __future__ import annotations

import base64
import binascii

from starlette.requests import Request

from goni_core.errors import Forbidden, NotAllowed
from goni_gateway import callers, gateway, keys
from goni_gateway.people import Person

LONGEST = 1000
ACCOUNT = "webdav"
"""What the throttle counts wrong keys under: never a person's sign-in."""


async def person(request: Request) -> Person:
    """The person whose key comes with ``request``; :class:`NotAllowed` when there is none."""
    secret = callers.bearer(request.headers) or password(request.headers.get("authorization", ""))
    if not secret:
        raise NotAllowed("an API key is the password here", hint="make one on the Keys page")
    if callers.from_elsewhere(request.headers):
        raise Forbidden("that request comes from another site", code="cross_site")
    gate = gateway.of(request)
    found = await gate.database.do(keys.person_of, secret)
    if found is None:
        gate.throttle.attempt(ACCOUNT, callers.address(request))
        raise NotAllowed("that API key is not valid", code="invalid_api_key")
    return found


def password(header: str) -> str:
    """The password in an Authorization header; "" without a usable one."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic" or len(value) > LONGEST:
        return ""
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
