"""The command goni-rag with an engine of its own: index, search, status, eval, errors."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from goni_core import run
from tests.integration.engine_node import check_built
from tests.integration.rag_node import COMMAND

FILES = {
    "heating.txt": "The boiler is serviced every spring. The contract costs 180 euros a year.",
    "notes/lease.md": "# Lease\nThe tenant may keep small pets. Notice is three months.",
    "Gasrechnung.txt": "Die Gasheizungswartung wurde am 3. März von der Firma Kern ausgeführt und "
    "ist bis zum Ende des Jahres bezahlt.",
    "tower.txt": "東京タワーの高さは333メートルです。観光客に人気があります。",
    "parser.py.txt": "def parseHTTPHeader(raw_bytes):\n    return split_lines(raw_bytes)\n",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    check_built()
    base = tmp_path_factory.mktemp("command")
    for name, text in FILES.items():
        path = base / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    goni(base, "index", str(base / "docs"), "--owner", "ann")
    return base


def goni(base: Path, *argv: str, check: bool = True) -> run.Completed:
    env = {"XDG_DATA_HOME": str(base / "data"), "TMPDIR": str(base)}
    return run.run([*COMMAND, *argv], timeout=300, env=env, check=check)


def documents(base: Path, query: str, owner: str = "ann") -> list[str]:
    found = goni(base, "search", query, "--owner", owner, "--json")
    return [source["document"] for source in json.loads(found.stdout)["sources"]]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("who looks after our central heating?", "heating.txt"),
        ("are dogs allowed in the flat?", "notes/lease.md"),
        ("Wartung der Heizung", "Gasrechnung.txt"),
        ("東京タワー", "tower.txt"),
        ("http header parsing", "parser.py.txt"),
    ],
)
def test_an_indexed_folder_is_searched_by_words_and_meaning(place, query, name):
    assert documents(place, query)[0] == name


def test_another_owner_finds_nothing_of_it(place):
    assert documents(place, "boiler contract", owner="eve") == []
    assert goni(place, "search", "boiler", "--owner", "eve").text == "The documents don't say.\n"


def test_only_what_changed_is_indexed_again(place):
    docs = place / "docs"
    (docs / "new.txt").write_text("The chimney sweep comes in May.")
    again = json.loads(goni(place, "index", str(docs), "--owner", "ann", "--json").stdout)
    assert (again["indexed"], again["unchanged"]) == (1, len(FILES))
    (docs / "new.txt").unlink()
    again = json.loads(goni(place, "index", str(docs), "--owner", "ann", "--json").stdout)
    assert (again["indexed"], again["removed"]) == (0, 1)
    status = json.loads(goni(place, "status", "--json").stdout)
    assert (status["ok"], status["documents"], status["pending"]) == (True, len(FILES), 0)


def test_eval_measures_each_method(place, tmp_path):
    (tmp_path / "q.tsv").write_text("1\twho repairs the furnace\n2\tpets\n")
    (tmp_path / "r.trec").write_text("1 0 heating 1\n2 0 lease 1\n")
    files = ("--queries", str(tmp_path / "q.tsv"), "--qrels", str(tmp_path / "r.trec"))
    done = goni(place, "eval", "--docs", str(place / "docs"), *files, "--json")
    found = json.loads(done.stdout)
    assert found["documents"] == len(FILES)
    for method in ("lexical", "semantic", "fused"):
        assert set(found[method]) == {"ndcg@10", "recall@10", "recall@100", "mrr@10", "map@100"}
    assert found["fused"]["ndcg@10"] == 1.0
    assert found["lexical"]["recall@100"] == 0.5
    assert not list(place.glob("goni-eval-*"))


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("index", "/nowhere"), "/nowhere is not a folder"),
        (("index", ".", "--owner", "Not An Id"), "not an owner's id"),
        (("search", "x", "--owner", "ann", "--db", "/nowhere/x.db"), "there is no index"),
        (("search", "x", "--owner", "ann", "-k", "0"), "k must be"),
        (("eval", "--docs", ".", "--queries", "/no", "--qrels", "/no"), "/no can't be read"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(place, argv, words):
    done = goni(place, *argv, check=False)
    assert done.returncode == 1
    assert words in done.stderr.decode()
    assert len(done.stderr.splitlines()) <= 2


def test_a_database_of_somebody_else_is_left_alone(place, tmp_path):
    path = tmp_path / "photos.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE photos (id)")
    other.close()
    before = path.read_bytes()
    done = goni(place, "index", str(place / "docs"), "--db", str(path), check=False)
    assert b"is not an index of Goni" in done.stderr
    assert path.read_bytes() == before


def test_ctrl_c_ends_the_command_and_its_engine(place, tmp_path):
    for number in range(400):
        (tmp_path / f"{number}.txt").write_text(f"Fact {number} is worth knowing. " * 60)
    env = {"XDG_DATA_HOME": str(place / "other"), "TMPDIR": str(tmp_path)}
    argv = [*COMMAND, "index", str(tmp_path)]
    process = run.start(argv, env=env, output=place / "interrupted.log")
    socket = _within(120, lambda: next(tmp_path.glob("goni-rag-*/run/engine.sock"), None))
    time.sleep(1.0)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(60) == 130
    assert not socket.exists()
    said = (place / "interrupted.log").read_text()
    assert "interrupted" in said
    assert "Traceback" not in said


def _within(seconds: float, look):
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found
