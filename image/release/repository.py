"""The TUF repository of a release folder: which files there are, who signs them, until when.

``metadata/`` holds ``N.root.json``, ``N.targets.json``, ``N.<channel>.json``, ``N.snapshot.json``
and ``timestamp.json``; ``targets/`` the files under names that begin with their SHA-256
(consistent snapshots: a server may be copied to while nodes read). The top-level targets role signs
no file, it only names the channels' keys. https://theupdateframework.github.io/specification/
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from securesystemslib.signer import SSlibKey
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

from goni_core import files
from goni_core.errors import GoniError, NotFound
from goni_update.trust import DEVELOPMENT
from image.release.signing import CHANNELS, NAME, ROOT_THRESHOLD, ROOTS, Keys

DAYS = {"root": 365, "targets": 365, "channel": 180, "snapshot": 30, "timestamp": 14}
"""How long each role's signature lasts."""
Signed = Metadata[Root] | Metadata[Targets] | Metadata[Snapshot] | Metadata[Timestamp]


class Repository:
    """The repository in ``folder``, changed with ``keys``; every change ends in a new timestamp.

    ``now`` is the date that expiries count from.
    """

    def __init__(self, folder: Path, keys: Keys, *, now: datetime | None = None) -> None:
        self.folder = folder
        self.keys = keys
        self._now = (now or datetime.now(UTC)).replace(microsecond=0)
        root = self._newest("root")
        if root is None:
            raise NotFound(f"{folder} holds no repository", hint="python -m image.release init")
        self.root: Metadata[Root] = Metadata[Root].from_file(str(root))

    @classmethod
    def create(
        cls,
        folder: Path,
        root: bytes,
        publics: Mapping[str, SSlibKey],
        keys: Keys,
        *,
        now: datetime | None = None,
    ) -> Repository:
        """A new repository with nothing in it but its keys, by their names in ``signing.NAMES``."""
        for name in ("metadata", "targets"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        files.write(folder / "metadata/1.root.json", root, mode=0o644)
        made = cls(folder, keys, now=now)
        made._write_targets(Targets(delegations=_delegations(publics)), "targets")
        for channel in CHANNELS:
            made._write_targets(Targets(), channel)
        made._publish()
        return made

    @property
    def development(self) -> bool:
        return bool(self.root.signed.unrecognized_fields.get(DEVELOPMENT))

    def targets(self, role: str) -> Targets:
        """What ``role`` (a channel, or targets itself) signs now."""
        path = self._newest(role)
        if path is None:
            raise NotFound(f"the repository has no {role}")
        return Metadata[Targets].from_file(str(path)).signed

    def path_of(self, target: TargetFile) -> Path:
        folder, _, name = target.path.rpartition("/")
        return self.folder / "targets" / folder / f"{target.hashes['sha256']}.{name}"

    def add(self, channel: str, files_by_path: Mapping[str, Path], *, gone: set[str]) -> None:
        """Publish files under ``channel`` and take those in ``gone`` back, in one step."""
        signed = self.targets(channel)
        for path in gone:
            signed.targets.pop(path, None)
        for path, source in files_by_path.items():
            target = TargetFile.from_file(path, str(source), ["sha256"])
            place = self.path_of(target)
            place.parent.mkdir(parents=True, exist_ok=True)
            with files.incoming(place, mode=0o644) as fresh:
                shutil.copyfile(source, fresh)
            signed.targets[path] = target
        self._write_targets(signed, channel)
        self._publish()

    def prune(self) -> int:
        """Remove target files that no channel lists any more; returns how many."""
        kept = {
            self.path_of(target)
            for channel in CHANNELS
            for target in self.targets(channel).targets.values()
        }
        stale = [
            path
            for path in (self.folder / "targets").rglob("*")
            if path.is_file() and path not in kept
        ]
        for path in stale:
            path.unlink()
        return len(stale)

    def refresh(self) -> list[str]:
        """Renew what expires: timestamp and snapshot always, the others when half of their time is
        over and their key is at hand. Returns the roles that were renewed.
        """
        renewed = []
        for role in ("targets", *CHANNELS):
            signed = self.targets(role)
            if self._half_over(signed.expires, role) and self._can_sign(role):
                self._write_targets(signed, role)
                renewed.append(role)
        if self._half_over(self.root.signed.expires, "root") and self._can_sign("root"):
            self._sign_root()
            renewed.append("root")
        self._publish()
        return [*renewed, "snapshot", "timestamp"]

    def expiries(self) -> dict[str, datetime]:
        """Until when each role is signed."""
        found = {role: self.targets(role).expires for role in ("targets", *CHANNELS)}
        found["root"] = self.root.signed.expires
        found["snapshot"] = self._snapshot().expires
        found["timestamp"] = Metadata[Timestamp].from_file(str(self._timestamp)).signed.expires
        return found

    def rotate(self, name: str, fresh: SSlibKey, keys: Keys) -> None:
        """Replace the key called ``name`` by ``fresh``, which is among ``keys``, and sign anew
        whatever it signs. The old key is worth nothing from then on.
        """
        self.keys = keys
        if name in CHANNELS:
            signed = self.targets("targets")
            assert signed.delegations is not None and signed.delegations.roles is not None
            old = signed.delegations.roles[name].keyids[0]
            signed.revoke_key(old, name)
            signed.add_key(fresh, name)
            self._write_targets(signed, "targets")
            self._write_targets(self.targets(name), name)
        else:
            role = "root" if name in ROOTS else name
            self.root.signed.revoke_key(self._key_named(name, role), role)
            self.root.signed.add_key(fresh, role)
            self._sign_root()
            if role == "targets":
                self._write_targets(self.targets("targets"), "targets")
        self._publish()

    def _key_named(self, name: str, role: str) -> str:
        for keyid in self.root.signed.roles[role].keyids:
            said = str(self.root.signed.keys[keyid].unrecognized_fields.get(NAME, ""))
            if said.split()[-1:] == [name]:
                return keyid
        raise NotFound(f"the root has no key called {name}")

    def _half_over(self, expires: datetime, role: str) -> bool:
        return expires - self._now < _lifetime(role) / 2

    def _can_sign(self, role: str) -> bool:
        keyids, threshold = self._signers_of(role)
        return sum(self.keys.signer(keyid) is not None for keyid in keyids) >= threshold

    def _signers_of(self, role: str) -> tuple[list[str], int]:
        if role in CHANNELS:
            delegations = self.targets("targets").delegations
            assert delegations is not None and delegations.roles is not None
            delegated = delegations.roles[role]
            return delegated.keyids, delegated.threshold
        top = self.root.signed.roles[role]
        return top.keyids, top.threshold

    def _sign_root(self) -> None:
        """A new root, signed by enough of the old keys and enough of the new ones."""
        before = Metadata[Root].from_file(str(self._newest("root"))).signed
        signed = self.root.signed
        signed.version += 1
        signed.expires = self._now + _lifetime("root")
        self.root.signatures.clear()
        self._signed(self.root, {*before.roles["root"].keyids, *signed.roles["root"].keyids})
        try:
            for one in (before, signed):
                one.verify_delegate("root", self.root.signed_bytes, self.root.signatures)
        except RepositoryError as error:
            raise GoniError(
                f"too few root keys are here: {ROOT_THRESHOLD} are needed, of the old and the new",
                hint="name the folders that hold them with --keys",
            ) from error
        self._write(self.root, f"{signed.version}.root.json")

    def _write_targets(self, signed: Targets, role: str) -> None:
        signed.version = self._next(role)
        signed.expires = self._now + _lifetime(role)
        made: Metadata[Targets] = Metadata(signed)
        self._sign(made, role, *self._signers_of(role))
        self._write(made, f"{signed.version}.{role}.json")

    def _publish(self) -> None:
        """Snapshot and timestamp over what is there: only now nodes see it."""
        snapshot = self._snapshot()
        snapshot.version = self._next("snapshot")
        snapshot.expires = self._now + _lifetime("snapshot")
        snapshot.meta = {
            f"{role}.json": MetaFile(self.targets(role).version) for role in ("targets", *CHANNELS)
        }
        made: Metadata[Snapshot] = Metadata(snapshot)
        self._sign(made, "snapshot", *self._signers_of("snapshot"))
        self._write(made, f"{snapshot.version}.snapshot.json")
        stamp = Timestamp()
        if self._timestamp.exists():
            stamp = Metadata[Timestamp].from_file(str(self._timestamp)).signed
            stamp.version += 1
        stamp.expires = self._now + _lifetime("timestamp")
        stamp.snapshot_meta = MetaFile(snapshot.version)
        stamped: Metadata[Timestamp] = Metadata(stamp)
        self._sign(stamped, "timestamp", *self._signers_of("timestamp"))
        self._write(stamped, "timestamp.json")

    def _snapshot(self) -> Snapshot:
        path = self._newest("snapshot")
        return Metadata[Snapshot].from_file(str(path)).signed if path else Snapshot()

    def _sign(self, made: Signed, role: str, keyids: list[str], threshold: int) -> None:
        if self._signed(made, set(keyids)) < threshold:
            raise GoniError(
                f"the key for {role} isn't here", hint="name the folder that holds it with --keys"
            )

    def _signed(self, made: Signed, keyids: set[str]) -> int:
        signers = [found for keyid in sorted(keyids) if (found := self.keys.signer(keyid))]
        for signer in signers:
            made.sign(signer, append=True)
        return len(signers)

    @property
    def _timestamp(self) -> Path:
        return self.folder / "metadata/timestamp.json"

    def _next(self, role: str) -> int:
        newest = self._newest(role)
        return int(newest.name.partition(".")[0]) + 1 if newest else 1

    def _newest(self, role: str) -> Path | None:
        found = (self.folder / "metadata").glob(f"*.{role}.json")
        numbered = {int(path.name.partition(".")[0]): path for path in found}
        return numbered[max(numbered)] if numbered else None

    def _write(self, made: Signed, name: str) -> None:
        data = made.to_bytes(JSONSerializer(compact=False))
        files.write(self.folder / "metadata" / name, data, mode=0o644)


def _delegations(publics: Mapping[str, SSlibKey]) -> Delegations:
    """Each channel's key may sign what is below the channel's own folder, and nothing else."""
    roles = {
        channel: DelegatedRole(
            channel,
            [publics[channel].keyid],
            1,
            terminating=True,
            paths=[f"{channel}/*/*", f"{channel}/*/*/*"],
        )
        for channel in CHANNELS
    }
    return Delegations({publics[name].keyid: publics[name] for name in CHANNELS}, roles)


def _lifetime(role: str) -> timedelta:
    return timedelta(days=DAYS["channel" if role in CHANNELS else role])


def first_root(
    publics: Mapping[str, SSlibKey], keys: Keys, *, development: bool, now: datetime
) -> bytes:
    """Version 1 of the root: what images carry, and every repository of these keys begins with."""
    fields = {DEVELOPMENT: True} if development else {}
    expires = now.replace(microsecond=0) + _lifetime("root")
    root = Root(version=1, expires=expires, unrecognized_fields=fields)
    for name in ROOTS:
        root.add_key(publics[name], "root")
    root.roles["root"].threshold = ROOT_THRESHOLD
    for name in ("targets", "snapshot", "timestamp"):
        root.add_key(publics[name], name)
    made: Metadata[Root] = Metadata(root)
    for keyid in root.roles["root"].keyids:
        if signer := keys.signer(keyid):
            made.sign(signer, append=True)
    root.verify_delegate("root", made.signed_bytes, made.signatures)
    return made.to_bytes(JSONSerializer(compact=False))
