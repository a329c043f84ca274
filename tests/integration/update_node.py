"""A node that updates: the real service in a process of its own, the real writer with the real
systemd-sysupdate, and a file with two slots for its disk.

``python -m tests.integration.update_node FOLDER`` serves the node in FOLDER.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from goni_core import paths, serve
from goni_core.run import Argument, run
from goni_update import __main__ as command
from goni_update import offers, updates, writer
from goni_update.app import build
from image import disk
from image.tools import in_tree
from tests.releases import VARIANT, write_image

TRANSFERS = Path("mkosi.extra/usr/lib/sysupdate.d")
SLOT = {"usr-verity-sig": "16K", "usr-verity": "1M", "usr": "8M"}
LABEL = {"usr": "", "usr-verity": "_verity", "usr-verity-sig": "_verity_sig"}


@dataclass
class Node:
    """A node in ``folder`` that runs ``version``, trusts ``root`` and asks ``server``."""

    folder: Path
    root: Path
    version: str = "0.1.0"
    server: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.folder / "state/update"

    @property
    def run(self) -> Path:
        return self.folder / "run-update"

    @property
    def esp(self) -> Path:
        return self.folder / "esp/EFI/Linux"

    @property
    def disk(self) -> Path:
        return self.folder / "disk.raw"

    @property
    def release(self) -> Path:
        return self.folder / "os-release"

    def make(self) -> Node:
        """A node as it was flashed: version in slot A, slot B empty."""
        for folder in (self.state, self.run, self.esp, self.folder / "usr"):
            folder.mkdir(parents=True)
        self.becomes(self.version)
        (self.folder / "server").write_text(self.server)
        image = write_image(self.folder / "flashed", self.version)
        (self.esp / f"goni_{self.version}_x86-64.efi").write_bytes(image.files["efi"].read_bytes())
        self._make_disk()
        self.writer_report()
        return self

    def becomes(self, version: str) -> None:
        """The node has restarted into ``version``."""
        self.version = version
        self.release.write_text(f'ID=goni\nVERSION_ID="{version}"\nVARIANT_ID={VARIANT}\n')

    def restarted(self, version: str, renamed: dict[str, str]) -> None:
        """Another boot, into ``version``, after the boot loader renamed UKIs."""
        for old, new in renamed.items():
            (self.esp / old).rename(self.esp / new)
        self.becomes(version)
        self.writer_report()
        place = self.state / "state.json"
        state = json.loads(place.read_bytes())
        place.write_text(json.dumps({**state, "pending_boot": "another"}))

    def _make_disk(self) -> None:
        template = self.folder.parent.parent / f"slots-{self.version}.raw"
        if not template.exists():
            self._partition_disk(template)
        shutil.copy(template, self.disk)

    def _partition_disk(self, target: Path) -> None:
        """By systemd-repart, as the first boot does; once per test run."""
        definitions = self.folder / "repart.d"
        definitions.mkdir()
        for number, label in enumerate((f"goni_{self.version}", "_empty")):
            for kind, size in SLOT.items():
                name = label if label == "_empty" else label + LABEL[kind]
                auto = "NoAuto=yes\n" if label == "_empty" and kind == "usr" else ""
                text = f"[Partition]\nType={kind}\nLabel={name}\n{auto}"
                text += f"SizeMinBytes={size}\nSizeMaxBytes={size}\n"
                (definitions / f"{number}-{kind}.conf").write_text(text)
        words = ["systemd-repart", f"--definitions={definitions}", "--empty=create", "--size=auto"]
        run(in_tree([*words, "--dry-run=no", "--offline=yes", target]), timeout=120)

    def places(self) -> offers.Places:
        return offers.Places(
            folder=self.state,
            run=self.run,
            base=self.folder / "writer",
            usr=self.folder / "usr",
            root=self.root,
            release=self.release,
            server=self.folder / "server",
            machine=self.folder / "machine-id",
            sticks=self.folder / "sticks",
        )

    def writer_places(self) -> writer.Places:
        return writer.Places(
            esp=self.esp,
            service=self.state,
            state=self.folder / "writer",
            run=self.run,
            root=self.root,
            release=self.release,
            partition=self._partition,
            words=self._sysupdate,
        )

    def _partition(self, label: str) -> tuple[Path, int]:
        return self.disk, disk.partition(self.disk, label).start

    def _sysupdate(self, argv: Sequence[Argument]) -> Sequence[Argument]:
        """The image's own transfer files, but with this node's places in them."""
        definitions = self.folder / "sysupdate.d"
        definitions.mkdir(exist_ok=True)
        for source in TRANSFERS.glob("*.transfer"):
            text = source.read_text().replace("/var/lib/goni/update", str(self.state))
            text = text.replace("/run/goni-update", str(self.run)).replace("%A", self.version)
            text = text.replace("Path=auto", f"Path={self.disk}")
            text = text.replace("PathRelativeTo=boot\n", "")
            text = text.replace("Path=/EFI/Linux", f"Path={self.esp}")
            (definitions / source.name).write_text(text)
        return in_tree([argv[0], f"--definitions={definitions}", *argv[1:]])

    def writer_report(self) -> None:
        writer.report(self.writer_places())

    def labels(self) -> list[str]:
        return [one.label for one in disk.partitions(self.disk)]

    def content(self, label: str, size: int) -> bytes:
        with self.disk.open("rb") as source:
            source.seek(disk.partition(self.disk, label).start)
            return source.read(size)

    def ukis(self) -> list[str]:
        return sorted(path.name for path in self.esp.glob("*.efi"))

    @contextmanager
    def up(self) -> Iterator[Node]:
        """The service runs, and the writer does what it asks, for the time of the block."""
        stop = threading.Event()
        environment = {**os.environ, **self.environment, "GONI_RUN": str(self.folder / "run")}
        words = [sys.executable, "-m", "tests.integration.update_node", str(self.folder)]
        words += [str(self.root), self.version]
        with (self.folder / "service.log").open("ab") as log:
            service = subprocess.Popen(words, env=environment, stdout=log, stderr=log)
        thread = threading.Thread(target=self._write_when_asked, args=(stop,))
        thread.start()
        try:
            self._wait_for_socket(service)
            yield self
        finally:
            stop.set()
            thread.join()
            service.terminate()
            service.wait(60)

    def _wait_for_socket(self, service: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + 120
        while time.monotonic() < end and service.poll() is None:
            with contextlib.suppress(AssertionError):
                self.ask("status")
                return
            time.sleep(0.1)
        raise AssertionError((self.folder / "service.log").read_text())

    def _write_when_asked(self, stop: threading.Event) -> None:
        """What goni-update-writer.path does."""
        request = self.state / "request.json"
        seen = request.read_bytes() if request.exists() else b""
        while not stop.wait(0.05):
            now = request.read_bytes() if request.exists() else b""
            if now != seen:
                seen = now
                writer.work(self.writer_places())

    def ask(self, *words: str) -> Any:
        """``goni-update`` with ``--json``; what it says. An error is an AssertionError with the
        command's words.
        """
        # In a thread, as a browser's test has an event loop running in its own.
        with ThreadPoolExecutor(1) as worker:
            return worker.submit(self._asked, words).result()

    def _asked(self, words: Sequence[str]) -> Any:
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, {"GONI_RUN": str(self.folder / "run")}),
            redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                command.main([*words, "--json"])
            except SystemExit:
                raise AssertionError(err.getvalue()) from None
        return json.loads(out.getvalue())

    def refused(self, *words: str) -> str:
        """What ``goni-update`` says when it fails; it must."""
        try:
            said = self.ask(*words)
        except AssertionError as error:
            found = re.search(r"error: (.*)", str(error))
            assert found, str(error)
            return found[1]
        raise AssertionError(f"it was not refused: {said}")

    def restart_asked(self) -> bool:
        return (self.state / "restart").exists()


async def _main() -> None:
    folder, root, version = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    node = Node(folder, root, version)
    app = build(updates.Updates(node.places()))
    await serve.serve([serve.Listener(app, serve.bind_unix(paths.update_socket()))])


if __name__ == "__main__":
    asyncio.run(_main())
