"""The wizard's pages as a browser walks through them, with the gateway's contract played by a
small real service on a Unix socket.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goni_core import fields, web
from goni_core.errors import BadInput, Conflict, GoniError, Unavailable
from goni_core.http import Service
from goni_core.serve import Listener, bind_unix, serve
from goni_firstboot import pin, texts, wizard
from goni_firstboot.pages import STYLE, STYLE_HASH, Pages
from goni_firstboot.protection import Protection
from goni_firstboot.sessions import Sessions

PIN = "123456"
ORIGIN = {"Origin": "https://goni.local"}
FORM = {
    "node_name": "kitchen",
    "owner_name": "Ada <b>",
    "password": "correct horse",
    "password_again": "correct horse",
}


@dataclass
class Contract:
    """The gateway's side of the setup: what it was sent, and what it answers."""

    socket: Path
    received: list[fields.Object] = field(default_factory=list)
    named: list[str] = field(default_factory=list)
    error: GoniError | None = None
    delay: float = 0.0

    async def take(self, request: Request) -> Response:
        body = await web.read_json(request)
        await asyncio.sleep(self.delay)
        if self.error is not None:
            raise self.error
        if self.received:
            raise Conflict("this node is set up already")
        self.received.append(body)
        return JSONResponse({}, status_code=201)

    async def run(self, stop: asyncio.Event, ready: threading.Event) -> None:
        app = web.application([Route("/setup", self.take, methods=["POST"])])
        listening = bind_unix(self.socket)
        ready.set()
        await serve_quietly(app, listening, stop)


async def serve_quietly(app: Any, listening: Any, stop: asyncio.Event) -> None:
    # Signals belong to the test's own thread.
    asyncio.get_running_loop().add_signal_handler = lambda *_: None  # type: ignore[method-assign]
    await serve([Listener(app, listening)], stop=stop)


@pytest.fixture
def contract(tmp_path: Path) -> Iterator[Contract]:
    played = Contract(tmp_path / "gateway.sock")
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(played.run(stop, ready)))
    thread.start()
    assert ready.wait(10)
    yield played
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Visit:
    """A browser at a wizard."""

    browser: httpx.AsyncClient
    wizard: wizard.Wizard
    clock: Clock

    async def type_pin(self, typed: str) -> httpx.Response:
        return await self.browser.post("/", data={"pin": typed}, headers=ORIGIN)

    async def submit(self, **changed: str) -> httpx.Response:
        return await self.browser.post("/setup", data={**FORM, **changed}, headers=ORIGIN)


Walk = Callable[[Visit], Coroutine[Any, Any, None]]


def walk(contract: Contract, steps: Walk) -> None:
    """Run ``steps`` with a fresh wizard."""

    async def visit() -> None:
        async for one in visiting(contract):
            await steps(one)

    asyncio.run(visit())


async def visiting(contract: Contract) -> AsyncIterator[Visit]:
    clock = Clock()
    gateway = Service("the gateway", contract.socket)
    found = (Protection("secure_boot", "enabled"), Protection("tpm", "none"))
    made = wizard.Wizard(
        pin.Gate(PIN, clock),
        Sessions(clock),
        gateway,
        Pages(texts.load()),
        lambda: found,
        contract.named.append,
    )
    transport = httpx.ASGITransport(made.application(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="https://goni.local") as browser:
        yield Visit(browser, made, clock)
    await gateway.close()


def test_right_pin_form_and_summary(contract: Contract) -> None:
    async def steps(visit: Visit) -> None:
        first = await visit.browser.get("/")
        assert first.status_code == 200
        assert 'name="pin"' in first.text
        admitted = await visit.type_pin("123 456")
        assert (admitted.status_code, admitted.headers["location"]) == (303, "/setup")
        asked = await visit.browser.get("/setup")
        assert 'value="goni"' in asked.text
        done = await visit.submit()
        assert done.status_code == 200
        assert "kitchen is yours" in done.text
        assert "https://goni.local/" in done.text
        assert "Only signed software starts" in done.text
        assert visit.wizard.done.is_set()
        assert visit.wizard.node_name == "kitchen"

    walk(contract, steps)
    assert contract.named == ["kitchen"]
    assert contract.received == [
        {"owner": {"name": "Ada <b>", "password": "correct horse"}, "node_name": "kitchen"}
    ]


def test_session_cookie_is_only_for_this_page(contract: Contract) -> None:
    async def steps(visit: Visit) -> None:
        cookie = (await visit.type_pin(PIN)).headers["set-cookie"]
        assert cookie.startswith("__Host-goni-setup=")
        for attribute in ("Secure", "HttpOnly", "SameSite=strict", "Path=/"):
            assert attribute in cookie
        assert "Domain" not in cookie

    walk(contract, steps)


def test_nothing_but_the_pin_form_is_there_before_the_pin(contract: Contract) -> None:
    async def steps(visit: Visit) -> None:
        for path in ("/setup", "/static/page.css", "/health", "/v1/models", "/..%2f"):
            for method in ("GET", "POST", "PUT", "DELETE"):
                response = await visit.browser.request(method, path, headers=ORIGIN)
                assert response.status_code == 303
                assert response.headers["location"] == "/"
                assert response.text == ""

    walk(contract, steps)
    assert contract.received == []


def test_form_without_a_session_makes_no_owner(contract: Contract) -> None:
    async def steps(visit: Visit) -> None:
        visit.browser.cookies.set("__Host-goni-setup", "guessed", domain="goni.local")
        response = await visit.submit()
        assert (response.status_code, response.headers["location"]) == (303, "/")
        assert not visit.wizard.done.is_set()

    walk(contract, steps)
    assert contract.received == []


def test_wrong_pin_is_refused_and_counted_aloud(contract: Contract) -> None:
    async def steps(visit: Visit) -> None:
        wrong = await visit.type_pin("654321")
        assert wrong.status_code == 403
        assert "4 tries are left" in wrong.text
        assert "set-cookie" not in wrong.headers
        for _ in range(3):
            wrong = await visit.type_pin("654321")
        assert "One try is left" in wrong.text
        assert PIN not in wrong.text

    walk(contract, steps)


def test_fifth_wrong_pin_locks_everybody_out_for_a_while(contract: Contract) -> None:
    async def steps(visit: Visit) -> None:
        for _ in range(5):
            last = await visit.type_pin("654321")
        assert last.status_code == 429
        assert last.headers["retry-after"] == "30"
        assert "Wait 30 seconds" in last.text
        visit.clock.now += 10
        right = await visit.type_pin(PIN)
        assert right.status_code == 429
        assert right.headers["retry-after"] == "20"
        assert "set-cookie" not in right.headers
        assert (await visit.browser.get("/")).status_code == 429
        visit.clock.now += 20
        assert (await visit.browser.get("/")).status_code == 200
        assert (await visit.type_pin(PIN)).status_code == 303

    walk(contract, steps)


def test_what_is_no_pin_costs_no_try(contract: Contract) -> None:
    async def steps(visit: Visit) -> None:
        for typed in ("", "12345", "abcdef", "1" * 5000):
            response = await visit.type_pin(typed)
            assert response.status_code == 400
            assert "six digits" in response.text
        assert (await visit.type_pin(PIN)).status_code == 303

    walk(contract, steps)


def test_faults_stand_beside_their_fields_and_values_are_kept(contract: Contract) -> None:
    async def steps(visit: Visit) -> None:
        await visit.type_pin(PIN)
        response = await visit.submit(node_name="my kitchen!", password_again="correct hors")
        assert response.status_code == 400
        assert 'value="my kitchen!"' in response.text
        assert 'value="Ada &lt;b&gt;"' in response.text
        assert 'id="node_name-fault"' in response.text
        assert 'id="password_again-fault"' in response.text
        assert 'id="owner_name-fault"' not in response.text
        assert "correct hors" not in response.text
        assert not visit.wizard.done.is_set()
        # Each fault is announced with its field.
        field_tag = re.search(r'<input id="node_name"[^>]*>', response.text)
        assert field_tag is not None
        assert 'aria-invalid="true"' in field_tag[0]
        assert "node_name-fault" in field_tag[0]

    walk(contract, steps)
    assert contract.received == []


def test_gateway_that_is_not_ready_changes_nothing(contract: Contract) -> None:
    contract.error = Unavailable("starting")

    async def steps(visit: Visit) -> None:
        await visit.type_pin(PIN)
        response = await visit.submit()
        assert response.status_code == 503
        assert "not ready yet" in response.text
        assert 'value="kitchen"' in response.text
        contract.error = None
        assert (await visit.submit()).status_code == 200

    walk(contract, steps)


def test_gateways_own_refusal_is_shown(contract: Contract) -> None:
    contract.error = BadInput("that name is <taken>", hint="choose another")

    async def steps(visit: Visit) -> None:
        await visit.type_pin(PIN)
        response = await visit.submit()
        assert response.status_code == 400
        assert "that name is &lt;taken&gt; (choose another)" in response.text

    walk(contract, steps)


def test_node_that_was_set_up_elsewhere_ends_the_wizard(
    contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wizard, "LINGER_S", 0.05)
    contract.error = Conflict("done before")

    async def steps(visit: Visit) -> None:
        await visit.type_pin(PIN)
        response = await visit.submit()
        assert response.status_code == 409
        assert "already been set up" in response.text
        await asyncio.wait_for(visit.wizard.done.wait(), 2)

    walk(contract, steps)


def test_double_click_makes_one_owner_and_both_get_the_summary(contract: Contract) -> None:
    contract.delay = 0.2

    async def steps(visit: Visit) -> None:
        await visit.type_pin(PIN)
        first, second = await asyncio.gather(visit.submit(), visit.submit())
        assert "kitchen is yours" in first.text
        assert "kitchen is yours" in second.text

    walk(contract, steps)
    assert len(contract.received) == 1


def test_browser_that_leaves_before_the_summary_does_not_keep_the_wizard(
    contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wizard, "LINGER_S", 0.2)
    contract.delay = 0.1

    async def steps(visit: Visit) -> None:
        await visit.type_pin(PIN)
        visit.wizard._summary = broken  # type: ignore[method-assign]
        await visit.submit()
        await asyncio.wait_for(visit.wizard.done.wait(), 2)
        assert visit.wizard.node_name == "kitchen"

    walk(contract, steps)


def broken(request: Request) -> Response:
    raise ConnectionResetError("the browser is gone")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://goni.local"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_form_posted_by_another_page_is_refused(
    contract: Contract, headers: dict[str, str]
) -> None:
    async def steps(visit: Visit) -> None:
        response = await visit.browser.post("/", data={"pin": PIN}, headers=headers)
        assert response.status_code == 403
        assert "set-cookie" not in response.headers
        await visit.type_pin(PIN)
        response = await visit.browser.post("/setup", data=FORM, headers=headers)
        assert response.status_code == 403

    walk(contract, steps)
    assert contract.received == []


def test_program_without_a_browsers_headers_may_set_up(contract: Contract) -> None:
    async def steps(visit: Visit) -> None:
        assert (await visit.browser.post("/", data={"pin": PIN})).status_code == 303
        assert (await visit.browser.post("/setup", data=FORM)).status_code == 200

    walk(contract, steps)


def test_oversized_and_unreadable_forms_are_refused(contract: Contract) -> None:
    async def steps(visit: Visit) -> None:
        large = await visit.browser.post("/", content=b"pin=" + b"1" * (16 << 10))
        assert large.status_code == 413
        odd = await visit.browser.post("/", content=b"\xff\xfe")
        assert odd.status_code == 400
        assert "could not be read" in odd.text

    walk(contract, steps)


def test_form_that_never_ends_is_given_up(
    contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wizard, "FORM_S", 0.1)

    async def dripping() -> AsyncIterator[bytes]:
        yield b"pin="
        await asyncio.sleep(5)
        yield b"1"

    async def steps(visit: Visit) -> None:
        async with asyncio.timeout(3):
            response = await visit.browser.post("/", content=dripping())
        assert response.status_code == 408

    walk(contract, steps)


def test_every_answer_carries_the_security_headers(contract: Contract) -> None:
    async def steps(visit: Visit) -> None:
        for response in (
            await visit.browser.get("/"),
            await visit.browser.get("/setup"),
            await visit.browser.options("/"),
            await visit.type_pin("000000"),
            await visit.browser.post("/", content=b"\xff"),
        ):
            policy = response.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy
            assert response.headers["cache-control"] == "no-store"
            assert response.headers["x-content-type-options"] == "nosniff"
            assert response.headers["referrer-policy"] == "same-origin"

    walk(contract, steps)


def test_pages_need_nothing_from_anywhere_and_no_script(contract: Contract) -> None:
    async def steps(visit: Visit) -> None:
        pages = [(await visit.browser.get("/")).text, (await visit.type_pin("1")).text]
        await visit.type_pin(PIN)
        pages += [(await visit.browser.get("/setup")).text, (await visit.submit()).text]
        for page in pages:
            assert "<script" not in page
            assert " style=" not in page
            assert f"<style>{STYLE}</style>" in page
            assert not re.search(r"""(src|href|action)=["']?(https?:|//)""", page)

    assert STYLE_HASH
    assert "url(" not in STYLE
    assert "@import" not in STYLE
    walk(contract, steps)


def test_bug_shows_a_page_without_details(contract: Contract) -> None:
    async def steps(visit: Visit) -> None:
        visit.wizard._form_page = broken_form  # type: ignore[method-assign]
        await visit.type_pin(PIN)
        response = await visit.browser.get("/setup")
        assert response.status_code == 500
        assert "went wrong inside" in response.text
        assert "secret detail" not in response.text
        assert "default-src 'none'" in response.headers["content-security-policy"]

    walk(contract, steps)


def broken_form(*_: object, **__: object) -> Response:
    raise RuntimeError("secret detail")


def test_pin_and_password_reach_no_log(
    contract: Contract, caplog: pytest.LogCaptureFixture
) -> None:
    async def steps(visit: Visit) -> None:
        await visit.type_pin("654321")
        await visit.type_pin(PIN)
        await visit.submit(password_again="differs")
        await visit.submit()

    with caplog.at_level("DEBUG"):
        walk(contract, steps)
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("goni")]
    assert ours
    for secret in ("654321", PIN, "correct horse", "Ada"):
        assert not any(secret in line for line in ours)


def test_request_meant_for_the_gateway_is_passed_on(
    contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wizard, "MOMENT_S", 0.0)

    async def steps(visit: Visit) -> None:
        await visit.type_pin(PIN)
        await visit.submit()
        for path in ("/", "/v1/models"):
            visit.browser.cookies.clear()
            response = await visit.browser.get(path)
            assert (response.status_code, response.headers["location"]) == (307, path)
            assert response.headers["connection"] == "close"

    walk(contract, steps)
