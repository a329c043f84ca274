"""The setup wizard's routes: PIN, then one form, then the summary.

``/`` asks for the PIN and opens a session; ``/setup`` takes the form and makes the owner through
the gateway's socket; its answer is the summary, after which :attr:`Wizard.done` ends the wizard.
Without a session every path leads to ``/``. Posts must come from this page (Origin), carry at most
16 KiB, and arrive in time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from goni_core import web
from goni_core.errors import Forbidden, GoniError
from goni_core.http import Service
from goni_firstboot import form, pin
from goni_firstboot.pages import Guarded, Pages
from goni_firstboot.protection import Protection
from goni_firstboot.sessions import Sessions

log = logging.getLogger(__name__)

COOKIE = "__Host-goni-setup"
"""The prefix makes browsers insist on Secure, on this very host, and on every path."""
FORM_LIMIT = 16 << 10
"""Bytes of a posted form."""
FORM_S = 10.0
"""Seconds that a form may take to arrive."""
MOMENT_S = 0.3
"""Seconds in which the wizard lets go of its socket once it is done."""
LINGER_S = 1.0
"""Seconds after which the wizard ends even when nobody takes the summary."""


class Wizard:
    """One run of the setup. ``done`` is set when the node is set up and the summary delivered.

    ``look`` says what protects the node; ``keep`` is given the node's new name.
    """

    def __init__(
        self,
        gate: pin.Gate,
        sessions: Sessions,
        gateway: Service,
        pages: Pages,
        look: Callable[[], tuple[Protection, ...]],
        keep: Callable[[str], None],
    ) -> None:
        self.done = asyncio.Event()
        self.node_name: str | None = None
        self._gate = gate
        self._sessions = sessions
        self._gateway = gateway
        self._pages = pages
        self._look = look
        self._keep = keep
        self._turn = asyncio.Lock()

    def application(self) -> ASGIApp:
        """The wizard as an ASGI application."""
        routes = [
            Route("/", self.show_pin, methods=["GET"]),
            Route("/", self.take_pin, methods=["POST"]),
            Route("/setup", self.show_form, methods=["GET"]),
            Route("/setup", self.take_form, methods=["POST"]),
            Route(
                "/{path:path}", self.elsewhere, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]
            ),
        ]
        handlers = {
            GoniError: self.on_error,
            HTTPException: self.on_error,
            TimeoutError: self.on_error,
            ClientDisconnect: self.on_error,
            Exception: self.on_error,
        }
        return Guarded(Starlette(routes=routes, exception_handlers=handlers))

    async def show_pin(self, request: Request) -> Response:
        if self._known(request):
            return RedirectResponse("/setup", status_code=303)
        if self.node_name is not None:
            return await self._passed_on(request)
        return self._pin_page()

    async def take_pin(self, request: Request) -> Response:
        typed = pin.cleaned((await read_form(request)).get("pin", ""))
        if self._gate.wait():
            return self._pin_page()
        if typed is None:
            return self._pin_page("pin.malformed", status=400)
        if not self._gate.admits(typed):
            log.warning("a wrong PIN was typed, %d so far", self._gate.tries.wrong)
            return self._pin_page(self._wrong(), status=403)
        response = RedirectResponse("/setup", status_code=303)
        response.set_cookie(
            COOKIE, self._sessions.open(), secure=True, httponly=True, samesite="strict"
        )
        return response

    async def show_form(self, request: Request) -> Response:
        if not self._known(request):
            return RedirectResponse("/", status_code=303)
        if self.node_name is not None:
            return self._summary(request)
        return self._form_page(form.Answers(node_name="goni"))

    async def take_form(self, request: Request) -> Response:
        if not self._known(request):
            return RedirectResponse("/", status_code=303)
        answers = form.answers(await read_form(request))
        # One at a time: a double click gets the summary twice, not a refusal.
        async with self._turn:
            if self.node_name is not None:
                return self._summary(request)
            if answers.faults:
                return self._form_page(answers, status=400)
            return await self._set_up(request, answers)

    async def elsewhere(self, request: Request) -> Response:
        if self.node_name is not None:
            return await self._passed_on(request)
        if not self._known(request):
            return RedirectResponse("/", status_code=303)
        return self._error_page(404)

    async def on_error(self, request: Request, error: Exception) -> Response:
        if isinstance(error, GoniError):
            return self._error_page(error.status)
        if isinstance(error, HTTPException):
            return self._error_page(error.status_code)
        if isinstance(error, (TimeoutError, ClientDisconnect)):
            return self._error_page(408)
        # A bug: Starlette raises it again after this, so that the journal gets the traceback.
        return self._error_page(500)

    async def _set_up(self, request: Request, answers: form.Answers) -> Response:
        owner = {"name": answers.owner_name, "password": answers.password}
        try:
            await self._gateway.call(
                "POST", "/setup", json={"owner": owner, "node_name": answers.node_name}
            )
        except GoniError as error:
            return self._refused(answers, error)
        log.info("the node is set up")
        self.node_name = answers.node_name
        asyncio.get_running_loop().call_later(LINGER_S, self.done.set)
        await asyncio.to_thread(self._keep, answers.node_name)
        return self._summary(request)

    async def _passed_on(self, request: Request) -> Response:
        """The same address again, on a new connection: in the moment before the wizard lets go of
        the socket it may still be given one that was meant for the gateway.
        """
        await asyncio.sleep(MOMENT_S)
        headers = {"Connection": "close"}
        return RedirectResponse(request.url.path, status_code=307, headers=headers)

    def _refused(self, answers: form.Answers, error: GoniError) -> Response:
        log.warning("the gateway did not set the node up: %s", error.code)
        if error.status == 409:
            asyncio.get_running_loop().call_later(LINGER_S, self.done.set)
            return self._error_page(409)
        if error.status < 500:
            return self._form_page(answers, status=400, refusal=str(error))
        refusal = self._pages.texts("form.unavailable")
        return self._form_page(answers, status=503, refusal=refusal)

    def _summary(self, request: Request) -> Response:
        response = self._pages.page(
            "summary",
            host=request.url.netloc,
            node_name=self.node_name,
            protections=self._look(),
        )
        response.background = BackgroundTask(self._delivered)
        return response

    async def _delivered(self) -> None:
        self.done.set()

    def _pin_page(self, fault: str = "", *, status: int = 200) -> Response:
        """The PIN form. While there is a wait it says so, whatever else is wrong."""
        wait = self._gate.wait()
        if not wait:
            left = self._gate.tries.left
            message = self._pages.texts(fault, tries=left) if fault else ""
            return self._pages.page("pin", status=status, message=message, locked=False)
        message = self._pages.texts("pin.locked", time=self._pages.texts.duration(wait))
        headers = {"Retry-After": str(wait)}
        return self._pages.page("pin", status=429, headers=headers, message=message, locked=True)

    def _wrong(self) -> str:
        return "pin.wrong_one" if self._gate.tries.left == 1 else "pin.wrong_many"

    def _form_page(
        self, answers: form.Answers, *, status: int = 200, refusal: str = ""
    ) -> Response:
        return self._pages.page(
            "form",
            status=status,
            answers=answers,
            refusal=refusal,
            least=form.PASSWORD_LEAST,
            most={"owner_name": form.OWNER_LONGEST, "password": form.PASSWORD_LONGEST},
        )

    def _error_page(self, status: int) -> Response:
        key = f"error.e{status}"
        known = key in self._pages.texts.keys()  # noqa: SIM118 - Texts is no mapping
        return self._pages.page(
            "error", status=status, message=self._pages.texts(key if known else "error.e400")
        )

    def _known(self, request: Request) -> bool:
        return self._sessions.holds(request.cookies.get(COOKIE))


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form that this page posted; an error for any other origin or size."""
    if not same_origin(request):
        raise Forbidden("the form was posted by another page")
    async with asyncio.timeout(FORM_S):
        return form.decode(await web.read_body(request, limit=FORM_LIMIT))


def same_origin(request: Request) -> bool:
    """Whether a browser says that the request comes from this very page. Programs, which send
    neither header, can't be tricked into posting and are let through.
    """
    origin = request.headers.get("origin")
    if origin is not None:
        return origin == f"https://{request.headers.get('host', '')}"
    return request.headers.get("sec-fetch-site", "same-origin") == "same-origin"
