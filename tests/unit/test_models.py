"""The tiny chat model that other tests rely on, in the real llama-server."""

from __future__ import annotations

import contextlib
import string
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import httpx
import pytest

from goni_core import paths, run
from tests.models import RECITED, write_reciting_model, write_tiny_chat_model

SPOKEN = set(string.ascii_lowercase + " .")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    model = write_tiny_chat_model(tmp_path_factory.mktemp("tiny") / "tiny.gguf")
    with served(model) as client:
        yield client


@contextlib.contextmanager
def served(model: Path) -> Iterator[httpx.Client]:
    """A client of a llama-server with ``model``."""
    folder = model.parent
    socket = folder / "llama.sock"
    options = ["--parallel", "1", "--threads", "1", "--cache-ram", "0"]
    process = run.start(
        [paths.engine_dir() / "bin/llama-server", "-m", model, "--host", socket, *options],
        cwd=folder,
        output=folder / "log",
    )
    transport = httpx.HTTPTransport(uds=str(socket))
    with httpx.Client(transport=transport, base_url="http://llama", timeout=30) as client:
        deadline = time.monotonic() + 30
        while not socket.exists() or client.get("/health").status_code != 200:
            assert process.poll() is None and time.monotonic() < deadline, "llama-server is not up"
            time.sleep(0.05)
        yield client
    process.terminate()
    process.wait(10)


def chat(server: httpx.Client, text: str, **options: Any) -> dict[str, Any]:
    asked = {"messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 64}
    answer = server.post("/v1/chat/completions", json={**asked, **options})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def said(answer: dict[str, Any]) -> str:
    return str(answer["choices"][0]["message"]["content"])


def test_same_seed_gives_the_same_file(tmp_path: Path) -> None:
    first, second, other = (tmp_path / name for name in ("1", "2", "3"))
    write_tiny_chat_model(first)
    write_tiny_chat_model(second)
    write_tiny_chat_model(other, seed=1)
    assert first.read_bytes() == second.read_bytes() != other.read_bytes()


def test_model_is_small_and_has_room_for_sources(tmp_path: Path) -> None:
    path = write_tiny_chat_model(tmp_path / "tiny.gguf")
    context = gguf.GGUFReader(path).fields["llama.context_length"].contents()
    assert path.stat().st_size < 2 << 20
    assert context >= 8192


def test_context_is_what_was_asked_for(tmp_path: Path) -> None:
    path = write_tiny_chat_model(tmp_path / "tiny.gguf", context=512)
    assert gguf.GGUFReader(path).fields["llama.context_length"].contents() == 512


def test_server_answers_in_printable_characters(server: httpx.Client) -> None:
    answer = said(chat(server, "Where are the keys? Ümläute, 漢字 and 🙂 too."))
    assert answer.strip()
    assert set(answer) <= SPOKEN


def test_answer_depends_on_the_prompt_and_on_nothing_else(server: httpx.Client) -> None:
    first = said(chat(server, "What is in the garage?"))
    other = said(chat(server, "Who feeds the cat?"))
    again = said(chat(server, "What is in the garage?"))
    assert first == again != other


def test_some_answers_end_by_themselves(server: httpx.Client) -> None:
    reasons = {
        chat(server, "Tell me a story.", temperature=1, seed=seed, max_tokens=400)["choices"][0][
            "finish_reason"
        ]
        for seed in range(4)
    }
    assert "stop" in reasons


def test_a_long_prompt_fits(server: httpx.Client) -> None:
    answer = chat(server, "The spare key hangs in the shed. " * 300, max_tokens=4)
    assert answer["usage"]["prompt_tokens"] > 8192


def test_model_is_fast(server: httpx.Client) -> None:
    timings = chat(server, "Go on.", max_tokens=256, ignore_eos=True)["timings"]
    assert (
        timings["predicted_per_second"] > 20
    )  # thousands, when the machine has nothing else to do


def test_the_reciting_model_says_its_sentence_and_ends(tmp_path: Path) -> None:
    with served(write_reciting_model(tmp_path / "reciting.gguf")) as server:
        for question in ("hello", "What is the boiler's pressure?", "ä\n\n" * 20):
            answer = chat(server, question, temperature=0.8)
            assert said(answer).strip() == RECITED
            assert answer["choices"][0]["finish_reason"] == "stop"


def test_an_endless_model_begins_anew_until_it_is_stopped(tmp_path: Path) -> None:
    with served(write_reciting_model(tmp_path / "endless.gguf", endless=True)) as server:
        answer = chat(server, "hello", max_tokens=3 * len(RECITED.split()))
    assert said(answer).strip() == f"{RECITED} {RECITED} {RECITED}"
    assert answer["choices"][0]["finish_reason"] == "length"
