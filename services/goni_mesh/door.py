"""Who may try a code, how often, and when: the only thing between a stranger and a pairing.

Each hello costs one of :data:`TRIES` before anything of the code is used for it, and each that has
not ended well doubles the wait until the next one is heard. With the last try the door is locked:
the code is dead, and only a person at the node can have a new one. It keeps no clock but the
machine's own running time.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from goni_core.errors import Conflict, NotFound, TooMany
from goni_mesh.pake import Conversation, Exchange

TRIES = 5
FIRST_WAIT_S = 2.0
SESSION_S = 60.0
"""Seconds from a hello to the end of its conversation."""
ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


@dataclass
class Session:
    """A conversation that has begun; ``proved`` once the other side knew the code."""

    id: str
    conversation: Conversation
    until: float
    proved: bool = False


class Door:
    """One code and the tries that it stands. ``name`` is the part of an invitation that is no
    secret: a hello with another name isn't one for this door and costs nothing.
    """

    def __init__(
        self,
        code: str,
        seconds: float,
        *,
        name: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.code, self.name = code, name
        self._clock = clock
        self._until = clock() + seconds
        self._next = clock()
        self._session: Session | None = None
        self.tries = TRIES
        self.words = ""
        self.used = False

    @property
    def seconds(self) -> int:
        """For how long it is still there."""
        return max(0, int(self._until - self._clock()))

    @property
    def open(self) -> bool:
        """Whether a code can still be tried, or a conversation goes on."""
        now = self._clock()
        if self._session and self._session.proved and now < self._session.until:
            return True
        return not self.used and now < self._until and (self.tries > 0 or self._session is not None)

    def hello(self, name: str, message: str) -> tuple[str, str]:
        """Begin an exchange: the session's id, and this side's message.

        Raises :class:`NotFound` behind a door that is shut or another's, :class:`TooMany` before
        the wait is over, :class:`Conflict` while somebody who knew the code is being let in.
        """
        now = self._clock()
        if self._session and self._session.proved and now < self._session.until:
            raise Conflict("somebody is being let in already", code="pairing")
        if name != self.name or self.used or now >= self._until:
            raise NotFound("nobody is expected here", code="no_offer")
        if self.tries <= 0:
            raise NotFound(
                "too many wrong codes", hint="ask the node for a new code", code="locked"
            )
        if now < self._next:
            wait = int(self._next - now) + 1
            raise TooMany("wait before the next code", retry_after=wait, code="wait")
        self.tries -= 1
        self._next = now + FIRST_WAIT_S * 2 ** (TRIES - self.tries - 1)
        self._session = None
        exchange = Exchange(self.code, client=False)
        conversation = exchange.answered(message)
        self._session = Session(secrets.token_hex(16), conversation, now + SESSION_S)
        return self._session.id, exchange.message

    def session(self, given: str, *, proved: bool) -> Session:
        """The conversation of that id, which has got as far as ``proved`` says."""
        session = self._session
        now = self._clock()
        if session is None or not secrets.compare_digest(session.id, given) or now > session.until:
            raise NotFound("that conversation has ended", code="no_session")
        if session.proved != proved:
            raise Conflict("that conversation is at another place", code="no_session")
        return session

    def prove(self, session: Session) -> None:
        """The other side knew the code, which is used up by it."""
        session.proved = True
        self.used, self.words = True, session.conversation.words

    def fail(self) -> None:
        """End the conversation: what was sealed didn't open."""
        self._session = None


def pin() -> str:
    """Six digits."""
    return f"{secrets.randbelow(10**6):06}"


def is_pin(text: str) -> bool:
    """Whether that is six digits."""
    return len(text) == 6 and text.isascii() and text.isdigit()


def invitation() -> tuple[str, str]:
    """An invitation's name (20 bits, no secret) and its code (60 bits)."""
    letters = [secrets.choice(ALPHABET) for _ in range(16)]
    return "".join(letters[:4]), "".join(letters[4:])


def written(name: str, code: str) -> str:
    """An invitation as people write it."""
    whole = name + code
    return "-".join(whole[at : at + 4] for at in range(0, len(whole), 4))


def read(text: str) -> tuple[str, str]:
    """An invitation's name and code from what a person typed: its sixteen letters, or the PIN that
    a member shows, which has no name. :class:`NotFound` for no such one.
    """
    plain = "".join(letter for letter in text.upper() if letter not in "- \t")
    if is_pin(plain):
        return "", plain
    if len(plain) != 16 or any(letter not in ALPHABET for letter in plain):
        raise NotFound(
            "that is no invitation code", hint="it has four groups of four letters, or six digits"
        )
    return plain[:4], plain[4:]
