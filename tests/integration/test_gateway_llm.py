"""The common command-line client ``llm`` against the front door, unchanged, over real TLS."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from image.clients import LLM
from tests.integration import household
from tests.integration.household import Household
from tests.models import RECITED, write_reciting_model

# Not the script beside it, which names the folder in which it was installed.
PROGRAM = LLM.absolute() / "bin/python"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    models = {"recites": write_reciting_model}
    with household.running(tmp_path_factory.mktemp("node"), models) as made:
        yield made


def llm(home: Household, *words: str, key: str) -> subprocess.CompletedProcess[str]:
    """Run it with a home of its own that knows this node."""
    if not PROGRAM.exists():
        pytest.fail(f"there is no {PROGRAM}; make clients installs it")
    folder = home.folder / "llm"
    folder.mkdir(exist_ok=True)
    (folder / "extra-openai-models.yaml").write_text(
        f"- model_id: goni\n  model_name: recites\n  api_base: {home.node.url}/v1\n"
        "  api_key_name: goni\n"
    )
    return subprocess.run(
        [str(PROGRAM), "-m", "llm", *words, "--key", key],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LLM_USER_PATH": str(folder),
            "SSL_CERT_FILE": str(home.node.crt),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("more", [(), ("--no-stream",)])
def test_llm_gets_an_answer(home: Household, more: tuple[str, ...]) -> None:
    said = llm(home, "--model", "goni", "hello", *more, key=home.node.a_key())
    assert said.returncode == 0, said.stderr
    assert said.stdout.strip() == RECITED


def test_llm_says_what_is_wrong(home: Household) -> None:
    said = llm(home, "--model", "goni", "hello", key="goni-wrong")
    assert said.returncode != 0
    assert "that API key is not valid" in said.stderr
