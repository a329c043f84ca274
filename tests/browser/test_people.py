"""People in a real browser: the owner invites, the link opens, somebody new comes in and goes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Dialog, expect

from tests.browser.window import Window
from tests.integration import household as households
from tests.integration.gateway_node import OWNER
from tests.integration.household import Household


@pytest.fixture(scope="module")
def household(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    with households.running(tmp_path_factory.mktemp("people")) as household:
        yield household


def test_somebody_is_invited_comes_in_and_is_removed(
    browser: Browser, household: Household
) -> None:
    owner, guest = Window(browser, household.node.url), Window(browser, household.node.url)
    owner.page.goto("/sign-in")
    owner.page.get_by_label("Name").fill(OWNER["name"])
    owner.page.get_by_label("Password").fill(OWNER["password"])
    owner.page.get_by_role("button", name="Sign in").click()
    owner.page.get_by_role("link", name="People").click()
    owner.page.get_by_label("Invite somebody").fill("Grace")
    owner.page.get_by_role("button", name="Invite", exact=True).click()
    link = owner.page.locator("#link")
    expect(link).to_contain_text("/join#")
    owner.look("people-invited")

    guest.page.goto(link.inner_text())
    expect(guest.page.get_by_role("status")).to_contain_text("Welcome, Grace")
    assert "#" not in guest.page.url
    guest.look("join")
    guest.page.get_by_label("Password").fill("graces own password")
    guest.page.get_by_role("button", name="Come in").click()
    expect(guest.page.locator(".who")).to_have_text("Grace")
    guest.page.get_by_role("link", name="People").click()
    expect(guest.page.get_by_role("list", name="Sign-ins as you")).to_contain_text("127.0.0.1")
    expect(guest.page.get_by_role("list", name="People of this household")).to_have_count(0)
    guest.look("people-member")
    guest.check()

    def confirm(dialog: Dialog) -> None:
        dialog.accept("Grace")

    owner.page.reload()
    owner.page.once("dialog", confirm)
    owner.page.get_by_role("button", name="Remove: Grace").click()
    expect(owner.page.get_by_role("status")).to_have_text("Grace is removed.")
    listed = owner.page.get_by_role("list", name="People of this household")
    expect(listed).not_to_contain_text("Grace")
    owner.look("people")
    owner.check()
    guest.page.goto("/")
    expect(guest.page).to_have_url(f"{household.node.url}/sign-in")
    owner.close()
    guest.close()


def test_the_owner_opens_and_closes_an_address(browser: Browser, household: Household) -> None:
    window = Window(browser, household.node.url)
    window.page.goto("/sign-in")
    window.page.get_by_label("Name").fill(OWNER["name"])
    window.page.get_by_label("Password").fill(OWNER["password"])
    window.page.get_by_role("button", name="Sign in").click()
    window.page.get_by_role("link", name="Keys").click()
    window.page.get_by_label("Address of the app").fill("https://app.example")
    window.page.get_by_role("button", name="Open", exact=True).click()
    listed = window.page.get_by_role("list", name="Open addresses")
    expect(listed).to_contain_text("https://app.example")
    window.look("keys-origins")
    window.page.get_by_role("button", name="Close: https://app.example").click()
    expect(listed.get_by_role("listitem")).to_have_count(0)
    window.check()
    window.close()
