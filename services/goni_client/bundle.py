"""A support bundle: what a helper needs to know, and nothing of the people.

Built from a short list of things that hold no names, prompts, documents or keys: findings,
versions, the health report's verdicts, and of the journal only which unit said how many lines of
which priority. Log messages stay in the node: Goni's own hold nothing personal, but the kernel's
and other programs' name hosts, file systems and plugged-in devices. Whatever still looks like a
secret, an address or an identifier is struck out as a last step, on the whole text.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from goni_client.findings import Finding
from goni_core import files
from goni_core.run import run

STRUCK = "[removed]"
PATTERNS = (
    re.compile(r"-----BEGIN [A-Z ]+-----.*?(-----END [A-Z ]+-----|\Z)", re.DOTALL),
    re.compile(r"\bgoni-[A-Za-z0-9_-]{16,}"),  # API keys
    re.compile(r"\b(?:[a-z]{8}-){7}[a-z]{8}\b"),  # recovery keys (systemd-cryptenroll(1))
    re.compile(r"\b[A-Za-z0-9+/_-]{40,}={0,2}"),  # tokens, hashes, other keys
    re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+"),
    re.compile(r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b", re.IGNORECASE),
    re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"),
    re.compile(r"(?<![\w:])(?:[0-9a-f]{0,4}:){3,7}[0-9a-f]{0,4}(?![\w:])", re.IGNORECASE),
    re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE),
)
RELEASE = ("ID", "VERSION_ID", "IMAGE_ID", "IMAGE_VERSION")
LINES = 20_000
"""Of the journal, at most."""


def clean(text: str) -> str:
    """``text`` without what looks like a secret, an address or an identifier."""
    for pattern in PATTERNS:
        text = pattern.sub(STRUCK, text)
    return text


def write(target: Path, findings: Sequence[Finding], state: Path) -> Path:
    """The bundle as ``target`` (.tar.gz), readable by its owner only; ``state`` is where the
    services keep theirs.
    """
    parts = {
        "findings.json": json.dumps([finding.plain() for finding in findings], indent=1),
        "versions.json": json.dumps(versions(), indent=1),
        "health.json": health(state / "update/health.json"),
        "journal.json": json.dumps(journal(), indent=1),
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in parts.items():
            data = clean(text).encode()
            entry = tarfile.TarInfo(f"goni-support/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    files.write(target, packed.getvalue(), mode=0o600)
    return target


def versions(release: Path = Path("/usr/lib/os-release")) -> dict[str, str]:
    """Which Goni, which kernel."""
    lines = release.read_text().splitlines() if release.exists() else []
    pairs = (line.partition("=") for line in lines)
    found = {name: value.strip('"') for name, _, value in pairs if name in RELEASE}
    return {**found, "kernel": Path("/proc/sys/kernel/osrelease").read_text().strip()}


def health(report: Path) -> str:
    """The last health report's verdicts; its sentences may name models, so they stay here."""
    try:
        found = json.loads(report.read_bytes())
        checks = [{"name": str(one["name"]), "ok": bool(one["ok"])} for one in found["checks"]]
        return json.dumps({"ok": bool(found["ok"]), "checks": checks}, indent=1)
    except (OSError, ValueError, KeyError, TypeError):
        return "{}"


def journal() -> dict[str, int]:
    """How many lines of this boot each of the system's units wrote, by priority."""
    fields = "_SYSTEMD_UNIT,PRIORITY"
    words = ["journalctl", "--boot", "--quiet", "--output=json", f"--output-fields={fields}"]
    done = run([*words, f"--lines={LINES}"], timeout=120, check=False)
    return counted(done.stdout)


def counted(lines: bytes) -> dict[str, int]:
    """``unit/priority`` to how often, in journalctl's JSON lines."""
    found: Counter[str] = Counter()
    for line in lines.splitlines():
        try:
            entry = json.loads(line)
            unit, priority = str(entry["_SYSTEMD_UNIT"]), int(entry["PRIORITY"])
        except (ValueError, KeyError, TypeError):
            continue
        # Instances carry names of devices, files and users.
        found[f"{re.sub('@.*[.]', '@.', unit)}/{priority}"] += 1
    return dict(sorted(found.items()))
