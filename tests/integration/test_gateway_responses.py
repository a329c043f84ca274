"""The Responses API, tools, schemas and usage through the front door: the official client, a real
engine, small models.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration import household
from tests.integration.household import Household
from tests.models import (
    RECITED,
    write_calling_model,
    write_reciting_model,
    write_tiny_chat_model,
)

SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string", "enum": ["yes", "no"]}},
    "required": ["answer"],
    "additionalProperties": False,
}
TOOL = {"name": "light", "description": "Switch the light", "parameters": SCHEMA}
MODELS = {
    "tiny": write_tiny_chat_model,
    "recites": write_reciting_model,
    "calls": write_calling_model,
}
HELLO: list[Any] = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    with household.running(tmp_path_factory.mktemp("node"), MODELS) as made:
        said = made.node.signed_in().put(
            "/api/documents/note.txt", content=b"The key hangs in the hall."
        )
        assert said.status_code == 201
        yield made


@pytest.fixture
def client(home: Household) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{home.node.url}/v1",
        api_key=home.node.a_key(),
        max_retries=0,
        timeout=120,
        http_client=httpx.Client(verify=ssl.create_default_context(cafile=home.node.crt)),
    ) as made:
        yield made


def test_a_response_has_text_usage_and_sources(client: openai.OpenAI) -> None:
    said = client.responses.create(model="recites", input="Where does the key hang?")
    assert said.output_text.strip() == RECITED
    assert said.status == "completed"
    assert said.usage is not None
    assert said.usage.input_tokens > 0
    assert said.usage.output_tokens >= len(RECITED.split())
    assert (said.model_extra or {})["goni"]["sources"][0]["document"] == "note.txt"


def test_a_streamed_response_grows_event_by_event(client: openai.OpenAI) -> None:
    events = list(client.responses.create(model="recites", input="hello", stream=True))
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert len(deltas) > 5
    assert "".join(deltas).strip() == RECITED
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text.strip() == RECITED
    assert last.response.usage is not None
    assert isinstance((last.response.model_extra or {})["goni"]["citations"], list)


def test_the_clients_own_stream_helper_works(client: openai.OpenAI) -> None:
    with client.responses.stream(model="recites", input="hello") as stream:
        for _ in stream:
            pass
        assert stream.get_final_response().output_text.strip() == RECITED


def test_a_conversation_is_sent_back_whole(client: openai.OpenAI) -> None:
    first = client.responses.create(model="tiny", input="hello", max_output_tokens=5)
    assert first.status == "incomplete"
    assert first.incomplete_details is not None
    assert first.incomplete_details.reason == "max_output_tokens"
    items: list[Any] = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "hello"}]},
        *[item.model_dump(exclude_none=True) for item in first.output],
        {"role": "user", "content": "go on"},
    ]
    said = client.responses.create(
        model="tiny", instructions="Be kind.", input=items, max_output_tokens=5
    )
    assert said.usage is not None
    assert first.usage is not None
    assert said.usage.input_tokens > first.usage.input_tokens


def test_a_schema_holds_whatever_the_model(client: openai.OpenAI) -> None:
    form: Any = {"type": "json_schema", "name": "a", "schema": SCHEMA, "strict": True}
    said = client.responses.create(
        model="tiny", input="yes or no?", text={"format": form}, max_output_tokens=200
    )
    assert json.loads(said.output_text)["answer"] in ("yes", "no")
    asked: Any = {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}
    chat = client.chat.completions.create(
        model="tiny", messages=HELLO, response_format=asked, max_tokens=200
    )
    assert json.loads(chat.choices[0].message.content or "")["answer"] in ("yes", "no")


def test_a_tool_is_called_and_its_output_taken(client: openai.OpenAI) -> None:
    tool: Any = {"type": "function", **TOOL, "strict": True}
    said = client.responses.create(
        model="calls", input="light on", tools=[tool], tool_choice="required"
    )
    call = said.output[-1]
    assert call.type == "function_call"
    assert call.name == "light"
    assert json.loads(call.arguments) == {"answer": "yes"}
    items: list[Any] = [
        {"role": "user", "content": "light on"},
        call.model_dump(exclude_none=True),
        {"type": "function_call_output", "call_id": call.call_id, "output": "done"},
    ]
    after = client.responses.create(model="calls", input=items, tools=[tool], max_output_tokens=4)
    assert after.output
    chat = client.chat.completions.create(
        model="calls",
        messages=HELLO,
        tools=[{"type": "function", "function": TOOL}],  # type: ignore[list-item]
        tool_choice="required",
    )
    calls = chat.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].type == "function"
    assert calls[0].function.name == "light"


def test_a_tool_call_streams_too(client: openai.OpenAI) -> None:
    tool: Any = {"type": "function", **TOOL, "strict": True}
    events = list(
        client.responses.create(
            model="calls",
            input="light on",
            tools=[tool],
            tool_choice="required",
            stream=True,
        )
    )
    done = [event for event in events if event.type == "response.function_call_arguments.done"]
    deltas = [
        event.delta for event in events if event.type == "response.function_call_arguments.delta"
    ]
    assert done[0].name == "light"
    assert "".join(deltas) == done[0].arguments
    assert json.loads(done[0].arguments) == {"answer": "yes"}


def test_a_stream_counts_when_asked_to(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="recites", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.completion_tokens >= len(RECITED.split())
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    quiet = list(client.chat.completions.create(model="recites", messages=HELLO, stream=True))
    assert all(chunk.usage is None for chunk in quiet)


@pytest.mark.parametrize(
    "more",
    [
        {"previous_response_id": "resp_1"},
        {"tools": [{"type": "web_search"}]},
        {"input": [{"type": "item_reference", "id": "x"}]},
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "x"}]}]},
        {"input": 7},
        {"text": {"format": {"type": "xml"}}},
        {"max_output_tokens": -1},
        {"background": True},
    ],
)
def test_what_cannot_be_done_is_refused_by_name(
    client: openai.OpenAI, more: dict[str, Any]
) -> None:
    with pytest.raises(openai.BadRequestError):
        client.responses.create(**{"model": "recites", "input": "hello", **more})


def test_reranking_needs_a_model_for_it(home: Household) -> None:
    with home.node.client(authorization=f"Bearer {home.node.a_key()}") as app:
        body = {"query": "key", "documents": ["a", "b"]}
        said = app.post("/v1/rerank", json={"model": "tiny", **body})
        assert said.json()["error"]["code"] == "wrong_model"
        said = app.post("/v1/rerank", json={"model": "none", **body})
        assert said.json()["error"]["code"] == "model_not_found"


def test_the_owner_sees_what_each_model_did(home: Household, client: openai.OpenAI) -> None:
    for chunk in client.chat.completions.create(model="recites", messages=HELLO, stream=True):
        assert chunk.id
    with home.node.client(authorization=f"Bearer {home.node.a_key()}") as prometheus:
        said = prometheus.get("/metrics")
    assert said.headers["content-type"].startswith("text/plain")
    found = {
        (sample.name, sample.labels["model"], sample.labels.get("kind", "")): sample.value
        for family in text_string_to_metric_families(said.text)
        for sample in family.samples
        if sample.labels.get("model") == "recites" and "le" not in sample.labels
    }
    assert found["goni_first_token_seconds_count", "recites", ""] >= 1
    assert 0 < found["goni_first_token_seconds_sum", "recites", ""] < 300
    assert found["goni_queue_wait_seconds_count", "recites", ""] >= 1
    assert found["goni_tokens_per_second_count", "recites", ""] >= 1
    assert found["goni_tokens_total", "recites", "generated"] >= len(RECITED.split())
    assert found["goni_tokens_total", "recites", "prompt"] >= 1
    assert found["goni_queue_running", "recites", ""] == 0
    assert found["goni_queue_waiting", "recites", ""] == 0


def test_metrics_are_for_the_owner_and_hold_nobody(home: Household) -> None:
    member = home.node.member_key("Grace")
    with home.node.client(authorization=f"Bearer {member}") as app:
        assert app.get("/metrics").status_code == 403
    with home.node.client() as stranger:
        assert stranger.get("/metrics").status_code == 401
    text = home.node.signed_in().get("/metrics").text
    assert "Grace" not in text
    assert "Ada" not in text
