"""goni-rag: serves document search, and indexes, searches and measures from the command line.

``search`` and ``status`` ask the running service, or read the database that ``index`` makes where
there is none. Results go to standard output, progress and errors to standard error.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from goni_core import serve
from goni_core.errors import GoniError, exit_with
from goni_rag import commands, service
from goni_rag.filters import TYPES
from goni_rag.folders import SHARED

EXAMPLES = """\
examples:
  goni-rag index ~/Documents --owner anna
  goni-rag search "when does the boiler warranty end" --owner anna
  goni-rag search boiler --owner anna -k 3 --json
  goni-rag search invoice --owner anna --folder tax/2025 --type pdf --since 2025-01-01
  goni-rag eval --docs docs --queries queries.tsv --qrels qrels.trec --json
  goni-rag status --json
  goni-rag serve

Without --db, search and status ask the running service where there is one (GONI_RUN names the
folder of its socket, default /run/goni); else they use the database that index makes,
~/.local/share/goni/index.db. GONI_STATE is the folder of the service's state.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """The command ``goni-rag``."""
    asked = _parser().parse_args(argv)
    try:
        if asked.command == "serve":
            serve.run(service.run())
            return
        sys.exit(asyncio.run(asked.run(asked)))
    except GoniError as error:
        exit_with(error)
    except KeyboardInterrupt:
        print("interrupted; what was indexed until now is kept", file=sys.stderr)
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="goni-rag",
        description="Documents of the household: index and search.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    named = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    named.add_parser("serve", help="serve rag.sock until stopped")
    index = named.add_parser("index", help="index a folder's files, those that changed")
    index.add_argument("folder", type=Path, metavar="DIR")
    index.add_argument("--owner", default=SHARED, metavar="NAME", help=f"whose ({SHARED})")
    index.set_defaults(run=commands.index)
    search = named.add_parser("search", help="find passages in a person's and shared documents")
    search.add_argument("query", metavar="QUERY")
    search.add_argument("--owner", required=True, metavar="NAME", help="whose documents")
    search.add_argument("-k", type=int, default=5, metavar="N", help="passages at most (5)")
    search.add_argument("--space", choices=("private", "shared"), default="", help="only these")
    search.add_argument("--folder", default="", metavar="PATH", help="only what is below it")
    search.add_argument(
        "--type", action="append", default=[], metavar="TYPE", help=f"only {', '.join(TYPES)}"
    )
    search.add_argument("--since", default="", metavar="DAY", help="changed since 2025-03-31, say")
    search.add_argument("--until", default="", metavar="DAY", help="changed until then")
    search.set_defaults(run=commands.search)
    status = named.add_parser("status", help="is all well; exit status 1 if not")
    status.set_defaults(run=commands.status)
    for one in (index, search, status):
        one.add_argument("--db", type=Path, metavar="FILE", help="the database")
    measure = named.add_parser("eval", help="measure search on a judged collection")
    measure.add_argument("--docs", type=Path, required=True, metavar="DIR", help="one file each")
    measure.add_argument(
        "--queries", type=Path, required=True, metavar="FILE.tsv", help="lines: id, tab, text"
    )
    measure.add_argument("--qrels", type=Path, required=True, metavar="FILE.trec")
    measure.set_defaults(run=commands.evaluate)
    for one in (index, search, status, measure):
        one.add_argument("--json", action="store_true", help="for scripts")
    return parser


if __name__ == "__main__":
    main()
