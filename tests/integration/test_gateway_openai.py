"""The OpenAI API through the front door, with the official client over real TLS. The engine is the
stand-in: it does on demand what a good one never does.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.integration.gateway_node import Node, StandIn, source

HELLO: list[Any] = [{"role": "user", "content": "hello"}]


@pytest.fixture
def node(served: tuple[Node, StandIn]) -> Node:
    return served[0]


@pytest.fixture
def behind(served: tuple[Node, StandIn]) -> StandIn:
    return served[1].reset()


@pytest.fixture(scope="module")
def browser(served: tuple[Node, StandIn]) -> httpx.Client:
    return served[0].signed_in()


@pytest.fixture
def client(node: Node) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{node.url}/v1",
        api_key=node.a_key(),
        max_retries=0,
        timeout=30,
        http_client=httpx.Client(verify=ssl.create_default_context(cafile=node.crt)),
    ) as made:
        yield made


@pytest.fixture
def app(node: Node) -> Iterator[httpx.Client]:
    with node.client(authorization=f"Bearer {node.a_key()}") as made:
        yield made


def goni(answer: Any) -> dict[str, Any]:
    extra = answer.model_extra["goni"]
    assert isinstance(extra, dict)
    return extra


def test_models_are_listed_and_looked_up(client: openai.OpenAI, behind: StandIn) -> None:
    assert {"tiny", "all-MiniLM"} <= {model.id for model in client.models.list()}
    assert client.models.retrieve("tiny").id == "tiny"
    with pytest.raises(openai.NotFoundError) as refused:
        client.models.retrieve("huge")
    assert refused.value.code == "model_not_found"


def test_an_answer_names_its_sources(client: openai.OpenAI, behind: StandIn) -> None:
    behind.sources = [source("cats.pdf", "The cat is blue.", page=3), source("a.txt", "x", page=0)]
    answer = client.chat.completions.create(model="tiny", messages=HELLO)
    assert answer.choices[0].message.content == "Hello there"
    private = {"space": "private", "heading": ""}
    assert goni(answer)["sources"] == [
        {**private, "n": 1, "document": "cats.pdf", "page": 3, "quote": "The cat is blue."},
        {**private, "n": 2, "document": "a.txt", "page": 0, "quote": "x"},
    ]
    assert goni(answer)["abstained"] is False
    assert goni(answer)["context_cut"] is None
    assert "[1] cats.pdf, page 3" in behind.asked[0]["messages"][1]["content"]
    assert answer._request_id is not None
    assert answer._request_id.startswith("req-")


def test_when_the_documents_are_silent_the_model_and_the_app_are_told(
    client: openai.OpenAI, behind: StandIn
) -> None:
    answer = client.chat.completions.create(model="tiny", messages=HELLO)
    assert goni(answer)["abstained"] is True
    assert behind.asked[0]["messages"][1]["content"].startswith("Nothing was found")
    off: Any = {"goni": {"documents": False}}
    answer = client.chat.completions.create(model="tiny", messages=HELLO, extra_body=off)
    assert goni(answer)["abstained"] is False
    assert behind.asked[1]["messages"] == HELLO


def test_the_search_is_for_the_person_who_asks(
    browser: httpx.Client, node: Node, client: openai.OpenAI, behind: StandIn
) -> None:
    client.chat.completions.create(model="tiny", messages=HELLO)
    person = browser.get("/api/me").json()["id"]
    assert behind.searched == [{"owner": person, "query": "hello", "k": 8}]


def test_a_streamed_answer_begins_with_the_sources(client: openai.OpenAI, behind: StandIn) -> None:
    behind.sources = [source("cats.pdf", "The cat is blue.")]
    chunks = list(client.chat.completions.create(model="tiny", messages=HELLO, stream=True))
    assert goni(chunks[0])["sources"][0]["document"] == "cats.pdf"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert not chunks[0].choices[0].delta.content
    assert {chunk.id for chunk in chunks} == {"chatcmpl-1"}
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello there"
    assert all("goni" not in (chunk.model_extra or {}) for chunk in chunks[1:-1])


def test_a_streamed_answer_ends_with_what_its_claims_stand_on(
    client: openai.OpenAI, behind: StandIn
) -> None:
    behind.sources = [source("cats.pdf", "Dogs bark. The cat is blue.", page=3)]
    behind.last_words = 'there. The "cat" is blue [1].'
    chunks = list(client.chat.completions.create(model="tiny", messages=HELLO, stream=True))
    assert chunks[-1].choices[0].finish_reason == "stop"
    claim = {"n": 1, "claim": 'The "cat" is blue.', "document": "cats.pdf", "page": 3}
    assert goni(chunks[-1]) == {"citations": [{**claim, "quote": "The cat is blue."}]}


def test_a_streamed_answer_without_sources_has_no_citations(
    client: openai.OpenAI, behind: StandIn
) -> None:
    chunks = list(client.chat.completions.create(model="tiny", messages=HELLO, stream=True))
    assert all("goni" not in (chunk.model_extra or {}) for chunk in chunks[1:])


def test_documents_can_be_left_out(client: openai.OpenAI, behind: StandIn) -> None:
    behind.sources = [source("cats.pdf", "The cat is blue.")]
    answer = client.chat.completions.create(
        model="tiny", messages=HELLO, extra_body={"goni": {"documents": False}}
    )
    assert goni(answer)["sources"] == []
    assert behind.searched == []
    assert behind.asked[0]["messages"] == HELLO
    assert set(behind.asked[0]["goni"]) == {"person"}


def test_other_options_reach_the_engine(client: openai.OpenAI, behind: StandIn) -> None:
    client.chat.completions.create(
        model="tiny", messages=HELLO, temperature=0.5, max_tokens=7, seed=3
    )
    assert behind.asked[0]["temperature"] == 0.5
    assert behind.asked[0]["max_tokens"] == 7
    assert behind.asked[0]["seed"] == 3


def test_a_search_that_hangs_does_not_keep_the_answer_back(
    client: openai.OpenAI, behind: StandIn
) -> None:
    behind.search_delay = 60
    began = time.monotonic()
    answer = client.chat.completions.create(model="tiny", messages=HELLO)
    assert time.monotonic() - began < 25
    assert answer.choices[0].message.content == "Hello there"
    assert "could not be searched" in goni(answer)["notes"][0]


def test_a_full_context_drops_sources_then_turns_and_says_so(
    client: openai.OpenAI, behind: StandIn
) -> None:
    behind.context = 400
    behind.sources = [source(f"{n}.txt", "word " * 150) for n in range(3)]
    answer = client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=50)
    assert [found["document"] for found in goni(answer)["sources"]] == ["0.txt"]
    assert goni(answer)["context_cut"]["sources_dropped"] == 2
    assert goni(answer)["context_cut"]["turns_dropped"] == 0
    assert "2 of the passages" in goni(answer)["context_cut"]["words"]
    long: list[Any] = [
        {"role": role, "content": f"turn{n} " + "word " * 50}
        for n in range(20)
        for role in ("user", "assistant")
    ]
    answer = client.chat.completions.create(model="tiny", messages=long + HELLO, max_tokens=50)
    cut = goni(answer)["context_cut"]
    assert cut["sources_dropped"] == 3
    assert cut["turns_dropped"] == 17
    assert behind.asked[1]["messages"][-1] == HELLO[0]
    assert behind.asked[1]["messages"][0]["content"].startswith("turn17 ")


def test_tools_take_their_part_of_the_context(client: openai.OpenAI, behind: StandIn) -> None:
    behind.context = 500
    behind.sources = [source(f"{n}.txt", "word " * 100) for n in range(3)]
    tool: Any = {"type": "function", "function": {"name": "x", "description": "word " * 100}}
    plain = client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=20)
    equipped = client.chat.completions.create(
        model="tiny", messages=HELLO, max_tokens=20, tools=[tool]
    )
    assert goni(plain)["context_cut"] is None
    assert goni(equipped)["context_cut"]["sources_dropped"] == 1
    assert behind.asked[1]["tools"] == [tool]


def test_a_question_longer_than_the_context_is_refused(
    client: openai.OpenAI, behind: StandIn
) -> None:
    behind.context = 50
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": "word " * 100}]
        )
    assert refused.value.code == "context_length_exceeded"
    assert behind.asked == []


def test_an_answer_too_long_for_the_context_is_limited_and_says_so(
    client: openai.OpenAI, behind: StandIn
) -> None:
    behind.context = 100
    answer = client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=5000)
    assert behind.asked[0]["max_tokens"] < 100
    assert goni(answer)["context_cut"]["max_tokens"] == behind.asked[0]["max_tokens"]


def test_an_unknown_model_is_not_another_one(client: openai.OpenAI, behind: StandIn) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        client.chat.completions.create(model="gpt-99", messages=HELLO)
    assert refused.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="gpt-99", input="x")
    assert behind.asked == []


def test_an_embedding_model_does_not_chat(client: openai.OpenAI, behind: StandIn) -> None:
    with pytest.raises(openai.BadRequestError, match="embedding"):
        client.chat.completions.create(model="all-MiniLM", messages=HELLO)


def test_an_engine_that_dies_is_an_error_in_the_stream(
    client: openai.OpenAI, behind: StandIn
) -> None:
    said = ""
    with pytest.raises(openai.APIError, match="does not answer"):
        for chunk in client.chat.completions.create(model="breaks", messages=HELLO, stream=True):
            said += chunk.choices[0].delta.content or ""
    assert said == "Hello "


def test_a_client_that_hangs_up_ends_the_stream_at_the_engine(
    client: openai.OpenAI, behind: StandIn
) -> None:
    stream = client.chat.completions.create(model="endless", messages=HELLO, stream=True)
    for _, _chunk in zip(range(4), stream, strict=False):
        assert not behind.hung_up.is_set()
    stream.close()
    assert behind.hung_up.wait(1)


def test_a_client_that_hangs_up_before_the_first_token_ends_the_request_too(
    client: openai.OpenAI, behind: StandIn
) -> None:
    for stream in (True, False):
        behind.hung_up.clear()
        with pytest.raises(openai.APITimeoutError):
            client.with_options(timeout=1).chat.completions.create(
                model="slow", messages=HELLO, stream=stream
            )
        assert behind.hung_up.wait(1)


def test_streams_do_not_end_each_other(client: openai.OpenAI, behind: StandIn) -> None:
    endless = client.chat.completions.create(model="endless", messages=HELLO, stream=True)
    next(iter(endless))
    answer = client.chat.completions.create(model="tiny", messages=HELLO)
    assert answer.choices[0].message.content == "Hello there"
    assert next(iter(endless)).choices[0].delta.content
    assert not behind.hung_up.is_set()
    endless.close()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "bad_json"),
        (b"{", "bad_json"),
        (b"[1]", "bad_json"),
        (b"[" * 200_000, "bad_json"),
        (b'{"model": "tiny", "messages": [], "temperature": NaN}', "bad_json"),
        (b'{"model": "\\ud800", "messages": []}', "bad_json"),
        (b'{"messages": []}', "missing_field"),
        (b'{"model": "tiny"}', "missing_field"),
        (b'{"model": 5, "messages": []}', "bad_type"),
        (b"\xff\xfe", "bad_json"),
    ],
)
def test_a_malformed_request_gets_an_openai_shaped_error(
    app: httpx.Client, behind: StandIn, body: bytes, code: str
) -> None:
    said = app.post("/v1/chat/completions", content=body)
    assert said.status_code == 400
    assert said.json()["error"]["type"] == "invalid_request_error"
    assert said.json()["error"]["code"] == code


def test_an_oversized_request_is_refused_announced_or_not(
    app: httpx.Client, behind: StandIn
) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(30):
            yield b"x" * (1 << 20)

    said = app.post("/v1/chat/completions", content=b"x" * (25 << 20))
    assert said.status_code == 413
    assert said.json()["error"]["code"] == "too_large"
    assert said.headers["connection"] == "close"
    said = app.post("/v1/chat/completions", content=endless())
    assert said.status_code == 413
