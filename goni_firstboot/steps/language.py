"""Language and time zone of the node."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from goni_firstboot import kept, texts, zones
from goni_firstboot.step import Again, Form, Outcome, Step, Values, Visit


class Language(Step):
    """Both hold at once: the next page speaks the language that was chosen."""

    name = "language"

    async def show(self, visit: Visit) -> Values:
        rows = zones.table()
        return {
            "languages": [(tag, texts.load(tag)("language.own")) for tag in texts.languages()],
            "regions": zones.regions(rows),
            "language": visit.answers.language or visit.texts.language,
            "time_zone": visit.answers.time_zone or zones.guess(visit.prefers, rows),
            "trouble": visit.memory.trouble,
            "guessed": not visit.answers.time_zone,
        }

    async def take(self, visit: Visit, form: Form) -> Outcome:
        language, zone = form.get("language", ""), form.get("time_zone", "")
        if language not in texts.languages():
            return Again({"language": "language_missing"})
        if zone not in zones.names(zones.table()):
            return Again({"time_zone": "time_zone_missing"})
        await asyncio.to_thread(kept.keep_zone, zone)
        return replace(visit.answers, language=language, time_zone=zone)
