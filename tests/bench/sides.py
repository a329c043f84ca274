"""What the engine bench compares, each a real process on the same file: Goni's whole node, a
llama-server with the very flags that Goni's engine gave its own, ``llama_cpp.server``, llama-bench.

The flags are read from the engine's running llama-server: whatever the engine decides, the straight
one is started the same way, on another socket.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from goni_core import paths, run
from goni_core.errors import GoniError
from goni_engine.device import ENVIRONMENT
from goni_gateway import keys, people
from goni_gateway.database import Database
from image.build import step
from tests.bench.rows import FOLDER
from tests.bench.streams import Line, Peer
from tests.integration.household import Household
from tests.models import write_working_model

MODEL = "working"
MODEL_FILE = FOLDER / "working-4.gguf"
"""The number changes with what tests.models writes."""
PEOPLE = 4
READY_S = 120.0
STOP_S = 20.0
PLAIN = {"goni": {"documents": False}}


def model_file() -> Path:
    """The bench's model, written at first use."""
    if not MODEL_FILE.exists():
        with step("writing a model of 70 million random weights"):
            FOLDER.mkdir(parents=True, exist_ok=True)
            half = MODEL_FILE.with_suffix(".part")
            write_working_model(half).rename(MODEL_FILE)
    return MODEL_FILE


@dataclass(frozen=True)
class Goni:
    """A whole node with the model, and one way in for each of :data:`PEOPLE` people."""

    household: Household
    doors: tuple[Peer, ...]

    @property
    def gateway_pid(self) -> int:
        process = self.household.node.process
        assert process is not None
        return process.pid

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds so far of what an answer's tokens pass through on their way."""
        engine = self.household.others[0].pid
        return {"gateway": cpu_s(self.gateway_pid), "engine service": cpu_s(engine)}

    def with_documents(self) -> Peer:
        """The first person's door, as apps knock that know nothing of Goni."""
        return replace(self.doors[0], name="with documents", fields={})

    def engine(self) -> tuple[int, list[str]]:
        """Process id and arguments of the llama-server that has the model now."""
        for process in self.household.others:
            for pid in children(process.pid):
                argv = arguments(pid)
                if argv and Path(argv[0]).name == "llama-server" and MODEL in argv:
                    return pid, argv
        raise GoniError("no llama-server runs behind the engine", code="not_running")

    def kill_engine(self) -> bool:
        """End the llama-server as a crash would; false when none runs."""
        with contextlib.suppress(GoniError, ProcessLookupError):
            os.kill(self.engine()[0], signal.SIGKILL)
            return True
        return False


@contextlib.contextmanager
def goni(folder: Path) -> Iterator[Goni]:
    """A node in ``folder`` with documents, the model loaded."""
    household = Household(folder)
    try:
        start(household)
        with contextlib.closing(household.node.signed_in()) as browser:
            put(browser, "/api/models/working.gguf", model_file())
            put(browser, "/api/documents/house.txt", b"The spare key hangs by the watering can.\n")
        found = member_keys(household.node.state / "gateway/gateway.db")
        yield Goni(household, tuple(door(household, key) for key in found))
    finally:
        for process in (household.node.process, *household.others):
            end(process)


def start(household: Household) -> None:
    """Start every service and give the node an owner; :class:`GoniError` when that takes too long
    for the tests' patience.
    """
    try:
        household.start()
        household.node.set_up()
    except AssertionError as error:
        raise GoniError(f"the node did not start: {error}", hint="is the machine busy?") from error


def door(household: Household, key: str) -> Peer:
    """The way in over TLS for the person with ``key``."""
    trusted = ssl.create_default_context(cafile=household.node.crt)
    return Peer("gateway", MODEL, port=household.node.port, tls=trusted, key=key, fields=PLAIN)


def end(process: subprocess.Popen[bytes] | None) -> None:
    """End a process that was started here, if it was, however far it had come."""
    if process is not None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
        process.kill()
        process.wait()


def put(client: httpx.Client, path: str, content: Path | bytes) -> None:
    """Upload; :class:`GoniError` when it is refused."""
    data = content.read_bytes() if isinstance(content, Path) else content
    # In blocks, because httpcore copies what is left of one for every piece it sends.
    blocks = (data[start : start + 65536] for start in range(0, len(data), 65536))
    headers = {"Content-Length": str(len(data))}
    said = client.put(path, content=blocks, headers=headers, timeout=300)
    if said.status_code != 201:
        raise GoniError(f"{path} was refused: {said.text[:300]}")


def member_keys(path: Path) -> list[str]:
    """New people's API keys, made as the gateway makes them."""
    database = Database(path)
    try:
        found = []
        for number in range(PEOPLE):
            person = database.run(people.add, f"Person {number}", "member", "")
            found.append(database.run(keys.create, person, "bench")[1])
        return found
    finally:
        database.close()


def children(pid: int) -> list[int]:
    """The process ids of ``pid``'s children (proc_pid_task_children(5))."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for task in tasks for word in task.read_text().split()]


def arguments(pid: int) -> list[str]:
    """A process's program and arguments; empty when it has ended."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return [os.fsdecode(word) for word in raw.split(b"\0")[:-1]]


def cpu_s(pid: int) -> float:
    """Seconds of CPU time that a process has used (proc_pid_stat(5))."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def option(argv: Sequence[str], name: str) -> str:
    """The value of ``name`` in ``argv``; :class:`GoniError` when it isn't there."""
    try:
        return argv[list(argv).index(name) + 1]
    except (ValueError, IndexError) as error:
        raise GoniError(f"the engine starts llama-server without {name}") from error


def moved(argv: Sequence[str], place: Path) -> list[str]:
    """``argv`` with its socket at ``place``."""
    here = list(argv).index(option(argv, "--host"))
    return [*argv[:here], str(place), *argv[here + 1 :]]


@contextlib.contextmanager
def straight(argv: Sequence[str], folder: Path) -> Iterator[Peer]:
    """A llama-server started as ``argv``, on a socket in ``folder``."""
    place = folder / "straight.sock"
    peer = Peer("straight", MODEL, unix=place)
    with served(moved(argv, place), peer, folder / "straight.log", env=ENVIRONMENT):
        yield peer


@contextlib.contextmanager
def llama_cpp_server(argv: Sequence[str], folder: Path, *, interrupt: bool) -> Iterator[Peer]:
    """``llama_cpp.server`` with the threads, context and model of llama-server's ``argv``."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    name = f"llama_cpp.server{'' if interrupt else ', interrupt_requests=false'}"
    threads = option(argv, "--threads")
    context = int(option(argv, "--ctx-size")) // int(option(argv, "--parallel"))
    words = [sys.executable, "-m", "tests.bench.llama_cpp_server", "--port", str(port)]
    words += ["--host", "127.0.0.1", "--model", option(argv, "--model"), "--model_alias", MODEL]
    words += ["--n_ctx", str(context), "--n_threads", threads, "--n_threads_batch", threads]
    words += ["--flash_attn", "true", "--logits_all", "false", "--use_mlock", "false"]
    words += ["--verbose", "false", "--interrupt_requests", str(interrupt).lower()]
    peer = Peer(name, MODEL, port=port)
    log = folder / f"llama_cpp_server-{interrupt}.log"
    with served(
        words, peer, log, env={"PYTHONPATH": f"{paths.CHECKOUT}/services:{paths.CHECKOUT}"}
    ):
        yield peer


@contextlib.contextmanager
def served(argv: Sequence[str], peer: Peer, log: Path, *, env: dict[str, str]) -> Iterator[None]:
    """Run ``argv`` for the length of the block, from when ``peer`` accepts and has its model."""
    process = run.start(argv, env=env, output=log)
    try:
        deadline = time.monotonic() + READY_S
        while not ready(peer):
            if process.poll() is not None or time.monotonic() > deadline:
                tail = log.read_text(errors="replace").strip().splitlines()[-3:]
                raise GoniError(f"{peer.name} did not start: {' / '.join(tail)}")
            time.sleep(0.1)
        yield
    finally:
        end(process)


def ready(peer: Peer) -> bool:
    """Whether ``peer`` lists its model."""
    transport = httpx.HTTPTransport(uds=str(peer.unix) if peer.unix else None)
    base = "http://127.0.0.1" + (f":{peer.port}" if peer.port else "")
    with httpx.Client(transport=transport, base_url=base, timeout=10) as client:
        try:
            return client.get("/v1/models").status_code == 200
        except httpx.TransportError:
            return False


def prompt_tokens(peer: Peer, prompt: str) -> int:
    """How long ``prompt`` is for the model, its chat template included."""
    transport = httpx.HTTPTransport(uds=str(peer.unix))
    asked = {"model": MODEL, "messages": [{"role": "user", "content": prompt}], "max_tokens": 1}
    with httpx.Client(transport=transport, base_url="http://straight", timeout=60) as client:
        said: dict[str, Any] = client.post("/v1/chat/completions", json=asked).json()
    return int(said["usage"]["prompt_tokens"])


def llama_bench(argv: Sequence[str], *, tokens: int, depth: int) -> float:
    """llama-bench's tokens a second with the model and threads of llama-server's ``argv``, for
    ``tokens`` tokens after a context of ``depth``.
    """
    words = [str(paths.engine_dir() / "bin/llama-bench"), "-m", option(argv, "--model")]
    words += ["-t", option(argv, "--threads"), "-fa", option(argv, "--flash-attn")]
    words += ["-lm", option(argv, "--load-mode"), "-p", "0", "-n", str(tokens)]
    words += ["-d", str(depth), "-r", "1", "-o", "json"]
    done = run.run(words, timeout=300, env=ENVIRONMENT)
    return float(json.loads(done.stdout)[0]["avg_ts"])


async def warm(peers: Sequence[Peer]) -> None:
    """Have every peer answer once, so that all is loaded; :class:`GoniError` when one can't."""
    for peer in peers:
        line = Line(peer)
        answer = await line.ask("Is anybody there?", 8)
        await line.close()
        if not answer.whole:
            reason = answer.error or answer.broken or f"status {answer.status}"
            raise GoniError(f"{peer.name} does not answer: {reason}")
