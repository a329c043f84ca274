"""The wizard's pages as a browser walks through them, with the gateway's contract played by a
small real service on a Unix socket.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
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
from goni_firstboot import form, pin, steps, texts, wizard
from goni_firstboot.answers import Store
from goni_firstboot.door import Door
from goni_firstboot.pages import SCRIPT, STYLE
from goni_firstboot.protection import Protection
from goni_firstboot.sessions import Sessions
from goni_firstboot.step import Services
from goni_firstboot.steps.summary import Summary
from goni_firstboot.wizard import Wizard
from tests import setup_walk

PIN = "123456"
ORIGIN = {"Origin": "https://goni.local"}
OWNER = {
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

    async def name_owner(self, request: Request) -> Response:
        return await self._kept(request, JSONResponse({}))

    async def take(self, request: Request) -> Response:
        return await self._kept(request, JSONResponse({}, status_code=201))

    async def _kept(self, request: Request, answer: Response) -> Response:
        body = await web.read_json(request)
        await asyncio.sleep(self.delay)
        if self.error is not None:
            raise self.error
        self.received.append(body)
        return answer

    async def run(self, stop: asyncio.Event, ready: threading.Event) -> None:
        owner = Route("/setup/owner", self.name_owner, methods=["PUT"])
        app = web.application([Route("/setup", self.take, methods=["POST"]), owner])
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
    wizard: Wizard
    clock: Clock

    async def type_pin(self, typed: str) -> httpx.Response:
        return await self.post("/", {"pin": typed})

    async def answer(self, step: str, **typed: str) -> httpx.Response:
        return await self.post(f"/setup/{step}", typed)

    async def post(self, path: str, form: Mapping[str, str]) -> httpx.Response:
        return await self.browser.post(path, data=dict(form), headers=ORIGIN)

    async def answer_all(self, **owner: str) -> None:
        """The PIN and every step but the last."""
        await self.type_pin(PIN)
        for step, typed in setup_walk.STEPS:
            await self.post(f"/setup/{step}", OWNER | owner if step == "owner" else typed)


Walk = Callable[[Visit], Coroutine[Any, Any, None]]


def walk(contract: Contract, visits: Walk) -> None:
    """Run ``visits`` with a wizard that is started anew, over what an earlier one left."""

    async def visit() -> None:
        async with visiting(contract) as one:
            await visits(one)

    asyncio.run(visit())


@asynccontextmanager
async def visiting(contract: Contract) -> AsyncIterator[Visit]:
    clock, folder = Clock(), contract.socket.parent
    names = ("gateway", "engine", "mesh", "install")
    services = Services(*(Service(name, folder / f"{name}.sock") for name in names))
    found = (Protection("secure_boot", "enabled"), Protection("tpm", "none"))
    row = [step for step in steps.row(services) if step.name != "summary"]
    made = Wizard(
        Door(pin.Gate(PIN, clock), Sessions(clock)),
        services,
        [*row, Summary(lambda: found)],
        Store(folder / "state"),
        contract.named.append,
    )
    transport = httpx.ASGITransport(made.application(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="https://goni.local") as browser:
        try:
            yield Visit(browser, made, clock)
        finally:
            await services.close()


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    # No bus: whether this machine has a radio is none of these tests' business.
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/no-bus")


def test_pin_then_a_page_for_each_step_then_the_node_is_set_up(contract: Contract) -> None:
    async def visits(visit: Visit) -> None:
        first = await visit.browser.get("/")
        assert first.status_code == 200
        assert 'name="pin"' in first.text
        admitted = await visit.type_pin("123 456")
        assert (admitted.status_code, admitted.headers["location"]) == (303, "/setup")
        for number, (step, typed) in enumerate(setup_walk.STEPS, 1):
            ahead = await visit.browser.get("/setup")
            assert ahead.headers["location"] == f"/setup/{step}"
            page = await visit.browser.get(f"/setup/{step}")
            assert page.status_code == 200, page.text
            assert f"Step {number} of {len(setup_walk.STEPS) + 1}" in page.text
            taken = await visit.post(f"/setup/{step}", OWNER if step == "owner" else typed)
            assert taken.status_code == 303, taken.text
        summary = await visit.browser.get("/setup/summary")
        assert "Only signed software starts" in summary.text
        assert "Ada &lt;b&gt;" in summary.text
        assert not visit.wizard.done.is_set()
        done = await visit.answer("summary")
        assert done.status_code == 200
        assert "kitchen is yours" in done.text
        assert "https://goni.local/" in done.text
        assert visit.wizard.done.is_set()
        assert visit.wizard.node_name == "kitchen"

    walk(contract, visits)
    assert contract.named == ["kitchen"]
    assert contract.received == [
        {"name": "Ada <b>", "password": "correct horse"},
        {"node_name": "kitchen"},
    ]
    assert (contract.socket.parent / "state/time-zone").read_text() == "Europe/Berlin\n"


def test_answers_outlive_the_wizard_and_passwords_do_not(contract: Contract) -> None:
    async def first(visit: Visit) -> None:
        await visit.type_pin(PIN)
        await visit.answer("language", language="de", time_zone="Europe/Vienna")
        await visit.answer("name", node_name="attic")
        await visit.answer("network", action="skip")
        await visit.answer("household", action="skip")
        await visit.answer("owner", **OWNER)

    async def second(visit: Visit) -> None:
        assert (await visit.browser.get("/setup/model")).headers["location"] == "/"
        await visit.type_pin(PIN)
        assert (await visit.browser.get("/setup")).headers["location"] == "/setup/model"
        assert 'value="attic"' in (await visit.browser.get("/setup/name")).text
        zones = (await visit.browser.get("/setup/language")).text
        assert 'value="Europe/Vienna" selected' in zones
        assert "Sprache und Zeit" in zones
        # Passing through again needs no password, and does not name the owner anew.
        owner = await visit.browser.get("/setup/owner")
        assert 'value="Ada &lt;b&gt;"' in owner.text
        assert (await visit.answer("owner", owner_name="Ada <b>")).status_code == 303

    walk(contract, first)
    walk(contract, second)
    assert len(contract.received) == 1
    kept = b"".join(one.read_bytes() for one in (contract.socket.parent / "state").iterdir())
    assert b"attic" in kept
    assert b"correct horse" not in kept


@pytest.mark.parametrize(
    "left",
    [b"", b"{", b"[]", b'{"answered": 1}', b'{"node_name": "' + b"x" * 999 + b'"}', b'{"x":1}'],
)
def test_damaged_answers_are_asked_again(contract: Contract, left: bytes) -> None:
    (contract.socket.parent / "state").mkdir()
    (contract.socket.parent / "state/answers.json").write_bytes(left)

    async def visits(visit: Visit) -> None:
        await visit.type_pin(PIN)
        assert (await visit.browser.get("/setup")).headers["location"] == "/setup/language"

    walk(contract, visits)


def test_steps_ahead_are_shut_and_earlier_ones_open(contract: Contract) -> None:
    async def visits(visit: Visit) -> None:
        await visit.type_pin(PIN)
        for ahead in ("summary", "owner", "nowhere", "..%2flanguage"):
            for answer in (await visit.browser.get(f"/setup/{ahead}"), await visit.answer(ahead)):
                assert answer.status_code in (303, 404)
                assert answer.headers.get("location", "/setup") == "/setup"
        await visit.answer("language", language="en", time_zone="UTC")
        page = await visit.browser.get("/setup/name")
        assert 'href="/setup/language"' in page.text
        await visit.answer("name", node_name="kitchen")
        again = await visit.answer("name", node_name="attic")
        assert again.headers["location"] == "/setup/network"
        assert visit.wizard.store.answers.node_name == "attic"

    walk(contract, visits)


def test_only_what_may_be_skipped_is(contract: Contract) -> None:
    async def visits(visit: Visit) -> None:
        await visit.type_pin(PIN)
        assert (await visit.answer("language", action="skip")).status_code == 400
        await visit.answer("language", language="en", time_zone="UTC")
        assert (await visit.answer("name", action="skip")).status_code == 400
        await visit.answer("name", node_name="kitchen")
        assert (await visit.answer("network", action="skip")).status_code == 303
        assert (await visit.answer("household", action="skip")).status_code == 303
        assert (await visit.answer("owner", action="skip")).status_code == 400

    walk(contract, visits)


def test_language_is_the_browsers_until_one_is_chosen(contract: Contract) -> None:
    async def visits(visit: Visit) -> None:
        german = {"Accept-Language": "fr;q=0.9, de-AT, en;q=0.3"}
        assert 'lang="de"' in (await visit.browser.get("/", headers=german)).text
        assert 'lang="en"' in (await visit.browser.get("/")).text
        await visit.type_pin(PIN)
        page = (await visit.browser.get("/setup/language", headers=german)).text
        assert 'value="Europe/Vienna" selected' in page
        await visit.answer("language", language="de", time_zone="UTC")
        assert 'lang="de"' in (await visit.browser.get("/setup/name")).text
        # What was chosen is nobody's business before the PIN.
        visit.browser.cookies.clear()
        assert 'lang="en"' in (await visit.browser.get("/")).text

    walk(contract, visits)


def test_every_page_is_whole_in_every_language(contract: Contract) -> None:
    async def visits(visit: Visit) -> None:
        await visit.answer_all()
        for language in texts.languages():
            await visit.answer("language", language=language, time_zone="UTC")
            for step, _ in (*setup_walk.STEPS, ("summary", {})):
                page = await visit.browser.get(f"/setup/{step}")
                assert page.status_code == 200, page.text
                assert f'lang="{language}"' in page.text

    walk(contract, visits)


def test_session_cookie_is_only_for_this_page(contract: Contract) -> None:
    async def visits(visit: Visit) -> None:
        cookie = (await visit.type_pin(PIN)).headers["set-cookie"]
        assert cookie.startswith("__Host-goni-setup=")
        for attribute in ("Secure", "HttpOnly", "SameSite=strict", "Path=/"):
            assert attribute in cookie
        assert "Domain" not in cookie

    walk(contract, visits)


def test_nothing_but_the_pin_form_is_there_before_the_pin(contract: Contract) -> None:
    async def visits(visit: Visit) -> None:
        for path in (
            "/setup",
            "/setup/owner",
            "/setup/model/progress",
            "/static/page.css",
            "/health",
            "/v1/models",
            "/..%2f",
        ):
            for method in ("GET", "POST", "PUT", "DELETE"):
                response = await visit.browser.request(method, path, headers=ORIGIN)
                assert response.status_code == 303
                assert response.headers["location"] == "/"
                assert response.text == ""

    walk(contract, visits)
    assert contract.received == []


def test_form_without_a_session_makes_no_owner(contract: Contract) -> None:
    async def visits(visit: Visit) -> None:
        visit.browser.cookies.set("__Host-goni-setup", "guessed", domain="goni.local")
        for step in ("owner", "summary", "model/upload"):
            response = await visit.answer(step, **OWNER)
            assert (response.status_code, response.headers["location"]) == (303, "/")
        assert not visit.wizard.done.is_set()

    walk(contract, visits)
    assert contract.received == []


def test_wrong_pin_is_refused_and_counted_aloud(contract: Contract) -> None:
    async def visits(visit: Visit) -> None:
        wrong = await visit.type_pin("654321")
        assert wrong.status_code == 403
        assert "4 tries are left" in wrong.text
        assert "set-cookie" not in wrong.headers
        for _ in range(3):
            wrong = await visit.type_pin("654321")
        assert "One try is left" in wrong.text
        assert PIN not in wrong.text

    walk(contract, visits)


def test_fifth_wrong_pin_locks_everybody_out_for_a_while(contract: Contract) -> None:
    async def visits(visit: Visit) -> None:
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

    walk(contract, visits)


def test_what_is_no_pin_costs_no_try(contract: Contract) -> None:
    async def visits(visit: Visit) -> None:
        for typed in ("", "12345", "abcdef", "1" * 5000):
            response = await visit.type_pin(typed)
            assert response.status_code == 400
            assert "six digits" in response.text
        assert (await visit.type_pin(PIN)).status_code == 303

    walk(contract, visits)


def test_faults_stand_beside_their_fields_and_values_are_kept(contract: Contract) -> None:
    async def visits(visit: Visit) -> None:
        await visit.answer_all()
        named = await visit.answer("name", node_name="my kitchen!")
        assert named.status_code == 400
        assert 'value="my kitchen!"' in named.text
        # Each fault is announced with its field.
        field_tag = re.search(r'<input id="node_name"[^>]*>', named.text)
        assert field_tag is not None
        assert 'aria-invalid="true"' in field_tag[0]
        assert "node_name-fault" in field_tag[0]
        response = await visit.answer("owner", **{**OWNER, "password_again": "correct hors"})
        assert response.status_code == 400
        assert 'value="Ada &lt;b&gt;"' in response.text
        assert 'id="password_again-fault"' in response.text
        assert 'id="owner_name-fault"' not in response.text
        assert "correct hors" not in response.text

    walk(contract, visits)
    assert len(contract.received) == 1


def test_gateway_that_is_not_ready_changes_nothing(contract: Contract) -> None:
    async def visits(visit: Visit) -> None:
        await visit.answer_all()
        contract.error = Unavailable("starting")
        response = await visit.answer("owner", **{**OWNER, "owner_name": "Grace"})
        assert response.status_code == 503
        assert "not ready yet" in response.text
        assert 'value="Grace"' in response.text
        assert visit.wizard.store.answers.owner_name == "Ada <b>"
        assert (await visit.answer("summary")).status_code == 503
        assert not visit.wizard.done.is_set()
        contract.error = None
        assert (await visit.answer("summary")).status_code == 200

    walk(contract, visits)


def test_gateways_own_refusal_is_shown(contract: Contract) -> None:
    contract.error = BadInput("that name is <taken>", hint="choose another")

    async def visits(visit: Visit) -> None:
        await visit.answer_all()
        response = await visit.answer("owner", **OWNER)
        assert response.status_code == 400
        assert "that name is &lt;taken&gt; (choose another)" in response.text

    walk(contract, visits)


def test_owner_that_the_gateway_lost_is_asked_for_again(contract: Contract) -> None:
    async def visits(visit: Visit) -> None:
        await visit.answer_all()
        contract.error = BadInput("nobody was named", code="no_owner")
        assert (await visit.answer("summary")).status_code == 303
        contract.error = None
        assert (await visit.browser.get("/setup")).headers["location"] == "/setup/owner"
        await visit.answer("owner", **OWNER)
        assert (await visit.answer("summary")).status_code == 200

    walk(contract, visits)


def test_node_that_was_set_up_elsewhere_ends_the_wizard(
    contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wizard, "LINGER_S", 0.05)

    async def visits(visit: Visit) -> None:
        await visit.answer_all()
        contract.error = Conflict("done before", code="already_set_up")
        response = await visit.answer("summary")
        assert response.status_code == 409
        assert "already been set up" in response.text
        await asyncio.wait_for(visit.wizard.done.wait(), 2)

    walk(contract, visits)


def test_double_click_makes_one_owner_and_both_get_the_summary(contract: Contract) -> None:
    contract.delay = 0.2

    async def visits(visit: Visit) -> None:
        await visit.answer_all()
        first, second = await asyncio.gather(visit.answer("summary"), visit.answer("summary"))
        assert "kitchen is yours" in first.text
        assert "kitchen is yours" in second.text

    walk(contract, visits)
    assert contract.received[1:] == [{"node_name": "kitchen"}]


def test_browser_that_leaves_before_the_summary_does_not_keep_the_wizard(
    contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wizard, "LINGER_S", 0.2)
    contract.delay = 0.1

    async def visits(visit: Visit) -> None:
        await visit.answer_all()
        visit.wizard._ready = broken  # type: ignore[method-assign]
        await visit.answer("summary")
        await asyncio.wait_for(visit.wizard.done.wait(), 2)
        assert visit.wizard.node_name == "kitchen"

    walk(contract, visits)


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
    async def visits(visit: Visit) -> None:
        response = await visit.browser.post("/", data={"pin": PIN}, headers=headers)
        assert response.status_code == 403
        assert "set-cookie" not in response.headers
        await visit.answer_all()
        for path in ("/setup/owner", "/setup/summary", "/setup/model/upload"):
            response = await visit.browser.post(path, data=OWNER, headers=headers)
            assert response.status_code == 403

    walk(contract, visits)
    assert len(contract.received) == 1


def test_program_without_a_browsers_headers_may_set_up(contract: Contract) -> None:
    async def visits(visit: Visit) -> None:
        assert (await visit.browser.post("/", data={"pin": PIN})).status_code == 303
        for step, typed in setup_walk.STEPS:
            assert (await visit.browser.post(f"/setup/{step}", data=typed)).status_code == 303
        assert (await visit.browser.post("/setup/summary")).status_code == 200

    walk(contract, visits)


def test_oversized_and_unreadable_forms_are_refused(contract: Contract) -> None:
    async def visits(visit: Visit) -> None:
        large = await visit.browser.post("/", content=b"pin=" + b"1" * (16 << 10))
        assert large.status_code == 413
        odd = await visit.browser.post("/", content=b"\xff\xfe")
        assert odd.status_code == 400
        assert "could not be read" in odd.text

    walk(contract, visits)


def test_form_that_never_ends_is_given_up(
    contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(form, "PATIENCE_S", 0.1)

    async def dripping() -> AsyncIterator[bytes]:
        yield b"pin="
        await asyncio.sleep(5)
        yield b"1"

    async def visits(visit: Visit) -> None:
        async with asyncio.timeout(3):
            response = await visit.browser.post("/", content=dripping())
        assert response.status_code == 408

    walk(contract, visits)


def test_every_answer_carries_the_security_headers(contract: Contract) -> None:
    async def visits(visit: Visit) -> None:
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

    walk(contract, visits)


def test_pages_need_nothing_from_anywhere(contract: Contract) -> None:
    async def visits(visit: Visit) -> None:
        pages = [(await visit.browser.get("/")).text, (await visit.type_pin("1")).text]
        await visit.answer_all()
        for step, _ in setup_walk.STEPS:
            pages.append((await visit.browser.get(f"/setup/{step}")).text)
        pages += [(await visit.browser.get("/setup/summary")).text]
        pages += [(await visit.answer("summary")).text]
        for page in pages:
            assert page.count("<script") == 1
            assert f"<script>{SCRIPT}</script>" in page
            assert " style=" not in page
            assert not re.search(r"<[^>]* on[a-z]+=", page)
            assert f"<style>{STYLE}</style>" in page
            assert not re.search(r"""(src|href|action)=["']?(https?:|//)""", page)

    assert "url(" not in STYLE
    assert "@import" not in STYLE
    walk(contract, visits)


def test_bug_shows_a_page_without_details(contract: Contract) -> None:
    async def visits(visit: Visit) -> None:
        visit.wizard._step_page = broken_form  # type: ignore[method-assign]
        await visit.type_pin(PIN)
        response = await visit.browser.get("/setup/language")
        assert response.status_code == 500
        assert "went wrong inside" in response.text
        assert "secret detail" not in response.text
        assert "default-src 'none'" in response.headers["content-security-policy"]

    walk(contract, visits)


def broken_form(*_: object, **__: object) -> Response:
    raise RuntimeError("secret detail")


def test_pin_and_password_reach_no_log(
    contract: Contract, caplog: pytest.LogCaptureFixture
) -> None:
    async def visits(visit: Visit) -> None:
        await visit.type_pin("654321")
        await visit.answer_all(password_again="differs")
        await visit.answer("owner", **OWNER)
        await visit.answer("summary")

    with caplog.at_level("DEBUG"):
        walk(contract, visits)
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("goni")]
    assert ours
    for secret in ("654321", PIN, "correct horse", "Ada"):
        assert not any(secret in line for line in ours)


def test_request_meant_for_the_gateway_is_passed_on(
    contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wizard, "MOMENT_S", 0.0)

    async def visits(visit: Visit) -> None:
        await visit.answer_all()
        await visit.answer("summary")
        for path in ("/", "/v1/models"):
            visit.browser.cookies.clear()
            response = await visit.browser.get(path)
            assert (response.status_code, response.headers["location"]) == (307, path)
            assert response.headers["connection"] == "close"

    walk(contract, visits)
