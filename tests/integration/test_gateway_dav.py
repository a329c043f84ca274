"""The folders as network drives: litmus (the WebDAV compliance suite), and what a mounted drive
must never be able to do.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator

import httpx
import pytest

from goni_core import run
from tests.integration import dav_node
from tests.integration.gateway_node import Node
from tests.integration.rag_node import Rag, eventually

Pair = tuple[Node, Rag]
SUITES = "basic copymove http locks"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with dav_node.running(tmp_path_factory.mktemp("node")) as pair:
        yield pair


@pytest.fixture(scope="module")
def node(served: Pair) -> Node:
    return served[0]


@pytest.fixture(scope="module")
def rag(served: Pair) -> Rag:
    return served[1]


@pytest.fixture(scope="module")
def drive(node: Node) -> httpx.Client:
    """The owner's mounted drive."""
    return mounted(node, node.a_key())


def mounted(node: Node, key: str) -> httpx.Client:
    client = node.client()
    client.auth = ("anybody", key)
    return client


def test_litmus_finds_nothing_but_properties_that_are_not_kept(node: Node, tmp_path):
    argv = ["litmus", "-k", f"{node.url}/dav/Shared/", "anybody", node.a_key()]
    said = run.run(argv, timeout=600, check=False, env={"TESTS": SUITES}, cwd=tmp_path).text
    failed = re.findall(r"^.*FAIL.*$", said, re.MULTILINE)
    assert said.count("<- summary") == len(SUITES.split()), said
    assert [line for line in failed if "PROPPATCH on locked" not in line] == []
    assert said.count(" pass\n") > 60


def test_curl_mounts_reads_and_writes(node: Node, tmp_path):
    (tmp_path / "in.txt").write_text("The kayak hangs below the balcony.")
    known = ["curl", "--silent", "--show-error", "--fail", "--cacert", node.crt]
    known += ["--user", f"x:{node.a_key()}"]
    base = f"{node.url}/dav/My%20documents"
    run.run([*known, "-X", "MKCOL", f"{base}/Boats/"], timeout=60)
    run.run([*known, "-T", tmp_path / "in.txt", f"{base}/Boats/kayak.txt"], timeout=60)
    listed = run.run([*known, "-X", "PROPFIND", "-H", "Depth: 1", f"{base}/Boats/"], timeout=60)
    assert "<D:href>/dav/My%20documents/Boats/kayak.txt</D:href>" in listed.text
    assert "<D:getcontentlength>34</D:getcontentlength>" in listed.text
    part = run.run([*known, "-r", "4-8", f"{base}/Boats/kayak.txt"], timeout=60)
    assert part.stdout == b"kayak"


def test_what_was_copied_onto_the_drive_is_found(node: Node, drive: httpx.Client):
    drive.put(
        "/dav/Shared/attic.txt", content=b"The trunk in the attic holds kites."
    ).raise_for_status()
    app = node.client(authorization=f"Bearer {node.member_key('Kim')}")

    def found() -> list[str]:
        said = app.post("/api/search", json={"query": "what does the trunk hold"})
        return [source["document"] for source in said.json()["sources"]]

    eventually(lambda: found() == ["attic.txt"])
    assert drive.delete("/dav/Shared/attic.txt").status_code == 204
    assert found() == []


def test_nobody_sees_another_persons_documents(node: Node, drive: httpx.Client):
    assert drive.put("/dav/My documents/diary.txt", content=b"mine").status_code == 201
    other = mounted(node, node.member_key("Bea"))
    assert other.get("/dav/My documents/diary.txt").status_code == 404
    listed = other.request("PROPFIND", "/dav/My documents/", headers={"depth": "1"})
    assert (listed.status_code, "diary" in listed.text) == (207, False)
    moved = other.request(
        "COPY", "/dav/My documents/diary.txt", headers={"destination": "/dav/Shared/x.txt"}
    )
    assert moved.status_code == 404
    assert drive.get("/dav/My documents/diary.txt").content == b"mine"


def test_a_file_never_becomes_a_page_of_this_node(drive: httpx.Client):
    drive.put("/dav/Shared/x.html", content=b"<script src='/dav/Shared/x.js'></script>")
    said = drive.get("/dav/Shared/x.html")
    assert said.headers["content-type"] == "application/octet-stream"
    assert said.headers["content-disposition"].startswith("attachment")
    assert said.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert said.headers["x-content-type-options"] == "nosniff"


def test_finders_names_and_litter_are_taken(node: Node, rag: Rag, drive: httpx.Client):
    apart = "Cafe\u0301.txt"
    assert drive.put(f"/dav/Shared/{apart}", content=b"x").status_code == 201
    assert (rag.folders / "shared/Caf\u00e9.txt").exists()
    assert drive.get(f"/dav/Shared/{apart}").content == b"x"
    assert drive.put("/dav/Shared/._Cafe.txt", content=b"fork").status_code == 201
    assert drive.get("/dav/Shared/._Cafe.txt").content == b"fork"
    assert ".DS_Store" not in rag.documents("shared")
    listed = drive.request("PROPFIND", "/dav/Shared", headers={"depth": "1"})
    assert "Caf%C3%A9.txt" in listed.text
    for name in (apart, "._Cafe.txt"):
        assert drive.delete(f"/dav/Shared/{name}").status_code == 204


def test_explorers_times_are_taken_and_other_properties_are_not(drive: httpx.Client):
    drive.put("/dav/Shared/t.txt", content=b"x")
    body = (
        '<D:propertyupdate xmlns:D="DAV:" xmlns:Z="{}"><D:set><D:prop>'
        "<Z:Win32LastModifiedTime>x</Z:Win32LastModifiedTime></D:prop></D:set></D:propertyupdate>"
    )
    for space, status in (("urn:schemas-microsoft-com:", "200 OK"), ("urn:mine", "403 Forbidden")):
        said = drive.request("PROPPATCH", "/dav/Shared/t.txt", content=body.format(space))
        assert (said.status_code, f"HTTP/1.1 {status}" in said.text) == (207, True)


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status"),
    [
        ("PUT", "/dav/Shared/a%00b", {}, b"x", 400),
        ("PUT", "/dav/Shared/a%5Cb", {}, b"x", 400),
        ("PUT", "/dav/Shared/" + "x" * 300, {}, b"x", 400),
        ("PUT", "/dav/Nobody/x.txt", {}, b"x", 404),
        ("PUT", "/dav/x.txt", {}, b"x", 404),
        ("PUT", "/dav/Shared/no/x.txt", {}, b"x", 409),
        ("PUT", "/dav/Shared/", {}, b"x", 403),
        ("DELETE", "/dav/Shared/", {}, b"", 403),
        ("DELETE", "/dav/", {}, b"", 403),
        ("MKCOL", "/dav/Shared/", {}, b"", 405),
        ("MOVE", "/dav/Shared/", {"destination": "/dav/My%20documents/s"}, b"", 403),
        ("MOVE", "/dav/Shared/t.txt", {"destination": "https://elsewhere/dav/Shared/u"}, b"", 502),
        ("MOVE", "/dav/Shared/t.txt", {"destination": "/api/me"}, b"", 502),
        ("MOVE", "/dav/Shared/t.txt", {"destination": "/dav/Shared/%2e%2e/%2e%2e/x"}, b"", 400),
        ("MOVE", "/dav/Shared/t.txt", {}, b"", 502),
        ("PROPFIND", "/dav/Shared/", {"depth": "infinity"}, b"", 403),
        ("PROPFIND", "/dav/Shared/", {"depth": "0"}, b"<a", 400),
        ("PROPFIND", "/dav/Shared/", {"depth": "0"}, b"x" * 100_000, 413),
        ("LOCK", "/dav/Shared/t.txt", {}, b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", 400),
        ("LOCK", "/dav/Shared/t.txt", {"if": "(<"}, b"", 400),
        ("PUT", "/dav/Shared/t.txt", {"content-range": "bytes 0-0/9"}, b"x", 400),
        ("PUT", "/dav/Shared/t.txt", {"sec-fetch-site": "cross-site"}, b"x", 403),
    ],
)
def test_what_no_drive_may_do_is_refused(
    rag: Rag, drive: httpx.Client, method: str, path: str, headers: dict, body: bytes, status: int
):
    drive.put("/dav/Shared/t.txt", content=b"untouched")
    before = sorted(rag.folders.rglob("*"))
    said = drive.request(method, path, headers=headers, content=body)
    assert said.status_code == status, said.text
    assert sorted(rag.folders.rglob("*")) == before
    assert drive.get("/dav/Shared/t.txt").content == b"untouched"


def test_dots_that_lead_out_are_refused_as_they_stand(node: Node, rag: Rag):
    """As bytes, because a client library would tidy the path up first."""
    trusted = ssl.create_default_context(cafile=node.crt)
    for path in (
        "/dav/Shared/../../../x",
        "/dav/Shared/%2e%2e/%2e%2e/x",
        "/dav/Shared/..%2f..%2fx",
    ):
        with (
            socket.create_connection(("127.0.0.1", node.port)) as plain,
            trusted.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
        ):
            secured.sendall(
                f"PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {node.a_key()}\r\n"
                "Content-Length: 1\r\n\r\nx".encode()
            )
            assert secured.recv(100).split()[1] in (b"400", b"404")
    assert not list(rag.base.rglob("x"))


def test_a_wrong_key_is_challenged_then_slowed_down(node: Node, drive: httpx.Client):
    stranger = mounted(node, "goni-wrong")
    said = stranger.get("/dav/Shared/")
    assert (said.status_code, "Basic" in said.headers["www-authenticate"]) == (401, True)
    statuses = {stranger.get("/dav/Shared/").status_code for _ in range(12)}
    assert 429 in statuses
    assert drive.request("PROPFIND", "/dav/", headers={"depth": "1"}).status_code == 207
    browser = node.signed_in()
    assert browser.get("/dav/Shared/").status_code == 401, "a cookie opens no drive"


def test_a_lock_keeps_others_out_until_it_is_given_up(node: Node, drive: httpx.Client):
    body = (
        '<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope>'
        "<locktype><write/></locktype><owner>Word</owner></lockinfo>"
    )
    made = drive.request("LOCK", "/dav/Shared/shared.txt", content=body)
    assert made.status_code == 201
    token = made.headers["lock-token"]
    other = mounted(node, node.member_key("Leo"))
    assert other.put("/dav/Shared/shared.txt", content=b"mine").status_code == 423
    stolen = {"if": f"({token})"}
    assert other.put("/dav/Shared/shared.txt", content=b"mine", headers=stolen).status_code == 423
    held = drive.put("/dav/Shared/shared.txt", content=b"ours", headers=stolen)
    assert held.status_code == 204
    freed = drive.request("UNLOCK", "/dav/Shared/shared.txt", headers={"lock-token": token})
    assert freed.status_code == 204
    assert other.put("/dav/Shared/shared.txt", content=b"theirs").status_code == 204


# --- the same folders through the page's own routes ----------------------------------------


def test_folders_through_the_api(node: Node):
    app = node.client(authorization=f"Bearer {node.a_key()}")
    assert app.post("/api/folder", json={"path": "Taxes"}).status_code == 201
    said = app.put("/api/documents/Taxes/a.txt", content=b"The dog licence costs ten euros.")
    assert (said.status_code, said.json()["name"]) == (201, "Taxes/a.txt")
    listed = app.get("/api/folder", params={"path": "Taxes"}).json()
    assert [(e["path"], e["state"]) for e in listed["entries"]] == [("Taxes/a.txt", "indexed")]
    body = {"path": "Taxes/a.txt", "to": "dog.txt", "to_space": "shared"}
    assert app.post("/api/move", json=body).status_code == 200
    asked = {"space": "shared", "path": "dog.txt"}
    assert app.get("/api/files", params=asked).content == b"The dog licence costs ten euros."
    progress = app.get("/api/progress").json()
    assert progress["waiting"] == 0
    found = app.post("/api/search", json={"query": "dog licence"}).json()["sources"]
    assert found[0]["document"] == "dog.txt"
    assert app.delete("/api/documents", params=asked).json() == {"deleted": True}
    assert app.get("/api/folder", params={"space": "other"}).status_code == 400
    assert app.get("/api/files", params={"path": "../gateway.db"}).status_code == 400
