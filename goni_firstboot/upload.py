"""A model file out of a browser's form, handed on to the engine as it comes: nothing of it is kept
here, whatever its size (RFC 7578).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote

from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from goni_core import contract, files, web
from goni_core.errors import BadInput, TooLarge
from goni_core.http import ANSWER_TIMEOUT, Service

HEADERS_LIMIT = 8 << 10
"""Bytes of a part's headers."""


class _File:
    """The first file of a form: its name once known, and the bytes that have come of it."""

    def __init__(self) -> None:
        self.name = ""
        self.begun = self.ended = False
        self.data: list[bytes] = []
        self._header, self._value, self._size = b"", b"", 0

    def callbacks(self) -> dict[str, object]:
        return {
            "on_header_field": self._on_field,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header,
            "on_headers_finished": self._on_headers,
            "on_part_data": self._on_data,
            "on_part_end": self._on_end,
        }

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._header += self._counted(data[start:end])

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += self._counted(data[start:end])

    def _counted(self, data: bytes) -> bytes:
        self._size += len(data)
        if self._size > HEADERS_LIMIT:
            raise TooLarge("the form's headers are too long")
        return data

    def _on_header(self) -> None:
        if self._header.lower() == b"content-disposition" and not self.begun:
            _, options = parse_options_header(self._value)
            self.name = options.get(b"filename", b"").decode("utf-8", errors="replace")
        self._header = self._value = b""

    def _on_headers(self) -> None:
        self.begun = self.begun or bool(self.name)

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self.begun and not self.ended:
            self.data.append(data[start:end])

    def _on_end(self) -> None:
        self.ended = self.begun


async def forward(request: Request, engine: Service) -> None:
    """Hand the form's file on; :class:`BadInput` when there is none, or the engine's own words."""
    size = web.content_length(request.headers)
    if size is None:
        raise BadInput("the upload doesn't say how long it is", code="bad_form")
    if size > contract.MODEL_LIMIT:
        raise TooLarge(f"larger than the limit of {contract.MODEL_LIMIT >> 30} GiB")
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= 70:
        raise BadInput("the form has no file", code="bad_form")
    file = _File()
    blocks = _blocks(request, MultipartParser(boundary, file.callbacks()), file)  # type: ignore[arg-type]  # its own TypedDict
    first = await anext(blocks, None)
    if first is None:
        raise BadInput("the form has no file", code="no_file")
    name = quote(files.safe_name(file.name), safe="")
    await engine.call(
        "PUT", f"/models/{name}", content=_joined(first, blocks), timeout=ANSWER_TIMEOUT
    )


async def _blocks(request: Request, parser: MultipartParser, file: _File) -> AsyncIterator[bytes]:
    """The file's bytes; :class:`BadInput` when the form ends before the file does."""
    try:
        async for block in request.stream():
            parser.write(block)
            if file.data:
                yield b"".join(file.data)
                file.data.clear()
    except ValueError as error:  # the parser's own errors are ValueErrors
        raise BadInput("the form can't be read", code="bad_form") from error
    if file.begun and not file.ended:
        raise BadInput("the upload ended early", code="truncated")


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for block in rest:
        yield block
