"""``python -m image.release``: publish, refresh, withdraw, rotate, keys, show."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from goni_core.errors import GoniError, exit_with
from goni_update import version
from image import build
from image.release import bundle, home, signing
from image.release.bundle import Wanted

OUT = Path("out/release")
EXAMPLES = """examples:
  python -m image.release publish 0.2.0                    the built image to channel stable
  python -m image.release publish 0.2.0 --rollout 10 --notes notes.txt
  python -m image.release refresh                          new timestamp; every few days
  python -m image.release withdraw 0.2.0                   nobody gets it any more
  python -m image.release rotate timestamp                 a new key for a role
  python -m image.release keys --production /media/keys    a set of production keys
  python -m image.release show --json
docs/release.md is the drill for each of them.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    given = _parser().parse_args(argv)
    try:
        COMMANDS[given.command](given)
    except GoniError as error:
        exit_with(error)
    return 0


def _publish(given: argparse.Namespace) -> None:
    number = version.parse(given.version)
    repository = home.open_repository(given.repository, given.keys)
    if given.release and repository.development:
        raise GoniError(
            "a release can't be signed with development keys",
            hint="name production keys with --keys FOLDER; see docs/release.md",
        )
    stem = given.images / build.output_name(given.profile, given.version)
    notes = given.notes.read_text("utf-8") if given.notes else ""
    wanted = Wanted(number, version.parse(given.minimum), given.rollout, given.urgency, notes)
    with tempfile.TemporaryDirectory(dir=given.images) as folder:
        work = Path(folder)
        made = bundle.build(
            bundle.image_at(stem, number), wanted, f"{given.channel}/{given.profile}/{number}", work
        )
        made = bundle.with_deltas(
            repository, given.channel, given.profile, made, work, last=given.deltas
        )
        listed = bundle.publish(
            repository, given.channel, given.profile, made, work, datetime.now(UTC)
        )
    note = " (development keys)" if repository.development else ""
    print(f"{given.repository}: {given.channel} now offers {listed.releases[0].version}{note}")


def _refresh(given: argparse.Namespace) -> None:
    renewed = home.open_repository(given.repository, given.keys).refresh()
    print(f"renewed: {', '.join(renewed)}")


def _withdraw(given: argparse.Namespace) -> None:
    repository = home.open_repository(given.repository, given.keys)
    with tempfile.TemporaryDirectory() as work:
        listed = bundle.withdraw(
            repository, given.channel, given.profile, version.parse(given.version), Path(work)
        )
    left = str(listed.releases[0].version) if listed.releases else "nothing"
    print(f"{given.channel} offers {left} now; {repository.prune()} files removed")


def _rotate(given: argparse.Namespace) -> None:
    repository = home.rotate(given.repository, given.keys, given.name)
    print(f"{given.name} has a new key; root is version {repository.root.signed.version}")


def _keys(given: argparse.Namespace) -> None:
    root = home.make(given.production, development=False)
    print(f"{root.parent}: {', '.join(signing.NAMES)}; keep the root-* keys apart, and offline")


def _show(given: argparse.Namespace) -> None:
    repository = home.open_repository(given.repository, given.keys)
    expiries = {role: when.date().isoformat() for role, when in repository.expiries().items()}
    offers = {
        channel: [
            str(one.version) for one in bundle.current(repository, channel, given.profile).releases
        ]
        for channel in signing.CHANNELS
    }
    if given.json:
        shown = {"development": repository.development, "expires": expiries, "offers": offers}
        print(json.dumps(shown, indent=1))
        return
    for role, when in sorted(expiries.items(), key=lambda one: one[1]):
        print(f"{role:<10} signed until {when}")
    for channel, versions in offers.items():
        print(f"{channel:<10} {', '.join(versions) or 'nothing'}")


COMMANDS = {
    "publish": _publish,
    "refresh": _refresh,
    "withdraw": _withdraw,
    "rotate": _rotate,
    "keys": _keys,
    "show": _show,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="image.release",
        description="Turn built images into a signed repository of updates, and look after it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    publish = commands.add_parser("publish", help="sign a built image as the newest release")
    publish.add_argument("version", metavar="VERSION")
    publish.add_argument(
        "--minimum", default="0.1.0", metavar="VERSION", help="oldest that can take it"
    )
    publish.add_argument("--rollout", type=int, default=100, metavar="PERCENT")
    publish.add_argument("--urgency", default="", metavar="REASON", help="why not to wait")
    publish.add_argument("--notes", type=Path, metavar="FILE", help="release notes (text)")
    publish.add_argument(
        "--deltas", type=int, default=3, metavar="N", help="from how many releases (3)"
    )
    publish.add_argument("--release", action="store_true", help="refuse development keys")
    publish.add_argument("--images", type=Path, default=Path("out"), metavar="FOLDER")
    withdraw = commands.add_parser("withdraw", help="take a release back")
    withdraw.add_argument("version", metavar="VERSION")
    for one in (publish, withdraw):
        one.add_argument("--channel", choices=signing.CHANNELS, default="stable")
    refresh = commands.add_parser("refresh", help="renew what expires")
    rotate = commands.add_parser("rotate", help="replace a key")
    rotate.add_argument("name", choices=signing.NAMES)
    keys = commands.add_parser("keys", help="make production keys")
    keys.add_argument("--production", type=Path, required=True, metavar="FOLDER")
    show = commands.add_parser("show", help="what is offered, and until when it is signed")
    show.add_argument("--json", action="store_true", help="as a JSON object")
    for one in (publish, withdraw, show):
        one.add_argument("--profile", choices=build.PROFILES, default="reference")
    for one in (publish, withdraw, refresh, rotate, show):
        one.add_argument("--repository", type=Path, default=OUT, metavar="FOLDER")
        one.add_argument("--keys", type=Path, action="append", default=[], metavar="FOLDER")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
