"""The nodes of a household in a real browser, with two real nodes: one is let in by its PIN and
removed again; a member only looks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.window import Window
from tests.integration import mesh_node, whole_nodes
from tests.integration.gateway_node import MEMBER_PASSWORD, OWNER
from tests.integration.mesh_node import eventually
from tests.integration.whole_nodes import Whole

PASSWORD = OWNER["password"]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Whole]]:
    with whole_nodes.running(tmp_path_factory.mktemp("nodes")) as made:
        whole_nodes.found(made[0])
        yield made


def sign_in(window: Window, name: str, password: str) -> None:
    window.page.goto("/sign-in")
    window.page.get_by_label("Name").fill(name)
    window.page.get_by_label("Password").fill(password)
    window.page.get_by_role("button", name="Sign in").click()
    window.page.get_by_role("link", name="Nodes").click()
    expect(window.page.get_by_role("heading", level=1)).to_have_text("Nodes")
    # The chat's page, which comes first, missed the engine: no part of this test.
    window.complaints.clear()


def test_a_node_is_added_by_its_pin_and_removed(browser: Browser, two: list[Whole]) -> None:
    first, second = two
    first.gateway.joined("Grace")
    window = Window(browser, first.gateway.url)
    page = window.page
    sign_in(window, OWNER["name"], PASSWORD)
    listed = page.get_by_role("list", name="Nodes of this household")
    expect(listed).to_contain_text("kitchen")
    expect(listed).to_contain_text("this node")

    pin = second.mesh.ask("POST", "/offer", status=201)["pin"]
    eventually(lambda: mesh_node.reachable("127.0.0.1", second.mesh.pairing))
    add = page.locator("#add")
    add.get_by_label("Its address").fill(f"127.0.0.1:{second.mesh.pairing}")
    add.get_by_label("PIN on its screen").fill(f"{pin[:3]} {pin[3:]}")
    add.get_by_label("What to call it").fill("attic")
    add.get_by_label("The household's password").fill("not the word")
    add.get_by_role("button", name="Add").click()
    expect(add.get_by_role("alert")).to_contain_text("not the owner's password")
    window.look("nodes-add")
    add.get_by_label("The household's password").fill(PASSWORD)
    add.get_by_role("button", name="Add").click()
    expect(page.get_by_role("status")).to_have_text("attic has joined.")
    words = second.mesh.ask("GET", "/status")["words"]
    expect(page.locator("#words")).to_have_text(words)
    expect(listed).to_contain_text("attic")
    eventually(lambda: first.mesh.sees(second.mesh))
    window.look("nodes-joined")

    member = Window(browser, first.gateway.url)
    sign_in(member, "Grace", MEMBER_PASSWORD)
    expect(member.page.get_by_role("list", name="Nodes of this household")).to_contain_text("attic")
    expect(member.page.get_by_role("button", name="Remove: attic")).to_have_count(0)
    expect(member.page.locator("form")).to_have_count(0)
    member.look("nodes-member")
    member.check()
    member.close()

    page.get_by_role("button", name="Remove: attic").click()
    dialog = page.get_by_role("dialog", name="Remove attic?")
    window.look("nodes-remove")
    dialog.get_by_role("button", name="Keep it").click()
    expect(listed).to_contain_text("attic")
    page.get_by_role("button", name="Remove: attic").click()
    dialog.get_by_label("The household's password").fill(PASSWORD)
    dialog.get_by_role("button", name="Remove for good").click()
    expect(page.get_by_role("status")).to_have_text("attic is removed.")
    expect(listed).not_to_contain_text("attic")
    window.check(refused=[403])
    window.close()
    eventually(lambda: not second.mesh.sees(first.mesh))


def test_a_code_is_made_and_taken_back(browser: Browser, two: list[Whole]) -> None:
    first = two[0]
    window = Window(browser, first.gateway.url)
    page = window.page
    sign_in(window, OWNER["name"], PASSWORD)
    page.get_by_text("The other way round").click()
    form = page.locator("#invite")
    form.get_by_label("What to call it").fill("cellar")
    form.get_by_label("The household's password").fill(PASSWORD)
    form.get_by_role("button", name="Make a code").click()
    expect(page.locator("#code-shown")).to_have_text(re.compile(r"^\d{3} \d{3}$"))
    window.look("nodes-code")
    page.get_by_role("button", name="Withdraw it").click()
    expect(page.locator("#code")).to_be_hidden()
    assert not first.mesh.ask("GET", "/status")["inviting"]
    window.check()
    window.close()
