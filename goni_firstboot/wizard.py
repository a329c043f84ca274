"""The setup wizard's routes: the PIN, then one page per step, then the node belongs to its owner.

``/`` asks for the PIN and opens a session. ``/setup`` leads to the step that comes next, and
``/setup/<step>`` shows it and takes its answer, which is kept before the next one is shown. The
last step's answer sets the node up through the gateway's socket, after which :attr:`Wizard.done`
ends the wizard. Without a session every path leads to ``/``. Posts must come from this page.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Sequence

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from goni_core.errors import GoniError
from goni_firstboot import form, journey, membership, texts
from goni_firstboot.answers import Answers, Store
from goni_firstboot.door import Door
from goni_firstboot.membership import Standing
from goni_firstboot.pages import Guarded, Pages
from goni_firstboot.step import Again, Finished, Form, Memory, Services, Step, Visit
from goni_firstboot.texts import Texts

log = logging.getLogger(__name__)

MOMENT_S = 0.3
"""Seconds in which the wizard lets go of its socket once it is done."""
FOLLOW_S = 0.5
"""Seconds between two looks at whether this node was taken into a household."""
LINGER_S = 1.0
"""Seconds after which the wizard ends even when nobody takes the last page."""
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class Wizard:
    """One run of the setup. ``done`` is set when the node is set up and the last page delivered.

    ``keep`` is given the node's new name.
    """

    def __init__(
        self,
        door: Door,
        services: Services,
        steps: Sequence[Step],
        store: Store,
        keep: Callable[[str], None],
        memory: Memory | None = None,
    ) -> None:
        self.done = asyncio.Event()
        self.node_name: str | None = None
        self.words = ""
        self.store = store
        self.store.keep(self.store.answers.restarted())
        self._door = door
        self._services = services
        self._steps = {step.name: step for step in steps}
        self._names = tuple(self._steps)
        self._pages = Pages()
        self._memory = memory or Memory()
        self._keep = keep
        self._turn = asyncio.Lock()

    @property
    def step(self) -> str:
        """The step that comes next."""
        return journey.current(self._names, self.store.answers)

    @property
    def language(self) -> str:
        """The node's language."""
        return self.store.language

    def now(self) -> str:
        """What is happening, for the screen."""
        words = texts.load(self.language)
        if not self._door.used:
            return words("screen.locked" if self._door.locked else "screen.knocking")
        here = journey.place(self._names, self.step)
        title = words(f"{here.name}.title")
        return words("screen.step", number=here.number, total=here.total, title=title)

    def application(self) -> ASGIApp:
        """The wizard as an ASGI application."""
        routes = [
            Route("/", self.show_pin, methods=["GET"]),
            Route("/", self.take_pin, methods=["POST"]),
            Route("/setup", self.go_on, methods=["GET"]),
            Route("/setup/{step}", self.show_step, methods=["GET"]),
            Route("/setup/{step}", self.take_step, methods=["POST"]),
            Route("/setup/{step}/{extra}", self.extra, methods=["GET", "POST"]),
            Route("/{path:path}", self.elsewhere, methods=METHODS),
        ]
        kinds = (GoniError, HTTPException, TimeoutError, ClientDisconnect, Exception)
        handlers = dict.fromkeys(kinds, self.on_error)
        return Guarded(Starlette(routes=routes, exception_handlers=handlers))

    async def show_pin(self, request: Request) -> Response:
        if self._door.knows(request):
            return _to("/setup")
        if self.node_name is not None:
            return await self._passed_on(request)
        return self._door.page(self._pages, self._texts(request))

    async def take_pin(self, request: Request) -> Response:
        typed = (await form.read(request)).get("pin", "")
        return self._door.take(self._pages, self._texts(request), typed)

    async def go_on(self, request: Request) -> Response:
        return _to(f"/setup/{self.step}" if self._door.knows(request) else "/")

    async def show_step(self, request: Request) -> Response:
        if not self._door.knows(request):
            return _to("/")
        if self.node_name is not None:
            return self._ready(request)
        step = self._asked(request)
        if step is None:
            return _to("/setup")
        return await self._step_page(request, step)

    async def take_step(self, request: Request) -> Response:
        if not self._door.knows(request):
            return _to("/")
        given = await form.read(request)
        # One at a time: a double click sets the node up once, and both get the last page.
        async with self._turn:
            if self.node_name is not None:
                return self._ready(request)
            step = self._asked(request)
            if step is None:
                return _to("/setup")
            if step.skippable and given.get("action") == "skip":
                return await self._passed(step, self.store.answers.skipping(step.name))
            return await self._take(request, step, given)

    async def extra(self, request: Request) -> Response:
        """What a step offers beside its page. Not in turn: an upload takes its time."""
        if not self._door.knows(request):
            return _to("/")
        step = None if self.node_name is not None else self._asked(request)
        found = step.extras().get(request.path_params["extra"]) if step else None
        if step is None or found is None:
            return self._error_page(request, 404)
        if request.method != "GET":
            form.check_origin(request)
        try:
            return await found(self._visit(request), request)
        except GoniError as error:
            again = Again(status=error.status)
            return await self._step_page(request, step, again, self._refusal(request, error))

    async def elsewhere(self, request: Request) -> Response:
        if self.node_name is not None:
            return await self._passed_on(request)
        if not self._door.knows(request):
            return _to("/")
        return self._error_page(request, 404)

    async def on_error(self, request: Request, error: Exception) -> Response:
        if isinstance(error, GoniError):
            return self._error_page(request, error.status)
        if isinstance(error, HTTPException):
            return self._error_page(request, error.status_code)
        if isinstance(error, (TimeoutError, ClientDisconnect)):
            return self._error_page(request, 408)
        # A bug: Starlette raises it again after this, so that the journal gets the traceback.
        return self._error_page(request, 500)

    async def _take(self, request: Request, step: Step, given: Form) -> Response:
        try:
            outcome = await step.take(self._visit(request), given)
            if isinstance(outcome, Finished):
                return await self._set_up(request)
        except GoniError as error:
            return await self._refused(request, step, given, error)
        if isinstance(outcome, Again):
            return await self._step_page(request, step, outcome)
        return await self._passed(step, outcome.answering(step.name))

    async def _passed(self, step: Step, answers: Answers) -> Response:
        await asyncio.to_thread(self.store.keep, answers)
        log.info("the step %s is passed", step.name)
        return _to(f"/setup/{journey.after(self._names, step.name)}")

    async def _set_up(self, request: Request) -> Response:
        await self._finish(self.store.answers.node_name)
        return self._ready(request)

    async def _finish(self, name: str) -> None:
        await self._services.gateway.call("POST", "/setup", json={"node_name": name})
        log.info("the node is set up")
        with contextlib.suppress(GoniError):
            self.words = (await membership.standing(self._services.mesh)).words
        self.node_name = name
        asyncio.get_running_loop().call_later(LINGER_S, self.done.set)
        await asyncio.to_thread(self._keep, name)

    async def follow(self, pin: str) -> None:
        """Until the node is set up let an owner elsewhere take it in by ``pin``; a node that was
        taken in has its people and a name, and nothing more is asked here.
        """
        offered = False
        while not self.done.is_set():
            with contextlib.suppress(GoniError):
                if not offered:
                    await membership.offer(self._services.mesh, pin)
                    offered = True
            with contextlib.suppress(GoniError):
                now = await membership.standing(self._services.mesh)
                # It was started anew, and knows nothing of the offer.
                offered = offered and not now.idle
                await self._join(now)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.done.wait(), FOLLOW_S)

    async def _join(self, now: Standing) -> None:
        if not now.joined:
            return
        async with self._turn:
            if self.node_name is None:
                chosen = self.store.answers.node_name
                await self._finish(chosen or membership.label(now.name, socket.gethostname()))

    async def _passed_on(self, request: Request) -> Response:
        """The same address again, on a new connection: in the moment before the wizard lets go of
        the socket it may still be given one that was meant for the gateway.
        """
        await asyncio.sleep(MOMENT_S)
        headers = {"Connection": "close"}
        return RedirectResponse(request.url.path, status_code=307, headers=headers)

    async def _refused(
        self, request: Request, step: Step, given: Form, error: GoniError
    ) -> Response:
        log.warning("the step %s was refused: %s", step.name, error.code)
        if error.code == "already_set_up":
            asyncio.get_running_loop().call_later(LINGER_S, self.done.set)
            return self._error_page(request, 409)
        if error.code == "no_owner":
            # The gateway's data were lost after they had been given; they are asked for again.
            await asyncio.to_thread(self.store.keep, self.store.answers.reopening("owner"))
            return _to("/setup")
        status = 503 if error.status >= 500 else 400
        typed = {key: value for key, value in given.items() if "password" not in key}
        refusal = self._refusal(request, error)
        return await self._step_page(request, step, Again(typed=typed, status=status), refusal)

    def _refusal(self, request: Request, error: GoniError) -> str:
        """What another service said, in the page's language where it has the words."""
        words = self._texts(request)
        known = f"refusal.{error.code}"
        if known in words:
            return words(known)
        return words("refusal.unavailable") if error.status >= 500 else str(error)

    def _ready(self, request: Request) -> Response:
        """The last page."""
        response = self._pages.page(
            "ready",
            self._texts(request),
            host=request.url.netloc,
            node_name=self.node_name,
            words=self.words,
        )
        response.background = BackgroundTask(self._delivered)
        return response

    async def _delivered(self) -> None:
        self.done.set()

    async def _step_page(
        self, request: Request, step: Step, again: Again | None = None, refusal: str = ""
    ) -> Response:
        visit = self._visit(request)
        again = again or Again(status=200)
        return self._pages.page(
            f"steps/{step.name}",
            visit.texts,
            status=again.status,
            step=step,
            place=journey.place(self._names, step.name),
            answers=visit.answers,
            faults=again.faults,
            typed=again.typed,
            refusal=refusal,
            shown=await step.show(visit),
        )

    def _error_page(self, request: Request, status: int) -> Response:
        words = self._texts(request)
        known = f"error.e{status}"
        message = words(known if known in words else "error.e400")
        return self._pages.page("error", words, status=status, message=message)

    def _asked(self, request: Request) -> Step | None:
        """The step that the path names, when it may be looked at already."""
        name = request.path_params["step"]
        allowed = journey.reachable(self._names, self.store.answers, name)
        return self._steps[name] if allowed else None

    def _visit(self, request: Request) -> Visit:
        prefers = request.headers.get("accept-language", "")
        return Visit(self.store.answers, self._texts(request), self._memory, prefers)

    def _texts(self, request: Request) -> Texts:
        """In the language that was chosen; whoever isn't in yet is spoken to in their own."""
        if self.store.answers.language and self._door.knows(request):
            return texts.load(self.language)
        header = request.headers.get("accept-language", "")
        return texts.load(texts.preferred(header, texts.languages()))


def _to(path: str) -> Response:
    return RedirectResponse(path, status_code=303)
