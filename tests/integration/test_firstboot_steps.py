"""The setup under power cuts, and a model that comes while it goes on: real services throughout."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests import disk_service, setup_walk
from tests.integration import gateway_node, hub
from tests.integration.engine_node import check_built
from tests.integration.firstboot_node import Node, running, wait_until
from tests.models import write_tiny_chat_model


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with running(tmp_path) as made:
        yield made


def posting(browser: httpx.Client, node: Node) -> setup_walk.Post:
    return lambda path, form: browser.post(path, data=form, headers={"Origin": node.url})


def cut_power(node: Node) -> None:
    """SIGKILL for the wizard, and its next start."""
    wizard = node.started[-1]
    wizard.send_signal(signal.SIGKILL)
    wizard.wait(90)
    node.screen.unlink()
    node.wizard()


def test_power_cut_after_each_step_loses_nothing_and_takes_no_pin_for_granted(node: Node) -> None:
    node.gateway()
    node.wizard()
    pins = set()
    for number, (step, _) in enumerate(setup_walk.STEPS):
        with node.browser() as browser:
            pins.add(node.pin())
            assert browser.get("/setup").headers["location"] == "/"
            setup_walk.type_pin(posting(browser, node), node.pin())
            assert browser.get("/setup").headers["location"] == f"/setup/{step}"
            setup_walk.answer(posting(browser, node), step)
        cut_power(node)
        assert len(pins) == number + 1
    with node.browser() as browser:
        setup_walk.type_pin(posting(browser, node), node.pin())
        summary = browser.get("/setup/summary")
        for said in (setup_walk.NODE_NAME, setup_walk.OWNER, "Europe/Berlin"):
            assert said in summary.text
        setup_walk.finish(posting(browser, node))
    kept = (node.folder / "state/firstboot/answers.json").read_text()
    assert setup_walk.PASSWORD not in kept


def test_power_cut_before_the_key_is_confirmed_makes_another(node: Node) -> None:
    with disk_service.running(node.folder / "run/install.sock") as disk:
        node.gateway()
        node.wizard()
        with node.browser() as browser:
            post = posting(browser, node)
            setup_walk.type_pin(post, node.pin())
            setup_walk.answer(post, *(name for name, _ in setup_walk.STEPS if name != "recovery"))
            # Nobody gets by without having seen it, but by leaving it for later.
            assert post("/setup/recovery", {}).status_code == 400
            shown = post("/setup/recovery", {"action": "make"})
            assert disk.keys[0][:8] in shown.text
        cut_power(node)
        with node.browser() as browser:
            post = posting(browser, node)
            setup_walk.type_pin(post, node.pin())
            assert disk.keys[0][:8] not in browser.get("/setup/recovery").text
            again = post("/setup/recovery", {"action": "make"})
            first, second = disk.keys
            assert second[:8] in again.text
            assert post("/setup/recovery", {"last": first[-8:]}).status_code == 400
            assert post("/setup/recovery", {"last": second[-8:]}).status_code == 303
            page = browser.get("/setup/recovery").text
            assert not any(group in page for group in second.split("-"))
        for file in node.folder.rglob("*"):
            if file.is_file():
                assert not any(key[:8].encode() in file.read_bytes() for key in disk.keys), file


def test_model_of_the_browser_is_checked_and_kept(node: Node, tmp_path: Path) -> None:
    check_built()
    model = write_tiny_chat_model(tmp_path / "tiny.gguf").read_bytes()
    with ExitStack() as stack:
        node.start("goni_engine")
        node.gateway()
        node.wizard()
        wait_until((node.folder / "run/engine.sock").exists, 120)
        browser = stack.enter_context(node.browser())
        browser.timeout = httpx.Timeout(300)
        post = posting(browser, node)
        setup_walk.type_pin(post, node.pin())
        setup_walk.answer(post, "language", "name", "network", "household", "owner")

        def bring(name: str, content: bytes, **headers: str) -> httpx.Response:
            return browser.post(
                "/setup/model/upload",
                files={"file": (name, content)},
                headers={"Origin": node.url, **headers},
            )

        assert "no GGUF model" in bring("notes.gguf", b"hello" * 1000).text
        assert "can&#39;t be used" in bring("../x.gguf", model).text
        assert bring("", b"").status_code == 400
        assert bring("tiny.gguf", model, Origin="https://evil.example").status_code == 403
        assert "Here already" not in browser.get("/setup/model").text
        assert bring("tiny.gguf", model).status_code == 303
        assert "Here already: tiny" in browser.get("/setup/model").text
        assert browser.get("/setup/model/progress").json() == {"coming": []}
        assert post("/setup/model", {}).headers["location"] == "/setup/recovery"
        assert browser.get("/setup/model/nothing").status_code == 404
        # What is not in the catalog is refused, whatever the form says.
        assert post("/setup/model", {"model": "catalog:../x"}).status_code == 400
        assert post("/setup/model", {"model": "stick:sda1:../../x"}).status_code == 400


def test_model_of_the_catalog_comes_while_the_setup_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_built()
    content = write_tiny_chat_model(tmp_path / "m.gguf", seed=5).read_bytes()
    (tmp_path / "catalog.yaml").write_text(hub.catalog_for(content), encoding="utf-8")
    certificate = gateway_node.certificate(tmp_path)
    monkeypatch.setenv("GONI_CATALOG", str(tmp_path / "catalog.yaml"))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with ExitStack() as stack:
        served = stack.enter_context(hub.running(certificate))
        monkeypatch.setenv("GONI_HUB", served.address)
        node = stack.enter_context(running(tmp_path / "node"))
        node.start("goni_engine")
        node.gateway()
        node.wizard()
        wait_until((node.folder / "run/engine.sock").exists, 120)
        browser = stack.enter_context(node.browser())
        browser.timeout = httpx.Timeout(300)
        post = posting(browser, node)
        setup_walk.type_pin(post, node.pin())
        setup_walk.answer(post, "language", "name", "network", "household", "owner")
        assert 'value="catalog:tiny"' in browser.get("/setup/model").text
        # The line breaks half-way.
        served.serve(hub.path_of("tiny"), content, cuts=[len(content) // 2])
        for _ in range(2):  # asked for twice, it comes once
            said = post("/setup/model", {"model": "catalog:tiny"})
            assert said.headers["location"] == "/setup/recovery"
        cut_power(node)
        models = node.folder / "state/engine/models/tiny.gguf"
        wait_until(models.exists, 300)
        assert models.read_bytes() == content
        setup_walk.type_pin(post, node.pin())
        wait_until(lambda: "Here already: tiny" in browser.get("/setup/model").text, 300)
        assert browser.get("/setup/model/progress").json() == {"coming": []}
        assert len(served.asked) == 2
