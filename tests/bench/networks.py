"""Households on networks of their own (namespaces): how fast nodes find each other, what they say
while nothing happens, and how a household that was split in two becomes one again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from goni_core import run
from tests.bench.rows import Row, at_percentile, measured
from tests.integration.lan import Lan, inside, lan
from tests.integration.mesh_node import Node, eventually

SETTLE_S = 30.0
HALF = 2


@contextlib.contextmanager
def wired(folder: Path, count: int, *more: str) -> Iterator[tuple[Lan, list[Node]]]:
    """``count`` nodes, each a host of its own."""
    with lan(count) as net, contextlib.ExitStack() as ending:
        made = []
        for at in range(count):
            node = Node(folder / f"n{at}", host="::", prefix=net.prefix(at), more=more)
            ending.callback(_end, node)
            made.append(node)
        yield net, made


def paired(net: Lan, nodes: list[Node]) -> None:
    """Make one household of them."""
    first = nodes[0]
    first.found()
    for at, node in enumerate(nodes[1:], 1):
        pin = node.ask("POST", "/offer", status=201)["pin"]
        body = {"address": f"{net.address(at)}:{node.pairing}", "pin": pin, "name": f"node {at}"}
        body |= {"password": "correct horse battery"}
        eventually(lambda body=body: first.http.post("/pair", json=body).status_code == 200)


def split(folder: Path, rounds: int) -> list[Row]:
    """Two halves of a household of four, edited on both sides: seconds from the healing until all
    have both edits; and edits that were lost.
    """
    took, lost = [], 0
    with wired(folder, 2 * HALF, "--no-discovery") as (net, nodes):
        paired(net, nodes)
        for node in nodes:
            others = [one for one in nodes if one is not node]
            eventually(lambda node=node, others=others: node.sees(*others))
        for number in range(rounds):
            _bridge(net, "br1")
            eventually(lambda: nodes[0].sees(nodes[1]) and nodes[2].sees(nodes[3]))
            for side, node in enumerate(nodes):
                node.write("setting/language", f"l{number}.{side // HALF}")
                node.write(f"setting/own{side}", f"o{number}")
            _bridge(net, "br0")
            took.append(eventually(lambda number=number: _agreed(nodes, number)))
            shown = nodes[0].field("setting/language")
            both = {str(shown[0]), *map(str, shown[1])}
            lost += len({f"l{number}.0", f"l{number}.1"} - both)
    return [
        measured("split in two and healed: all agree after", took, "s", target=5.0),
        Row("split in two and healed: edits lost", float(lost), "results", 0),
    ]


def _bridge(net: Lan, bridge: str) -> None:
    """Plug the second half into another switch, or back into the first one."""
    if bridge != "br0":
        with contextlib.suppress(Exception):
            inside(net.switch, "link", "add", bridge, "type", "bridge", "mcast_snooping", "0")
        inside(net.switch, "link", "set", bridge, "up")
    for at in range(HALF, 2 * HALF):
        inside(net.switch, "link", "set", f"port{at}", "master", bridge)


def _agreed(nodes: list[Node], number: int) -> bool:
    """Whether all show the same, with everybody's last edits."""
    shown = [node.field("setting/language") for node in nodes]
    seen = {(str(value), *sorted(map(str, beside))) for value, beside in shown}
    own = all(
        node.field(f"setting/own{side}")[0] == f"o{number}"
        for node in nodes
        for side in range(len(nodes))
    )
    return len(seen) == 1 and own and {f"l{number}.0", f"l{number}.1"} <= set(next(iter(seen)))


def discovery(folder: Path, count: int, idle_s: float, say: Callable[[str], None]) -> list[Row]:
    """Until everybody sees everybody, and then what each sends in ``idle_s`` of a household in
    which nothing happens.
    """
    with wired(folder, count) as (net, nodes):
        for at in range(count):
            net.plug(at, in_=False)
        known = {node.id for node in nodes}
        eventually(lambda: not any(node.ask("GET", "/nearby")["nodes"] for node in nodes), 300)
        for at in range(count):
            net.plug(at, in_=True)
        begun = time.monotonic()
        took = []
        left = list(nodes)
        while left:
            for node in list(left):
                near = {one["id"] for one in node.ask("GET", "/nearby")["nodes"]}
                if near | {node.id} >= known:
                    took.append(time.monotonic() - begun)
                    left.remove(node)
            if time.monotonic() - begun > 300:
                break
            time.sleep(0.1)
        say(f"{count - len(left)} of {count} see all")
        paired(net, nodes)
        for node in nodes:
            others = [one for one in nodes if one is not node]
            eventually(lambda node=node, others=others: node.sees(*others), 600)
        time.sleep(SETTLE_S)
        before = [_sent(net, at) for at in range(count)]
        time.sleep(idle_s)
        rates = [(_sent(net, at) - old) / idle_s / 1000 for at, old in enumerate(before)]
    name = f"{count} nodes: "
    return [
        at_percentile(name + "all see all after", took or [300.0], 100, "s", target=3.0),
        at_percentile(name + "idle traffic of a node", rates, 100, "KB/s", target=1.0),
    ]


def _sent(net: Lan, at: int) -> int:
    """Bytes that the host has sent (proc_net(5), /proc/net/dev)."""
    words = run.run([*net.prefix(at), "cat", "/proc/net/dev"], timeout=60).stdout.decode()
    line = next(one for one in words.splitlines() if one.strip().startswith("eth0:"))
    return int(line.split(":")[1].split()[8])


def _end(node: Node) -> None:
    if node.process.poll() is None:
        node.end()
