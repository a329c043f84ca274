"""``goni-mesh``: the node's identity, from the command line and at each start.

``goni-mesh identity`` runs before the front door and leaves a good key and certificate behind;
``goni-mesh fingerprint`` prints what a browser shows for it. Neither prints anything secret.
"""

from __future__ import annotations

import argparse
import json
import logging
import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from goni_core import log as logs
from goni_core import paths
from goni_core.errors import GoniError, exit_with
from goni_mesh import certificate, identity
from goni_mesh.household import Household

log = logging.getLogger(__name__)

IMAGE_DATE = Path("/usr/lib/os-release")
"""Its modification time is the image's date."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    logs.setup()
    arguments = _parser().parse_args(argv)
    try:
        if arguments.command == "identity":
            make_identity(paths.state_dir("mesh"))
        else:
            show_fingerprint(paths.state_dir("mesh"), as_json=arguments.json)
    except GoniError as error:
        exit_with(error)
    return 0


def make_identity(folder: Path) -> None:
    """Leave a good ``tls.key`` and ``tls.crt`` in ``folder``, and say in the log what was done."""
    today = certificate.latest(datetime.now(UTC), image_date(IMAGE_DATE))
    try:
        household = Household(folder)
        try:
            made = identity.ensure(folder, socket.gethostname(), today, household.issuer())
        finally:
            household.close()
    except OSError as error:
        raise GoniError(
            f"{folder} can't be written: {error.strerror}",
            hint="run it as the node's own user, with room on the disk",
        ) from error
    if made.reason:
        log.info("made a new certificate: %s", made.reason)
    else:
        log.info("the certificate is good")


def show_fingerprint(folder: Path, *, as_json: bool) -> None:
    """Print the certificate's SHA-256 fingerprint."""
    held = identity.load(folder)
    value = certificate.fingerprint(held)
    if not as_json:
        print(value)
        return
    until = certificate.read_certificate(held).not_valid_after_utc
    print(json.dumps({"sha256": value, "valid_until": until.isoformat()}))


def image_date(path: Path) -> datetime:
    """When the image was built, from ``path``'s modification time."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return certificate.FIRST_DAY


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="goni-mesh", description="The node's identity.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("identity", help="make or renew the node's key and certificate")
    shown = commands.add_parser("fingerprint", help="print the certificate's SHA-256")
    shown.add_argument("--json", action="store_true", help="as a JSON object")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
