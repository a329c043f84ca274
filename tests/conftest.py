"""What holds for every test: no traffic but to this machine, no model loaded but for the test.

A fuzzed route may ask for a download; unless a test serves a hub of its own, nobody answers.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest

os.environ.setdefault("GONI_HUB", "https://127.0.0.1:9")
os.environ.setdefault("GONI_QUIET_S", "3600")


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """A command that a test calls in this process sends the log to the test's own standard error,
    which is closed after it.
    """
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before[0], before[1]
