"""Every route, fuzzed from the gateway's own description with every real part behind it: no 5xx, no
hang, no growing memory; and clients that trickle.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from goni_gateway import openapi, service
from tests.integration import gateway_node, household, mesh_node, update_node
from tests.integration.gateway_node import Node
from tests.integration.household import Household
from tests.models import write_reciting_model
from tests.releases import Publisher

EXAMPLES = 8
"""Of each operation; more of them is a matter of patience, not of another test."""
ANSWER_S = 60
SPARED = ("/api/sign-out", "/api/password")
"""They would end the session that the fuzzing needs."""
GROWTH = 200 << 20


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    folder, models = tmp_path_factory.mktemp("node"), {"recites": write_reciting_model}
    publisher = Publisher(tmp_path_factory.mktemp("updates") / "builder")
    publisher.folder.mkdir()
    publisher.start()
    updating = update_node.Node(folder, publisher.first_root).make()
    with updating.up(), household.running(folder, models) as made:
        mesh = mesh_node.Node(folder)
        yield made
        mesh.end()
        assert "Traceback" not in mesh.log


@pytest.fixture(scope="module")
def browser(home: Household) -> httpx.Client:
    return home.node.signed_in()


@pytest.fixture(scope="module")
def memory(home: Household) -> int:
    return resident(home.node)


@pytest.fixture(scope="module")
def described(browser: httpx.Client) -> Any:
    document = browser.get("/openapi.json").json()
    for path in SPARED:
        del document["paths"][path]
    # Names of models that exist get further in than others.
    for methods in document["paths"].values():
        for operation in methods.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                properties = content.get("schema", {}).get("properties", {})
                if "model" in properties:
                    properties["model"] = {"enum": ["recites", "all-MiniLM-L6-v2", "nothing"]}
    return schemathesis.openapi.from_dict(document)


def operations() -> list[str]:
    document = openapi.description(service.routes())
    return [
        f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method in methods
        if path not in SPARED
    ]


@pytest.mark.parametrize("name", operations())
def test_whatever_is_sent_is_answered_and_never_a_5xx(
    name: str, described: Any, home: Household, browser: httpx.Client, memory: int
) -> None:
    method, path = name.split()
    operation = described[path][method]

    @given(case=operation.as_strategy())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def fuzz(case: Any) -> None:
        sent = case.as_transport_kwargs(base_url=home.node.url)
        # Who asks is not fuzzed here, or all would end at the door.
        headers = dict(sent.pop("headers", None) or {}) | {"sec-fetch-site": "same-origin"}
        headers = {key: value for key, value in headers.items() if key.lower() != "authorization"}
        sent |= {"headers": headers, "cookies": dict(browser.cookies), "timeout": ANSWER_S}
        said = requests.request(**sent, verify=str(home.node.crt))
        assert said.status_code < 500, said.text
        assert said.headers["x-request-id"]

    fuzz()
    assert resident(home.node) < memory + GROWTH


def test_the_node_is_well_after_all_that(home: Household, browser: httpx.Client) -> None:
    assert browser.get("/api/me").json()["name"] == "Ada"
    assert home.node.control("GET", "/health").json()["ok"] is True
    assert "Traceback" not in home.node.log.read_text()


def test_the_description_is_for_the_people_of_the_house(home: Household) -> None:
    with home.node.client() as stranger:
        assert stranger.get("/openapi.json").status_code == 401


def resident(node: Node) -> int:
    """Bytes of memory that the gateway holds."""
    assert node.process is not None
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) << 10


# --- clients that trickle ------------------------------------------------------------------


def test_a_hundred_trickling_clients_block_nobody_and_do_not_live_for_ever(tmp_path: Path) -> None:
    with gateway_node.running(tmp_path) as (node, _):
        trusted = ssl.create_default_context(cafile=node.crt)
        slow = []
        for number in range(100):
            raw = socket.create_connection(("127.0.0.1", node.port))
            if number % 4:  # the rest never even begin to speak TLS
                raw = trusted.wrap_socket(raw, server_hostname="127.0.0.1")
                raw.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n")
            raw.settimeout(1)
            slow.append(raw)
        began = time.monotonic()
        with node.client(authorization=f"Bearer {node.a_key()}") as app:
            for _ in range(5):
                assert app.get("/v1/models").status_code == 200
            assert time.monotonic() - began < 10
            alive = set(slow)
            while alive and time.monotonic() - began < 90:
                for raw in list(alive):
                    try:
                        raw.sendall(b"X: y\r\n" if isinstance(raw, ssl.SSLSocket) else b"\x16")
                    except OSError:
                        alive.discard(raw)
                assert app.get("/v1/models").status_code == 200
                time.sleep(2)
        for raw in slow:
            raw.close()
        assert not alive, f"{len(alive)} of 100 are still connected"
