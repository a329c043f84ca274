"""A node from one version to the next: real service, real server, real systemd-sysupdate."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from goni_core import http
from goni_core.run import run
from goni_update import staging, version, writer
from goni_update.catalog import Release
from image.release import bundle
from image.release.bundle import Image
from tests.integration.update_node import Node
from tests.integration.update_server import UpdateServer, serving
from tests.releases import Publisher, write_image


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    made = Publisher(tmp_path / "builder")
    made.folder.mkdir()
    return made.start()


@pytest.fixture
def server(publisher: Publisher) -> Iterator[UpdateServer]:
    with serving(publisher.repository) as running:
        yield running


@pytest.fixture
def node(publisher: Publisher, server: UpdateServer, tmp_path: Path) -> Node:
    return Node(tmp_path / "node", publisher.first_root, server=server.address).make()


def published(publisher: Publisher, number: str, **wanted: object) -> tuple[Image, Release]:
    image = write_image(publisher.folder / f"goni_{number}", number)
    listed = publisher.publish(number, image=image, **wanted)
    return image, listed.releases[0]


def is_in_slot_b(node: Node, image: Image) -> bool:
    number = str(image.version)
    usr = image.files["usr"].read_bytes()[: image.usr_bytes]
    uki = node.esp / f"goni_{number}_x86-64+3-0.efi"
    return (
        node.content(f"goni_{number}", len(usr)) == usr
        and uki.exists()
        and uki.read_bytes() == image.files["efi"].read_bytes()
    )


def test_an_update_is_fetched_checked_and_written_beside_the_running_version(
    publisher: Publisher, node: Node
) -> None:
    image, _ = published(publisher, "0.2.0", notes="Faster.")
    before = node.content("goni_0.1.0", 8 << 20)
    with node.up():
        found = node.ask("check")
        assert (found["offered"], found["notes"]) == ("0.2.0", "Faster.")
        node.ask("apply", "--now")
        assert is_in_slot_b(node, image)
        assert node.content("goni_0.1.0", 8 << 20) == before
        assert node.ukis() == ["goni_0.1.0_x86-64.efi", "goni_0.2.0_x86-64+3-0.efi"]
        assert node.restart_asked()
        status = node.ask("status")
        assert status["pending"] == "0.2.0" and status["development"]
        assert "a restart is due" in node_auto(node)
    # It starts, is healthy, and systemd-bless-boot takes the counter away.
    node.restarted("0.2.0", {"goni_0.2.0_x86-64+3-0.efi": "goni_0.2.0_x86-64.efi"})
    with node.up():
        assert [event["what"] for event in node.ask("history")["events"]] == [
            "installed",
            "written",
        ]
        assert node.ask("status")["pending"] == ""
        assert node.ask("check")["offered"] == ""


def node_auto(node: Node) -> str:
    async def ask() -> str:
        service = http.Service("updates", node.folder / "run/update.sock")
        try:
            return str((await service.call("POST", "/auto"))["words"])
        finally:
            await service.close()

    return asyncio.run(ask())


def test_a_version_that_fails_is_named_with_its_reason_and_not_tried_again(
    publisher: Publisher, node: Node
) -> None:
    published(publisher, "0.2.0")
    with node.up():
        node.ask("apply")
    health = {"ok": False, "version": "0.2.0", "at": "now", "checks": []}
    health["checks"] = [{"name": "engine", "ok": False, "detail": "wrong numbers"}]
    (node.state / "health-failed.json").write_text(json.dumps(health))
    node.restarted("0.1.0", {"goni_0.2.0_x86-64+3-0.efi": "goni_0.2.0_x86-64+0-3.efi"})
    with node.up():
        newest = node.ask("history")["events"][0]
        assert (newest["what"], newest["words"]) == ("failed", "engine: wrong numbers")
        assert node.ask("status")["failed"] == ["0.2.0"]
        assert node.ask("check")["offered"] == ""
        # Somebody who names it gets it again, with fresh tries; a higher one comes by itself.
        node.ask("apply", "--version", "0.2.0")
        assert node.ukis() == ["goni_0.1.0_x86-64.efi", "goni_0.2.0_x86-64+3-0.efi"]
        published(publisher, "0.3.0")
        assert node.ask("check")["offered"] == "0.3.0"


def test_a_version_that_hangs_before_its_health_check_is_named_too(
    publisher: Publisher, node: Node
) -> None:
    published(publisher, "0.2.0")
    with node.up():
        node.ask("apply")
    node.restarted("0.1.0", {"goni_0.2.0_x86-64+3-0.efi": "goni_0.2.0_x86-64+0-3.efi"})
    with node.up():
        assert "never got as far" in node.ask("history")["events"][0]["words"]


def test_a_stick_does_what_the_server_does(
    publisher: Publisher, node: Node, server: UpdateServer
) -> None:
    image, _ = published(publisher, "0.2.0")
    server.status = 500
    with node.up():
        node.ask("apply", "--from", str(publisher.repository))
        assert is_in_slot_b(node, image)


def test_a_folder_without_a_release_is_said_to_be_none(node: Node, tmp_path: Path) -> None:
    with node.up():
        assert "no release in that folder" in node.refused("apply", "--from", str(tmp_path))


def test_lower_and_equal_versions_are_refused(publisher: Publisher, node: Node) -> None:
    published(publisher, "0.2.0")
    node.becomes("0.2.0")
    with node.up():
        assert "not newer than 0.2.0" in node.refused("apply", "--version", "0.2.0")
        assert node.ask("check")["offered"] == ""


def test_a_minimum_version_leads_over_one_in_between(publisher: Publisher, node: Node) -> None:
    published(publisher, "0.2.0")
    published(publisher, "0.3.0", minimum="0.2.0")
    with node.up():
        assert node.ask("check")["offered"] == "0.2.0"
        assert "from 0.2.0 on" in node.refused("apply", "--version", "0.3.0")


def test_a_rollout_of_nothing_reaches_nobody(publisher: Publisher, node: Node) -> None:
    published(publisher, "0.2.0", rollout=0)
    with node.up():
        assert node.ask("check")["offered"] == ""


def test_a_broken_line_is_continued(publisher: Publisher, node: Node, server: UpdateServer) -> None:
    image, _ = published(publisher, "0.2.0")
    server.cuts = [100, 70_000, 30_000]
    with node.up():
        node.ask("apply")
    assert is_in_slot_b(node, image)
    assert any(header.startswith("bytes=") for _, header in server.asked)


@pytest.mark.parametrize(
    ("part", "how"),
    [
        ("usr.raw.zst", "corrupted"),
        ("usr.raw.zst", "truncated"),
        ("efi.zst", "swapped"),
        ("usr-verity-sig.raw.zst", "corrupted"),
    ],
)
def test_bad_targets_never_reach_a_slot(
    part: str, how: str, publisher: Publisher, node: Node, server: UpdateServer
) -> None:
    published(publisher, "0.1.5")
    _, release = published(publisher, "0.2.0")
    place = next(publisher.repository.rglob(f"*.goni_0.2.0_x86-64.{part}"))
    good = place.read_bytes()
    other = next(publisher.repository.rglob(f"*.goni_0.1.5_x86-64.{part}")).read_bytes()
    bad = {"corrupted": good[:-9] + b"X" + good[-8:], "truncated": good[:-5], "swapped": other}
    place.write_bytes(bad[how])
    before = node.disk.read_bytes()
    with node.up():
        said = node.refused("apply", "--from", str(publisher.repository))
    assert "not the signed file" in said or "is cut" in said
    assert node.disk.read_bytes() == before and node.ukis() == ["goni_0.1.0_x86-64.efi"]
    assert release.version > release.minimum


def test_a_target_that_unpacks_to_more_than_signed_is_refused(
    publisher: Publisher, node: Node
) -> None:
    """Signed by a builder whose tools went wrong: the compressed file is as signed."""
    image = write_image(publisher.folder / "goni_0.2.0", "0.2.0")
    work = publisher.folder / "work"
    work.mkdir()
    wanted = bundle.Wanted(image.version, version.parse("0.1.0"))
    made = bundle.build(image, wanted, "stable/minimal/0.2.0", work, level=1)
    efi = next(path for path in made.files.values() if path.name.endswith("efi.zst"))
    bomb = work / "bomb"
    bomb.write_bytes(bytes(64 << 20))
    run(["zstd", "-q", "-f", bomb, "-o", efi], timeout=60)
    bundle.publish(publisher.open(), "stable", "minimal", made, work, publisher.now)
    with node.up():
        assert "can't be unpacked as signed" in node.refused("apply")
    assert node.ukis() == ["goni_0.1.0_x86-64.efi"]


def test_two_updates_at_once_are_one(
    publisher: Publisher, node: Node, server: UpdateServer
) -> None:
    published(publisher, "0.2.0")
    server.drip = 0.0005
    with node.up():
        said: list[object] = []
        first = threading.Thread(target=lambda: said.append(node.ask("apply")))
        first.start()
        while not server.sent:
            assert first.is_alive()
            time.sleep(0.01)
        assert "running already" in node.refused("check")
        server.drip = 0.0
        first.join()
        assert said


def test_rollback_goes_to_the_other_slot_and_nowhere_else(publisher: Publisher, node: Node) -> None:
    with node.up():
        assert "no other version" in node.refused("rollback")
        published(publisher, "0.2.0")
        node.ask("apply")
    node.restarted("0.2.0", {"goni_0.2.0_x86-64+3-0.efi": "goni_0.2.0_x86-64.efi"})
    with node.up():
        assert node.ask("rollback", "--now")["version"] == "0.1.0"
        assert node.ukis() == ["goni_0.1.0_x86-64.efi", "goni_0.2.0_x86-64+0-0.efi"]
        assert node.restart_asked()


def test_pause_and_channel_are_kept(publisher: Publisher, node: Node) -> None:
    published(publisher, "0.2.0", channel="beta")
    with node.up():
        node.ask("pause")
        assert "paused" in node_auto(node)
        node.ask("channel", "beta")
    with node.up():
        status = node.ask("status")
        assert status["paused"] and status["channel"] == "beta"
        assert node.ask("check")["offered"] == "0.2.0"
        node.ask("pause", "--off")
        assert not node.ask("status")["paused"]


def test_the_timer_applies_what_it_finds(publisher: Publisher, node: Node) -> None:
    image, _ = published(publisher, "0.2.0")
    with node.up():
        assert "0.2.0 can be installed" in node_auto(node)
        while node.ask("status")["progress"]["running"]:
            time.sleep(0.1)
        assert is_in_slot_b(node, image)


# --- The writer believes nobody.


def test_the_writer_refuses_a_staged_uki_that_is_not_signed(
    publisher: Publisher, node: Node
) -> None:
    published(publisher, "0.2.0")
    with node.up():
        node.ask("check")
    staged = node.state / "staged"
    staged.mkdir()
    for name in ("goni_0.2.0_x86-64.efi", "goni_0.2.0.usr-verity-sig.raw"):
        (staged / name).write_bytes(b"evil")
    ask_writer(node, "0.2.0")
    assert "staged UKI is not the signed one" in result(node)
    assert node.ukis() == ["goni_0.1.0_x86-64.efi"]


def ask_writer(node: Node, version: str) -> None:
    asked = {"id": "x", "action": "write", "channel": "stable", "version": version}
    (node.state / "request.json").write_text(json.dumps(asked))
    writer.work(node.writer_places())


def result(node: Node) -> str:
    return str(json.loads((node.run / "result.json").read_bytes())["words"])


def test_the_writer_reads_back_what_was_written_and_takes_a_wrong_usr_away(
    publisher: Publisher, node: Node
) -> None:
    image, release = published(publisher, "0.2.0")
    with node.up():
        node.ask("check")
    staged = node.state / "staged"
    staged.mkdir()
    for part in ("usr", "usr-verity", "usr-verity-sig", "efi"):
        data = image.files[part].read_bytes()[: release.part(part).bytes]
        if part == "usr":
            data = os.urandom(len(data))
        (staged / staging.staged_name(release, part)).write_bytes(data)
    ask_writer(node, "0.2.0")
    assert "not the signed /usr" in result(node)
    assert node.ukis() == ["goni_0.1.0_x86-64.efi"]


def test_the_writer_remembers_what_it_has_seen(publisher: Publisher, node: Node) -> None:
    published(publisher, "0.2.0")
    with node.up():
        node.ask("check")
        shutil.copytree(node.state / "mirror", node.folder / "old")
        published(publisher, "0.3.0")
        node.ask("apply")
    shutil.rmtree(node.state / "mirror")
    shutil.copytree(node.folder / "old", node.state / "mirror")
    ask_writer(node, "0.2.0")
    assert "older than what was seen" in result(node)


def plug_in(publisher: Publisher, node: Node) -> None:
    """As 71-goni-stick.rules mounts it: ``{device}:{label}``, and the release in a folder on it."""
    shutil.copytree(publisher.repository, node.folder / "sticks/sdx1:HOLIDAYS/goni")


def test_a_stick_with_a_release_is_found_and_installed_by_itself(
    publisher: Publisher, node: Node
) -> None:
    (node.folder / "server").write_text("")
    image, _ = published(publisher, "0.2.0")
    with node.up():
        assert node.ask("status")["sticks"] == []
        plug_in(publisher, node)
        wait_until(lambda: node.ask("status")["pending"] == "0.2.0")
        assert is_in_slot_b(node, image)
        assert node.ask("status")["sticks"] == ["HOLIDAYS"]
        assert not node.restart_asked()


def test_a_stick_changes_nothing_while_updates_are_paused_or_when_it_is_forged(
    publisher: Publisher, node: Node, tmp_path: Path
) -> None:
    (node.folder / "server").write_text("")
    published(publisher, "0.2.0")
    other = Publisher(tmp_path / "other")
    other.folder.mkdir()
    other.start()
    published(other, "0.9.0")
    with node.up():
        node.ask("pause")
        plug_in(publisher, node)
        wait_until(lambda: node.ask("status")["sticks"] == ["HOLIDAYS"])
        assert node.ask("status")["pending"] == ""
        shutil.rmtree(node.folder / "sticks/sdx1:HOLIDAYS")
        wait_until(lambda: node.ask("status")["sticks"] == [])
        node.ask("pause", "--off")
        plug_in(other, node)
        wait_until(lambda: "not signed rightly" in node.ask("status")["trouble"])
        assert node.ask("status")["pending"] == ""


def wait_until(true: Callable[[], bool], *, seconds: float = 180.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.2)
