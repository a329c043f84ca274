"""The setup wizard in a real browser, step by step, until the node belongs to somebody: with a
mouse in English, and with nothing but the keyboard in German.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests import disk_service
from tests.browser.window import Window
from tests.disk_service import Disk
from tests.integration import firstboot_node
from tests.integration.engine_node import check_built
from tests.integration.firstboot_node import Node
from tests.models import write_tiny_chat_model

PASSWORD = "correct horse battery"


@dataclass
class Setup:
    """A node that waits to be set up, and the service of its disk."""

    node: Node
    disk: Disk


def waiting(folder: Path, stack: ExitStack) -> Setup:
    check_built()
    node = stack.enter_context(firstboot_node.running(folder))
    disk = stack.enter_context(disk_service.running(folder / "run/install.sock"))
    node.start("goni_engine")
    node.gateway()
    node.wizard()
    firstboot_node.wait_until((node.folder / "run/engine.sock").exists, 120)
    node.pin()
    return Setup(node, disk)


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    with ExitStack() as stack:
        yield waiting(tmp_path_factory.mktemp("setup") / "node", stack)


@pytest.fixture(scope="module")
def window(browser: Browser, setup: Setup) -> Iterator[Window]:
    """The one window in which all of it happens."""
    window = Window(browser, setup.node.url, zone="Europe/Vienna")
    yield window
    window.close()


def go_on(window: Window, name: str = "Continue") -> None:
    window.page.get_by_role("button", name=name, exact=True).click()


def heading(window: Window) -> Locator:
    return window.page.get_by_role("heading", level=1)


def test_the_first_page_asks_for_the_pin_alone(window: Window) -> None:
    window.page.goto("/")
    expect(window.page.get_by_label("PIN")).to_be_focused()
    window.look_closely("setup-pin")
    window.check()


def test_a_wrong_pin_is_refused_with_the_tries_that_are_left(window: Window, setup: Setup) -> None:
    pin = f"{(int(setup.node.pin()) + 1) % 1_000_000:06d}"
    window.page.get_by_label("PIN").fill(pin)
    window.page.get_by_role("button").click()
    said = re.compile(r"^That is not the PIN on the screen\. \d tries are left")
    expect(window.page.get_by_role("alert")).to_have_text(said)
    expect(window.page.get_by_label("PIN")).to_be_empty()
    window.look_closely("setup-wrong-pin")
    window.check(refused=[403])


def test_the_browsers_language_and_time_zone_are_found(window: Window, setup: Setup) -> None:
    window.page.get_by_label("PIN").fill(setup.node.pin())
    window.page.keyboard.press("Enter")
    window.page.wait_for_url("**/setup/language")
    expect(window.page.get_by_label("English")).to_be_checked()
    expect(window.page.get_by_label("Time zone")).to_have_value("Europe/Vienna")
    window.look_closely("setup-language")
    go_on(window)
    expect(heading(window)).to_have_text("Name this node")
    window.check()


def test_a_name_that_can_not_be_is_sent_back_with_the_reason(window: Window) -> None:
    window.page.get_by_label("Name").fill("my kitchen")
    go_on(window)
    expect(window.page.get_by_label("Name")).to_have_attribute("aria-invalid", "true")
    expect(window.page.get_by_label("Name")).to_have_value("my kitchen")
    window.look_closely("setup-fault")
    window.page.get_by_label("Name").fill("kitchen")
    window.look_closely("setup-name")
    go_on(window)
    window.check(refused=[400])


def test_the_network_step_says_what_is_there(window: Window) -> None:
    expect(heading(window)).to_have_text("Network")
    window.look_closely("setup-network")
    go_on(window)
    window.check()


def test_a_household_can_be_joined_begun_or_left_for_later(window: Window) -> None:
    expect(heading(window)).to_have_text("New household, or one that is there?")
    window.look_closely("setup-household")
    go_on(window, "Join a household that is there")
    expect(window.page.get_by_label("Address of that node")).to_be_visible()
    window.look_closely("setup-household-join")
    go_on(window, "Rather begin a new one")
    expect(window.page.get_by_label("Name of the new household")).to_have_value("Our home")
    go_on(window, "Later")
    window.check()


def test_the_owner_is_named_and_a_way_back_keeps_the_password(window: Window) -> None:
    window.page.get_by_label("Your name").fill("Ada")
    window.page.get_by_label("Password", exact=True).fill(PASSWORD)
    window.page.get_by_label("Password, again").fill(PASSWORD)
    window.look_closely("setup-owner")
    go_on(window)
    expect(heading(window)).to_have_text("A model to talk to")
    window.page.get_by_role("link", name="Back").click()
    expect(window.page.get_by_label("Your name")).to_have_value("Ada")
    expect(window.page.get_by_label("Password", exact=True)).to_be_empty()
    go_on(window)
    expect(heading(window)).to_have_text("A model to talk to")
    window.check()


def test_a_model_comes_from_this_browser(window: Window, tmp_path: Path) -> None:
    window.look_closely("setup-model")
    model = write_tiny_chat_model(tmp_path / "tiny.gguf")
    window.page.get_by_label("A model from this device").set_input_files(model)
    go_on(window, "Bring it")
    expect(window.page.get_by_text("Here already: tiny")).to_be_visible()
    window.look_closely("setup-model-here")
    go_on(window)
    window.check()


def test_the_recovery_key_is_shown_until_it_is_confirmed(window: Window, setup: Setup) -> None:
    window.look_closely("setup-recovery")
    go_on(window, "Show the key")
    last = window.page.get_by_label("The last group of letters")
    expect(last).to_be_visible()
    (key,) = setup.disk.keys
    window.page.reload()  # asks to send the form again; the key is not made twice
    for group in key.split("-"):
        expect(window.page.get_by_text(group, exact=True)).to_be_visible()
    assert setup.disk.keys == [key]
    window.look_closely("setup-recovery-key")
    window.page.emulate_media(media="print")
    window.look("setup-recovery-sheet")
    window.page.emulate_media(media="screen")
    last.fill("cbcbcbcb")
    go_on(window)
    expect(window.page.get_by_text("That is not the key's last group.")).to_be_visible()
    last.fill(key[-8:])
    go_on(window)
    expect(heading(window)).to_have_text("Is this right?")
    window.page.goto("/setup/recovery")
    expect(window.page.get_by_text("You have written the key down.")).to_be_visible()
    expect(window.page.get_by_text(key[:8])).to_have_count(0)
    go_on(window)
    window.check(refused=[400])


def test_the_summary_finishes_and_leads_to_the_sign_in_of_the_gateway(window: Window) -> None:
    expect(window.page.get_by_text("written down")).to_be_visible()
    window.look_closely("setup-summary")
    go_on(window, "Finish")
    expect(heading(window)).to_have_text("kitchen is yours")
    window.look_closely("setup-done")
    window.page.get_by_role("link", name="Sign in").click()
    window.page.wait_for_url("**/sign-in")
    expect(heading(window)).to_have_text("kitchen")
    window.page.get_by_label("Name").fill("Ada")
    window.page.get_by_label("Password").fill(PASSWORD)
    window.page.get_by_role("button", name="Sign in").click()
    expect(window.page.locator(".who")).to_have_text("Ada")
    window.check()


def test_the_keyboard_alone_sets_a_node_up_in_german(browser: Browser, tmp_path: Path) -> None:
    with ExitStack() as stack:
        setup = waiting(tmp_path / "node", stack)
        window = Window(browser, setup.node.url, locale="de-DE", zone="Europe/Berlin")
        stack.callback(window.close)
        page, keys = window.page, window.page.keyboard
        page.goto("/")
        # The page is loaded a moment before its field has the focus.
        expect(page.locator("[autofocus]")).to_be_focused()
        keys.type(setup.node.pin())
        keys.press("Enter")
        for title, typed in (
            ("Sprache und Zeit", ()),
            ("Name des Knotens", ("Control+a", "*kueche")),
            ("Netzwerk", ()),
            ("Neuer Haushalt oder ein vorhandener?", ("Später",)),
            ("Ihr Konto", ("*Ada", "Tab", f"*{PASSWORD}", "Tab", f"*{PASSWORD}")),
            ("Ein Modell zum Reden", ("Später wählen",)),
            ("Wiederherstellungsschlüssel", ("Später",)),
            ("Stimmt das so?", ("Fertigstellen",)),
        ):
            expect(heading(window)).to_have_text(title)
            window.look_closely(f"setup-de-{title.split()[0].lower().rstrip('?')}")
            if page.locator("[autofocus]").count():
                expect(page.locator("[autofocus]")).to_be_focused()
            press(window, typed)
        expect(heading(window)).to_have_text("kueche gehört Ihnen")
        window.check()


def press(window: Window, typed: tuple[str, ...]) -> None:
    """Type words (after a ``*``), press keys, or walk to a button by its name; then send the
    form.
    """
    keys = window.page.keyboard
    wanted = next((one for one in typed if (one[0] != "*" and " " in one) or one in BUTTONS), "")
    for one in typed if not wanted else ():
        keys.type(one[1:]) if one[0] == "*" else keys.press(one)
    if wanted or not typed:
        walk_to(window, wanted or "Weiter")
    keys.press("Enter")


BUTTONS = ("Später", "Fertigstellen")


def walk_to(window: Window, name: str) -> None:
    """Tab until the button called ``name`` has the focus."""
    button = window.page.get_by_role("button", name=name, exact=True)
    for _ in range(40):
        window.page.keyboard.press("Tab")
        if button.evaluate("(one) => one === document.activeElement"):
            return
    pytest.fail(f"the keyboard does not reach {name}")
