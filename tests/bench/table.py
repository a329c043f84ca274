"""Every bench's last result as one table: ``python -m tests.bench.table``."""

from __future__ import annotations

from goni_core.errors import GoniError, NotFound, exit_with
from tests.bench import rows


def main() -> None:
    try:
        found = sorted(rows.FOLDER.glob("*.json"))
        if not found:
            raise NotFound(f"{rows.FOLDER} holds no result", hint="make bench-image")
        print(rows.table([rows.read(path) for path in found]))
    except GoniError as error:
        exit_with(error)


if __name__ == "__main__":
    main()
