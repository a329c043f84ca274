"""Our half of the sandbox's inside: reads one document of one kind from standard input and writes
what is in it as records.

Each kind is a module in ``readers`` with ``read(document, out)``; it is imported only here, in a
process that is confined already. Whatever goes wrong in it is the document's fault and has a name.
"""

from __future__ import annotations

import importlib
import mimetypes
import os
import sys
from typing import Any

from goni_rag.kinds import Kind
from goni_rag.records import Writer
from goni_rag.sections import Unreadable


def prepare() -> None:
    """What has to be so before any reader is loaded."""
    # openpyxl would load it for nothing: half a second and a lot of address space.
    absent: Any = None
    sys.modules["numpy"] = absent
    # It would read /etc/mime.types as soon as it is asked, and fail.
    mimetypes.knownfiles.clear()


def main(kind: str) -> None:
    """Read standard input as ``kind`` and write its records to standard output."""
    with os.fdopen(0, "rb", closefd=False) as document, os.fdopen(1, "wb", closefd=False) as sink:
        out = Writer(sink)
        try:
            module = importlib.import_module(f"goni_rag.readers.{Kind(kind).value}")
            module.read(document, out)
        except Unreadable as error:
            out.unreadable(error.code)
        except MemoryError:
            out.gave_up("memory")
        except RecursionError:
            out.gave_up("nested")
        except Exception as error:  # whatever a parser makes of a forged file
            os.write(2, type(error).__name__.encode())
            out.gave_up("damaged")
        out.end()
