"""The models on this node's disk: those people brought, and the embedding model of the image.

A file is parsed before it gets its name, and named atomically; its id is its name without
``.gguf``. What lies in the folder at start is parsed too: a file that can't be used stays, listed
with the reason, until somebody deletes it. What lies beside a model (see ``beside``) is listed with
it and deleted with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
from collections.abc import AsyncIterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from goni_core import contract, files
from goni_core.errors import BadInput, Conflict, Forbidden, GoniError, NotFound, Unavailable
from goni_engine import beside, gguf
from goni_engine.beside import Beside
from goni_engine.card import CHAT, EMBEDDING, Card, card

log = logging.getLogger(__name__)

SUFFIX = ".gguf"


@dataclass(frozen=True)
class Entry:
    """A model's file. ``card`` is None and ``reason`` says why when it can't be used; ``created``
    is in seconds since 1970.
    """

    id: str
    path: Path
    bytes: int
    created: int
    card: Card | None
    reason: str = ""
    beside: Beside = beside.NOTHING

    @property
    def kind(self) -> str:
        return self.card.kind if self.card else CHAT

    @property
    def reads_pictures(self) -> bool:
        return self.beside.projector is not None

    def usable_card(self) -> Card:
        """The card, with what lies beside the model counted in; :class:`Unavailable` for a file
        that can't be used.
        """
        if self.card is None:
            raise Unavailable(
                f"this model can't be used: {self.reason}",
                hint="delete it and bring it in again",
                code="model_unusable",
            )
        return replace(
            self.card,
            bytes=self.card.bytes + self.beside.needed,
            kv_bytes=self.card.kv_bytes + self.beside.kv_bytes,
        )


class Store:
    """The models in ``folder``, and the embedding model at ``shipped``."""

    def __init__(self, folder: Path, shipped: Path) -> None:
        self._folder = folder
        self._shipped = shipped
        self._entries: dict[str, Entry] = {}
        self._arriving: set[str] = set()

    def open(self) -> None:
        """Look at what is there; removes what an interrupted upload left."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.sweep(self._folder)
        paths = sorted(self._folder.glob("*" + SUFFIX))
        found = [inspect(path) for path in paths if not beside.suffix_of(path.name)]
        self._entries = {entry.id: entry for entry in found if entry.id != contract.EMBEDDING_MODEL}
        if self._shipped.exists():
            self._entries[contract.EMBEDDING_MODEL] = inspect(
                self._shipped, contract.EMBEDDING_MODEL
            )

    def all(self) -> list[Entry]:
        return sorted(self._entries.values(), key=lambda entry: entry.id)

    def get(self, model: str) -> Entry:
        """The model with this id; :class:`NotFound` in OpenAI's words."""
        entry = self._entries.get(model)
        if entry is None:
            raise gone()
        return entry

    async def put(
        self, name: str, body: AsyncIterable[bytes], announced: int | None
    ) -> tuple[Entry, bool]:
        """Take in ``body`` as the model file ``name``; also says whether it is new.

        Raises :class:`BadInput` for a bad name or file, :class:`Conflict` when there is another
        model of that name, and what ``files.receive`` raises. Nothing is left behind then.
        """
        model = model_id(name)
        if beside.suffix_of(name):
            raise BadInput("a file for a model comes in by POST /incoming", code="bad_name")
        path = self._folder / name
        there = self._rival(model, announced)
        with self._reserved(name):
            with files.incoming(path) as temporary:
                digest = await files.receive(
                    body, temporary, limit=contract.MODEL_LIMIT, announced=announced
                )
                if there is not None and digest != await asyncio.to_thread(_sha256, there.path):
                    raise _taken()
                await asyncio.to_thread(check_chat_model, temporary)
                await asyncio.to_thread(_sync, temporary)
            entry = await asyncio.to_thread(inspect, path)
            self._entries[model] = entry
        log.info("took in %s, %d MiB", model, entry.bytes >> 20)
        return entry, there is None

    def check_free(self, name: str) -> None:
        """:class:`Conflict` when a usable model has the file name ``name`` already."""
        model = model_id(name)
        if beside.suffix_of(name):
            taken = (self._folder / name).exists()
        else:
            taken = self._rival(model, None) is not None
        if taken:
            raise _taken()

    async def adopt(self, part: Path, name: str) -> Entry | None:
        """Make the whole file at ``part``, on the same file system, the model file ``name``; None
        for what lies beside one, which is used when the model is loaded the next time.

        Raises :class:`BadInput` for a bad file and :class:`Conflict` as :meth:`check_free`; the
        part stays where it was then.
        """
        model, path = model_id(name), self._folder / name
        with self._reserved(name):
            self.check_free(name)
            if suffix := beside.suffix_of(name):
                await asyncio.to_thread(beside.check, part, suffix)
                await asyncio.to_thread(_move, part, path)
                await self._look_beside(model)
                return None
            await asyncio.to_thread(check_chat_model, part)
            await asyncio.to_thread(_move, part, path)
            entry = self._entries[model] = await asyncio.to_thread(inspect, path)
        log.info("took in %s, %d MiB", model, entry.bytes >> 20)
        return entry

    async def _look_beside(self, model: str) -> None:
        entry = self._entries.get(model)
        if entry is not None and entry.card is not None:
            found = await asyncio.to_thread(beside.find, self._folder, model, entry.card)
            self._entries[model] = replace(entry, beside=found)

    async def remove_beside(self, name: str) -> Entry | None:
        """Delete the file ``name`` that lies beside a model, and give that model; the model goes on
        without it. :class:`NotFound` when there is no such file.
        """
        model, path = model_id(name), self._folder / name
        if not path.is_file():
            raise gone()
        await asyncio.to_thread(path.unlink, missing_ok=True)
        await asyncio.to_thread(files.sync_folder, self._folder)
        await self._look_beside(model)
        log.info("deleted what lay beside %s", model)
        return self._entries.get(model)

    def withdraw(self, model: str) -> Entry:
        """Take a model off the list before its file goes; :class:`Forbidden` for the image's
        own.
        """
        entry = self.get(model)
        if entry.id == contract.EMBEDDING_MODEL:
            raise Forbidden("this model is part of Goni and can't be deleted")
        return self._entries.pop(entry.id)

    async def delete(self, entry: Entry) -> None:
        """Delete the file of a model that was withdrawn and that nothing runs on any more."""
        extras = (self._folder / (entry.id + suffix) for suffix in beside.SUFFIXES)
        for path in (entry.path, *extras):
            await asyncio.to_thread(path.unlink, missing_ok=True)
        await asyncio.to_thread(files.sync_folder, self._folder)
        log.info("deleted %s", entry.id)

    def _rival(self, model: str, announced: int | None) -> Entry | None:
        """The usable model that has this name already; :class:`Conflict` when its size tells that
        it is another one.
        """
        there = self._entries.get(model)
        if model == contract.EMBEDDING_MODEL:
            raise _taken()
        if there is None or there.card is None:
            return None
        if announced is not None and announced != there.bytes:
            raise _taken()
        return there

    @contextlib.contextmanager
    def _reserved(self, name: str) -> Iterator[None]:
        if name in self._arriving:
            raise Conflict("a model of that name is being brought in right now")
        self._arriving.add(name)
        try:
            yield
        finally:
            self._arriving.discard(name)


def model_id(name: str) -> str:
    """The id of the model that the file ``name`` is or belongs to; :class:`BadInput` when no model
    can have it.
    """
    files.safe_name(name)
    model = name.removesuffix(beside.suffix_of(name)).removesuffix(SUFFIX)
    if model == name or not model or model != model.strip() or "," in model:
        raise BadInput(
            "a model's file name ends in .gguf and has no comma",
            hint="rename the file, for example to my-model.gguf",
            code="bad_name",
        )
    return model


def inspect(path: Path, model: str = "") -> Entry:
    """The entry of the file at ``path``, usable or not; ``model`` is its id (default: the
    name's).
    """
    status = path.stat()
    found: Card | None = None
    reason = ""
    try:
        found = card(gguf.read(path))
    except GoniError as error:
        reason = error.message
        log.warning("%s can't be used: %s", path.name, reason)
    model = model or path.name.removesuffix(SUFFIX)
    return Entry(
        model,
        path,
        status.st_size,
        int(status.st_mtime),
        found,
        reason,
        beside.find(path.parent, model, found) if found else beside.NOTHING,
    )


def check_chat_model(path: Path) -> None:
    """:class:`BadInput` unless ``path`` is a whole GGUF chat model."""
    if card(gguf.read(path)).kind == EMBEDDING:
        raise BadInput(
            "this is an embedding model; Goni uses the one that it comes with",
            hint="bring a chat model",
            code="unsupported_model",
        )


def gone() -> NotFound:
    """There is no such model, in OpenAI's words."""
    return NotFound(
        "there is no model of that name on this node",
        hint="GET /v1/models lists those that there are",
        code="model_not_found",
    )


def _taken() -> Conflict:
    return Conflict(
        "there is another model of that name",
        hint="delete it first, or bring this one under another name",
    )


def _move(part: Path, path: Path) -> None:
    _sync(part)
    part.replace(path)
    files.sync_folder(path.parent)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Push gigabytes to the disk here, in a thread, and not in ``files.incoming``'s own sync."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
