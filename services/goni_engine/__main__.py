"""``goni-engine``: the service, and what a builder asks it from the command line."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from goni_core import http, paths, serve
from goni_core import log as logs
from goni_core.errors import BadInput, GoniError, exit_with
from goni_engine import gguf
from goni_engine.app import build
from goni_engine.card import Card, card
from goni_engine.engine import Engine

EXAMPLES = """\
examples:
  goni-engine serve                   answer on /run/goni/engine.sock (GONI_RUN moves it)
  goni-engine models                  what the running engine has
  goni-engine models --json           the same for scripts
  goni-engine check my-model.gguf     look into a file without loading it
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    logs.setup()
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "serve":
            serve.run(_serve())
        elif arguments.command == "models":
            asyncio.run(_models(as_json=arguments.json))
        elif arguments.command == "check":
            _check(arguments.file, as_json=arguments.json)
        else:
            parser.print_help()
    except GoniError as error:
        exit_with(error)
    return 0


async def _serve() -> None:
    engine = Engine()
    socket = serve.unix_or_inherited("engine", paths.engine_socket())
    await serve.serve([serve.Listener(build(engine), socket)], alive=engine.alive)


async def _models(*, as_json: bool) -> None:
    service = http.Service("the engine", paths.engine_socket())
    try:
        listed = (await service.call("GET", "/v1/models"))["data"]
    finally:
        await service.close()
    models = [entry["goni"] for entry in listed]
    if as_json:
        print(json.dumps(models, indent=2))
        return
    for model in models:
        size = f"{model['bytes'] / 1e9:.2f} GB"
        words = f": {model['reason']}" if model["reason"] else ""
        print(f"{model['id']:<40} {model['kind']:<10} {size:>10}  {model['state']}{words}")


def _check(path: Path, *, as_json: bool) -> None:
    try:
        found = card(gguf.read(path))
    except OSError as error:
        raise BadInput(f"{path} can't be read: {error.strerror}") from error
    print(json.dumps(dataclasses.asdict(found), indent=2) if as_json else _words(found))


def _words(found: Card) -> str:
    return "\n".join(
        (
            f"name          {found.name or '(none)'}",
            f"kind          {found.kind}",
            f"architecture  {found.architecture}, {found.layers} layers",
            f"parameters    {found.parameters / 1e6:,.1f} million",
            f"file          {found.bytes / 1e6:,.1f} MB",
            f"context       {found.context:,} tokens, {found.kv_bytes:,} bytes of memory each",
            f"vocabulary    {found.vocabulary:,} tokens",
        )
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="goni-engine",
        description="Models, chat and embeddings of this node, behind one Unix socket.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("serve", help="run the service until SIGTERM")
    models = commands.add_parser("models", help="list the models of the running engine")
    models.add_argument("--json", action="store_true", help="as a JSON list")
    check = commands.add_parser("check", help="say what a GGUF file is, or what is wrong with it")
    check.add_argument("file", type=Path, metavar="FILE.gguf")
    check.add_argument("--json", action="store_true", help="as a JSON object")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
