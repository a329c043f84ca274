"""A posted form as text by field, and whether this very page posted it. Judging is the steps'."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qsl

from starlette.requests import Request

from goni_core import web
from goni_core.errors import BadInput, Forbidden

LIMIT = 16 << 10
"""Bytes of a posted form."""
PATIENCE_S = 10.0
"""Seconds that a form may take to arrive."""


async def read(request: Request) -> dict[str, str]:
    """The fields of a form that this page posted; an error for any other origin or size."""
    check_origin(request)
    async with asyncio.timeout(PATIENCE_S):
        return decode(await web.read_body(request, limit=LIMIT))


def decode(body: bytes) -> dict[str, str]:
    """The fields of an ``application/x-www-form-urlencoded`` body; the last one of a name counts.

    Raises :class:`BadInput` for anything else.
    """
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=20
        )
    except ValueError as error:
        raise BadInput("the form can't be read", code="bad_form") from error
    return dict(pairs)


def check_origin(request: Request) -> None:
    """Raise :class:`Forbidden` unless a browser says that the request comes from this very page.
    Programs, which send neither header, can't be tricked into posting and are let through.
    """
    origin = request.headers.get("origin")
    if origin is not None:
        same = origin == f"https://{request.headers.get('host', '')}"
    else:
        same = request.headers.get("sec-fetch-site", "same-origin") == "same-origin"
    if not same:
        raise Forbidden("the form was posted by another page")
