"""All that comes out of one document, put together within limits."""

from __future__ import annotations

from goni_rag.records import LONGEST_HEADING
from goni_rag.sections import NOTES, TEXT_LIMIT, Extract, Section, Unreadable

MOST_SECTIONS = 100_000


class Gathering:
    """Collects sections and notes; ``parts`` is how many files inside may be looked at."""

    def __init__(self, parts: int) -> None:
        self._sections: list[tuple[list[str], int, str]] = []
        self._size = 0
        self._notes: dict[str, None] = {}
        self._parts = parts
        self.full = False

    def text(self, text: str, page: int, heading: str) -> None:
        """Add to the section at hand, or begin one when page or heading are others."""
        if self._size + len(text) > TEXT_LIMIT:
            text = text[: TEXT_LIMIT - self._size]
            self._stop()
        heading = heading[-LONGEST_HEADING:]
        if not self._sections or self._sections[-1][1:] != (page, heading):
            if len(self._sections) == MOST_SECTIONS:
                return self._stop()
            self._sections.append(([], page, heading))
        self._sections[-1][0].append(text)
        self._size += len(text)
        return None

    def note(self, key: str) -> None:
        """Tell the person ``NOTES[key]``, once."""
        self._notes[key] = None

    def another_part(self) -> bool:
        """Whether one more file inside may be looked at; counts it."""
        self._parts -= 1
        return self._parts >= 0

    def extract(self) -> Extract:
        """What there is. Raises :class:`Unreadable` when that is no text at all."""
        sections = []
        start = 0
        for texts, page, heading in self._sections:
            section = Section("".join(texts), page, heading, start)
            start += len(section.text)
            sections.append(section)
        if not any(section.text.strip() for section in sections):
            raise Unreadable("empty")
        pages = max(section.page for section in sections)
        return Extract(tuple(sections), pages, "; ".join(NOTES[key] for key in self._notes))

    def _stop(self) -> None:
        self.note("cut")
        self.full = True
