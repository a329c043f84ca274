"""The setup wizard in a real browser, step by step, until the node belongs to somebody."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.window import Window
from tests.integration import firstboot_node
from tests.integration.engine_node import check_built
from tests.integration.firstboot_node import Node

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with firstboot_node.running(tmp_path_factory.mktemp("setup") / "node") as node:
        check_built()
        node.start("goni_engine")
        node.gateway()
        node.wizard()
        firstboot_node.wait_until((node.folder / "run/engine.sock").exists)
        node.pin()
        yield node


@pytest.fixture(scope="module")
def window(browser: Browser, node: Node) -> Iterator[Window]:
    """The one window in which all of it happens."""
    window = Window(browser, node.url)
    yield window
    window.close()


def test_the_first_page_asks_for_the_pin_alone(window: Window) -> None:
    window.page.goto("/")
    expect(window.page.get_by_label("PIN")).to_be_focused()
    window.look("setup-pin")
    window.check()


def test_a_wrong_pin_is_refused_with_the_tries_that_are_left(window: Window, node: Node) -> None:
    pin = f"{(int(node.pin()) + 1) % 1_000_000:06d}"
    window.page.get_by_label("PIN").fill(pin)
    window.page.get_by_role("button").click()
    said = re.compile(r"^That is not the PIN on the screen\. \d tries are left")
    expect(window.page.get_by_role("alert")).to_have_text(said)
    expect(window.page.get_by_label("PIN")).to_be_empty()
    window.look("setup-wrong-pin")
    window.check(refused=[403])


def test_the_right_pin_opens_the_form(window: Window, node: Node) -> None:
    window.page.get_by_label("PIN").fill(node.pin())
    window.page.keyboard.press("Enter")
    window.page.wait_for_url("**/setup")
    expect(window.page.get_by_label("Your name")).to_be_focused()
    fill(window, PASSWORD, PASSWORD)
    window.look("setup-form")
    window.check()


def test_two_different_passwords_are_sent_back_with_the_reason(window: Window) -> None:
    fill(window, PASSWORD, "correct house battery")
    window.page.get_by_role("button").click()
    again = window.page.locator("#password_again")
    expect(again).to_have_attribute("aria-invalid", "true")
    expect(again).to_have_value("")
    window.look("setup-fault")
    window.check(refused=[400])


def test_the_node_is_named_and_gets_its_owner(window: Window) -> None:
    fill(window, PASSWORD, PASSWORD)
    window.page.get_by_role("button").click()
    expect(window.page.get_by_role("heading", level=1)).to_have_text("kitchen is yours")
    window.look("setup-done")
    window.check()


def test_the_last_page_leads_to_the_sign_in_of_the_gateway(window: Window) -> None:
    window.page.locator("a.button").click()
    window.page.wait_for_url("**/sign-in")
    expect(window.page.get_by_role("heading", level=1)).to_have_text("kitchen")
    window.page.get_by_label("Name").fill("Ada")
    window.page.get_by_label("Password").fill(PASSWORD)
    window.page.get_by_role("button", name="Sign in").click()
    expect(window.page.locator(".who")).to_have_text("Ada")
    window.check()


def fill(window: Window, password: str, again: str) -> None:
    for field, words in (
        ("node_name", "kitchen"),
        ("owner_name", "Ada"),
        ("password", password),
        ("password_again", again),
    ):
        window.page.locator(f"#{field}").fill(words)
