"""Which files are genuine: The Update Framework (https://theupdateframework.io), by python-tuf.

Flow: root keys come with the image -> newer roots, each signed by the one before -> timestamp ->
snapshot -> targets -> the channel's delegation -> the channel's catalog. Each step refuses what is
expired, older than what was seen, or not signed by enough keys. What was seen is kept in
``folder``, so that a replayed repository is refused after a restart too.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from tuf.api import exceptions
from tuf.api.metadata import Metadata, Root, TargetFile
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from goni_core import files
from goni_core.errors import BadInput, GoniError, NotFound, Unavailable
from goni_update import catalog
from goni_update.catalog import Catalog
from goni_update.source import Source

ROOT = Path("/usr/share/goni/update/root.json")
"""The root keys that this image trusts."""
METADATA_LIMIT = 5_000_000
DEVELOPMENT = "x-goni-development"
"""Field of a root that belongs to development keys."""


class Refused(GoniError):
    """The repository is not to be believed; ``code`` says why: ``expired``, ``rolled_back``,
    ``wrongly_signed``, ``corrupted``.
    """

    status = 502
    code = "refused"


class _Fetcher(FetcherInterface):
    """Metadata from ``source``, a copy of each file in ``mirror``: the node can show later, to its
    own writer and to other nodes, what it has believed.
    """

    def __init__(self, source: Source, mirror: Path | None) -> None:
        self.source = source
        self.mirror = mirror
        self.failed: GoniError | None = None

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = f"metadata/{files.safe_name(url.rpartition('/')[2])}"
        try:
            data = self.source.small(path, METADATA_LIMIT)
        except NotFound as error:
            raise exceptions.DownloadHTTPError("not there", 404) from error
        except GoniError as error:
            self.failed = error
            raise
        if self.mirror is not None:
            (self.mirror / "metadata").mkdir(parents=True, exist_ok=True)
            files.write(self.mirror / path, data, mode=0o644)
        return iter((data,))


class Trust:
    """What ``source`` offers, as far as the keys in ``root`` vouch for it.

    ``now`` is the time that expiry is compared with; see :func:`reference`.
    """

    def __init__(
        self,
        folder: Path,
        root: Path,
        source: Source,
        *,
        now: datetime,
        mirror: Path | None = None,
    ) -> None:
        self._now = now
        self._source = source
        self._mirror = mirror
        self._fetcher = _Fetcher(source, mirror)
        _prepare(folder, root)
        config = UpdaterConfig(targets_max_length=METADATA_LIMIT, max_root_rotations=256)
        try:
            self._updater = Updater(
                str(folder), "repository:/", fetcher=self._fetcher, config=config
            )
        except exceptions.RepositoryError as error:
            raise GoniError(
                "the stored update keys are damaged", hint=f"remove {folder}"
            ) from error
        # python-tuf asks the clock by itself; ours may be years behind (no battery).
        self._updater._trusted_set.reference_time = now

    def refresh(self) -> None:
        """Bring the metadata up to date; :class:`Refused` or :class:`Unavailable` when it can't."""
        try:
            self._updater.refresh()
        except (exceptions.RepositoryError, exceptions.DownloadError) as error:
            raise self._blamed(error) from error

    def catalog(self, channel: str, variant: str) -> Catalog:
        """What ``channel`` offers for ``variant``; :class:`NotFound` when that is nothing."""
        path = catalog.target(channel, variant)
        found = self.target(path)
        if found.length > catalog.LIST_LIMIT:
            raise BadInput("the list of releases is too long", code="too_large")
        place = self.place(found)
        data = self._source.small(place, catalog.LIST_LIMIT)
        try:
            found.verify_length_and_hashes(data)
        except exceptions.LengthOrHashMismatchError as error:
            raise Refused("the list of releases is not the signed one", code="corrupted") from error
        if self._mirror is not None:
            (self._mirror / place).parent.mkdir(parents=True, exist_ok=True)
            files.write(self._mirror / place, data, mode=0o644)
        listed = catalog.parse(data)
        if (listed.channel, listed.variant) != (channel, variant):
            raise Refused("the list of releases is another channel's", code="swapped")
        return listed

    def target(self, path: str) -> TargetFile:
        """The signed size and hashes of the file at ``path``; :class:`NotFound`."""
        try:
            found = self._updater.get_targetinfo(path)
        except (exceptions.RepositoryError, exceptions.DownloadError) as error:
            raise self._blamed(error) from error
        if found is None:
            raise NotFound(f"nothing is published as {path}", code="not_published")
        return found

    def place(self, found: TargetFile) -> str:
        """Where a repository keeps ``found``: its hash is part of its name."""
        folder, _, name = found.path.rpartition("/")
        return f"targets/{folder}/{found.hashes['sha256']}.{name}"

    def root(self) -> Root:
        """The keys that are trusted now."""
        return self._updater._trusted_set.root

    @property
    def development(self) -> bool:
        """Whether these are development keys."""
        return bool(self.root().unrecognized_fields.get(DEVELOPMENT))

    def _blamed(self, error: Exception) -> GoniError:
        """``error`` in words that say whose fault it is."""
        if isinstance(error, exceptions.ExpiredMetadataError):
            return Refused(
                f"the update information has expired; it is taken to be {self._now:%Y-%m-%d} now",
                hint="if that is wrong set the clock; if not the server is behind, or stopped",
                code="expired",
            )
        if isinstance(error, exceptions.BadVersionNumberError):
            return Refused("the update information is older than what was seen", code="rolled_back")
        if isinstance(error, exceptions.UnsignedMetadataError):
            return Refused("the update information is not signed rightly", code="wrongly_signed")
        if isinstance(error, exceptions.DownloadLengthMismatchError):
            return Refused("the update information is longer than it may be", code="corrupted")
        if isinstance(error, exceptions.DownloadError):
            return self._fetcher.failed or Unavailable(
                "the update information is not all there", code="incomplete"
            )
        return Refused("the update information is damaged", code="corrupted")


def reference(clock: datetime, *known: datetime) -> datetime:
    """The time to compare expiry with: a clock that is behind what is ``known`` (the image's date,
    the last good check) must not keep expired metadata alive.
    """
    return max(clock, *known)


def image_date(path: Path) -> datetime:
    """When the image was built, from ``path``'s modification time."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return datetime.fromtimestamp(0, UTC)


def read_root(path: Path) -> Root:
    """The root keys in ``path``; :class:`GoniError` when they can't be used."""
    try:
        return Metadata[Root].from_bytes(path.read_bytes()).signed
    except OSError as error:
        raise GoniError(f"{path} can't be read: {error.strerror}") from error
    except Exception as error:
        raise GoniError(f"{path} holds no root keys") from error


def _prepare(folder: Path, root: Path) -> None:
    """Start from the image's root unless a newer one was learned; a household whose state is gone
    starts there again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files.sweep(folder)
    kept = folder / "root.json"
    baked = read_root(root)
    if not kept.exists() or read_root(kept).version < baked.version:
        with files.incoming(kept, mode=0o644) as fresh:
            shutil.copyfile(root, fresh)


def now() -> datetime:
    return datetime.now(UTC)
