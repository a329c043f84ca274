"""docs/updates.md names a test for each fault, and docs/release.md commands that exist."""

from __future__ import annotations

import re
from pathlib import Path

from image.release.__main__ import COMMANDS
from image.release.repository import DAYS


def test_every_fault_has_its_test() -> None:
    rows = [
        line for line in Path("docs/updates.md").read_text().splitlines() if line.startswith("| ")
    ][1:]
    named = [re.search(r"`(tests/\S+\.py)::(test_\w+)` \|$", row) for row in rows]
    assert len(rows) > 20
    for row, found in zip(rows, named, strict=True):
        assert found, row
        assert f"def {found[2]}(" in Path(found[1]).read_text(), row


def test_the_drill_names_every_command_and_its_times() -> None:
    text = Path("docs/release.md").read_text()
    for command in set(COMMANDS) - {"publish"}:
        assert f"image.release {command}" in text, command
    for role, days in DAYS.items():
        assert f"{days} days" in text, role
