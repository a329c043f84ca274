"""The way in: the PIN's page, and the session of whoever typed the right one."""

from __future__ import annotations

import logging

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from goni_firstboot import pin
from goni_firstboot.pages import Pages
from goni_firstboot.sessions import Sessions
from goni_firstboot.texts import Texts

log = logging.getLogger(__name__)

COOKIE = "__Host-goni-setup"
"""The prefix makes browsers insist on Secure, on this very host, and on every path."""


class Door:
    """Lets in whoever knows the PIN of ``gate``, for as long as ``sessions`` say."""

    def __init__(self, gate: pin.Gate, sessions: Sessions) -> None:
        self._gate = gate
        self._sessions = sessions

    def knows(self, request: Request) -> bool:
        """Whether the request comes from a browser that is in."""
        return self._sessions.holds(request.cookies.get(COOKIE))

    @property
    def used(self) -> bool:
        """Whether somebody is in."""
        return self._sessions.open_ones > 0

    @property
    def locked(self) -> bool:
        return self._gate.wait() > 0

    def take(self, pages: Pages, texts: Texts, typed: str) -> Response:
        """The answer to a typed PIN: on to the setup, or the page again."""
        given = pin.cleaned(typed)
        if self._gate.wait():
            return self.page(pages, texts)
        if given is None:
            return self.page(pages, texts, "pin.malformed", status=400)
        if not self._gate.admits(given):
            log.warning("a wrong PIN was typed, %d so far", self._gate.tries.wrong)
            one = self._gate.tries.left == 1
            return self.page(pages, texts, "pin.wrong_one" if one else "pin.wrong_many", status=403)
        response = RedirectResponse("/setup", status_code=303)
        response.set_cookie(
            COOKIE, self._sessions.open(), secure=True, httponly=True, samesite="strict"
        )
        return response

    def page(self, pages: Pages, texts: Texts, fault: str = "", *, status: int = 200) -> Response:
        """The PIN form. While there is a wait it says so, whatever else is wrong."""
        wait = self._gate.wait()
        if not wait:
            message = texts(fault, tries=self._gate.tries.left) if fault else ""
            return pages.page("pin", texts, status=status, message=message, locked=False)
        message = texts("pin.locked", time=texts.duration(wait))
        headers = {"Retry-After": str(wait)}
        return pages.page("pin", texts, status=429, headers=headers, message=message, locked=True)
