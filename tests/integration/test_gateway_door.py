"""Setting up, signing in, keys, TLS and errors: a gateway in its own process, over real TLS."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.gateway_node import (
    OWNER,
    SERVICES,
    Node,
    StandIn,
    certificate,
    running,
    wait_for,
)

SETUP = {"owner": OWNER, "node_name": "kitchen"}


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    node.start()
    yield node
    node.stop()


@pytest.fixture(scope="module")
def node(served: tuple[Node, StandIn]) -> Node:
    return served[0]


# --- setting up ----------------------------------------------------------------------------


def test_nothing_is_accepted_on_the_web_until_set_up(fresh: Node) -> None:
    assert fresh.control("GET", "/setup").json() == {
        "complete": False,
        "node_name": "",
        "owner": "",
    }
    with fresh.client() as client, pytest.raises(httpx.TransportError):
        client.get("/", timeout=1)


def test_setting_up_opens_the_web_listener(fresh: Node) -> None:
    mark = fresh.state / "gateway" / "setup-complete"
    assert not mark.exists()
    said = fresh.control("POST", "/setup", json=SETUP)
    assert (said.status_code, said.json()) == (201, {"complete": True, "node_name": "kitchen"})
    assert mark.exists()
    with fresh.client() as client:
        assert client.get("/sign-in").status_code == 200


def test_a_connection_from_before_is_answered_once_set_up(fresh: Node) -> None:
    answers: list[int] = []
    waiting = threading.Thread(
        target=lambda: answers.append(fresh.client().get("/sign-in", timeout=20).status_code)
    )
    waiting.start()
    assert fresh.control("POST", "/setup", json=SETUP).status_code == 201
    waiting.join(20)
    assert answers == [200]


def test_setting_up_twice_is_refused(fresh: Node) -> None:
    assert fresh.control("POST", "/setup", json=SETUP).status_code == 201
    again = fresh.control("POST", "/setup", json={**SETUP, "node_name": "mine"})
    assert again.status_code == 409
    assert fresh.control("GET", "/setup").json()["node_name"] == "kitchen"


def test_two_set_ups_at_once_make_one_owner(fresh: Node) -> None:
    statuses: list[int] = []

    def set_up(name: str) -> None:
        body = {**SETUP, "owner": {**OWNER, "name": name}}
        statuses.append(fresh.control("POST", "/setup", json=body).status_code)

    threads = [threading.Thread(target=set_up, args=(name,)) for name in ("Ada", "Eve")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(statuses) == [201, 409]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"owner": None}, "owner"),
        ({"owner": {"name": "Ada"}}, "password"),
        ({"owner": {"name": "Ada", "password": "short"}}, "password"),
        ({"owner": {"name": "Ada", "password": "x" * 1025}}, "password"),
        ({"owner": {**OWNER, "role": "owner"}}, "role"),
        ({"node_name": ""}, "node_name"),
        ({"pin": "123456"}, "pin"),
    ],
)
def test_a_bad_set_up_changes_nothing(fresh: Node, change: dict[str, object], named: str) -> None:
    said = fresh.control("POST", "/setup", json={**SETUP, **change})
    assert said.status_code == 400
    assert named in said.json()["error"]["message"]
    assert fresh.control("GET", "/setup").json()["complete"] is False


def test_a_killed_node_is_still_set_up_and_signed_in(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.start()
    node.set_up()
    browser = node.signed_in()
    node.kill()
    (node.state / "gateway" / "setup-complete").unlink()
    node.start()
    assert (node.state / "gateway" / "setup-complete").exists()
    wait_for(lambda: browser.get("/api/me").status_code == 200)
    assert browser.get("/api/me").json()["name"] == "Ada"
    node.stop()


def test_a_reset_database_takes_the_mark_away(tmp_path: Path) -> None:
    node = Node(tmp_path)
    (node.state / "gateway").mkdir(parents=True)
    mark = node.state / "gateway" / "setup-complete"
    mark.touch()
    node.start()
    assert not mark.exists()
    node.stop()


def test_health_names_what_does_not_answer(fresh: Node) -> None:
    said = fresh.control("GET", "/health").json()
    assert said["service"] == "gateway"
    assert said["ok"] is False
    assert {check["name"]: check["ok"] for check in said["checks"]} == {
        "database": True,
        "engine": False,
        "rag": False,
    }


def test_health_is_fine_with_everything_there(node: Node) -> None:
    assert node.control("GET", "/health").json()["ok"] is True


# --- sockets and TLS -----------------------------------------------------------------------


def test_sockets_and_certificate_come_from_systemd(tmp_path: Path) -> None:
    """As systemd does it: descriptors from 3 on with names, and a folder of credentials. The
    wizard has the web socket too, and gives it up when setting up is done.
    """
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    certificate(credentials)
    control = socket.socket(socket.AF_UNIX)
    control.bind(str(tmp_path / "gateway.sock"))
    control.listen()
    https = socket.create_server(("127.0.0.1", 0))
    launcher = (
        "import fcntl, os, sys\n"
        f"control = fcntl.fcntl({control.fileno()}, fcntl.F_DUPFD, 50)\n"
        f"https = fcntl.fcntl({https.fileno()}, fcntl.F_DUPFD, 50)\n"
        "os.dup2(control, 3); os.dup2(https, 4)\n"
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='2',"
        " LISTEN_FDNAMES='gateway:https')\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'goni_gateway', 'serve'])\n"
    )
    ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ready.bind(str(tmp_path / "notify"))
    ready.settimeout(20)
    process = subprocess.Popen(
        [sys.executable, "-c", launcher],
        pass_fds=(control.fileno(), https.fileno()),
        env={
            **os.environ,
            "PYTHONPATH": str(SERVICES),
            "CREDENTIALS_DIRECTORY": str(credentials),
            "STATE_DIRECTORY": str(tmp_path / "state"),
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
        },
    )
    try:
        assert b"READY=1" in ready.recv(4096)
        transport = httpx.HTTPTransport(uds=str(tmp_path / "gateway.sock"))
        with httpx.Client(transport=transport, base_url="http://node") as local:
            assert local.post("/setup", json=SETUP, timeout=20).status_code == 201
        trusted = ssl.create_default_context(cafile=credentials / "tls.crt")
        url = f"https://127.0.0.1:{https.getsockname()[1]}"
        assert httpx.get(f"{url}/sign-in", verify=trusted, timeout=20).status_code == 200
    finally:
        process.terminate()
        assert process.wait(20) == 0
        for handle in (control, https, ready):
            handle.close()


def test_without_a_certificate_the_command_says_what_is_missing(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "goni_gateway", "serve", "--listen", "127.0.0.1:0"]
    done = subprocess.run(
        argv,
        env=Node(tmp_path).environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "error: there is no tls.crt" in done.stderr
    assert "Traceback" not in done.stderr


def test_plain_http_gets_nothing(node: Node) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{node.port}/", timeout=5)


def test_an_idle_browser_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    with running(tmp_path) as (node, _), node.client() as idle:
        idle.get("/sign-in")
        assert node.process is not None
        node.process.terminate()
        assert node.process.wait(5) == 0
        node.process = None


# --- signing in ----------------------------------------------------------------------------


def test_the_session_cookie_is_locked_down(node: Node) -> None:
    with node.client() as client:
        said = client.post("/api/sign-in", json=OWNER)
    cookie = said.headers["set-cookie"]
    assert cookie.startswith("__Host-goni=")
    for flag in ("HttpOnly", "Secure", "SameSite=strict", "Path=/", "Max-Age=2592000"):
        assert flag in cookie
    assert said.json() == {"id": said.json()["id"], "name": "Ada", "role": "owner"}


@pytest.mark.parametrize("wrong", [{"password": "wrong password"}, {"name": "Nobody"}])
def test_a_wrong_name_or_password_is_the_same_refusal(
    tmp_path: Path, wrong: dict[str, str]
) -> None:
    with running(tmp_path) as (node, _), node.client() as client:
        said = client.post("/api/sign-in", json={**OWNER, **wrong})
    assert said.status_code == 401
    assert said.json()["error"]["message"] == "the name or the password is wrong"
    assert "set-cookie" not in said.headers


def test_guessing_is_slowed_down_even_in_parallel(tmp_path: Path) -> None:
    with running(tmp_path) as (node, _):
        statuses: list[int] = []

        def guess(number: int) -> None:
            with node.client() as client:
                body = {"name": "Ada", "password": f"guess number {number}"}
                said = client.post("/api/sign-in", json=body)
                statuses.append(said.status_code)
                if said.status_code == 429:
                    assert int(said.headers["retry-after"]) >= 1

        threads = [threading.Thread(target=guess, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(statuses) == [401] * 5 + [429] * 3


def test_signing_out_ends_the_session_everywhere(node: Node) -> None:
    browser = node.signed_in()
    copy = dict(browser.cookies)
    assert browser.post("/api/sign-out").json() == {"signed_out": True}
    with node.client() as thief:
        thief.cookies.update(copy)
        assert thief.get("/api/me").status_code == 401


def test_another_site_cannot_sign_anybody_in(node: Node) -> None:
    with node.client(origin="https://evil.example") as client:
        assert client.post("/api/sign-in", json=OWNER).status_code == 403


@pytest.mark.parametrize("headers", [{}, {"sec-fetch-site": "cross-site"}, {"origin": "https://x"}])
def test_another_site_cannot_use_a_session(node: Node, headers: dict[str, str]) -> None:
    browser = node.signed_in()
    del browser.headers["sec-fetch-site"]
    for method, path in (("POST", "/api/keys"), ("POST", "/api/sign-out"), ("POST", "/api/chats")):
        said = browser.request(method, path, headers=headers, json={"name": "x"})
        assert said.json()["error"]["code"] == "cross_site"
    assert browser.get("/api/me").status_code == 200


# --- keys ----------------------------------------------------------------------------------


def test_a_key_works_until_revoked_and_is_shown_once(node: Node) -> None:
    browser = node.signed_in()
    made = browser.post("/api/keys", json={"name": "notes app"})
    assert made.status_code == 201
    secret = made.json()["key"]
    listed = browser.get("/api/keys").json()["keys"]
    assert "notes app" in [key["name"] for key in listed]
    assert secret not in json.dumps(listed)
    with node.client(authorization=f"Bearer {secret}") as app:
        assert app.get("/v1/models").status_code == 200
        assert browser.delete(f"/api/keys/{made.json()['id']}").status_code == 200
        refused = app.get("/v1/models")
    assert refused.status_code == 401
    assert refused.json()["error"]["code"] == "invalid_api_key"


def test_a_key_cannot_make_keys(node: Node) -> None:
    with node.client(authorization=f"Bearer {node.new_key()}") as app:
        assert app.post("/api/keys", json={"name": "more"}).status_code == 401


# --- errors and headers --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 303),
        ("GET", "/sign-in", 200),
        ("GET", "/nothing", 404),
        ("GET", "/v1/models", 401),
        ("POST", "/v1/chat/completions", 401),
        ("PUT", "/v1/models", 405),
        ("GET", "/static/goni.css", 200),
        ("GET", "/static/../pages.py", 404),
        ("GET", "/static/%2e%2e/pages.py", 404),
    ],
)
def test_every_answer_has_an_id_and_the_security_headers(
    node: Node, method: str, path: str, status: int
) -> None:
    with node.client() as client:
        said = client.request(method, path)
    assert said.status_code == status
    assert said.headers["x-request-id"].startswith("req-")
    assert "default-src 'none'" in said.headers["content-security-policy"]
    assert said.headers["x-content-type-options"] == "nosniff"
    assert said.headers["referrer-policy"] == "no-referrer"
    assert "strict-transport-security" not in said.headers
    assert "access-control-allow-origin" not in said.headers
    if status >= 400:
        assert set(said.json()["error"]) >= {"message", "type", "code", "param"}


@pytest.mark.parametrize(
    ("brought", "kept"),
    [
        ("trace-7.a_B", True),
        ("x" * 64, True),
        ("x" * 65, False),
        ("two words", False),
        ("", False),
        ("goni-somebodys-key", False),
        ('"><script>', False),
    ],
)
def test_a_sane_request_id_is_kept(node: Node, brought: str, kept: bool) -> None:
    with node.client() as client:
        said = client.post("/v1/chat/completions", headers={"x-request-id": brought})
    given = said.headers["x-request-id"]
    assert (given == brought) == kept
    assert kept or given.startswith("req-")
    line = f"[{given}] POST chat_completions: 401 in "
    wait_for(lambda: line in node.log.read_text())
    assert kept or not brought or brought not in node.log.read_text()


def test_the_pages_hold_no_inline_script_or_style(node: Node) -> None:
    browser = node.signed_in()
    for path in ("/", "/documents", "/models", "/keys", "/people", "/join"):
        page = browser.get(path)
        assert page.status_code == 200
        assert "style=" not in page.text
        scripts = re.findall(r"<script\b([^>]*)>(.*?)</script>", page.text, re.DOTALL)
        assert len(scripts) == page.text.count("<script") >= 1
        for attributes, text in scripts:
            assert re.fullmatch(r' type="module" src="/static/\w+\.js"', attributes)
            assert text == ""
        assert "http://" not in page.text


def test_nothing_personal_is_logged(tmp_path: Path) -> None:
    with running(tmp_path) as (node, _):
        secret = node.new_key()
        browser = node.signed_in()
        browser.put("/api/documents/canary-file.txt", content=b"canary-text")
        body = {"model": "tiny", "messages": [{"role": "user", "content": "canary-question"}]}
        browser.post("/v1/chat/completions", json=body)
        browser.post("/v1/chat/completions", json={**body, "model": "canary-model"})
        browser.post("/api/sign-in", json={"name": "canary-name", "password": "canary-password"})
    log = node.log.read_text()
    assert "signed in" in log
    assert secret not in log
    assert "canary" not in log
