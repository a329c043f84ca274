"""The setup, step by step as a person's browser posts it, for any client that posts forms: against
the wizard's own process (httpx) and against a virtual machine (requests).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

OWNER, PASSWORD, NODE_NAME = "Ada", "correct horse battery", "kitchen"
STEPS: tuple[tuple[str, Mapping[str, str]], ...] = (
    ("language", {"language": "en", "time_zone": "Europe/Berlin"}),
    ("name", {"node_name": NODE_NAME}),
    ("network", {"action": "skip"}),
    ("household", {"action": "skip"}),
    ("owner", {"owner_name": OWNER, "password": PASSWORD, "password_again": PASSWORD}),
    ("model", {"action": "skip"}),
    ("recovery", {"action": "skip"}),
)
"""Each step and what is typed there; the summary's button sets the node up."""

Post = Callable[[str, Mapping[str, str]], Any]
"""Posts a form to a path, and gives back the answer (its redirection followed or not)."""


def type_pin(post: Post, pin: str) -> None:
    said = post("/", {"pin": pin})
    assert said.status_code in (200, 303), said.text


def answer(post: Post, *names: str) -> None:
    """Answer the steps called ``names``, or all but the last."""
    for name, typed in STEPS:
        if not names or name in names:
            said = post(f"/setup/{name}", typed)
            assert said.status_code in (200, 303), f"{name}: {said.text}"


def finish(post: Post) -> Any:
    """The summary's button; the last page."""
    said = post("/setup/summary", {})
    assert said.status_code == 200, said.text
    assert f"{NODE_NAME} is yours" in said.text
    return said


def walk(post: Post, pin: str) -> Any:
    """All of it: the last page."""
    type_pin(post, pin)
    answer(post)
    return finish(post)
