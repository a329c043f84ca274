"""goni-rag: serves document search, and asks a running service from the command line.

``search`` and ``status`` are thin clients of the service's socket; results go to standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

from goni_core import paths, serve
from goni_core.contract import Source, source_from
from goni_core.errors import GoniError, exit_with
from goni_core.http import Service
from goni_rag import service

EXAMPLES = """\
examples:
  goni-rag serve
  goni-rag search "when does the boiler warranty end" --owner anna
  goni-rag search boiler --owner shared -k 3 --json
  goni-rag status --json

GONI_RUN names the folder of the sockets (default /run/goni), GONI_STATE the one of the state.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """The command ``goni-rag``."""
    asked = _parser().parse_args(argv)
    try:
        if asked.command == "serve":
            serve.run(service.run())
        elif asked.command == "search":
            _search(asked)
        else:
            _status(asked)
    except GoniError as error:
        exit_with(error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="goni-rag",
        description="Documents of the household: index and search.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("serve", help="serve rag.sock until stopped")
    search = commands.add_parser("search", help="find passages in a person's and shared documents")
    search.add_argument("query", metavar="QUERY")
    search.add_argument("--owner", required=True, metavar="ID", help="whose documents")
    search.add_argument("-k", type=int, default=5, metavar="N", help="passages at most (5)")
    status = commands.add_parser("status", help="is the service well; exit status 1 if not")
    for command in (search, status):
        command.add_argument("--json", action="store_true", help="for scripts")
    return parser


def _search(asked: argparse.Namespace) -> None:
    body = {"owner": asked.owner, "query": asked.query, "k": asked.k}
    answer = asyncio.run(_call("POST", "/search", body))
    if asked.json:
        print(json.dumps(answer, ensure_ascii=False, indent=2))
        return
    sources = [source_from(source) for source in answer["sources"]]
    print("\n\n".join(map(_shown, sources)) or "The documents don't say.")


def _status(asked: argparse.Namespace) -> None:
    answer = asyncio.run(_call("GET", "/health"))
    if asked.json:
        print(json.dumps(answer, ensure_ascii=False, indent=2))
    else:
        print(answer["words"])
        for check in answer["checks"]:
            print(f"  {'ok' if check['ok'] else 'FAILED':6} {check['name']}: {check['detail']}")
    if not answer["ok"]:
        sys.exit(1)


async def _call(method: str, path: str, body: object = None) -> dict[str, Any]:
    rag = Service("document search", paths.rag_socket())
    try:
        return await rag.call(method, path, json=body)
    finally:
        await rag.close()


def _shown(source: Source) -> str:
    where = [source.document]
    if source.page:
        where.append(f"page {source.page}")
    if source.heading:
        where.append(source.heading)
    text = textwrap.fill(source.text, 96, initial_indent="  ", subsequent_indent="  ")
    return f"{', '.join(where)}\n{text}"


if __name__ == "__main__":
    main()
