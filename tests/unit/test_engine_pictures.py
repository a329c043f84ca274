"""Which pictures of a request llama-server gets to see."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest

from goni_core.errors import BadInput, TooLarge
from goni_engine import pictures, request
from tests.projector import png, url

JPEG = (
    b"\xff\xd8"
    b"\xff\xe1\x00\x08Exif\0\0"
    b"\xff\xff\xc0\x00\x11\x08\x00\x10\x00\x20\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01"
    b"\xff\xd9"
)
"""16 pixels high, 32 wide, with a fill byte before the frame."""
GIF = b"GIF89a" + struct.pack("<HH", 7, 5) + bytes(20)


def message(*urls: object) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"type": "text", "text": "look"}]
    return {
        "role": "user",
        "content": parts + [{"type": "image_url", "image_url": {"url": each}} for each in urls],
    }


def code_of(part: object) -> str:
    with pytest.raises(BadInput) as caught:
        pictures.checked([{"role": "user", "content": [part]}])
    return caught.value.code


def test_a_picture_goes_on_as_it_came_and_text_unchanged() -> None:
    plain = {"role": "user", "content": "hello"}
    made, number = pictures.checked([plain, message(url(png(1)), url(JPEG, "jpeg"))])
    assert (made, number) == ([plain, message(url(png(1)), url(JPEG, "jpeg"))], 2)
    loud = {"type": "image_url", "image_url": {"url": url(png(1)), "detail": "high", "x": 1}}
    made, _ = pictures.checked([{"role": "user", "content": [loud]}])
    assert made[0]["content"] == [{"type": "image_url", "image_url": {"url": url(png(1))}}]  # type: ignore[index]  # an object, as every message


def test_sizes_are_read_from_the_first_bytes() -> None:
    assert pictures.size_of(png(1, 12, 9)) == (12, 9)
    assert pictures.size_of(JPEG) == (32, 16)
    assert pictures.size_of(GIF) == (7, 5)


@pytest.mark.parametrize(
    "address",
    [
        "http://192.168.1.1/camera.jpg",
        "https://example.org/a.png",
        "file:///var/lib/goni/a.png",
        base64.b64encode(png(1)).decode(),
        "data:text/plain;base64,aGVsbG8=",
        "data:image/webp;base64,UklGRg==",
        "data:image/png,aGVsbG8=",
    ],
)
def test_only_pictures_inside_the_request_are_taken(address: str) -> None:
    assert code_of({"type": "image_url", "image_url": {"url": address}}) == "unsupported_picture"


@pytest.mark.parametrize(
    "data",
    [
        b"RIFF\x00\x00\x00\x00WEBPVP8 ",
        b"BM" + bytes(60),
        b"ID3 music",
        png(1)[:20],
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xda\x00\x04\x00\x00",
        b"\xff\xd8" + b"\xff\xe0\x00\x02" * 3,
        GIF[:8],
        png(1, 0, 5),
    ],
)
def test_what_is_no_whole_picture_is_refused(data: bytes) -> None:
    part = {"type": "image_url", "image_url": {"url": url(data)}}
    assert code_of(part) == "unsupported_picture"


@pytest.mark.parametrize("kind", ["input_audio", "input_video", "video_url", "file", None, 7])
def test_parts_that_llama_server_would_fetch_or_decode_are_refused(kind: object) -> None:
    where = {"url": "http://example.org/a", "data": "http://example.org/a"}
    assert code_of({"type": kind, str(kind): where}) == "unsupported"


@pytest.mark.parametrize("part", ["text", 3, None, {"type": "image_url", "image_url": "data:"}])
def test_parts_of_the_wrong_type_are_refused(part: object) -> None:
    assert code_of(part) == "bad_type"


def test_a_picture_that_claims_to_be_huge_is_refused_unseen() -> None:
    bomb = png(1)[:16] + struct.pack(">II", 100_000, 100_000) + png(1)[24:]
    with pytest.raises(TooLarge, match="million pixels"):
        pictures.checked([message(url(bomb))])
    heavy = png(1) + bytes(pictures.LARGEST)
    with pytest.raises(TooLarge, match="10 MiB"):
        pictures.checked([message(url(heavy))])
    with pytest.raises(BadInput, match="more than 16"):
        pictures.checked([message(url(png(1)))] * 17)


def test_base64_is_taken_strictly() -> None:
    whole = url(png(1))
    for broken in (whole + "=A", whole.replace("A", "*", 1), whole[:-1]):
        part = {"type": "image_url", "image_url": {"url": broken}}
        assert code_of(part) == "unsupported_picture"


def test_a_request_knows_its_pictures_and_a_prompt_has_none() -> None:
    asked = request.parse({"model": "m", "messages": [message(url(png(1)))]})
    assert asked.pictures == 1
    assert request.parse({"model": "m", "prompt": [1, 2]}).pictures == 0
    for prompt in ({"prompt_string": "x", "multimodal_data": ["aa"]}, [{"prompt_string": "x"}]):
        with pytest.raises(BadInput, match="text or tokens"):
            request.parse({"model": "m", "prompt": prompt})
