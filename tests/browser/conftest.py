"""The browser that the tests beside this file share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser import window


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium, with no window open yet."""
    expect.set_options(timeout=window.PATIENCE_MS)
    with sync_playwright() as playwright:
        started = window.launched(playwright)
        yield started
        started.close()
