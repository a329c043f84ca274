"""What people see when the node that answers them is killed, frozen or silenced, again and again.

One node has no model: all of its people's chats go to its peers. The undisturbed answers are known,
as the model answers greedily; what comes of each request is judged as in ``kills``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench import kills
from tests.bench.kills import CUT, LOST, MIXED, WRONG, Load
from tests.bench.rows import Row
from tests.bench.streams import Peer
from tests.integration.mesh_node import eventually
from tests.integration.whole_node import Whole, household
from tests.models import write_working_model

MODEL = "working"
STREAMS = 4
AWAY_S = 25.0
"""Seconds that a node stays frozen or silent: longer than its answers are waited for."""
PLAIN = {"goni": {"documents": False}}


@dataclass(frozen=True)
class Home:
    """Nodes, the way in by the one without a model, and a peer's engine itself."""

    nodes: list[Whole]
    door: Peer
    straight: Peer


@contextlib.contextmanager
def home(folder: Path, peers: int) -> Iterator[Home]:
    """A household in which ``peers`` nodes have the model, loaded, and the first node has none."""
    file = write_working_model(folder / f"{MODEL}.gguf")
    with household(folder, [[], *[[file]] * peers]) as nodes:
        gateway = nodes[0].gateway
        tls = ssl.create_default_context(cafile=gateway.crt)
        key = gateway.a_key()
        door = Peer("household", MODEL, port=gateway.port, tls=tls, key=key, fields=PLAIN)
        sockets = [node.folder / "run/engine.sock" for node in nodes[1:]]
        straight = [Peer("engine", MODEL, unix=socket) for socket in sockets]
        for one in (*straight, door):
            asyncio.run(kills.undisturbed(one, 16))
        yield Home(nodes, door, straight[0])


async def measure(home: Home, times: int, say: Callable[[str], None]) -> list[Row]:
    """The peers fail in turn, ``times`` times, while people ask."""
    chosen = random.Random(8)
    load = Load(await kills.undisturbed(home.door))
    asked = kills.forever(list(load.known), chosen)
    tasks = [asyncio.create_task(load.ask(home.door, asked)) for _ in range(STREAMS)]
    try:
        for number in range(times):
            await asyncio.sleep(chosen.uniform(0.2, 1.5))
            node = home.nodes[1 + number % (len(home.nodes) - 1)]
            kind = FAILURES[number % len(FAILURES)]
            await kind(node)
            await asyncio.to_thread(_until_back, home, node)
            say(f"failure {number + 1} of {times} ({kind.__name__.strip('_')}): {dict(load.kinds)}")
    finally:
        load.stopped = True
        await asyncio.gather(*tasks)
    name = f"a peer killed, frozen or silenced {times} times: requests "
    bad = load.kinds[LOST] + load.kinds[CUT]
    wrong = load.kinds[WRONG] + load.kinds[MIXED]
    fine = load.kinds.total() - bad - wrong
    return [
        Row(name + "without answer or clear error", float(bad), "requests", 0),
        Row(name + "with wrong text", float(wrong), "requests", 0),
        Row(name + "answered rightly", float(load.kinds[kills.RIGHT]), "requests"),
        Row(name + "failed with a clear error", float(fine - load.kinds[kills.RIGHT]), "requests"),
    ]


async def _killed(node: Whole) -> None:
    await asyncio.to_thread(node.die)
    await asyncio.to_thread(node.restart)


async def _frozen(node: Whole) -> None:
    node.signal(signal.SIGSTOP)
    await asyncio.sleep(AWAY_S)
    node.signal(signal.SIGCONT)


async def _silenced(node: Whole) -> None:
    """Its engine goes on, and nothing comes from it: its side of the channel stands still."""
    os.kill(node.mesh.process.pid, signal.SIGSTOP)
    await asyncio.sleep(AWAY_S)
    os.kill(node.mesh.process.pid, signal.SIGCONT)


FAILURES = (_killed, _frozen, _silenced)


def _until_back(home: Home, node: Whole) -> None:
    others = home.nodes[1:]
    eventually(lambda: home.nodes[0].sees(*others), 300)
