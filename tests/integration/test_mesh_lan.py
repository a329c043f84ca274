"""Nodes on a network of their own: they find each other, and ghosts disappear."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from goni_core import run
from tests.integration.lan import Lan, lan
from tests.integration.mesh_node import COMMAND, PASSWORD, Node, eventually

FLOOD = """
import secrets, socket, struct, sys
def name(*labels):
    return b"".join(bytes([len(one)]) + one for one in labels) + b"\\0"
def record(owner, kind, data):
    return owner + struct.pack("!HHIH", kind, 0x8001 if kind != 12 else 1, 4500, len(data)) + data
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(sys.argv[1]))
service = name(b"_goni", b"_tcp", b"local")
for number in range(int(sys.argv[2])):
    who = secrets.token_hex(8).encode()
    instance = name(who, b"_goni", b"_tcp", b"local")
    host = name(who, b"local")
    text = b"".join(bytes([len(one)]) + one for one in (
        b"id=" + secrets.token_hex(32).encode(), b"state=member", b"hint=" + who,
        b"version=9", b"pairing=7476"))
    records = [record(service, 12, instance),
               record(instance, 33, struct.pack("!HHH", 0, 0, 7475) + host),
               record(instance, 16, text), record(host, 1, secrets.token_bytes(4))]
    packet = struct.pack("!HHHHHH", 0, 0x8400, 0, len(records), 0, 0) + b"".join(records)
    out.sendto(packet, ("224.0.0.251", 5353))
    out.sendto(secrets.token_bytes(1 + number % 200), ("224.0.0.251", 5353))
"""


@pytest.fixture
def wired(tmp_path: Path) -> Iterator[tuple[Lan, list[Node]]]:
    with lan(3) as net, contextlib.ExitStack() as ending:
        made = []
        for at in range(3):
            node = Node(tmp_path / f"node{at}", host="::", prefix=net.prefix(at), more=())
            ending.callback(stop, node)
            made.append(node)
        yield net, made


def stop(node: Node) -> None:
    if node.process.poll() is None:
        node.end()


def near(node: Node) -> dict[str, dict]:
    return {one["id"]: one for one in node.ask("GET", "/nearby")["nodes"]}


def test_nodes_find_each_other_pair_and_lose_their_ghosts(
    wired: tuple[Lan, list[Node]],
) -> None:
    net, (first, second, third) = wired
    everybody = {node.id for node in (first, second, third)}
    for node in (first, second, third):
        eventually(lambda node=node: near(node).keys() | {node.id} == everybody)

    first.found()
    for new in (second, third):
        pin = new.ask("POST", "/offer", status=201)["pin"]
        eventually(lambda new=new: near(first)[new.id]["state"] == "waiting")
        found = near(first)[new.id]
        body = {"address": f"{found['addresses'][0]}:{found['pairing_port']}", "pin": pin}
        first.ask("POST", "/pair", {**body, "name": f"n{new.pairing}", "password": PASSWORD})
    for node in (first, second, third):
        others = [other for other in (first, second, third) if other is not node]
        eventually(lambda node=node, others=others: node.sees(*others))
    hints = {near(first)[node.id]["hint"] for node in (second, third)}
    assert len(hints) == 2

    # Thousands of forged announcements and of packets that are none.
    flood = [*net.prefix(2), COMMAND[0], "-c", FLOOD, net.address(2), "1000"]
    run.run(flood, timeout=120)
    for node in (first, second):
        assert len(near(node)) <= 64
        assert node.ask("GET", "/status")["nodes"] == 3
        assert node.sees(*[one for one in (first, second, third) if one is not node])

    # A clean leave, and a cable that is pulled.
    leaving, cut = third.id, second.id
    third.end()
    gone = eventually(lambda: leaving not in near(first) and not first.peers()[leaving]["here"])
    net.plug(1, in_=False)
    lost = eventually(lambda: cut not in near(first) and not first.peers()[cut]["here"], 120)
    print(f"gone after a clean leave: {gone:.1f} s; after a cut: {lost:.1f} s")
    net.plug(1, in_=True)
    eventually(lambda: first.peers()[cut]["here"] and second.peers()[first.id]["here"], 120)
