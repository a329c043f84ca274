"""Models from the hub into the engine: real gateway, real engine, a hub behind real TLS that cuts,
lies and changes its mind.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.hostile import hostile
from tests.integration import engine_node, gateway_node, hub
from tests.integration.hub import REPO, Hub
from tests.models import write_tiny_chat_model


@dataclass
class Site:
    """A hub, and a node whose catalog leads there: with the hash of ``content`` (``tiny``), with
    another hash (``wrong``), and without one (``unknown``).
    """

    hub: Hub
    engine: engine_node.Node
    gateway: gateway_node.Node
    content: bytes
    owner: httpx.Client

    def path(self, model: str) -> str:
        return hub.path_of(model)

    def start(self, **body: str) -> str:
        said = self.owner.post("/api/downloads", json=body)
        assert said.status_code == 201, said.text
        return str(said.json()["id"])

    def job(self, key: str) -> dict[str, Any]:
        jobs = self.owner.get("/api/downloads").json()["downloads"]
        found: dict[str, Any] = next((job for job in jobs if job["id"] == key), {})
        return found

    def until(self, key: str, *states: str, seconds: float = 30) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while (job := self.job(key))["state"] not in states:
            assert time.monotonic() < end, job
            time.sleep(0.05)
        return job

    def told(self, key: str) -> dict[str, Any]:
        """Wait until the job says what went wrong."""
        end = time.monotonic() + 30
        while not (job := self.job(key))["reason"]:
            assert time.monotonic() < end, job
            time.sleep(0.05)
        return job

    def begun(self, key: str) -> int:
        """Wait until some of it is here; how much."""
        end = time.monotonic() + 20
        while not (done := int(self.job(key)["done_bytes"])):
            assert time.monotonic() < end, self.job(key)
            time.sleep(0.02)
        return done

    def limit(self, bytes_per_second: int) -> None:
        body = {"bytes_per_second": bytes_per_second}
        assert self.owner.put("/api/downloads/limit", json=body).status_code == 200

    def models(self) -> list[str]:
        return sorted(path.name for path in self.engine.models.glob("*.gguf"))

    def unfinished(self) -> list[str]:
        return [path.name for path in (self.engine.folder / "state/engine/incoming").iterdir()]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    content = write_tiny_chat_model(folder / "m.gguf", seed=5).read_bytes()
    (folder / "catalog.yaml").write_text(hub.catalog_for(content), encoding="utf-8")
    (folder / "hub").mkdir()
    certificate = gateway_node.certificate(folder / "hub")
    with hub.running(certificate) as served, pytest.MonkeyPatch.context() as patch:
        patch.setenv("GONI_HUB", served.address)
        patch.setenv("GONI_CATALOG", str(folder / "catalog.yaml"))
        patch.setenv("SSL_CERT_FILE", str(certificate[0]))
        with engine_node.running(folder) as engine:
            gateway = gateway_node.Node(folder)
            gateway.start()
            gateway.set_up()
            yield Site(served, engine, gateway, content, gateway.signed_in())
            gateway.stop()


@pytest.fixture(autouse=True)
def clean(site: Site) -> Iterator[None]:
    yield
    site.limit(0)
    for job in site.owner.get("/api/downloads").json()["downloads"]:
        site.owner.delete(f"/api/downloads/{job['id']}")
    for model in site.models():
        site.owner.delete(f"/api/models/{model}")
    assert site.unfinished() == []
    site.hub.files.clear()


def test_a_catalog_model_comes_is_checked_and_listed(site: Site) -> None:
    site.hub.serve(site.path("tiny"), site.content)
    offers = {offer["id"]: offer for offer in site.owner.get("/api/catalog").json()["models"]}
    assert not offers["tiny"]["here"]
    job = site.until(site.start(model="tiny"), "done", "failed")
    assert (job["state"], job["reason"]) == ("done", "")
    assert job["done_bytes"] == job["bytes"] == len(site.content)
    assert (site.engine.models / "tiny.gguf").read_bytes() == site.content
    offers = {offer["id"]: offer for offer in site.owner.get("/api/catalog").json()["models"]}
    assert offers["tiny"]["here"]
    sent = {name.lower() for headers in site.hub.headers for name in headers}
    assert sent <= {"host", "accept", "accept-encoding", "connection", "user-agent", "range"}


def test_a_line_that_breaks_is_continued_where_it_broke(site: Site) -> None:
    third = len(site.content) // 3
    site.hub.serve(site.path("tiny"), site.content, cuts=[third, third])
    assert site.until(site.start(model="tiny"), "done", "failed")["state"] == "done"
    assert [bool(ranges) for _, ranges in site.hub.asked] == [False, True, True]
    assert site.hub.sent < len(site.content) + 2 * (1 << 16)
    assert (site.engine.models / "tiny.gguf").read_bytes() == site.content


def test_a_hub_that_ignores_ranges_is_read_again_but_nothing_is_written_twice(site: Site) -> None:
    site.hub.serve(site.path("tiny"), site.content, cuts=[900_000], ranges=False)
    assert site.until(site.start(model="tiny"), "done", "failed")["state"] == "done"
    assert len(site.hub.asked) == 2
    assert (site.engine.models / "tiny.gguf").read_bytes() == site.content


def test_another_file_than_the_catalogs_is_refused_by_its_hash(site: Site) -> None:
    forged = bytearray(site.content)
    forged[-100] ^= 1
    site.hub.serve(site.path("tiny"), bytes(forged))
    job = site.until(site.start(model="tiny"), "done", "failed")
    assert job["state"] == "failed"
    assert "damaged" in job["reason"]
    assert site.models() == []
    assert site.unfinished() == []


def test_a_hub_that_states_another_hash_is_refused_before_a_byte_is_kept(site: Site) -> None:
    linked = hashlib.sha256(site.content).hexdigest()
    site.hub.serve(site.path("wrong"), site.content, linked=linked)
    job = site.until(site.start(model="wrong"), "done", "failed")
    assert (job["state"], job["done_bytes"]) == ("failed", 0)
    assert "not the one in the catalog" in job["reason"]


def test_an_entry_without_a_hash_is_checked_against_the_hubs(site: Site) -> None:
    linked = hashlib.sha256(site.content).hexdigest()
    site.hub.serve(site.path("unknown"), site.content, linked=linked)
    assert site.until(site.start(model="unknown"), "done", "failed")["state"] == "done"


def test_what_nobody_states_a_hash_for_is_not_downloaded(site: Site) -> None:
    site.hub.serve(site.path("unknown"), site.content)
    job = site.until(site.start(model="unknown"), "done", "failed")
    assert (job["state"], job["done_bytes"]) == ("failed", 0)
    assert "hash" in job["reason"]


@pytest.mark.parametrize("size", [1000, 1 << 50])
def test_a_wrong_length_is_refused_before_a_byte_is_kept(site: Site, size: int) -> None:
    site.hub.serve(site.path("tiny"), site.content, linked_size=size)
    job = site.until(site.start(model="tiny"), "done", "failed")
    assert (job["state"], job["done_bytes"]) == ("failed", 0)
    assert "bytes" in job["reason"]


def test_a_body_without_end_is_cut_off(site: Site) -> None:
    site.hub.serve(site.path("tiny"), site.content, endless=True, length=False)
    job = site.until(site.start(model="tiny"), "done", "failed")
    assert job["state"] == "failed"
    assert "more than the file has" in job["reason"]
    assert site.hub.sent < len(site.content) + (16 << 20)
    assert site.models() == []


def test_a_file_that_changes_between_two_tries_is_not_mixed(site: Site) -> None:
    linked = hashlib.sha256(site.content).hexdigest()
    served = site.hub.serve(site.path("unknown"), site.content, linked=linked, cuts=[500_000])
    newer = bytearray(site.content)
    newer[-100] ^= 1

    def replace() -> None:
        while not site.hub.asked:
            time.sleep(0.01)
        served.etag, served.content = '"2"', bytes(newer)
        served.linked = hashlib.sha256(newer).hexdigest()

    replacing = threading.Thread(target=replace)
    replacing.start()
    key = site.start(model="unknown")
    job = site.until(key, "done", "failed")
    replacing.join()
    assert job["state"] == "failed"
    assert "replaced" in job["reason"]
    assert site.unfinished() == []
    site.owner.post(f"/api/downloads/{key}/resume")
    assert site.until(key, "done", "failed")["state"] == "done"
    assert (site.engine.models / "unknown.gguf").read_bytes() == bytes(newer)


@pytest.mark.parametrize("kind", list(hostile(bytes(8192))))
def test_hostile_files_from_the_hub_are_refused_and_leave_nothing(site: Site, kind: str) -> None:
    data = hostile(site.content)[kind]
    linked = hashlib.sha256(data).hexdigest()
    site.hub.serve(site.path("hostile"), data, linked=linked)
    job = site.until(site.start(repo=REPO, file="hostile.gguf"), "done", "failed")
    assert job["state"] == "failed"
    assert job["reason"]
    assert site.models() == []
    assert site.unfinished() == []
    assert site.owner.get("/api/models").status_code == 200


def test_the_owner_may_name_a_file_of_the_hub(site: Site) -> None:
    linked = hashlib.sha256(site.content).hexdigest()
    site.hub.serve(site.path("own-choice"), site.content, linked=linked)
    job = site.until(site.start(repo=REPO, file="own-choice.gguf"), "done", "failed")
    assert (job["state"], job["bytes"]) == ("done", len(site.content))
    assert site.models() == ["own-choice.gguf"]


def test_a_pause_holds_and_a_killed_gateway_continues(site: Site) -> None:
    site.limit(256 << 10)
    site.hub.serve(site.path("tiny"), site.content)
    key = site.start(model="tiny")
    site.begun(key)
    assert site.owner.post(f"/api/downloads/{key}/pause").status_code == 200
    held = site.job(key)
    assert (held["state"], held["seconds_left"]) == ("paused", None)
    time.sleep(0.5)
    assert site.job(key)["done_bytes"] == held["done_bytes"] > 0
    assert site.owner.post(f"/api/downloads/{key}/pause").status_code == 409
    site.owner.post(f"/api/downloads/{key}/resume")
    site.until(key, "running")
    site.gateway.kill()
    site.gateway.start()
    site.limit(0)
    assert site.until(key, "done", "failed")["state"] == "done"
    assert all(ranges for _, ranges in site.hub.asked[1:])
    assert (site.engine.models / "tiny.gguf").read_bytes() == site.content


def test_a_restarted_engine_is_waited_for(site: Site) -> None:
    site.limit(256 << 10)
    site.hub.serve(site.path("tiny"), site.content)
    key = site.start(model="tiny")
    site.begun(key)
    site.engine.stop()
    site.engine.start()
    site.limit(0)
    assert site.until(key, "done", "failed")["state"] == "done"
    assert (site.engine.models / "tiny.gguf").read_bytes() == site.content


def test_one_comes_at_a_time_and_the_limit_holds(site: Site) -> None:
    site.limit(512 << 10)
    site.hub.serve(site.path("other"), site.content)
    site.hub.serve(site.path("tiny"), site.content)
    began = time.monotonic()
    first, second = site.start(model="tiny"), site.start(model="other")
    site.begun(first)
    assert site.job(second)["state"] == "queued"
    assert site.job(first)["bytes_per_second"] < 1 << 20
    site.until(first, "done")
    assert time.monotonic() - began > len(site.content) / (512 << 10) - 1
    site.limit(0)
    site.until(second, "done")


def test_a_cancelled_download_leaves_nothing(site: Site) -> None:
    site.limit(256 << 10)
    site.hub.serve(site.path("tiny"), site.content)
    key = site.start(model="tiny")
    site.begun(key)
    assert site.owner.delete(f"/api/downloads/{key}").status_code == 200
    assert site.job(key) == {}
    assert site.unfinished() == []
    assert site.models() == []


def test_a_hub_out_of_order_is_tried_again(site: Site) -> None:
    served = site.hub.serve(site.path("tiny"), site.content, status=503)
    key = site.start(model="tiny")
    assert site.told(key)["state"] == "running"
    served.status = 0
    assert site.until(key, "done", "failed")["state"] == "done"


@pytest.mark.parametrize(("status", "words"), [(404, "any more"), (403, "sign in"), (418, "418")])
def test_a_refusal_of_the_hub_ends_it_with_the_reason(site: Site, status: int, words: str) -> None:
    site.hub.serve(site.path("tiny"), site.content, status=status)
    job = site.until(site.start(model="tiny"), "done", "failed")
    assert words in job["reason"]


@pytest.mark.parametrize("where", ["http://127.0.0.1:9/x", "ftp://127.0.0.1/x", "http://[::1"])
def test_no_redirection_leads_off_a_protected_connection(site: Site, where: str) -> None:
    site.hub.serve(site.path("tiny"), site.content, redirect=where)
    key = site.start(model="tiny")
    job = site.told(key)
    assert job["done_bytes"] == 0
    assert site.hub.asked == []


def test_a_hub_whose_certificate_nobody_vouches_for_is_not_asked(
    site: Site, tmp_path: Path
) -> None:
    with hub.running(gateway_node.certificate(tmp_path)) as impostor:
        impostor.serve(site.path("tiny"), site.content)
        site.hub.serve(site.path("tiny"), site.content, redirect=impostor.address + hub.STORE)
        key = site.start(model="tiny")
        job = site.told(key)
        assert "connection to the outside failed" in job["reason"]
        assert impostor.headers == []


def test_a_hub_that_sends_us_in_circles_is_left(site: Site) -> None:
    site.hub.serve(site.path("tiny"), site.content, redirect=site.path("tiny"))
    key = site.start(model="tiny")
    job = site.told(key)
    assert "circles" in job["reason"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"model": "nowhere"}, 404),
        ({"model": "idle"}, 400),
        ({"model": "tiny", "repo": "a/b"}, 400),
        ({"repo": "../../etc", "file": "x.gguf"}, 400),
        ({"repo": "a/b", "file": "../x.gguf"}, 400),
        ({"repo": "a/b", "file": "x.bin"}, 400),
        ({"repo": "a/b?c=d", "file": "x.gguf"}, 400),
        ({"address": "https://elsewhere.example/x.gguf"}, 400),
        ({}, 400),
    ],
)
def test_only_offers_and_plain_names_can_be_wanted(
    site: Site, body: dict[str, str], status: int
) -> None:
    assert site.owner.post("/api/downloads", json=body).status_code == status


def test_a_stranger_gets_nowhere(site: Site) -> None:
    stranger = site.gateway.client()
    for path in ("/api/catalog", "/api/downloads", "/api/incoming"):
        assert stranger.get(path).status_code == 401
    assert stranger.post("/api/downloads", json={"model": "tiny"}).status_code == 401


def test_an_upload_in_pieces_goes_through_the_front_door(site: Site) -> None:
    body = {"name": "brought.gguf", "bytes": len(site.content), "tag": "a file of mine"}
    key = site.owner.post("/api/incoming", json=body).json()["id"]
    half = len(site.content) // 2
    for offset, piece in ((0, site.content[:half]), (half, site.content[half:])):
        said = site.owner.patch(
            f"/api/incoming/{key}", content=piece, headers={"upload-offset": str(offset)}
        )
        assert said.status_code == 200
    assert said.json()["model"]["id"] == "brought"
    assert site.models() == ["brought.gguf"]
    assert site.owner.get("/api/incoming").json() == {"incoming": []}
    assert site.owner.get("/api/incoming/..%2Fhealth").status_code == 404
