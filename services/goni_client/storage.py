"""Disks: their health as they report it themselves (SMART), and the room that is left.

smartctl's JSON (smartmontools' ``--json``); exit status bits 0 and 1 mean that the disk could not
be asked, the others come with an answer (smartctl(8), "EXIT STATUS"). NVMe fields are those of the
SMART / Health Information log (NVMe Base Specification, section 5.16.1.3). Serial numbers stay out.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from goni_client.findings import Finding, State, bad, good, unknown, warning
from goni_core.run import run

AREA = "disk"
VIRTUAL = ("loop", "zram", "dm-", "ram", "sr", "md", "fd")
WORN = 90
"""Percent of the life that the maker promises, from which a disk should be replaced."""
FULL, FILLING = 0.03, 0.10
"""Parts of the data partition that are free."""


def look(blocks: Path = Path("/sys/block"), data: Path = Path("/var")) -> Iterator[Finding]:
    """Every disk, then the room for data."""
    names = sorted(path.name for path in blocks.iterdir() if not path.name.startswith(VIRTUAL))
    if not names:
        yield unknown(AREA, "no disk is visible")
    for name in names:
        done = run(["smartctl", "--json", "--all", f"/dev/{name}"], timeout=60, check=False)
        yield judged(name, done.stdout, asked=not done.returncode & 3)
    usage = shutil.disk_usage(data)
    yield room(usage.free, usage.total)


def judged(name: str, answer: bytes, *, asked: bool = True) -> Finding:
    """What smartctl said of the disk called ``name``."""
    said = json.loads(answer or b"{}")
    status = said.get("smart_status", {}).get("passed")
    if not asked or status is None:
        return unknown(AREA, f"{name} does not report its health")
    facts = said.get("nvme_smart_health_information_log") or _ata(said)
    words = f"{name} {_words(said, facts)}"
    if not status or facts.get("critical_warning") or facts.get("media_errors"):
        return bad(AREA, f"{words}: it reports failures", "back up now, and replace the disk")
    if facts.get("pending_sectors"):
        return bad(AREA, f"{words}: sectors can't be read", "back up now, and replace the disk")
    if facts.get("percentage_used", 0) >= WORN:
        return warning(AREA, f"{words}: it is nearly worn out", "plan to replace the disk")
    if facts.get("available_spare", 100) <= facts.get("available_spare_threshold", 0):
        return warning(AREA, f"{words}: its spare blocks run out", "plan to replace the disk")
    return good(AREA, f"{words}: healthy")


def _ata(said: dict[str, Any]) -> dict[str, Any]:
    """SATA's attributes by the names that NVMe has for them; 5, 197 and 198 are sectors."""
    table = said.get("ata_smart_attributes", {}).get("table", [])
    raw = {entry["id"]: int(entry["raw"]["value"]) for entry in table}
    return {"pending_sectors": raw.get(197, 0) + raw.get(198, 0)}


def _words(said: dict[str, Any], facts: dict[str, Any]) -> str:
    words = [str(said.get("model_name", ""))[:60]]
    if "percentage_used" in facts:
        words.append(f"{facts['percentage_used']} % used")
    if hours := said.get("power_on_time", {}).get("hours"):
        words.append(f"{hours} hours")
    return ", ".join(word for word in words if word)


def room(free: int, total: int) -> Finding:
    """How much of the data partition is free; both in bytes."""
    words = f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free for data"
    part = free / total if total else 0.0
    if part < FULL:
        return bad("space", words, "remove models or documents that are no longer needed")
    if part < FILLING:
        return Finding("space", State.WARNING, words, "remove models that are no longer needed")
    return good("space", words)
