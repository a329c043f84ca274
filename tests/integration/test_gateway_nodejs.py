"""The official Node client against the front door, unchanged, over real TLS with a real engine.

What it does stands in ``openai_client.mjs``; each case is a process of its own.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from image.clients import NODE, NODE_PIN
from tests.integration import household
from tests.integration.household import Household
from tests.models import RECITED, write_calling_model, write_reciting_model, write_tiny_chat_model

SCRIPT = Path(__file__).with_name("openai_client.mjs")
MODELS = {
    "tiny": write_tiny_chat_model,
    "recites": write_reciting_model,
    "calls": write_calling_model,
}
CASES = (
    "models",
    "chat",
    "stream",
    "streamHelper",
    "hangUp",
    "tools",
    "runTools",
    "schema",
    "completions",
    "embeddings",
    "responses",
    "errors",
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    with household.running(tmp_path_factory.mktemp("node"), MODELS) as made:
        said = made.node.signed_in().put(
            "/api/documents/note.txt", content=b"The key hangs in the hall."
        )
        assert said.status_code == 201, said.text
        yield made


def node(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    if not (NODE / "node_modules/openai").exists():
        pytest.fail(f"there is no {NODE_PIN} in {NODE}; make clients installs it")
    return subprocess.run(
        ["node", str(SCRIPT), *words],
        env={"PATH": os.environ["PATH"], "CLIENT": str(NODE.absolute()), **environment},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_every_case_is_run() -> None:
    assert tuple(node().stdout.split()) == CASES


@pytest.mark.parametrize("case", CASES)
def test_the_node_client_works(home: Household, case: str) -> None:
    said = node(
        case,
        GONI_URL=home.node.url,
        GONI_KEY=home.node.a_key(),
        RECITED=RECITED,
        NODE_EXTRA_CA_CERTS=str(home.node.crt),
    )
    assert said.returncode == 0, said.stderr
    assert said.stderr == ""


def test_the_node_client_refuses_a_certificate_that_it_does_not_know(home: Household) -> None:
    said = node("models", GONI_URL=home.node.url, GONI_KEY=home.node.a_key())
    assert said.returncode != 0
    assert "self-signed certificate" in said.stderr
