"""Source code: one section per definition at the top of the file, which is its heading."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO

from goni_rag.readers import text
from goni_rag.records import Writer

DEFINITION = re.compile(
    r"(?:(?:export|default|public|private|protected|internal|static|final|abstract|sealed|async"
    r"|unsafe|inline|extern|pub(?:\([a-z]+\))?|data|open|partial)\s+)*"
    r"(?:def|class|function\*?|func|fn|fun|struct|enum|union|trait|impl|interface|object|module"
    r"|namespace|type|record|protocol|extension|mod|macro_rules!|sub|proc"
    r"|create\s+(?:or\s+replace\s+)?(?:table|view|function|procedure|trigger|index))\b",
    re.IGNORECASE,
)
C_FUNCTION = re.compile(r"[A-Za-z_][\w\s*&:<>,~]*\([^;]*\)\s*(?:const\s*)?\{?\s*$")
ARROW = re.compile(r"(?:export\s+)?(?:const|let|var)\s+\w+\s*=\s*(?:async\s*)?(?:function\b|.*=>)")
SHELL = re.compile(r"[A-Za-z_][\w-]*\s*\(\)\s*\{?\s*$")
ABOVE = ("@", "#[", "//", "/*", " *", "*/", "--", "#", '"""')
"""How a line begins that belongs to the definition under it."""
LONGEST = 150


def read(document: IO[bytes], out: Writer) -> None:
    """All of it, definition by definition."""
    for heading, part in sections(text.decoded(document, out)):
        out.text(part, heading=heading)


def sections(source: str) -> Iterator[tuple[str, str]]:
    """``source`` cut before each definition that isn't indented, and the line that defines."""
    heading = ""
    lines: list[str] = []
    for line in source.splitlines(keepends=True):
        if _defines(line):
            above = _above(lines)
            if len(lines) > above:
                yield heading, "".join(lines[: len(lines) - above])
            lines = lines[len(lines) - above :]
            heading = line.strip().rstrip("{:").rstrip()[:LONGEST]
        lines.append(line)
    if lines:
        yield heading, "".join(lines)


def _defines(line: str) -> bool:
    if not line.strip() or line[0] in " \t#/*}{":
        return False
    short = line[:400]
    return bool(
        DEFINITION.match(short)
        or ARROW.match(short)
        or SHELL.match(short)
        or (C_FUNCTION.match(short[:LONGEST]) and not short.startswith(("if", "for", "while")))
    )


def _above(lines: list[str]) -> int:
    """How many of the last lines are decorators or comments of what comes next."""
    count = 0
    for line in reversed(lines):
        if not line.startswith(ABOVE):
            break
        count += 1
    return count
