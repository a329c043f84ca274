"""The command ``goni-gateway``."""

from __future__ import annotations

import argparse
from pathlib import Path

from goni_core import errors, log, serve
from goni_core.errors import BadInput, GoniError
from goni_gateway import request_id, service


def main(argv: list[str] | None = None) -> None:
    """Run the command; errors end it with one line and status 1."""
    options = _parser().parse_args(argv)
    log.setup(verbose=options.verbose)
    request_id.mark_logs()
    try:
        listen = _address(options.listen) if options.listen else None
        plain = _address(options.listen_plain) if options.listen_plain else None
        settings = service.Settings(listen, options.certificate, options.key, plain)
        serve.run(service.run(settings))
    except GoniError as error:
        errors.exit_with(error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="goni-gateway", description="Goni's front door")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="serve the web page, the OpenAI API and the control")
    serve.add_argument(
        "--listen", metavar="HOST:PORT", help="the web listener, instead of systemd's socket"
    )
    serve.add_argument(
        "--listen-plain", metavar="HOST:PORT", help="where plain HTTP says how to trust the node"
    )
    serve.add_argument(
        "--certificate", type=Path, metavar="FILE", help="instead of the credential tls.crt"
    )
    serve.add_argument("--key", type=Path, metavar="FILE", help="instead of the credential tls.key")
    serve.add_argument("--verbose", action="store_true", help="log more")
    return parser


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise BadInput(f"a listener takes HOST:PORT, not {text!r}")
    return host.strip("[]"), int(port)


if __name__ == "__main__":
    main()
