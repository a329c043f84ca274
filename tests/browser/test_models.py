"""The page "Models" in a real browser: a download with all its buttons, an upload that goes on
where it broke off. Engine, gateway and hub are real; the models are tiny ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.window import Window
from tests.integration import engine_node, gateway_node, hub
from tests.integration.gateway_node import OWNER, Node
from tests.integration.hub import Hub
from tests.models import write_tiny_chat_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def content(folder: Path) -> bytes:
    return write_tiny_chat_model(folder / "brought.gguf", seed=8).read_bytes()


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Hub]:
    (folder / "hub").mkdir()
    with hub.running(gateway_node.certificate(folder / "hub")) as served:
        yield served


@pytest.fixture(scope="module")
def node(folder: Path, content: bytes, served: Hub) -> Iterator[Node]:
    (folder / "catalog.yaml").write_text(hub.catalog_for(content), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GONI_HUB", served.address)
        patch.setenv("GONI_CATALOG", str(folder / "catalog.yaml"))
        patch.setenv("SSL_CERT_FILE", str(folder / "hub/tls.crt"))
        with engine_node.running(folder):
            node = Node(folder)
            node.start()
            node.set_up()
            yield node
            node.stop()


@pytest.fixture(scope="module")
def window(browser: Browser, node: Node) -> Iterator[Window]:
    window = Window(browser, node.url)
    window.page.goto("/sign-in")
    window.page.get_by_label("Name").fill(OWNER["name"])
    window.page.get_by_label("Password").fill(OWNER["password"])
    window.page.get_by_role("button", name="Sign in").click()
    expect(window.page.locator(".who")).to_have_text(OWNER["name"])
    window.page.goto("/models")
    yield window
    window.close()


def offer(page: Page, title: str) -> Locator:
    listed = page.get_by_role("list", name="Models to download")
    return listed.get_by_role("listitem").filter(has=page.get_by_text(title, exact=True))


def here(page: Page, name: str) -> Locator:
    listed = page.get_by_role("list", name="Models on this node")
    return listed.get_by_role("listitem").filter(has_text=name)


def test_every_offer_says_what_it_is_good_for_and_whether_it_fits(window: Window) -> None:
    page = window.page
    expect(offer(page, "Tiny")).to_contain_text("For tests.")
    expect(offer(page, "Tiny")).to_contain_text("fits; writes up to")
    expect(offer(page, "Huge")).to_contain_text("too large for this node")
    expect(page.get_by_role("button", name="Download: Huge")).to_be_disabled()
    expect(page.get_by_role("button", name="Download: Idle")).to_have_count(0)
    window.look("models-catalog")
    window.check()


def test_a_download_is_paused_resumed_and_arrives(
    window: Window, served: Hub, content: bytes
) -> None:
    page = window.page
    served.serve(hub.path_of("tiny"), content)
    page.get_by_label("Speed of downloads").select_option("262144")
    page.get_by_role("button", name="Download: Tiny").click()
    expect(offer(page, "Tiny")).to_contain_text("seconds left")
    window.look("models-download")
    page.get_by_role("button", name="Pause: Tiny").click()
    expect(offer(page, "Tiny")).to_contain_text("paused")
    page.get_by_label("Speed of downloads").select_option("0")
    page.get_by_role("button", name="Resume: Tiny").click()
    expect(here(page, "tiny")).to_contain_text("answers")
    expect(offer(page, "Tiny")).to_contain_text("is here")
    window.check()


def test_a_download_that_fails_says_why_and_is_dismissed(window: Window, served: Hub) -> None:
    page = window.page
    page.get_by_role("button", name="Download: Wrong").click()
    expect(offer(page, "Wrong")).to_contain_text("the hub doesn't have this file")
    page.get_by_role("button", name="Dismiss: Wrong").click()
    expect(page.get_by_role("button", name="Download: Wrong")).to_be_enabled()
    window.check()


def test_an_upload_goes_on_where_it_broke_off(
    window: Window, node: Node, folder: Path, content: bytes
) -> None:
    page = window.page
    cut = {"left": 1}

    def halve(route: object) -> None:
        """The line breaks after half of the first piece: the node got that half."""
        request = route.request  # type: ignore[attr-defined]
        if request.method != "PATCH" or not cut["left"]:
            route.continue_()  # type: ignore[attr-defined]
            return
        cut["left"] = 0
        key = request.url.rsplit("/", 1)[1]
        said = node.signed_in().patch(
            f"/api/incoming/{key}",
            content=content[: len(content) // 2],
            headers={"upload-offset": "0"},
        )
        assert said.status_code == 200
        route.abort()  # type: ignore[attr-defined]

    page.route("**/api/incoming/*", halve)
    page.get_by_label("Add a model").set_input_files(folder / "brought.gguf")
    expect(page.get_by_role("status")).to_have_text("brought.gguf is here.")
    page.unroute("**/api/incoming/*")
    assert not cut["left"]
    assert (folder / "state/engine/models/brought.gguf").read_bytes() == content
    window.complaints = [text for text in window.complaints if "ERR_FAILED" not in text]
    window.check()


def test_an_upload_that_another_window_began_is_shown_and_removed(
    window: Window, node: Node
) -> None:
    page = window.page
    body = {"name": "begun.gguf", "bytes": 5_000_000, "tag": "elsewhere"}
    assert node.signed_in().post("/api/incoming", json=body).status_code == 201
    page.reload()
    unfinished = page.get_by_role("list", name="Unfinished uploads").get_by_role("listitem")
    expect(unfinished).to_contain_text("Choose the same file again")
    window.look("models-unfinished")
    page.once("dialog", lambda dialog: dialog.accept())
    unfinished.get_by_role("button", name="Remove").click()
    expect(unfinished).to_have_count(0)
    window.check()


def test_models_on_a_stick_are_shown_and_brought_in(
    window: Window, node: Node, content: bytes
) -> None:
    page = window.page
    page.goto("/models")
    listed = page.get_by_role("list", name="Models on sticks")
    expect(listed).to_contain_text("Plug a stick with GGUF files")
    stick = node.run / "sticks/sda1:HOLIDAY"
    (stick / "models").mkdir(parents=True)
    (stick / "models/from-stick.gguf").write_bytes(content)
    (stick / "cut.gguf").write_bytes(content[:5000])
    (stick / "zip.gguf").write_bytes(b"PK" * 100)
    row = listed.get_by_role("listitem").filter(has_text="from-stick.gguf")
    expect(row).to_contain_text("HOLIDAY · models/")
    expect(listed).to_contain_text("this is not a GGUF file")
    window.look("models-stick")
    page.get_by_role("button", name="Bring in: cut.gguf").click()
    failed = listed.get_by_role("listitem").filter(has=page.locator(".bad", has_text="truncated"))
    expect(failed).to_be_visible()
    page.get_by_role("button", name="Dismiss: cut.gguf").click()
    expect(failed).to_have_count(0)
    page.get_by_role("button", name="Bring in: from-stick.gguf").click()
    expect(page.get_by_role("status")).to_have_text("from-stick.gguf is here.")
    here = page.get_by_role("list", name="Models on this node")
    expect(here.get_by_role("listitem").filter(has_text="from-stick")).to_be_visible()
    window.check()
