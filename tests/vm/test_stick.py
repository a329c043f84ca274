"""A stick with a model, plugged into the machine and pulled out again, as the owner does it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from image import tools
from image.machine import Machine
from tests.models import write_tiny_chat_model
from tests.vm.household import PATIENCE, Household

BUS = "scsi" if os.environ.get("GONI_PROFILE", "minimal") == "minimal" else "usb"
LABEL = "MY STICK"
SIZE = 600 << 20


@pytest.fixture(scope="module")
def machine(machines: Callable[..., Machine]) -> Machine:
    made = machines("stick", memory=3072, sticks=True)
    made.wait_for_unit("multi-user.target", timeout=PATIENCE)
    return made


@pytest.fixture(scope="module")
def household(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    made = Household(machine, tmp_path_factory.mktemp("household"))
    with made.opened:
        made.set_up()
        yield made


@pytest.fixture(scope="module")
def browser(household: Household) -> requests.Session:
    return household.signed_in()


@pytest.fixture(scope="module")
def stick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A FAT file system with a model, a large one, and a file that is none."""
    folder = tmp_path_factory.mktemp("stick").absolute()
    path = folder / "stick.raw"
    model = write_tiny_chat_model(folder / "brought.gguf")
    content = model.read_bytes()
    with (folder / "large.gguf").open("wb") as large:
        large.write(content)
        large.truncate(400 << 20)
    (folder / "zip.gguf").write_bytes(b"PK\x03\x04" * 64)
    with path.open("wb") as raw:
        raw.truncate(SIZE)
    run("mkfs.vfat", "-n", LABEL, str(path))
    names = ("brought.gguf", "large.gguf", "zip.gguf")
    run("mcopy", "-i", str(path), *(str(folder / name) for name in names), "::/")
    return path


def run(*words: str) -> None:
    subprocess.run(tools.in_tree(list(words)), check=True, timeout=300)


def seen(household: Household, browser: requests.Session) -> dict[str, Any]:
    found = browser.get(f"{household.url}/api/sticks", timeout=PATIENCE).json()
    assert isinstance(found, dict)
    return found


def until(
    household: Household, browser: requests.Session, ready: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    end = time.monotonic() + PATIENCE
    while not ready(found := seen(household, browser)):
        assert time.monotonic() < end, found
        time.sleep(1)
    return found


def bring(household: Household, browser: requests.Session, stick: str, path: str) -> str:
    said = browser.post(
        f"{household.url}/api/sticks/imports", json={"stick": stick, "path": path}, timeout=PATIENCE
    )
    assert said.status_code == 202, said.text
    return str(said.json()["id"])


def test_a_stick_is_seen_and_mounted_for_looking_only(
    machine: Machine, household: Household, browser: requests.Session, stick: Path
) -> None:
    machine.plug_in(stick, bus=BUS)
    found = until(household, browser, lambda found: bool(found["sticks"]))["sticks"][0]
    assert found["label"] == LABEL
    reasons = {file["path"]: file["reason"] for file in found["files"]}
    assert reasons.keys() == {"brought.gguf", "large.gguf", "zip.gguf"}
    assert [path for path, reason in reasons.items() if reason] == ["zip.gguf"]
    mounts = machine.succeed("cat /proc/mounts").splitlines()
    (mount,) = [line for line in mounts if " /run/goni/sticks/" in line]
    options = set(mount.split()[3].split(","))
    assert {"ro", "nosuid", "nodev", "noexec", "nosymfollow"} <= options
    assert machine.failed_units() == []


def test_a_model_is_brought_in_from_it(household: Household, browser: requests.Session) -> None:
    found = seen(household, browser)["sticks"][0]
    key = bring(household, browser, found["id"], "brought.gguf")

    def over(found: dict[str, Any]) -> bool:
        return any(one["id"] == key and one["state"] != "running" for one in found["imports"])

    (one,) = until(household, browser, over)["imports"]
    assert one["state"] == "done", one
    household.make_key()
    answer = household.client().chat.completions.create(
        model="brought", messages=[{"role": "user", "content": "hello"}], max_tokens=4
    )
    assert answer.choices[0].message.content


def test_a_stick_pulled_out_half_way_is_said_and_leaves_no_mount(
    machine: Machine, household: Household, browser: requests.Session
) -> None:
    found = seen(household, browser)["sticks"][0]
    key = bring(household, browser, found["id"], "large.gguf")
    machine.pull_out()

    def over(found: dict[str, Any]) -> bool:
        return any(one["id"] == key and one["state"] != "running" for one in found["imports"])

    one = next(one for one in until(household, browser, over)["imports"] if one["id"] == key)
    assert one["state"] == "failed" and "pulled out" in one["reason"], one
    machine.wait_until_succeeds("! grep -q ' /run/goni/sticks/' /proc/mounts", timeout=120)
    until(household, browser, lambda found: not found["sticks"])
    assert machine.failed_units() == []


def test_plugged_in_again_it_is_there_again(
    machine: Machine, household: Household, browser: requests.Session, stick: Path
) -> None:
    machine.plug_in(stick, bus=BUS)
    assert until(household, browser, lambda found: bool(found["sticks"]))
