"""A household's first evening with a node in a virtual machine, as its people do it: over HTTPS."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import openai
import requests

from image.machine import Machine
from tests import setup_walk
from tests.documents import Planted
from tests.models import write_tiny_chat_model
from tests.setup_walk import OWNER, PASSWORD

SETUP_LINE = r"goni-setup: address=https://\S+ pin=(\d{6})"
PATIENCE = 900.0
"""Seconds for one request: the machine may be emulated."""


@dataclass
class Household:
    """The owner's view of ``machine``. ``certificate`` is the node's own, pinned as people do."""

    machine: Machine
    folder: Path
    key: str = ""
    chat: str = field(default="", init=False)
    opened: ExitStack = field(default_factory=ExitStack, init=False)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.machine.host_port(443)}"

    @property
    def certificate(self) -> Path:
        """The certificate that the node shows, fetched anew (it changes with the node's name)."""
        path = self.folder / "node.crt"
        address = ("127.0.0.1", self.machine.host_port(443))
        path.write_text(ssl.get_server_certificate(address, timeout=60))
        return path

    def browser(self) -> requests.Session:
        """A browser that trusts this node's certificate and no other."""
        session = self.opened.enter_context(requests.Session())
        session.trust_env = False
        session.verify = str(self.certificate)
        session.headers["Origin"] = self.url
        return session

    def pin(self) -> str:
        """The PIN that the node shows on its console."""
        return self.machine.wait_for_console_text(SETUP_LINE, timeout=PATIENCE)[1]

    def wrong_pin(self) -> str:
        return f"{(int(self.pin()) + 1) % 1_000_000:06d}"

    def set_up(self) -> None:
        """Type the PIN and go through the steps, as setup_walk types them."""
        browser = self.browser()

        def post(path: str, typed: Mapping[str, str]) -> requests.Response:
            return browser.post(f"{self.url}{path}", data=typed, timeout=PATIENCE)

        setup_walk.walk(post, self.pin())

    def signed_in(self) -> requests.Session:
        browser = self.browser()
        words = {"name": OWNER, "password": PASSWORD}
        said = browser.post(f"{self.url}/api/sign-in", json=words, timeout=PATIENCE)
        assert said.status_code == 200, said.text
        return browser

    def make_key(self) -> None:
        """An API key, shown this once."""
        said = self.signed_in().post(
            f"{self.url}/api/keys", json={"name": "test"}, timeout=PATIENCE
        )
        assert said.status_code == 201, said.text
        self.key = said.json()["key"]

    def bring_model(self) -> None:
        """Upload the tiny chat model: random weights, everything else about it is real."""
        model = write_tiny_chat_model(self.folder / "tiny.gguf")
        said = self.signed_in().put(
            f"{self.url}/api/models/tiny.gguf", data=model.read_bytes(), timeout=PATIENCE
        )
        assert said.status_code == 201, said.text

    def upload(self, document: Planted) -> None:
        said = self.signed_in().put(
            f"{self.url}/api/documents/{document.name}", data=document.content, timeout=PATIENCE
        )
        assert said.status_code == 201, said.text
        assert said.json()["state"] == "indexed", said.text

    def client(self) -> openai.OpenAI:
        """The official client, as an app on the LAN would use it."""
        trust = ssl.create_default_context(cafile=self.certificate)
        made = openai.OpenAI(
            base_url=f"{self.url}/v1",
            api_key=self.key,
            max_retries=0,
            timeout=PATIENCE,
            http_client=httpx.Client(verify=trust, trust_env=False),
        )
        return self.opened.enter_context(made)
