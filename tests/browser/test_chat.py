"""The plain pages in a real browser, in the order of an owner's first evening: sign in, bring a
model and documents, ask, make a key. Every service is real; only the chat models are tiny ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FilePayload, expect

from tests.browser.window import Window
from tests.documents import PLANTED
from tests.integration import household as households
from tests.integration.gateway_node import OWNER
from tests.integration.household import Household
from tests.models import RECITED, write_reciting_model

KEY, _, BOILER = PLANTED
HOSTILE = "<img src=x onerror=alert(1)>.txt"


@pytest.fixture(scope="module")
def household(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    with households.running(tmp_path_factory.mktemp("chat")) as household:
        yield household


@pytest.fixture(scope="module")
def window(browser: Browser, household: Household) -> Iterator[Window]:
    """The owner's window, in which all of it happens."""
    window = Window(browser, household.node.url)
    yield window
    window.close()


def test_whoever_is_not_signed_in_gets_the_sign_in_page(window: Window) -> None:
    for path in ("/", "/documents", "/models", "/keys"):
        window.page.goto(path)
        assert window.page.url.endswith("/sign-in")
    window.look("sign-in")
    window.check()


def test_a_wrong_password_is_refused_in_words(window: Window) -> None:
    sign_in(window, "wrong horse")
    expect(window.page.get_by_role("alert")).not_to_be_empty()
    window.check(refused=[401])


def test_the_owner_signs_in_and_is_told_that_a_model_is_missing(window: Window) -> None:
    sign_in(window, OWNER["password"])
    expect(window.page.locator(".who")).to_have_text(OWNER["name"])
    expect(window.page.get_by_role("status")).to_contain_text("no chat model yet")
    expect(window.page.get_by_role("button", name="Ask")).to_be_disabled()
    window.look("chat-without-model")
    window.check()


def test_models_are_brought_through_the_pages_file_input(window: Window, tmp_path: Path) -> None:
    window.page.get_by_role("link", name="Models").click()
    listed = window.page.get_by_role("list", name="Models on this node")
    for name in ("reciting", "endless"):
        model = write_reciting_model(tmp_path / f"{name}.gguf", endless=name == "endless")
        window.page.get_by_label("Add a model").set_input_files(model)
        expect(window.page.get_by_role("status")).to_have_text(f"{name}.gguf is here.")
        expect(listed.get_by_role("listitem").filter(has_text=name)).to_contain_text("answers")
    window.look("models")
    window.check()


def test_what_is_no_model_is_refused_with_the_reason(window: Window, tmp_path: Path) -> None:
    fake = tmp_path / "fake.gguf"
    fake.write_bytes(b"PK\x03\x04" * 64)
    window.page.get_by_label("Add a model").set_input_files(fake)
    transfers = window.page.get_by_role("list", name="Uploads")
    expect(transfers.locator(".bad")).not_to_be_empty()
    window.look("models-refused")
    transfers.get_by_role("button", name="Dismiss").click()
    expect(transfers.get_by_role("listitem")).to_have_count(0)
    window.check(refused=[400])


def test_documents_are_brought_and_become_searchable(window: Window) -> None:
    window.page.get_by_role("link", name="Documents").click()
    files = [payload(document.name, document.content) for document in PLANTED]
    window.page.get_by_label("Add documents").set_input_files(files)
    for document in PLANTED:
        row = window.page.get_by_role("listitem").filter(has_text=document.name)
        expect(row).to_contain_text("searchable")
    window.look("documents")
    window.check()


def test_a_hostile_file_name_stays_text(window: Window) -> None:
    hostile = payload(HOSTILE, b"Nothing to see here.")
    window.page.get_by_label("Add documents").set_input_files(hostile)
    row = window.page.get_by_role("listitem").filter(has_text=HOSTILE)
    expect(row).to_contain_text("searchable")
    expect(window.page.locator("main img")).to_have_count(0)
    window.page.once("dialog", lambda dialog: dialog.accept())
    row.get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)
    window.check()


def test_an_answer_names_its_source_with_page_and_passage(window: Window) -> None:
    window.page.get_by_role("link", name="Chat").click()
    window.page.get_by_label("Model").select_option("reciting")
    window.page.get_by_label("Your question").fill(BOILER.question)
    window.page.keyboard.press("Enter")
    answer = window.page.get_by_role("article", name="Answer")
    expect(answer).to_have_attribute("aria-busy", "false")
    expect(answer.locator(".text")).to_have_text(RECITED)
    source = answer.locator("summary").first
    expect(source).to_have_text(f"[1] {BOILER.name}, page {BOILER.page}")
    source.click()
    expect(answer.locator("blockquote").first).to_contain_text(BOILER.sentence)
    window.look("chat")
    window.check()


def test_the_chat_is_there_after_a_reload(window: Window) -> None:
    assert re.search(r"/#[0-9a-f]+$", window.page.url)
    window.page.reload()
    expect(window.page.locator(".question")).to_contain_text(BOILER.question)
    expect(window.page.locator(".answer .text")).to_have_text(RECITED)
    expect(window.page.locator(".answer summary").first).to_contain_text(BOILER.name)
    chats = window.page.get_by_role("complementary", name="Your chats")
    expect(chats.get_by_role("listitem")).to_have_count(1)
    window.check()


def test_an_answer_grows_as_it_is_made_and_can_be_stopped(window: Window) -> None:
    window.page.get_by_role("button", name="New chat").click()
    window.page.get_by_label("Model").select_option("endless")
    window.page.get_by_label("Use my documents").uncheck()
    window.page.get_by_label("Your question").fill(KEY.question)
    window.page.get_by_role("button", name="Ask").click()
    answer = window.page.get_by_role("article", name="Answer")
    text = answer.locator(".text")
    expect(text).not_to_be_empty()
    begun = text.text_content() or ""
    expect(text).not_to_have_text(begun)
    expect(answer).to_have_attribute("aria-busy", "true")
    window.page.get_by_role("button", name="Stop").click()
    expect(answer).to_have_attribute("aria-busy", "false")
    assert (text.text_content() or "").startswith(begun)
    expect(answer.locator(".note")).to_have_text("Stopped before the end.")
    expect(answer.locator("summary")).to_have_count(0)
    window.check()


def test_a_key_is_shown_once_and_works(window: Window, household: Household) -> None:
    window.page.get_by_role("link", name="Keys").click()
    expect(window.page.locator("#made")).to_be_hidden()
    window.page.get_by_label("What is the key for?").fill("Notes app")
    window.page.get_by_role("button", name="Make a key").click()
    expect(window.page.locator("#secret")).to_contain_text("goni-")
    key = window.page.locator("#secret").text_content() or ""
    window.look("keys")
    listed = household.node.client(authorization=f"Bearer {key}").get("/v1/models").json()
    assert "reciting" in [model["id"] for model in listed["data"]]
    window.page.reload()
    expect(window.page.get_by_role("listitem").filter(has_text="Notes app")).to_be_visible()
    assert key not in window.page.content()
    expect(window.page.locator("#made")).to_be_hidden()
    window.check()


def test_a_second_window_of_the_same_browser_is_signed_in(
    browser: Browser, window: Window, household: Household
) -> None:
    second = Window(browser, household.node.url, window.state())
    second.page.goto("/documents")
    expect(second.page.get_by_role("listitem").filter(has_text=KEY.name)).to_be_visible()
    second.check()
    second.close()


def test_after_signing_out_every_page_is_closed(window: Window) -> None:
    window.page.get_by_role("button", name="Sign out").click()
    window.page.wait_for_url("**/sign-in")
    window.page.goto("/documents")
    assert window.page.url.endswith("/sign-in")
    window.check()


def payload(name: str, content: bytes) -> FilePayload:
    return {"name": name, "mimeType": "application/octet-stream", "buffer": content}


def sign_in(window: Window, password: str) -> None:
    window.page.get_by_label("Name").fill(OWNER["name"])
    window.page.get_by_label("Password").fill(password)
    window.page.get_by_role("button", name="Sign in").click()
