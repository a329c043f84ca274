"""The documents page in a real browser: folders, uploads, search without any chat model, sharing,
and a file that can't be read, on a desk, on a phone and by the keyboard.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FilePayload, Locator, expect

from tests.browser.window import Window
from tests.documents import pdf
from tests.integration import dav_node
from tests.integration.gateway_node import OWNER, Node
from tests.integration.rag_node import Rag, eventually

Pair = tuple[Node, Rag]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with dav_node.running(tmp_path_factory.mktemp("documents")) as pair:
        yield pair


@pytest.fixture(scope="module")
def window(browser: Browser, served: Pair) -> Iterator[Window]:
    window = Window(browser, served[0].url)
    window.page.goto("/sign-in")
    window.page.get_by_label("Name").fill(OWNER["name"])
    window.page.get_by_label("Password").fill(OWNER["password"])
    window.page.get_by_role("button", name="Sign in").click()
    window.page.get_by_role("link", name="Documents").click()
    yield window
    window.close()


def entry(window: Window, name: str) -> Locator:
    listed = window.page.get_by_role("list", name="Documents in this folder")
    return listed.get_by_role("listitem").filter(has_text=name)


def answering(window: Window, words: str = "") -> None:
    """Answer the next question that the page asks."""
    window.page.once("dialog", lambda dialog: dialog.accept(words))


def test_a_folder_is_made_and_filled(window: Window) -> None:
    answering(window, "House")
    window.page.get_by_role("button", name="New folder").click()
    entry(window, "House/").get_by_role("button", name="House/").click()
    expect(window.page.get_by_role("navigation", name="Folder")).to_contain_text("House")
    manual = pdf(["The boiler", "The boiler's pressure should be one and a half bar"])
    window.page.get_by_label("Add documents").set_input_files(
        [
            FilePayload(name="boiler.pdf", mimeType="application/pdf", buffer=manual),
            FilePayload(name="broken.pdf", mimeType="application/pdf", buffer=b"%PDF-1.4\n1"),
            FilePayload(name="bins.txt", mimeType="text/plain", buffer=b"Paper goes on Mondays."),
        ]
    )
    expect(entry(window, "boiler.pdf")).to_contain_text("2 pages · searchable")
    expect(entry(window, "bins.txt")).to_contain_text("searchable")
    expect(entry(window, "broken.pdf")).to_contain_text("Not readable: ")
    unreadable = window.page.get_by_text("1 of your and the shared documents can't be read")
    unreadable.click()
    listed = window.page.get_by_role("list", name="What can't be read")
    expect(listed).to_contain_text("House/broken.pdf")
    window.look("documents-folder")
    unreadable.click()
    window.check()


def test_search_works_without_any_chat_model_and_by_the_keyboard(window: Window) -> None:
    window.page.get_by_role("searchbox").fill("boiler pressure")
    window.page.keyboard.press("Enter")
    first = window.page.get_by_role("list", name="Passages").get_by_role("listitem").first
    expect(first).to_contain_text("House/boiler.pdf")
    expect(first).to_contain_text("page 2")
    expect(first.locator("mark").first).to_have_text("boiler")
    window.look("documents-found")
    window.page.get_by_role("searchbox").fill("zeppelin quartet")
    window.page.keyboard.press("Enter")
    expect(window.page.locator("#found-words")).to_have_text("The documents don't say.")
    window.page.get_by_role("button", name="Back to the folders").click()
    expect(entry(window, "bins.txt")).to_be_visible()
    window.check()


def test_a_document_is_renamed_shared_downloaded_and_deleted(window: Window) -> None:
    answering(window, "rubbish.txt")
    entry(window, "bins.txt").get_by_role("button", name="Rename").click()
    expect(entry(window, "rubbish.txt")).to_contain_text("searchable")
    answering(window)
    entry(window, "rubbish.txt").get_by_role("button", name="Share").click()
    expect(entry(window, "rubbish.txt")).to_have_count(0)
    window.page.get_by_role("button", name="Shared").click()
    expect(entry(window, "rubbish.txt")).to_contain_text("searchable")
    with window.page.expect_download() as download:
        entry(window, "rubbish.txt").get_by_role("link").click()
    assert Path(download.value.path()).read_bytes() == b"Paper goes on Mondays."
    window.look("documents-shared")
    answering(window)
    entry(window, "rubbish.txt").get_by_role("button", name="Delete").click()
    expect(entry(window, "rubbish.txt")).to_have_count(0)
    window.check()


def test_what_comes_by_another_way_shows_by_itself(window: Window, served: Pair) -> None:
    folder = served[1].folders / "shared"
    eventually(folder.is_dir)
    (folder / "from the stick").mkdir()
    hostile = folder / "<img src=x onerror=alert(1)>.txt"
    hostile.write_text("Nothing to see here.")
    os.utime(hostile, (1_700_000_000, 1_700_000_000))
    expect(entry(window, "from the stick/")).to_be_visible()
    expect(entry(window, hostile.name)).to_contain_text("14 Nov 2023 · searchable")
    expect(window.page.locator("main img")).to_have_count(0)
    window.check()


def test_a_name_that_is_taken_is_refused_in_words(window: Window) -> None:
    answering(window, "from the stick")
    window.page.get_by_role("button", name="New folder").click()
    expect(window.page.locator("#status")).to_contain_text("Something has that name already")
    window.check(refused=[409])
