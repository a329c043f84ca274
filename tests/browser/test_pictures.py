"""Pictures in the chat page, in a real browser, read by a real engine with a tiny projector; and a
model that says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, FilePayload, expect

from goni_engine.pictures import size_of
from tests.browser.window import Window
from tests.integration import household as households
from tests.integration.gateway_node import OWNER
from tests.integration.household import Household
from tests.models import RECITED, write_reciting_model, write_silent_model
from tests.projector import png, write_tiny_projector

MODELS = {
    "blind": write_reciting_model,
    "seeing": write_reciting_model,
    "seeing.mmproj": write_tiny_projector,
    "silent": write_silent_model,
}
PASTE = """
async (bytes) => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(bytes)], "pasted.png", { type: "image/png" }));
    const event = new ClipboardEvent("paste", { clipboardData: data, bubbles: true });
    document.getElementById("question").dispatchEvent(event);
}
"""


@pytest.fixture(scope="module")
def household(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    with households.running(tmp_path_factory.mktemp("pictures"), MODELS) as household:
        yield household


@pytest.fixture(scope="module")
def window(browser: Browser, household: Household) -> Iterator[Window]:
    window = Window(browser, household.node.url)
    window.page.goto("/sign-in")
    window.page.get_by_label("Name").fill(OWNER["name"])
    window.page.get_by_label("Password").fill(OWNER["password"])
    window.page.get_by_role("button", name="Sign in").click()
    expect(window.page.get_by_role("button", name="Ask")).to_be_enabled()
    yield window
    window.close()


def payload(name: str, content: bytes, kind: str = "image/png") -> FilePayload:
    return {"name": name, "mimeType": kind, "buffer": content}


def test_the_button_is_there_for_models_that_read_pictures_only(window: Window) -> None:
    button = window.page.get_by_role("button", name="Add pictures")
    window.page.get_by_label("Model").select_option("blind")
    expect(button).to_be_hidden()
    window.page.get_by_label("Model").select_option("seeing")
    expect(button).to_be_visible()
    assert window.page.locator("#picture-files").get_attribute("accept") == "image/*"
    window.check()


def test_pictures_are_chosen_pasted_previewed_and_taken_back(window: Window) -> None:
    with window.page.expect_file_chooser() as chooser:
        window.page.get_by_role("button", name="Add pictures").click()
    chooser.value.set_files([payload("a.png", png(1)), payload("wide.png", png(2, 3000, 40))])
    held = window.page.get_by_role("list", name="Pictures to ask about").get_by_role("listitem")
    expect(held).to_have_count(2)
    window.page.evaluate(PASTE, list(png(3)))
    expect(held).to_have_count(3)
    window.look("chat-pictures-held")
    window.page.get_by_role("button", name="Remove picture 3").click()
    expect(held).to_have_count(2)
    window.check()


def test_a_file_that_is_no_picture_is_said_to_be_none(window: Window) -> None:
    window.page.locator("#picture-files").set_input_files([payload("odd.png", b"no picture")])
    expect(window.page.get_by_role("status")).to_contain_text("odd.png is no picture")
    window.check()


def test_a_question_with_pictures_is_answered_and_there_after_a_reload(
    window: Window, household: Household
) -> None:
    window.page.get_by_label("Your question").fill("What is on these?")
    window.page.get_by_role("button", name="Ask").click()
    answer = window.page.get_by_role("article", name="Answer")
    expect(answer).to_have_attribute("aria-busy", "false")
    expect(answer.locator(".text")).to_have_text(RECITED)
    expect(window.page.get_by_role("list", name="Pictures to ask about")).to_be_hidden()
    window.page.reload()
    shown = window.page.locator(".question img")
    expect(shown).to_have_count(2)
    for place, width in enumerate((32, 2048)):
        expect(shown.nth(place)).to_have_js_property("naturalWidth", width)
    window.look("chat-pictures")
    client = household.node.signed_in()
    chat = window.page.url.partition("#")[2]
    question = client.get(f"/api/chats/{chat}").json()["messages"][0]
    kept = [client.get(f"/api/chats/{chat}/pictures/{one}").content for one in question["pictures"]]
    # Made small, and into JPEG, which says nothing of where it was taken.
    assert [size_of(picture) for picture in kept] == [(32, 32), (2048, 27)]
    assert all(picture.startswith(b"\xff\xd8") and b"Exif" not in picture for picture in kept)
    window.check()


def test_a_model_that_reads_none_refuses_and_the_question_is_not_lost(window: Window) -> None:
    window.page.get_by_role("button", name="New chat").click()
    window.page.get_by_label("Model").select_option("seeing")
    window.page.locator("#picture-files").set_input_files([payload("a.png", png(1))])
    held = window.page.get_by_role("list", name="Pictures to ask about").get_by_role("listitem")
    expect(held).to_have_count(1)
    window.page.get_by_label("Model").select_option("blind")
    window.page.get_by_label("Your question").fill("And this?")
    window.page.get_by_role("button", name="Ask").click()
    expect(window.page.get_by_role("status")).to_contain_text("does not read pictures")
    expect(held).to_have_count(1)
    expect(window.page.get_by_label("Your question")).to_have_value("And this?")
    window.page.get_by_role("button", name="Remove picture 1").click()
    window.check(refused=[400])


def test_an_answer_without_a_word_says_so(window: Window) -> None:
    window.page.get_by_label("Model").select_option("silent")
    window.page.get_by_label("Use my documents").uncheck()
    window.page.get_by_label("Your question").fill("Are you there?")
    window.page.get_by_role("button", name="Ask").click()
    note = window.page.locator(".answer[aria-busy=false] .note")
    expect(note).to_contain_text("ended without saying anything")
    window.page.reload()
    note = window.page.locator(".answer .note")
    expect(note).to_contain_text("ended without saying anything")
    window.look("chat-silent")
    window.check()
