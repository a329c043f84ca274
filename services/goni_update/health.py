"""``goni-health``: is this node well enough for the version it runs to count as good?

``boot-complete.target`` waits for it. Services and the front door are asked again and again until
they are well or the deadline passes; systemd, disk and clock are looked at once, afterwards. Every
check ends in a sentence. The last result is kept in ``health.json``, so that the page and a later
update can say which check failed. It repairs nothing and decides nothing but its exit status.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import shutil
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from goni_core import contract, fields, files, http, paths, run
from goni_core import log as logs
from goni_core.contract import Check
from goni_core.errors import GoniError, Unavailable
from goni_update import version

log = logging.getLogger(__name__)

IMAGE_DATE = Path("/usr/lib/os-release")
"""Its modification time is the image's date."""
LEAST_FREE = 64 << 20
"""Bytes on /var below which the node can't work. Far below what uploads leave free
(``files.RESERVE``): a household's full disk must not look like a bad version."""
PAUSE = 1.0
"""Seconds between two tries."""
TRY_S = 60.0
"""Seconds that one try may take."""

Probe = Callable[[float], Awaitable[str]]
"""Takes the seconds it may use; returns what it found, in words, or raises GoniError."""


@dataclass(frozen=True)
class Report:
    """All checks of one run; ``at`` is the time in ISO 8601, ``version`` the one that runs."""

    at: str
    checks: tuple[Check, ...]
    version: str = ""

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    def plain(self) -> dict[str, object]:
        """As a JSON object."""
        return {
            "ok": self.ok,
            "at": self.at,
            "version": self.version,
            "checks": [contract.plain(check) for check in self.checks],
        }

    def lines(self) -> str:
        """One line per check, for people."""
        return "\n".join(
            f"{'ok' if check.ok else 'FAILED':<7} {check.name}: {check.detail}"
            for check in self.checks
        )


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns 0 when every check passed and 1 otherwise."""
    logs.setup()
    arguments = _parser().parse_args(argv)
    report = asyncio.run(examine(arguments.timeout, arguments.port))
    print(json.dumps(report.plain()) if arguments.json else report.lines())
    try:
        keep(report, paths.state_dir("update"))
    except GoniError as error:
        log.warning("%s", error)
    return 0 if report.ok else 1


async def examine(timeout: float, port: int) -> Report:
    """Run every check; ``timeout`` is in seconds for those that wait, ``port`` the front door's."""
    deadline = time.monotonic() + timeout
    waiting = await asyncio.gather(
        until_well("engine", _service("the engine", paths.engine_socket()), deadline),
        until_well("documents", _service("the document service", paths.rag_socket()), deadline),
        until_well("gateway", _service("the gateway", paths.gateway_socket()), deadline),
        # Whether peers answer is theirs: one that is switched off is no fault of this version.
        until_well("household", _service("the household's service", paths.mesh_socket()), deadline),
        until_well("front door", _front_door(port), deadline),
    )
    once = (
        await asyncio.to_thread(check_units),
        disk(shutil.disk_usage("/var").free),
        clock(datetime.now(UTC), image_date(IMAGE_DATE)),
    )
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return Report(at, (*waiting, *once), running_version())


async def until_well(name: str, probe: Probe, deadline: float) -> Check:
    """Try ``probe`` until it succeeds or ``deadline`` (monotonic seconds) has passed."""
    while True:
        left = deadline - time.monotonic()
        try:
            async with asyncio.timeout(TRY_S):
                return Check(name, True, await probe(TRY_S))
        except GoniError as error:
            reason = error.message
        except TimeoutError:
            reason = f"no answer within {TRY_S:g} s"
        if left <= PAUSE:
            return Check(name, False, reason)
        await asyncio.sleep(PAUSE)


def service_words(answer: fields.Object) -> str:
    """What a service's ``/health`` says, in words; :class:`Unavailable` when it isn't well."""
    words = fields.text(answer, "words", default="")
    if fields.flag(answer, "ok"):
        return words or "well"
    failed = [
        f"{fields.text(check, 'name')} ({fields.text(check, 'detail', default='')})"
        for check in fields.objects(answer, "checks", most=100)
        if not fields.flag(check, "ok")
    ]
    raise Unavailable("; ".join([words or "not well", *failed]))


def check_units() -> Check:
    """No unit of the system has failed."""
    try:
        listed = run.run(["systemctl", "--failed", "--output=json"], timeout=30)
        failed = failed_units(listed.stdout)
    except GoniError as error:
        return Check("units", False, error.message)
    if failed:
        return Check("units", False, f"failed: {', '.join(failed)}")
    return Check("units", True, "none has failed")


def failed_units(listing: bytes) -> tuple[str, ...]:
    """The units' names in the output of ``systemctl --failed --output=json``."""
    try:
        entries = json.loads(listing)
    except ValueError as error:
        raise GoniError("systemctl's list is not JSON") from error
    if not isinstance(entries, list):
        raise GoniError("systemctl's answer is not a list")
    units = fields.objects({"units": entries}, "units", most=10_000)
    return tuple(fields.text(entry, "unit") for entry in units)


def disk(free: int) -> Check:
    """``free`` bytes on /var are enough to work with."""
    words = f"{free >> 20} MiB free on /var"
    if free < LEAST_FREE:
        return Check("disk", False, f"only {words}, {LEAST_FREE >> 20} MiB are needed")
    return Check("disk", True, words)


def clock(now: datetime, image: datetime) -> Check:
    """The clock is not before the image was built."""
    if now < image:
        return Check(
            "clock", False, f"it says {now:%Y-%m-%d}, but this version is from {image:%Y-%m-%d}"
        )
    return Check("clock", True, f"{now:%Y-%m-%d %H:%M} UTC")


def running_version() -> str:
    """The version that runs; empty where that isn't Goni."""
    try:
        return str(version.running().version)
    except GoniError:
        return ""


def image_date(path: Path) -> datetime:
    """When the image was built, from ``path``'s modification time."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return datetime.fromtimestamp(0, UTC)


def keep(report: Report, folder: Path) -> None:
    """Replace ``folder``'s ``health.json`` by ``report``, and ``health-failed.json`` too when
    something failed: after a fall-back it says why.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.sweep(folder)
        names = ("health.json",) if report.ok else ("health.json", "health-failed.json")
        for name in names:
            files.write(folder / name, json.dumps(report.plain()).encode(), mode=0o644)
    except OSError as error:
        raise GoniError(
            f"the result can't be kept in {folder}: {error.strerror}",
            hint="run it as root, with room on the disk",
        ) from error


def _service(name: str, socket: Path) -> Probe:
    async def probe(timeout: float) -> str:
        client = http.Service(name, socket)
        try:
            limit = http.Timeout(timeout)
            return service_words(await client.call("GET", "/health", timeout=limit))
        finally:
            await client.close()

    return probe


def _front_door(port: int) -> Probe:
    async def probe(timeout: float) -> str:
        status = await http.https_status(port, timeout=timeout)
        return f"https answers with status {status}"

    return probe


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="goni-health", description="Is this node well? Status 0 if so, 1 if not."
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    parser.add_argument(
        "--timeout", type=float, default=120.0, metavar="S", help="seconds to wait (default 120)"
    )
    parser.add_argument("--port", type=int, default=443, help="the front door's port (default 443)")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
