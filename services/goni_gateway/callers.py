"""Who is asking: a bearer key, or a session cookie from this very site.

A cookie travels with requests that other sites start, so one that changes anything counts only
when the browser itself says that it comes from here (Fetch Metadata, or the Origin header). A key
never travels by itself and needs no such proof.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.requests import Request

from goni_core.errors import Forbidden, NotAllowed
from goni_gateway import gateway, keys, sessions
from goni_gateway.people import Person

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


async def person(request: Request) -> Person:
    """The person behind ``request``; :class:`NotAllowed` when there is none."""
    secret = bearer(request.headers)
    if secret is None:
        return await signed_in(request)
    found = await gateway.of(request).database.look(keys.person_of, secret)
    if found is None:
        raise NotAllowed(
            "that API key is not valid",
            hint="make a new one on the Keys page",
            code="invalid_api_key",
        )
    return found


async def signed_in(request: Request) -> Person:
    """The person whose session it is; :class:`NotAllowed` for keys and strangers,
    :class:`Forbidden` when another site started it.
    """
    found = await visitor(request)
    if found is None:
        raise NotAllowed("sign in first, or send an API key", hint="Authorization: Bearer goni-…")
    if request.method not in SAFE and not same_origin(request.headers):
        raise Forbidden("that request comes from another site", code="cross_site")
    return found


async def visitor(request: Request) -> Person | None:
    """The person whose session it is, if any: for pages, which change nothing."""
    token = request.cookies.get(sessions.COOKIE, "")
    if not token:
        return None
    return await gateway.of(request).database.look(sessions.person_of, token)


async def owner(request: Request) -> Person:
    """As :func:`person`, and :class:`Forbidden` unless it is the owner."""
    return _owning(await person(request))


async def signed_in_owner(request: Request) -> Person:
    """As :func:`signed_in`, and :class:`Forbidden` unless it is the owner."""
    return _owning(await signed_in(request))


def _owning(found: Person) -> Person:
    if not found.is_owner:
        raise Forbidden("only the owner of this node may do that")
    return found


def address(request: Request) -> str:
    """Where the request comes from."""
    return request.client.host if request.client else ""


def bearer(headers: Mapping[str, str]) -> str | None:
    """The key of an ``Authorization: Bearer`` header (RFC 6750)."""
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else None


def same_origin(headers: Mapping[str, str]) -> bool:
    """Whether the browser says that its own page of this site sent the request."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc == headers.get("host", "")


def from_elsewhere(headers: Mapping[str, str]) -> bool:
    """Whether a browser says that another site sent it; programs, which say nothing, are fine."""
    told = "sec-fetch-site" in headers or "origin" in headers
    return told and not same_origin(headers)
