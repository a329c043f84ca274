"""A chat on its way to the node that was chosen for it, and to another one when that fails.

Until the first token a request may go to a second node, once: when the first refuses it, breaks
off, or lets more time pass than ``planner`` makes likely. After that a peer whose tokens stop is
given up with a clear error: what was said can't be unsaid. An answer that is wanted whole comes as
a stream from a peer all the same, so that its tokens show that it lives. This node's own engine has
a watchdog of its own, and all the time that it wants.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from goni_core import fields
from goni_core.errors import GoniError, Unavailable
from goni_core.http import ANSWER_TIMEOUT, Incoming, Sink
from goni_gateway import gathered, planner, sse
from goni_gateway.nodes import OWN, Nodes
from goni_gateway.planner import USUAL, Job, Node
from goni_gateway.prompt import Message
from goni_gateway.turns import Place, Station
from goni_gateway.warmth import BYTES_EACH, Warmth

log = logging.getLogger(__name__)

ROUTE = "/v1/chat/completions"
FIRST_S, FIRST_TIMES = 15.0, 4.0
"""Seconds that a peer's first token may take at least, and how many times as long as predicted."""
STILL_S, STILL_TOKENS, STILL_MOST_S = 20.0, 30.0, 60.0
"""Seconds that may pass between two tokens: so many, and as long as so many tokens take, up to."""
TRIES = 2
PASSAGES, LONGEST = 1500, 4096
"""Tokens that the passages found will be, roughly; tokens of the longest answer reckoned with."""
FINAL = frozenset((400, 401, 403, 404, 413))
"""Statuses that say that the request itself can't be answered; elsewhere it would be no better."""
ELSEWHERE = frozenset(("context_length_exceeded", "model_not_found", "removed", "no_pictures"))
"""Codes of such that are only true of the one node."""


class Answer:
    """A streamed answer that has begun: what came up to the first token, and the rest; without
    these it is passed on as it comes in.
    """

    def __init__(
        self, incoming: Incoming, rest: AsyncIterator[bytes] | None = None, begun: bytes = b""
    ) -> None:
        self._incoming = incoming
        self._rest = rest
        self._begun = begun

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        """The events, in whole ones; :class:`Unavailable` when they stop."""
        if self._begun:
            yield self._begun
        async for block in self._rest or self._incoming.blocks():
            yield block

    async def pour(self, take: Callable[[bytes], None], into: Sink) -> None:
        """As :meth:`Incoming.pour`, and for an answer that nobody watches by that way."""
        if self._rest is None:
            await self._incoming.pour(take, into)
            return
        async for block in self.blocks():
            take(block)
            await into.drain()

    async def close(self) -> None:
        await self._incoming.close()


class Router:
    """Takes requests to ``nodes``; ``warmth`` is told where conversations are."""

    def __init__(self, nodes: Nodes, warmth: Warmth) -> None:
        self._nodes = nodes
        self.warmth = warmth

    async def opened(self, body: Mapping[str, Any], place: Place) -> Answer:
        """The answer to ``body``, which streams, as it comes; close it."""
        for last in (False, True):
            try:
                answer = await self._begun(body, place)
            except GoniError as error:
                await self._elsewhere(body, place, error, last=last)
            else:
                self._note(body, place)
                return answer
        raise AssertionError("unreachable")

    async def whole(self, body: Mapping[str, Any], place: Place) -> dict[str, Any]:
        """The answer to ``body`` in one piece."""
        for last in (False, True):
            try:
                said = await self._gathered(body, place)
            except GoniError as error:
                await self._elsewhere(body, place, error, last=last)
            else:
                self._note(body, place)
                return said
        raise AssertionError("unreachable")

    async def _gathered(self, body: Mapping[str, Any], place: Place) -> dict[str, Any]:
        if place.node == OWN:
            at = self._nodes.at(OWN)
            return await at.call("POST", ROUTE, json=body, timeout=ANSWER_TIMEOUT)
        asked = {**body, "stream": True, "stream_options": {"include_usage": True}}
        answer = await self._begun(asked, place)
        try:
            return await gathered.whole(answer.blocks())
        finally:
            await answer.close()

    async def _begun(self, body: Mapping[str, Any], place: Place) -> Answer:
        station = self._station(body, place.node)
        if place.node == OWN and len(self._stations(body)) < TRIES:
            straight = await self._nodes.at(OWN).open("POST", ROUTE, json=body)
            return Answer(straight)
        node = station.node if station else Node(place.node)
        patience = _first_s(place, node) if place.node != OWN else None
        still = min(STILL_S + STILL_TOKENS / (node.decode or planner.DECODE), STILL_MOST_S)
        silent = Unavailable("the node gives no answer", code="peer_silent")
        incoming: Incoming | None = None
        try:
            async with _limit(patience, silent):
                incoming = await self._nodes.at(place.node).open("POST", ROUTE, json=body)
                blocks = sse.together(incoming.blocks())
                begun = await _up_to_first_token(blocks)
        except BaseException:
            if incoming is not None:
                await incoming.close()
            raise
        rest = _watched(blocks, still if place.node != OWN else None, done=_ends(begun))
        return Answer(incoming, rest, begun)

    async def _elsewhere(
        self, body: Mapping[str, Any], place: Place, error: GoniError, *, last: bool
    ) -> None:
        """Move ``place`` to the next best node, or raise ``error`` when there is none."""
        if error.status in FINAL and error.code not in ELSEWHERE:
            raise error
        failed = place.node
        self._nodes.doubt(failed)
        self.warmth.forget(failed)
        await self._nodes.look()
        others = [one for one in self._stations(body) if one.node.id != failed]
        found = planner.ranked(place.job, [one.node for one in others])
        if last or not found:
            raise error
        log.warning("a chat goes to another node: %s", error.code)
        place.move(found[0].id)

    def _note(self, body: Mapping[str, Any], place: Place) -> None:
        station = self._station(body, place.node)
        if place.told is not None:
            slots = station.room if station else 1
            self.warmth.note(place.node, str(body["model"]), slots, place.told)

    def _stations(self, body: Mapping[str, Any]) -> list[Station]:
        return self._nodes.stations(str(body["model"]))

    def _station(self, body: Mapping[str, Any], node: str) -> Station | None:
        return next((one for one in self._stations(body) if one.node.id == node), None)


def job_of(question: Sequence[Message], answer: int | None, *, passages: bool) -> Job:
    """The job that a chat is, before its passages are found and its tokens counted."""
    length = sum(len(str(message.get("content", ""))) for message in question) // BYTES_EACH
    return Job(length + (PASSAGES if passages else 0), min(answer or USUAL.answer, LONGEST))


def _first_s(place: Place, node: Node) -> float:
    return FIRST_S + FIRST_TIMES * planner.predict(place.job, node).first


@contextlib.asynccontextmanager
async def _limit(seconds: float | None, error: GoniError) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as late:
        raise error from late


async def _up_to_first_token(blocks: AsyncIterator[bytes]) -> bytes:
    """The events up to the first that says something; an error among them is raised, and so is an
    end without a proper one.
    """
    begun = b""
    async for block in blocks:
        begun += block
        for data in sse.events(block):
            chunk = sse.parsed(data)
            if isinstance(error := chunk.get("error"), dict):
                raise error_in(error)
            if data == b"[DONE]" or sse.speaks(chunk) or _finished(chunk):
                return begun
    raise Unavailable("the node broke off before it answered", code="peer_unavailable")


async def _watched(
    blocks: AsyncIterator[bytes], still: float | None, *, done: bool
) -> AsyncIterator[bytes]:
    """``blocks``, each within ``still`` seconds of the one before, up to a proper end."""
    error = Unavailable(
        "the node that answered stopped in the middle", hint="ask again", code="peer_silent"
    )
    while True:
        try:
            async with _limit(still, error):
                block = await anext(blocks)
        except StopAsyncIteration:
            break
        done = done or _ends(block)
        yield block
    if not done:
        raise error


def _ends(block: bytes) -> bool:
    """Whether an answer ends properly with ``block``: by its last event, or by an error's."""
    return block.rstrip().endswith(b"data: [DONE]") or b'data: {"error"' in block


def error_in(said: Mapping[str, Any]) -> GoniError:
    """The error that an event tells."""
    return Unavailable(
        str(said.get("message", "the node failed"))[:300],
        hint=str(said.get("hint", ""))[:300],
        code=str(said.get("code", "peer_unavailable"))[:60],
    )


def _finished(chunk: fields.Object) -> bool:
    return any(choice.get("finish_reason") for choice in chunk.get("choices") or [])
