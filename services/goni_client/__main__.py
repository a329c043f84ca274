"""goni: asks the whole node. ``goni doctor`` looks at the machine below the services.

It looks and tells, and changes nothing. Each area that can't be looked at is a line of its own.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from goni_client import bundle, storage, surroundings, trust
from goni_client.findings import Finding, State, looked
from goni_core import paths
from goni_core.errors import GoniError, exit_with

EXAMPLES = """examples:
  goni doctor
  goni doctor --json
  goni doctor --bundle support.tar.gz    for a helper: no names, prompts, documents or keys

Exit status: 0 all is good, 1 something is bad.
"""
AREAS = (
    ("secure boot", trust.look_secure_boot),
    ("tpm", trust.look_tpm),
    ("disk", storage.look),
    ("clock", trust.look_clock),
    ("network", surroundings.look_network),
    ("temperature", surroundings.look_heat),
    ("firmware", trust.look_firmware),
)


def examine() -> list[Finding]:
    """Every finding, area after area."""
    return [finding for area, look in AREAS for finding in looked(area, look)]


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    given = _parser().parse_args(argv)
    found = examine()
    if given.json:
        print(json.dumps([finding.plain() for finding in found], indent=1, ensure_ascii=False))
    else:
        print("\n".join(finding.line() for finding in found))
    if given.bundle:
        try:
            state = paths.state_dir("update").parent
            print(f"support bundle: {bundle.write(given.bundle, found, state)}")
        except OSError as error:
            exit_with(GoniError(f"{given.bundle} can't be written: {error.strerror}"))
    return 1 if any(finding.state is State.BAD for finding in found) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="goni", description="Ask this node.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    doctor = commands.add_parser(
        "doctor",
        help="is the machine well: disks, TPM, Secure Boot, clock, network, heat, firmware",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    doctor.add_argument("--json", action="store_true", help="for scripts")
    doctor.add_argument("--bundle", type=Path, metavar="FILE", help="write a support bundle, too")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
