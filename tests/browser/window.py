"""A browser window on a node that takes note of what no page of Goni may do: complain on the
console, break its own content security policy, or ask any other host for anything.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Playwright, Request

from image.clients import AXE_SCRIPT

PROGRAM = Path("/usr/bin/chromium")
WORDS = (
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
SIZES = {"desk": (1280, 800), "phone": (360, 740)}
SCREENSHOTS = Path("out/screenshots")
PATIENCE_MS = 120_000
SERIOUS = ("serious", "critical")
"""What axe-core may not find: https://github.com/dequelabs/axe-core, "impact"."""
TELL_VIOLATIONS = """
document.addEventListener("securitypolicyviolation",
    (event) => goniViolation(`${event.violatedDirective}: ${event.blockedURI}`));
"""


def launched(playwright: Playwright) -> Browser:
    """Debian's Chromium, without a screen and without talking to anybody by itself."""
    if not PROGRAM.exists():
        pytest.fail(f"there is no {PROGRAM}; make clients installs it")
    # Chromium's sandbox refuses to work for root.
    return playwright.chromium.launch(
        executable_path=PROGRAM, args=WORDS, chromium_sandbox=os.geteuid() != 0
    )


class Window:
    """One window on the node at ``origin``; :attr:`complaints` is what went wrong in it."""

    def __init__(
        self,
        browser: Browser,
        origin: str,
        state: Any = None,
        *,
        locale: str = "en-GB",
        zone: str = "",
    ) -> None:
        self.complaints: list[str] = []
        self._origin = origin
        # The certificate is the node's own; a person would compare its fingerprint.
        self._context = browser.new_context(
            base_url=origin,
            ignore_https_errors=True,
            storage_state=state,
            locale=locale,
            timezone_id=zone or None,
            color_scheme="light",
            viewport=_viewport("desk"),
        )
        self._context.set_default_timeout(PATIENCE_MS)
        self._context.expose_function("goniViolation", self._violated)
        self._context.add_init_script(TELL_VIOLATIONS)
        self._context.on("console", self._said)
        self._context.on("weberror", lambda raised: self.complaints.append(str(raised.error)))
        self._context.on("request", self._asked)
        self.page = self._context.new_page()

    def close(self) -> None:
        self._context.close()

    def state(self) -> Any:
        """What signs another window in as the same person."""
        return self._context.storage_state()

    def look(self, name: str) -> None:
        """Keep pictures of the page on a desk and on a phone; it must not need sideways scroll."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        for size in SIZES:
            self.page.set_viewport_size(_viewport(size))
            beyond = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            self.page.screenshot(path=SCREENSHOTS / f"{name}-{size}.png", full_page=True)
            assert beyond <= 0, f"{name} is {beyond} pixels too wide for a {size}"
        self.page.set_viewport_size(_viewport("desk"))

    def look_closely(self, name: str) -> None:
        """As :meth:`look`, and axe-core finds nothing serious, on a desk and on a phone."""
        self.look(name)
        if not AXE_SCRIPT.exists():
            pytest.fail(f"there is no {AXE_SCRIPT}; make clients installs it")
        # Through the debugger, to which the page's content security policy doesn't apply.
        self.page.evaluate(AXE_SCRIPT.read_text("utf-8"))
        for size in SIZES:
            self.page.set_viewport_size(_viewport(size))
            found = self.page.evaluate("axe.run().then((said) => said.violations)")
            serious = [
                f"{one['id']}: {one['help']}: {[node['html'][:200] for node in one['nodes']]}"
                for one in found
                if one["impact"] in SERIOUS
            ]
            assert not serious, f"{name} on a {size}: {serious}"
        self.page.set_viewport_size(_viewport("desk"))

    def check(self, *, refused: Sequence[int] = ()) -> None:
        """Nothing went wrong so far but answers with the statuses in ``refused``, which browsers
        note on the console.
        """
        expected = [f"status of {status} " for status in refused]
        unexpected = []
        for complaint in self.complaints:
            found = next((words for words in expected if words in complaint), None)
            if found is None:
                unexpected.append(complaint)
            else:
                expected.remove(found)
        assert not unexpected, unexpected
        assert not expected, f"the node did not refuse: {expected}"
        self.complaints.clear()

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning", "assert"):
            self.complaints.append(f"console: {message.text}")

    def _violated(self, what: str) -> None:
        self.complaints.append(f"against the content security policy: {what}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((f"{self._origin}/", "data:")):
            self.complaints.append(f"asked elsewhere: {request.url[:200]}")


def _viewport(size: str) -> Any:
    width, height = SIZES[size]
    return {"width": width, "height": height}
