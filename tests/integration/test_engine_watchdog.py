"""A llama-server that hangs: a real one, stopped by a signal, which kills nothing and says
nothing.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from goni_engine.watchdog import ANSWER_S, POLL_S, SILENT_S
from tests.integration.engine_node import CHAT, Node, ask, events, running
from tests.models import write_tiny_chat_model

NOTICED_S = SILENT_S + ANSWER_S + 2 * POLL_S + 3.0


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("engine")
    with running(folder) as started:
        with started.client() as client:
            content = write_tiny_chat_model(folder / "tiny.gguf").read_bytes()
            client.put("/models/tiny.gguf", content=content).raise_for_status()
        yield started


@pytest.fixture
def client(node: Node) -> Iterator[httpx.Client]:
    with node.client() as opened:
        opened.post(CHAT, json=ask("hello")).raise_for_status()
        yield opened


def stop(node: Node) -> int:
    (child,) = node.children()
    os.kill(child, signal.SIGSTOP)
    return child


def until(client: httpx.Client, **wanted: int) -> None:
    """Wait until the one loaded model's figures are these."""
    end = time.monotonic() + 60
    while True:
        (model,) = client.get("/stats").json()["models"]
        if model.items() >= wanted.items():
            return
        assert time.monotonic() < end, model
        time.sleep(0.05)


def test_a_hang_in_mid_answer_is_noticed_said_and_cured(client: httpx.Client, node: Node) -> None:
    endless = ask("a very long story", tokens=15_000, stream=True, ignore_eos=True)
    with ThreadPoolExecutor(8) as pool, client.stream("POST", CHAT, json=endless) as response:
        lines = response.iter_lines()
        next(lines)
        begun = [pool.submit(client.post, CHAT, json=endless | {"stream": False}) for _ in range(3)]
        until(client, busy=4, waiting=0)
        waiting = [pool.submit(client.post, CHAT, json=ask(f"wait {n}")) for n in range(3)]
        until(client, busy=4, waiting=3)
        child = stop(node)
        stopped = time.monotonic()
        last = [part for part in events(lines) if "error" in part]
        assert time.monotonic() - stopped < NOTICED_S
        for answer in begun:
            error = answer.result().json()["error"]
            assert answer.result().status_code == 503
            assert error["code"] == "engine_stopped"
            assert "hung" in error["message"]
            assert "again" in error["hint"]
        assert [answer.result().status_code for answer in waiting] == [200] * 3
    assert [part["error"]["code"] for part in last] == ["engine_stopped"]
    assert child not in node.children()
    assert "hangs (no answer for" in node.log


def test_a_hang_while_idle_costs_the_next_person_nothing_but_time(
    client: httpx.Client, node: Node
) -> None:
    child = stop(node)
    started = time.monotonic()
    with client.stream("POST", CHAT, json=ask("hello", stream=True)) as response:
        assert response.status_code == 200
        assert not [part for part in events(response.iter_lines()) if "error" in part]
    assert time.monotonic() - started < NOTICED_S + 5
    assert child not in node.children()


def test_a_hang_that_nobody_waits_for_is_noticed_too(client: httpx.Client, node: Node) -> None:
    child = stop(node)
    deadline = time.monotonic() + NOTICED_S
    while child in node.children():
        assert time.monotonic() < deadline, node.log
        time.sleep(0.1)
    assert client.post(CHAT, json=ask("hello")).status_code == 200


def test_a_long_prompt_on_a_slow_machine_is_no_hang(node: Node) -> None:
    """The process gets a tenth of the CPU for longer than a silent one may take."""
    with node.client() as client:
        client.post(CHAT, json=ask("x", tokens=1)).raise_for_status()
        (child,) = node.children()
        with ThreadPoolExecutor(1) as pool:
            request = ask("long " * 800, tokens=200, ignore_eos=True)
            answer = pool.submit(client.post, CHAT, json=request)
            slow_until = time.monotonic() + SILENT_S + 5
            while time.monotonic() < slow_until:
                os.kill(child, signal.SIGSTOP)
                time.sleep(0.45)
                os.kill(child, signal.SIGCONT)
                time.sleep(0.05)
            assert answer.result().status_code == 200, answer.result().text
        assert node.children() == [child]


def test_figures_of_a_loaded_model(client: httpx.Client) -> None:
    client.post(CHAT, json=ask("hello", tokens=200, ignore_eos=True)).raise_for_status()
    deadline = time.monotonic() + 5
    while True:
        (tiny,) = client.get("/stats").json()["models"]
        if tiny["tokens_per_second"] and tiny["generated_tokens"] >= 200:
            break
        assert time.monotonic() < deadline, tiny
        time.sleep(0.1)
    assert tiny["id"] == "tiny"
    assert (tiny["slots"], tiny["busy"], tiny["waiting"]) == (4, 0, 0)
    assert tiny["memory"] > 1 << 20
    assert tiny["prompt_tokens"] > 0
    health = {check["name"]: check["detail"] for check in client.get("/health").json()["checks"]}
    assert "tokens/s" in health["device"]


def test_the_log_has_no_word_of_anybody(node: Node) -> None:
    assert "story" not in node.log
