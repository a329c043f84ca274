"""The image that ships, from a blank disk to an answering appliance, in the order it happens."""

from __future__ import annotations

import importlib.metadata
import json
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from image import build, disk, keys
from image.machine import Machine
from tests.documents import PLANTED, Planted
from tests.setup_walk import NODE_NAME
from tests.vm.household import PATIENCE, Household

EFI = "/sys/firmware/efi/efivars"
GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"


@pytest.fixture(scope="module")
def machine(machines: Callable[..., Machine]) -> Machine:
    """A blank 16 GB disk with the image on it, powered on for the first time."""
    made: Machine = machines("node", memory=3072)
    made.wait_for_unit("multi-user.target", timeout=PATIENCE)
    return made


@pytest.fixture(scope="module")
def household(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    made = Household(machine, tmp_path_factory.mktemp("household"))
    with made.opened:
        yield made


def asked(document: Planted) -> list[Any]:
    return [{"role": "user", "content": document.question}]


def documented_ports(text: str) -> set[tuple[str, int]]:
    """The ports of the table in SECURITY.md."""
    table = text.partition("## Ports")[2].partition("\n## ")[0]
    found = {(protocol, int(port)) for port, protocol in re.findall(r"(\d+)/(tcp|udp)", table)}
    assert ("tcp", 443) in found
    return found


# --- First boot.


def test_secure_boot_is_on(machine: Machine) -> None:
    value = machine.succeed(f"od -An -tu1 -j4 {EFI}/SecureBoot-{GLOBAL}")
    assert value.split() == ["1"]
    assert "Secure boot enabled" in machine.succeed("journalctl -b -k --no-pager")


def test_usr_is_verity_with_the_hash_that_the_kernel_was_signed_with(machine: Machine) -> None:
    status = machine.succeed("veritysetup status usr")
    assert "type:        VERITY" in status
    assert "status:      verified" in status
    wanted = re.search(r"usrhash=([0-9a-f]{64})", machine.succeed("cat /proc/cmdline"))
    found = re.search(r"root hash:\s+([0-9a-f]{64})", status)
    assert wanted and found and wanted[1] == found[1]
    assert " /usr erofs ro" in machine.succeed("cat /proc/mounts")


def test_the_signature_of_usr_is_by_the_verity_key(machine: Machine, image: Path) -> None:
    signature = json.loads(
        image.with_suffix(".usr-verity-sig.raw").read_bytes().rstrip(b"\0").decode()
    )
    assert f"usrhash={signature['rootHash']}" in machine.succeed("cat /proc/cmdline")
    on_disk = machine.succeed("tr -d '\\0' < /dev/disk/by-partlabel/goni_*_verity_sig", timeout=60)
    assert json.loads(on_disk) == signature


def test_the_root_is_encrypted_and_bound_to_the_tpm(machine: Machine) -> None:
    assert "type:    LUKS2" in machine.succeed("cryptsetup status root")
    dump = machine.succeed(
        "cryptsetup luksDump --dump-json-metadata /dev/disk/by-partlabel/root", timeout=120
    )
    token = next(
        token for token in json.loads(dump)["tokens"].values() if token["type"] == "systemd-tpm2"
    )
    assert token["tpm2-pcrs"] == [15]
    assert token["tpm2_pubkey_pcrs"] == [11]


def test_slot_b_is_there_and_empty(machine: Machine) -> None:
    labels = machine.succeed("lsblk -rno PARTLABEL").split()
    assert labels.count("_empty") == 3
    assert "root" in labels and "esp" in labels


def test_no_unit_failed(machine: Machine) -> None:
    machine.wait_for_unit("goni-health.service", timeout=PATIENCE)
    assert machine.failed_units() == []


def test_the_boot_counts_as_good(machine: Machine) -> None:
    machine.wait_for_unit("boot-complete.target", timeout=PATIENCE)
    machine.wait_until_succeeds("ls /boot/EFI/Linux/goni_*_x86-64.efi", timeout=120)


def test_the_screen_shows_where_to_go_and_the_pin(machine: Machine) -> None:
    machine.wait_for_unit("goni-firstboot.service", timeout=PATIENCE)
    machine.wait_until_succeeds("grep -aq 'https://goni.local/' /dev/vcs1", timeout=60)
    assert re.search(r"PIN: +\d{3} \d{3}\b", machine.succeed("cat /dev/vcs1"))


def test_nothing_listens_but_the_documented_ports(machine: Machine) -> None:
    found = {(port.protocol, port.port) for port in machine.listening_ports() if not port.loopback}
    assert ("tcp", 443) in found
    assert found <= documented_ports(Path("SECURITY.md").read_text())


def test_no_unit_waits_in_an_ordering_cycle(machine: Machine) -> None:
    assert "ordering cycle" not in machine.succeed("journalctl -b --no-pager").lower()


def test_no_password_opens_anything(machine: Machine) -> None:
    hashes = machine.succeed("cut -d: -f2 /etc/shadow").split()
    assert all(value.startswith(("!", "*")) for value in hashes)
    shells = "'*getty@*.service' 'ssh*.service' 'ssh*.socket' debug-shell.service"
    units = machine.succeed(f"systemctl list-units --all --plain --no-legend {shells}")
    assert "active" not in units.split()


def test_no_key_of_the_builder_is_in_the_image(machine: Machine) -> None:
    # A line from the middle of each private key: base64 that stands nowhere else.
    files = [Path("keys", f"{name}.key").read_text().splitlines() for name in keys.NAMES]
    lines = [lines[len(lines) // 2] for lines in files]
    words = ["grep", "-rlF", *(word for line in lines for word in ("-e", line)), "/usr", "/boot"]
    found = machine.execute(["env", "LC_ALL=C", *words], timeout=PATIENCE)
    assert (found.rc, found.stdout) == (1, "")


def test_python_packages_are_the_ones_that_the_tests_ran_with(machine: Machine) -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    names = [re.split("[=<>]", line)[0] for line in project["dependencies"]]
    script = (
        "import importlib.metadata, json, sys;"
        "print(json.dumps({n: importlib.metadata.version(n) for n in sys.argv[1:]}))"
    )
    inside = json.loads(machine.succeed(["python3", "-c", script, *names]))
    assert inside == {name: importlib.metadata.version(name) for name in names}


# --- Setup, as a browser does it.


def test_before_the_pin_there_is_only_the_page_that_asks_for_it(household: Household) -> None:
    browser = household.browser()
    page = browser.get(f"{household.url}/", timeout=PATIENCE)
    assert page.status_code == 200 and "PIN" in page.text
    for path in ("/setup", "/v1/models", "/api/me", "/../etc/passwd"):
        said = browser.get(f"{household.url}{path}", timeout=PATIENCE, allow_redirects=False)
        assert said.status_code in (303, 307, 403, 404)


def test_a_wrong_pin_is_refused(household: Household) -> None:
    said = household.browser().post(
        f"{household.url}/", data={"pin": household.wrong_pin()}, timeout=PATIENCE
    )
    assert said.status_code in (400, 403)


def test_setup_makes_the_owner_and_names_the_node(household: Household, machine: Machine) -> None:
    household.set_up()
    machine.wait_until_succeeds("systemctl is-active goni-gateway.service")
    machine.wait_until_succeeds(f"test $(hostnamectl hostname) = {NODE_NAME}", timeout=120)
    machine.wait_until_succeeds("! systemctl is-active goni-firstboot.service", timeout=120)


def test_the_pin_is_in_no_log(household: Household, machine: Machine) -> None:
    assert household.pin() not in machine.succeed("journalctl -b --no-pager -o cat")


# --- The owner's evening.


def test_the_owner_brings_a_model_and_documents(household: Household) -> None:
    household.make_key()
    household.bring_model()
    for document in PLANTED:
        household.upload(document)


def test_the_official_client_sees_both_models(household: Household) -> None:
    ids = {model.id for model in household.client().models.list()}
    assert ids == {"tiny", "all-MiniLM-L6-v2"}


@pytest.mark.parametrize("document", PLANTED, ids=lambda document: document.name)
def test_a_planted_sentence_comes_back_as_a_source(household: Household, document: Planted) -> None:
    answer = household.client().chat.completions.create(
        model="tiny", messages=asked(document), max_tokens=8
    )
    assert answer.choices[0].message.content
    assert answer.model_extra is not None
    first = answer.model_extra["goni"]["sources"][0]
    assert (first["document"], first["page"]) == (document.name, document.page)
    assert document.sentence in first["quote"]


def test_the_official_client_streams(household: Household) -> None:
    chunks = list(
        household.client().chat.completions.create(
            model="tiny", messages=asked(PLANTED[0]), max_tokens=8, stream=True
        )
    )
    assert chunks[0].model_extra is not None
    assert chunks[0].model_extra["goni"]["sources"][0]["document"] == PLANTED[0].name
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


def test_the_official_client_embeds(household: Household) -> None:
    texts = ["a cat sleeps", "a kitten naps", "interest rates rose"]
    vectors = [
        item.embedding
        for item in household.client().embeddings.create(model="all-MiniLM-L6-v2", input=texts).data
    ]
    cat, kitten, rates = vectors

    def likeness(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert len(cat) == 384
    assert likeness(cat, kitten) > 0.5 > likeness(cat, rates)


def test_a_chat_is_kept(household: Household) -> None:
    browser = household.signed_in()
    household.chat = browser.post(f"{household.url}/api/chats", json={}, timeout=PATIENCE).json()[
        "id"
    ]
    said = browser.post(
        f"{household.url}/api/chats/{household.chat}/messages",
        json={"model": "tiny", "content": PLANTED[0].question, "max_tokens": 8},
        timeout=PATIENCE,
    )
    assert said.status_code == 200 and "[DONE]" in said.text


def test_the_health_check_passes_with_what_people_brought(machine: Machine) -> None:
    machine.succeed("systemctl restart goni-health.service", timeout=PATIENCE)
    assert machine.failed_units() == []


def test_what_is_not_a_model_is_refused_and_leaves_nothing(
    household: Household, machine: Machine
) -> None:
    browser = household.signed_in()
    for name, data in (
        ("zip.gguf", b"PK\x03\x04" * 64),
        ("cut.gguf", b"GGUF\x03\0\0\0" + b"\xff" * 9),
    ):
        said = browser.put(f"{household.url}/api/models/{name}", data=data, timeout=PATIENCE)
        assert said.status_code == 400, said.text
        assert said.json()["error"]["message"]
    files = machine.succeed("ls -A /var/lib/goni/engine/models").split()
    assert files == ["tiny.gguf"]


def test_malformed_and_oversized_requests_get_openai_shaped_errors(household: Household) -> None:
    session = household.browser()
    session.headers["Authorization"] = f"Bearer {household.key}"
    bodies: tuple[tuple[bytes, int], ...] = (
        (b"{", 400),
        (b"[]", 400),
        (b'{"model": "nobody", "messages": [{"role": "user", "content": "x"}]}', 404),
        (b'{"model": "tiny", "messages": "x"}', 400),
        (b'{"x": "' + b"a" * (25 << 20) + b'"}', 413),
    )
    for body, status in bodies:
        said = session.post(f"{household.url}/v1/chat/completions", data=body, timeout=PATIENCE)
        assert said.status_code == status, (status, said.text)
        assert {"message", "type", "code"} <= said.json()["error"].keys()


def test_without_a_key_there_is_no_answer(household: Household) -> None:
    said = household.browser().get(f"{household.url}/v1/models", timeout=PATIENCE)
    assert said.status_code == 401


# --- The next morning.


def test_after_a_reboot_everything_is_there_and_the_wizard_is_gone(
    household: Household, machine: Machine
) -> None:
    machine.reboot()
    machine.wait_for_unit("goni-health.service", timeout=PATIENCE)
    assert machine.failed_units() == []
    browser = household.signed_in()
    documents = browser.get(f"{household.url}/api/documents", timeout=PATIENCE).json()["documents"]
    assert {item["name"] for item in documents} == {document.name for document in PLANTED}
    chat = browser.get(f"{household.url}/api/chats/{household.chat}", timeout=PATIENCE).json()
    assert [message["role"] for message in chat["messages"]] == ["user", "assistant"]
    assert machine.succeed("systemctl is-active goni-firstboot.service || true").strip() != "active"
    answer = household.client().chat.completions.create(
        model="tiny", messages=asked(PLANTED[0]), max_tokens=8
    )
    assert answer.model_extra is not None
    assert answer.model_extra["goni"]["sources"][0]["document"] == PLANTED[0].name


def test_the_disk_was_unlocked_by_the_tpm_alone(machine: Machine) -> None:
    assert machine.succeed(["hostnamectl", "hostname"]).strip() == NODE_NAME
    log = machine.succeed("journalctl -b -u systemd-cryptsetup@root.service --no-pager")
    assert "Finished systemd-cryptsetup@root.service" in log
    assert "please enter" not in log.lower()


def test_no_question_or_document_is_in_the_journal(machine: Machine) -> None:
    log = machine.succeed("journalctl --no-pager -o cat", timeout=300)
    for document in PLANTED:
        assert document.sentence not in log
        assert document.question not in log


# --- A tampered disk.


def test_one_flipped_bit_in_usr_stops_the_boot_and_says_why(machine: Machine, image: Path) -> None:
    machine.power_off()
    # The superblock, which every boot reads: 1,024 bytes into the file system.
    slot = disk.partition(machine.disk, f"goni_{build.version()}")
    disk.flip_bit(machine.disk, slot.start + 1024 + 8)
    machine.power_on(wait=False)
    machine.wait_for_console_text(r"verity.*(corrupted|corruption)", timeout=PATIENCE)
