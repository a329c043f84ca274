"""Chats on their way over the channel: this node's people to a peer's engine, and a peer's people
to this one's.

    gateway -> mesh.sock -> channel -> the peer's goni-mesh -> its engine.sock

Nothing of a request is kept but while it is answered, and nothing of it is logged. Whoever hangs up
ends it all the way down. People are told apart by ids that mean nothing elsewhere: the asking node
sends a keyed hash of its own id, and the answering one puts before it which node that was, by its
key; so a node can name neither this node's people nor another's.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
from collections.abc import AsyncGenerator, Iterator

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from goni_core import fields, web
from goni_core.contract import QUESTION_LIMIT
from goni_core.errors import BadInput, GoniError, TooMany
from goni_core.hangup import EventStream, unless_gone
from goni_core.http import ANSWER_TIMEOUT, Incoming, Service

CHAT, COUNT = "/v1/chat/completions", "/count"
MOST = 64
MOST_BYTES = 96 << 20
"""Chats of peers that are answered at once, and bytes of their requests together."""


class Door:
    """How much comes in from peers at the same time."""

    def __init__(self) -> None:
        self._chats = self._bytes = 0

    @contextlib.contextmanager
    def entered(self, size: int | None) -> Iterator[None]:
        """Room for a request of ``size`` bytes; :class:`TooMany` when there is none."""
        if size is None:
            raise BadInput("the request doesn't say its length", code="no_length")
        if self._chats >= MOST or self._bytes + size > MOST_BYTES:
            raise TooMany("this node answers too many others", retry_after=5, code="queue_full")
        self._chats, self._bytes = self._chats + 1, self._bytes + size
        try:
            yield
        finally:
            self._chats, self._bytes = self._chats - 1, self._bytes - size


async def to_peer(request: Request, peer: Service, path: str, household: str) -> Response:
    """A peer's answer to this node's gateway, ``household`` being the id of both's."""
    body = await web.read_json(request, limit=QUESTION_LIMIT)
    person = opaque(person_of(body), household)
    return await unless_gone(request.receive, _asked({**body, **_as(person)}, peer, path))


async def from_peer(
    request: Request, engine: Service, path: str, node: str, door: Door
) -> Response:
    """The answer of this node's engine to a peer, which is ``node``."""
    held = contextlib.ExitStack()
    held.enter_context(door.entered(web.content_length(request.headers)))
    try:
        body = await web.read_json(request, limit=QUESTION_LIMIT)
        person = f"{node[:32]}:{person_of(body)}" if person_of(body) else ""
        answer = await unless_gone(
            request.receive, _asked({**body, **_as(person)}, engine, path, held)
        )
    except BaseException:
        held.close()
        raise
    if not isinstance(answer, EventStream):
        held.close()
    return answer


def person_of(body: fields.Object) -> str:
    """Whose the request is; empty for nobody's."""
    goni = fields.objects({"goni": [body.get("goni", {})]}, "goni", most=1)[0]
    fields.only(goni, {"person"})
    return fields.text(goni, "person", longest=64, default="")


def opaque(person: str, household: str) -> str:
    """What peers know ``person`` by: 128 bits of HMAC-SHA-256."""
    if not person:
        return ""
    return hmac.new(household.encode(), person.encode(), hashlib.sha256).hexdigest()[:32]


def _as(person: str) -> dict[str, object]:
    return {"goni": {"person": person} if person else {}}


async def _asked(
    body: fields.Object, to: Service, path: str, held: contextlib.ExitStack | None = None
) -> Response:
    if body.get("stream") is not True:
        return JSONResponse(await to.call("POST", path, json=body, timeout=ANSWER_TIMEOUT))
    incoming = await to.open("POST", path, json=body)

    async def close() -> None:
        await incoming.close()
        if held is not None:
            held.close()

    return EventStream(_events(incoming), close)


async def _events(incoming: Incoming) -> AsyncGenerator[bytes, None]:
    """What comes; an answer that breaks off ends in an event that says so."""
    try:
        async for block in incoming.blocks():
            yield block
    except GoniError as error:
        yield b"\n\ndata: " + json.dumps(web.error_body(error)).encode() + b"\n\n"
