"""When a llama-server counts as hung, and when it is only slow."""

from __future__ import annotations

from typing import cast

import pytest

from goni_core.errors import GoniError
from goni_engine import figures
from goni_engine.figures import Figures
from goni_engine.llama_server import LlamaServer
from goni_engine.watchdog import DEAF_S, LEAST_S, MOST_S, SILENT_S, Watchdog, patience

PAGE = """# HELP llamacpp:prompt_tokens_total Number of prompt tokens processed
# TYPE llamacpp:prompt_tokens_total counter
llamacpp:prompt_tokens_total 120
llamacpp:tokens_predicted_total 64
llamacpp:tokens_predicted_seconds_total 3.2
llamacpp:n_decode_total 70
llamacpp:prompt_seconds_total 0.5
llamacpp:predicted_tokens_seconds nan
llamacpp:requests_processing 2
"""


class Server:
    """A process of which only the CPU time is looked at."""

    cpu_s = 0.0


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def dog(server: Server) -> Watchdog:
    dog = Watchdog("m", cast(LlamaServer, server), 100.0, lambda: None)
    dog._heard = dog._moved = dog._worked = 0.0
    return dog


def test_figures_are_read_from_the_page() -> None:
    assert figures.parse(PAGE) == Figures(120, 64, 3.2, 70, 2, 0.5)
    with pytest.raises(GoniError, match="n_decode_total"):
        figures.parse(PAGE.replace("n_decode_total", "other"))


def test_the_speed_is_that_of_the_last_answers() -> None:
    before, now = Figures(0, 100, 10.0, 0, 0), Figures(0, 140, 12.0, 0, 0)
    assert now.speed_since(before) == 20.0
    assert now.speed_since(now) is None
    assert Figures(0, 101, 10.1, 0, 0).speed_since(before) is None
    read = Figures(400, 0, 0.0, 9, 0, 2.0)
    assert read.reading_speed_since(figures.NOTHING) == 200.0
    assert Figures(410, 0, 0.0, 9, 0, 2.1).reading_speed_since(read) is None


def test_a_process_that_is_silent_and_idle_hangs(dog: Watchdog) -> None:
    assert dog._verdict(SILENT_S - 1) == ""
    assert "no answer" in dog._verdict(SILENT_S + 1)


def test_a_silent_process_that_computes_gets_more_time(dog: Watchdog, server: Server) -> None:
    now = 0.0
    while now < DEAF_S - 5:
        now += 4
        server.cpu_s += 0.01
        dog._moved = now
        assert dog._verdict(now) == ""
    assert "no answer" in dog._verdict(DEAF_S + 1)


def test_a_process_that_answers_and_computes_no_token_hangs(dog: Watchdog) -> None:
    dog._heard = 200.0
    assert dog._verdict(100.0) == ""
    assert "no token" in dog._verdict(101.0)


def test_reading_a_picture_is_no_hang_until_tokens_move_again(dog: Watchdog) -> None:
    with dog.reading(1):
        dog._heard = 200.0
        assert dog._verdict(200.0) == ""
    assert dog._verdict(200.0) == "", "the asker has gone, the work goes on"
    dog._heard = MOST_S + 1
    assert "no token" in dog._verdict(MOST_S + 1)
    dog._note(Figures(1, 0, 0.0, 1, 1), 200.0)
    dog._heard = 350.0
    assert "no token" in dog._verdict(350.0)
    with dog.reading(0):
        assert "no token" in dog._verdict(350.0)


def test_patience_follows_the_speed() -> None:
    assert patience(512, 1000.0) == LEAST_S
    assert patience(512, 40.0) == 128.0
    assert patience(512, 1.0) == MOST_S
    assert patience(512, 0.0) == MOST_S
