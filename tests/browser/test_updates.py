"""The page "Updates" in a real browser: gateway, update service, writer, systemd-sysupdate and the
signed repository are real; the disk is a file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Dialog, expect

from tests.browser.window import Window
from tests.integration import gateway_node, update_node
from tests.integration.update_server import serving
from tests.releases import Publisher

NOTES = "Answers begin sooner.\nA defect with large PDFs is gone."


@pytest.fixture(scope="module")
def publisher(tmp_path_factory: pytest.TempPathFactory) -> Publisher:
    made = Publisher(tmp_path_factory.mktemp("updates") / "builder")
    made.folder.mkdir()
    return made.start()


@pytest.fixture(scope="module")
def updating(publisher: Publisher) -> Iterator[update_node.Node]:
    with serving(publisher.repository) as server:
        folder = publisher.folder.parent / "node"
        yield update_node.Node(folder, publisher.first_root, server=server.address).make()


@pytest.fixture(scope="module")
def node(updating: update_node.Node) -> Iterator[gateway_node.Node]:
    node = gateway_node.Node(updating.folder)
    node.start()
    node.set_up()
    yield node
    node.stop()


def signed_in(client_cookies: object) -> dict[str, object]:
    """A browser's state with the cookies of one that signed in already."""
    cookies = [
        {"name": one.name, "value": one.value, "domain": "127.0.0.1", "path": "/", "secure": True}
        for one in client_cookies  # type: ignore[attr-defined]  # a cookie jar
    ]
    return {"cookies": cookies, "origins": []}


@pytest.fixture(scope="module")
def window(browser: Browser, node: gateway_node.Node) -> Iterator[Window]:
    window = Window(browser, node.url, signed_in(node.signed_in().cookies.jar))
    yield window
    window.close()


def leave(window: Window) -> None:
    """Before the service stops: the page would complain."""
    window.check()
    window.page.goto("about:blank")


def accept(dialog: Dialog) -> None:
    dialog.accept()


def test_the_owner_finds_an_update_and_installs_it_for_the_night(
    publisher: Publisher, updating: update_node.Node, window: Window
) -> None:
    publisher.publish("0.2.0", notes=NOTES)
    page = window.page
    with updating.up():
        page.goto("/updates")
        expect(page.get_by_text("Version 0.1.0")).to_be_visible()
        expect(page.get_by_text("trusts development keys")).to_be_visible()
        page.get_by_role("button", name="Look for updates").click()
        expect(page.get_by_text("Version 0.2.0 can be installed.")).to_be_visible()
        expect(page.locator("#notes")).to_contain_text("Answers begin sooner.")
        window.look("updates-offered")
        page.get_by_label("Install new versions by themselves").uncheck()
        expect(page.get_by_role("status")).to_have_text("Saved.")
        assert updating.ask("status")["paused"]
        page.get_by_role("button", name="Install tonight").click()
        happened = page.get_by_role("list", name="What happened")
        expect(happened).to_contain_text("0.2.0 was written")
        expect(page.locator("#offered")).to_contain_text("between 02:00 and 05:00")
        assert not updating.restart_asked()
        page.once("dialog", accept)
        page.get_by_role("button", name="Restart now").click()
        expect(page.get_by_role("status")).to_have_text("The node restarts.")
        assert updating.restart_asked()
        window.look("updates-pending")
        leave(window)


def test_the_owner_reads_why_a_version_failed(updating: update_node.Node, window: Window) -> None:
    checks = [{"name": "engine", "ok": False, "detail": "wrong numbers"}]
    health = {"ok": False, "version": "0.2.0", "at": "now", "checks": checks}
    (updating.state / "health-failed.json").write_text(json.dumps(health))
    renamed = {"goni_0.2.0_x86-64+3-0.efi": "goni_0.2.0_x86-64+0-3.efi"}
    updating.restarted("0.1.0", renamed)
    page = window.page
    with updating.up():
        page.goto("/updates")
        happened = page.get_by_role("list", name="What happened")
        expect(happened).to_contain_text("engine: wrong numbers")
        slots = page.get_by_role("list", name="Versions on this node")
        expect(slots.get_by_role("listitem").filter(has_text="0.2.0")).to_contain_text("failed")
        expect(page.get_by_role("button", name="Go back to 0.2.0")).to_have_count(0)
        window.look("updates-failed")
        leave(window)


def test_the_owner_goes_back_to_the_version_before(
    publisher: Publisher, updating: update_node.Node, window: Window
) -> None:
    publisher.publish("0.3.0")
    with updating.up():
        updating.ask("apply")
    updating.restarted("0.3.0", {"goni_0.3.0_x86-64+3-0.efi": "goni_0.3.0_x86-64.efi"})
    (updating.state / "restart").unlink(missing_ok=True)
    page = window.page
    with updating.up():
        page.goto("/updates")
        expect(page.get_by_text("Version 0.3.0", exact=True)).to_be_visible()
        page.once("dialog", accept)
        page.get_by_role("button", name="Go back to 0.1.0").click()
        expect(page.get_by_role("status")).to_contain_text("restarts into 0.1.0")
        assert "goni_0.3.0_x86-64+0-0.efi" in updating.ukis()
        assert updating.restart_asked()
        leave(window)


def test_a_service_that_does_not_answer_is_named(window: Window) -> None:
    window.page.goto("/updates")
    expect(window.page.get_by_role("status")).to_contain_text("The update service")
    window.complaints.clear()


def test_only_the_owner_may_touch_updates(
    browser: Browser, node: gateway_node.Node, updating: update_node.Node
) -> None:
    member = node.joined("Grace")
    with updating.up():
        for method, path in (
            ("GET", ""),
            ("GET", "/history"),
            ("POST", "/check"),
            ("POST", "/apply"),
            ("POST", "/restart"),
            ("POST", "/rollback"),
            ("PUT", "/settings"),
        ):
            body = None if method == "GET" else {}
            said = member.request(method, f"/api/updates{path}", json=body)
            assert said.status_code == 403, path
        # An app with the owner's key may look, and change nothing.
        app = node.client(authorization=f"Bearer {node.a_key()}")
        assert app.get("/api/updates").json()["version"] == updating.version
        assert app.post("/api/updates/rollback", json={}).status_code == 401
        owner = node.signed_in()
        said = owner.post("/api/updates/apply", json={"from": str(Path("/run"))})
        assert said.status_code == 400
    window = Window(browser, node.url, signed_in(member.cookies.jar))
    window.page.goto("/updates")
    expect(window.page.get_by_text("The owner of this node looks after")).to_be_visible()
    expect(window.page.get_by_role("link", name="Updates")).to_have_count(0)
    window.check()
    window.close()
