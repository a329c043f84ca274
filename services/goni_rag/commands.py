"""What the commands of ``goni-rag`` do; each returns its exit status."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import sqlite3
import textwrap
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from goni_core import fields, paths
from goni_core.contract import Source, plain, source_from
from goni_core.errors import BadInput, GoniError, NotFound
from goni_core.http import Service
from goni_rag import database, filters, folders, private, store
from goni_rag import evaluate as evaluation
from goni_rag import index as indexing
from goni_rag.connections import Connections
from goni_rag.embed import Embedder
from goni_rag.metrics import MEASURES
from goni_rag.searcher import Searcher
from goni_rag.service import LONGEST_QUERY, MOST_SOURCES

NOTHING = "The documents don't say."
NOTHING_SURE = "The documents don't seem to say. Nearest to the question:"
DAY = 86_400
"""Seconds."""


async def index(asked: argparse.Namespace) -> int:
    """Make the database say what the folder says."""
    owner = folders.owner_id(asked.owner)
    indexing.files(asked.folder)  # what is wrong with it is said before an engine starts
    path = asked.db or default_database()
    path.parent.mkdir(parents=True, exist_ok=True)
    async with _opened(path) as connections, private.engine() as engine:
        counts = await indexing.index(connections, Embedder(engine), asked.folder, owner)
    if asked.json:
        _print({"db": str(path), **dataclasses.asdict(counts)})
        return 0
    print(
        f"{counts.indexed} indexed ({counts.passages} passages), {counts.unchanged} unchanged, "
        f"{counts.unreadable} unreadable, {counts.removed} removed: {path}"
    )
    return 0


async def search(asked: argparse.Namespace) -> int:
    """Ask the service or the database."""
    owner = folders.owner_id(asked.owner)
    values = {"query": asked.query, "k": asked.k}
    query = fields.text(values, "query", longest=LONGEST_QUERY)
    k = fields.integer(values, "k", least=1, most=MOST_SOURCES)
    wanted = _filters(asked)
    limits = filters.parse(wanted)
    if _service_asked(asked):
        answer = await _call("POST", "/search", {"owner": owner, "query": query, "k": k, **wanted})
    else:
        async with _opened(_existing(asked)) as connections, private.engine() as engine:
            searcher = Searcher(connections, Embedder(engine))
            answer = plain(await searcher.search(owner, query, k, limits))
    if asked.json:
        _print(answer)
        return 0
    sources = [source_from(source) for source in answer["sources"]]
    shown = [_shown(source) for source in sources]
    print("\n\n".join(shown if answer["found"] else [NOTHING_SURE if shown else NOTHING, *shown]))
    return 0


def _filters(asked: argparse.Namespace) -> dict[str, Any]:
    """The filters as a request has them."""
    given = {
        "space": asked.space,
        "folder": asked.folder,
        "types": asked.type,
        "since": asked.since and day(asked.since),
        "until": asked.until and day(asked.until) + DAY - 1,
    }
    return {name: value for name, value in given.items() if value}


def day(text: str) -> int:
    """The beginning of a day like ``2025-03-31`` here, in seconds since 1970."""
    try:
        begin = datetime.strptime(text, "%Y-%m-%d").astimezone()
    except ValueError:
        raise BadInput(f"{text[:40]!r} is not a day", hint="write it as 2025-03-31") from None
    return max(0, int(begin.timestamp()))


async def status(asked: argparse.Namespace) -> int:
    """Is the service, or the database, well?"""
    if _service_asked(asked):
        answer = await _call("GET", "/health")
    else:
        answer = await _database_status(asked.db or default_database())
    if asked.json:
        _print(answer)
    else:
        print(answer["words"])
        for check in answer["checks"]:
            print(f"  {'ok' if check['ok'] else 'FAILED':6} {check['name']}: {check['detail']}")
    return 0 if answer["ok"] else 1


async def _database_status(path: Path) -> dict[str, Any]:
    answer: dict[str, Any] = {"service": "rag", "running": False, "db": str(path)}
    if not _is_there(path):
        return {**answer, "ok": True, "words": "nothing is indexed yet", "checks": []}
    async with _opened(path) as connections:
        totals = await connections.read(store.totals)
        damage = await connections.read(store.damage)
    check = {"name": "database", "ok": not damage, "detail": damage or "the index is whole"}
    words = f"{totals.documents} documents, {totals.chunks} passages; no service is running"
    return {
        **answer,
        **dataclasses.asdict(totals),
        **{"ok": not damage, "words": words, "checks": [check]},
    }


async def evaluate(asked: argparse.Namespace) -> int:
    """Measure search on a judged collection."""
    queries = evaluation.queries(asked.queries)
    judged = evaluation.judgements(asked.qrels)
    if not indexing.files(asked.docs):
        raise BadInput(f"{asked.docs} has no files")
    async with private.engine() as engine:
        result = await evaluation.evaluate(asked.docs, queries, judged, Embedder(engine))
    if asked.json:
        _print({**result.measures, **_sizes(result)})
        return 0
    print(f"{result.documents} documents, {result.passages} passages, {result.queries} questions")
    print(" " * 12 + "".join(f"{name:>12}" for name in MEASURES))
    for method, measures in result.measures.items():
        print(f"{method:<12}" + "".join(f"{measures[name]:12.4f}" for name in MEASURES))
    return 0


def _sizes(result: evaluation.Result) -> Mapping[str, int]:
    return {
        "documents": result.documents,
        "passages": result.passages,
        "queries": result.queries,
    }


def default_database() -> Path:
    """Where a person's own index is (XDG Base Directory Specification)."""
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share"
    return Path(data) / "goni/index.db"


def _service_asked(asked: argparse.Namespace) -> bool:
    """Whether the running service is meant: one was named, or one is there."""
    if asked.db:
        return False
    return "GONI_RUN" in os.environ or paths.rag_socket().exists()


def _is_there(path: Path) -> bool:
    return path.exists()


def _existing(asked: argparse.Namespace) -> Path:
    path: Path = asked.db or default_database()
    if not path.exists():
        raise NotFound(f"there is no index at {path}", hint="goni-rag index DIR makes one")
    return path


@contextlib.asynccontextmanager
async def _opened(path: Path) -> AsyncIterator[Connections]:
    """The database at ``path``; nothing that isn't one of ours is touched."""
    if _is_there(path) and not database.is_index(path):
        raise BadInput(f"{path} is not an index of Goni")
    try:
        connections = Connections(path)
    except sqlite3.OperationalError as error:
        raise GoniError(f"{path} can't be opened: {error}") from error
    try:
        yield connections
    finally:
        connections.close()


async def _call(method: str, path: str, body: object = None) -> dict[str, Any]:
    rag = Service("document search", paths.rag_socket())
    try:
        return await rag.call(method, path, json=body)
    finally:
        await rag.close()


def _print(answer: object) -> None:
    print(json.dumps(answer, ensure_ascii=False, indent=2))


def _shown(source: Source) -> str:
    where = [source.document]
    if source.page:
        where.append(f"page {source.page}")
    if source.heading:
        where.append(source.heading)
    text = textwrap.fill(source.text, 96, initial_indent="  ", subsequent_indent="  ")
    also = f"\n  (also in {', '.join(one.document for one in source.also)})" if source.also else ""
    return f"{', '.join(where)}\n{text}{also}"
