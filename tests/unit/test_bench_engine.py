"""What the engine bench makes of what it sees: streams, rounds, kills, memory, pictures."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from goni_core.errors import GoniError
from tests.bench import curves, idle, kills, sides, speed
from tests.bench.speed import Measured, Round
from tests.bench.streams import Answer, Events, Line, Peer, together

CHUNKS = (
    b'data: {"choices":[{"delta":{"role":"assistant","content":null},"finish_reason":null}]}\n\n'
    b': ping\r\n\r\ndata: {"choices":[{"delta":{"content":"a"},"finish_reason":null}]}\r\n\r\n'
    b'data: {"choices":[{"delta":{"content":"b"},"finish_reason":null}]}\n\n'
    b'data: {"choices":[{"delta":{},"finish_reason":"length"}]}\n\ndata: [DONE]\n\n'
)
BROKEN = b'data: {"error":{"message":"the engine stopped","code":"engine_stopped"}}\n\n'


def answer(text: str = "ab", **more: Any) -> Answer:
    return Answer(**{"begun": 1.0, "status": 200, "text": text, "finish": "length"} | more)


def read(body: bytes, *, status: int = 200, size: int = 7) -> Answer:
    """``body`` as it is read when it comes in blocks of ``size``, one a second."""
    read = Answer(0.0, status=status)
    events = Events(read)
    for place in range(0, len(body), size):
        events.feed(body[place : place + size], float(place))
    events.end()
    return read


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_stream_is_read_however_it_is_cut_into_blocks(size: int) -> None:
    got = read(CHUNKS, size=size)
    assert (got.text, got.finish, got.error, got.whole) == ("ab", "length", "", True)
    assert got.first <= got.last


def test_the_first_token_is_the_first_text_and_not_the_role() -> None:
    got = read(CHUNKS, size=1)
    assert got.wait == CHUNKS.index(b'"a"') + len(b'"a"},"finish_reason":null}]}\r\n\r\n') - 1


def test_an_error_in_a_stream_and_one_instead_of_it_are_both_heard() -> None:
    begun = CHUNKS[: CHUNKS.index(b'data: {"choices":[{"delta":{},')]
    got = read(begun + BROKEN)
    assert (got.text, got.error, got.whole) == ("ab", "the engine stopped", False)
    assert read(b'{"error":{"message":"too many"}}', status=429).error == "too many"
    assert read(b"<html>", status=502).broken == "an error that is not JSON"
    assert not read(BROKEN).whole and not read(b"{}", status=500).whole


async def served(folder: Path, answers: Sequence[bytes]) -> tuple[asyncio.Server, Peer]:
    """A server on a real socket that gives its n-th connection the n-th of ``answers``."""
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(left.pop(0))
        writer.close()

    place = folder / "s.sock"
    return await asyncio.start_unix_server(serve, place), Peer("s", "m", unix=place)


def test_a_cut_stream_is_not_taken_for_an_answer(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    whole = head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(CHUNKS), CHUNKS)

    async def ask() -> tuple[list[Answer], float]:
        server, peer = await served(tmp_path, [whole, whole[:-30], whole[:20], b""])
        async with server:
            return await together([peer], ["?"] * 4, 2)

    answers, seconds = asyncio.run(ask())
    assert sorted(one.whole for one in answers) == [False, False, False, True]
    assert all(one.broken for one in answers if not one.whole)
    assert seconds > 0


def test_nobody_there_is_an_answer_too(tmp_path: Path) -> None:
    got = asyncio.run(Line(Peer("s", "m", unix=tmp_path / "none.sock")).ask("?", 2))
    assert (got.broken, got.status, got.whole) == ("FileNotFoundError", 0, False)


def test_the_pace_leaves_the_first_token_out() -> None:
    assert answer("x" * 11, first=2.0, last=4.0).pace == 5.0
    assert answer("x", first=2.0, last=2.0).pace == 0.0


def test_a_round_counts_the_tokens_that_came_and_the_streams_that_broke() -> None:
    short, failed = answer("abc"), answer("abcd", error="stopped")
    one = Round((answer("abcd"), short, failed), seconds=2.0, tokens=4)
    assert (one.rate, one.broken) == (5.5, 2)


def test_every_other_turn_goes_backwards() -> None:
    assert [speed.in_turns("ab", turn) for turn in range(3)] == [["a", "b"], ["b", "a"], ["a", "b"]]


def test_no_two_prompts_are_the_same_and_a_seed_repeats_them() -> None:
    def some(seed: int) -> list[str]:
        asked = speed.prompts(seed)
        return [next(asked) for _ in range(100)]

    assert len(set(some(1))) == 100
    assert some(1) == some(1) != some(2)


def test_first_tokens_are_compared_within_each_pair() -> None:
    pairs = [(0.100, 0.104), (0.200, 0.203), (0.050, 0.070)]
    middle, tail = speed.first_token_rows("gateway", pairs, targets=(5.0, 15.0))
    assert (middle.value, middle.unit, middle.ok, middle.runs) == (4.0, "ms", True, 3)
    assert (tail.value, tail.ok, tail.most) == (20.0, False, 20.0)


def test_throughput_is_compared_within_each_round() -> None:
    def rounds(*seconds: float, text: str = "abcd") -> list[Round]:
        return [Round((answer(text),), each, 4) for each in seconds]

    found = Measured()
    for streams in speed.STREAMS:
        found.rounds["gateway", streams] = rounds(1.0, 2.0, 1.0)
        found.rounds["straight", streams] = rounds(1.0, 1.9, 0.99)
    found.rounds["old", 4] = rounds(2.0, 5.0, 2.5, text="ab")
    rows = {row.figure: row for row in speed.throughput_rows(found, "gateway", "straight", ["old"])}
    one = rows["tokens/s at 1 stream: gateway / straight"]
    assert (one.value, one.least, one.most, one.ok) == (0.99, 0.95, 1.0, True)
    other = rows["tokens/s at 4 streams: gateway / old"]
    assert (other.value, other.ok) == (5.0, True)
    assert rows["streams cancelled by the gateway"].value == 0
    assert rows["streams cancelled by old"].value == 3


def test_cpu_time_is_shared_among_the_tokens_that_came() -> None:
    found = Measured({("gateway", 1): [Round((answer("abcd"), answer("ab")), 1.0, 4)]})
    assert found.tokens("gateway") == 6
    (row,) = speed.cost_rows({"gateway": 1.0}, {"gateway": 1.003}, 6)
    assert (row.value, row.unit) == (0.5, "ms")
    before = sides.cpu_s(os.getpid())
    sum(range(3_000_000))
    assert sides.cpu_s(os.getpid()) >= before > 0


def test_nothing_at_all_is_no_division_by_zero() -> None:
    assert speed.ratios([1.0], [0.0]) == [0.0]


RIGHT = "the quick brown fox jumps"
OTHERS = ["a slow green turtle sits", "the quite other answer"]


@pytest.mark.parametrize(
    ("got", "kind"),
    [
        (answer(RIGHT), kills.RIGHT),
        (answer(RIGHT[:9], finish="", error="the engine stopped"), kills.FAILED),
        (answer("", finish="", status=503, error="starting"), kills.FAILED),
        (answer(OTHERS[0]), kills.MIXED),
        (answer(OTHERS[0][:5], finish="", error="the engine stopped"), kills.MIXED),
        (answer(RIGHT[:14] + "x" * 11), kills.WRONG),
        (answer(RIGHT[:9]), kills.WRONG),
        (answer(RIGHT[:9], finish=""), kills.CUT),
        (answer(RIGHT[:9], finish="", broken="closed"), kills.CUT),
        (answer("", finish="", status=0, broken="TimeoutError"), kills.LOST),
        (answer("", finish="", status=0, broken="ConnectionResetError"), kills.LOST),
        (answer("", finish="", status=502, broken="an error that is not JSON"), kills.CUT),
    ],
)
def test_every_end_of_a_request_has_its_name(got: Answer, kind: str) -> None:
    assert kills.judged(got, RIGHT, OTHERS) == kind


def test_wrong_mixed_cut_and_lost_requests_have_a_target_of_none() -> None:
    rows = kills.rows({kills.RIGHT: 70, kills.FAILED: 9, kills.CUT: 1}, 20)
    assert [row.ok for row in rows] == [None, None, True, True, False, True]


def test_a_process_memory_is_read_in_bytes() -> None:
    rollup = "00400000-7fff [rollup]\nRss:  2048 kB\nPss:   1024 kB\nPss_Dirty:  4 kB\n"
    assert idle.memory_in(rollup) == idle.Memory(2 << 20, 1 << 20)
    assert idle.memory(os.getpid()).rss > 1 << 20


def test_streams_that_were_not_held_miss_the_target() -> None:
    memory = idle.Memory(100_000_000, 90_000_000)
    rows = {row.figure: row for row in idle.rows(memory, idle.Memory(140_000_000, 1), 150)}
    assert rows["idle event streams held"].ok is False
    assert rows["gateway memory at 200 idle event streams (RSS)"].ok is True
    assert rows["gateway memory for each stream"].value == 200_000


def test_the_straight_server_differs_in_its_socket_only() -> None:
    argv = ["/e/llama-server", "--model", "m.gguf", "--host", "/a/engine.sock", "--threads", "2"]
    assert sides.moved(argv, Path("/b/s.sock")) == [*argv[:4], "/b/s.sock", *argv[5:]]
    assert sides.option(argv, "--threads") == "2"
    with pytest.raises(GoniError, match="--ctx-size"):
        sides.option(argv, "--ctx-size")


def test_the_latency_picture_is_well_formed_and_to_scale() -> None:
    lines = {"gate & way": {1: [0.1, 0.1], 4: [0.2, 0.4]}, "straight": {1: [0.1], 4: []}}
    whole = curves.picture("Latency", [curves.Panel("First", "s", lines)])
    picture = ElementTree.fromstring(whole)
    dots = [float(one.get("cy", "")) for one in picture if one.tag.endswith("circle")]
    floor = curves.TOP + curves.PANEL_HEIGHT
    assert dots == pytest.approx([floor - 70, floor - 140, floor - 70])
    whiskers = [one for one in picture if one.get("class") == "whisker"]
    assert min(float(one.get("y2", "")) for one in whiskers) == curves.TOP
    words = [one.text for one in picture if one.tag.endswith("text")]
    assert {"gate & way", "1 stream", "4 streams", "First, s"} <= set(words)


def test_nothing_measured_is_an_empty_picture() -> None:
    assert "<svg" in curves.picture("Latency", [curves.Panel("First", "s", {"none": {1: []}})])


@pytest.mark.parametrize("most", [0.003, 0.4, 1.0, 5.9, 37.0, 480.0])
def test_an_axis_has_few_round_marks(most: float) -> None:
    marks = curves.marks(most)
    assert marks[0] == 0 and marks[-1] <= most
    assert 2 <= len(marks) <= 7
