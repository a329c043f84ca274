"""Other origins: shut until the owner opens one, then below /v1 alone."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.integration.gateway_node import Node

APP = "https://app.example"
ALLOW = "access-control-allow-origin"


@pytest.fixture
def opened(owner: httpx.Client) -> Iterator[str]:
    assert (
        owner.post("/api/origins", json={"origin": "HTTPS://App.example:443/"}).json()["origin"]
        == APP
    )
    yield APP
    assert owner.post("/api/origins/close", json={"origin": APP}).status_code == 200


@pytest.fixture
def app(node: Node) -> Iterator[httpx.Client]:
    """A page of the app's, in somebody's browser."""
    headers = {"origin": APP, "sec-fetch-site": "cross-site"}
    with node.client(**headers, authorization=f"Bearer {node.a_key()}") as client:
        yield client


def preflight(client: httpx.Client, path: str, origin: str = APP) -> httpx.Response:
    asked = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-os",
    }
    return client.options(path, headers=asked)


def test_without_the_owner_no_origin_is_told_yes(app: httpx.Client) -> None:
    assert ALLOW not in preflight(app, "/v1/chat/completions").headers
    assert preflight(app, "/v1/chat/completions").status_code == 405
    assert ALLOW not in app.get("/v1/models").headers


def test_an_open_origin_may_ask_and_read(app: httpx.Client, opened: str) -> None:
    said = preflight(app, "/v1/chat/completions")
    assert said.status_code == 204
    assert said.headers[ALLOW] == APP
    assert "x-stainless-os" in said.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in said.headers
    body = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}]}
    answer = app.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200
    assert answer.headers[ALLOW] == APP
    assert answer.headers["vary"] == "Origin"


def test_errors_can_be_read_too(app: httpx.Client, opened: str) -> None:
    refused = app.get("/v1/models", headers={"authorization": "Bearer goni-wrong"})
    assert (refused.status_code, refused.headers[ALLOW]) == (401, APP)


@pytest.mark.parametrize(
    "origin", ["null", "https://app.example.evil", "http://app.example", "https://evil.example"]
)
def test_another_origin_stays_shut(app: httpx.Client, opened: str, origin: str) -> None:
    assert ALLOW not in preflight(app, "/v1/models", origin).headers
    assert ALLOW not in app.get("/v1/models", headers={"origin": origin}).headers


@pytest.mark.parametrize("path", ["/api/me", "/api/chats", "/", "/api/sign-in", "/v1"])
def test_an_open_origin_gets_nothing_but_the_openai_api(
    app: httpx.Client, opened: str, path: str
) -> None:
    assert ALLOW not in preflight(app, path).headers
    assert ALLOW not in app.get(path).headers


def test_a_session_is_no_key_for_an_open_origin(owner: httpx.Client, opened: str) -> None:
    headers = {"origin": APP, "sec-fetch-site": "cross-site"}
    body = {"model": "tiny", "messages": []}
    assert owner.post("/v1/chat/completions", json=body, headers=headers).status_code == 403


@pytest.mark.parametrize(
    "origin",
    ["*", "null", "app.example", "https://*.example", "https://a/b", "ftp://a", "https://a:b", ""],
)
def test_what_is_no_origin_is_refused(owner: httpx.Client, origin: str) -> None:
    assert owner.post("/api/origins", json={"origin": origin}).status_code == 400
    assert owner.get("/api/origins").json()["origins"] == []


def test_only_the_owner_opens_origins(node: Node) -> None:
    member = node.joined("Bob")
    assert member.post("/api/origins", json={"origin": APP}).status_code == 403
    assert member.get("/api/origins").status_code == 403
