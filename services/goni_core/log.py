"""Logs: one line per event, to the journal under systemd and to standard error elsewhere.

Never a secret, a prompt or a document's text. Standard error under systemd is the journal's own
stream, with ``<N>`` priority prefixes (sd-daemon(3)), so that no library is needed.
"""

from __future__ import annotations

import logging
import os
import sys

PRIORITY = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}


class JournalFormatter(logging.Formatter):
    """Prefixes each line with its syslog priority, as sd-daemon(3) describes."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{PRIORITY.get(record.levelno, 6)}>"
        text = f"{record.name}: {record.getMessage()}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return "\n".join(prefix + line for line in text.splitlines())


def setup(*, verbose: bool = False) -> None:
    """Send this process's log lines to standard error, formatted for the journal when that is the
    journal.
    """
    handler = logging.StreamHandler(sys.stderr)
    if os.environ.get("JOURNAL_STREAM"):
        handler.setFormatter(JournalFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True
    )
    for chatty in ("aiohttp", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
