"""What a chat or text completion may ask of llama-server, and what it gets to see of it.

llama-server takes fields that reach over to other requests: other people's slots and caches, the
adapters of all, its internal parser. Only the fields listed here are handed on; those that name a
slot, a cache or an adapter are refused, so that nobody believes that they work; anything else is
left out, as clients send fields of their own services.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from goni_core import fields
from goni_core.errors import BadInput
from goni_engine import pictures
from goni_engine.seats import Turn, marks_of

OPENAI = """
    model messages prompt suffix stream stream_options max_tokens max_completion_tokens n stop seed
    temperature top_p frequency_penalty presence_penalty logit_bias logprobs top_logprobs
    response_format tools tool_choice parallel_tool_calls reasoning_effort echo
"""
"""https://platform.openai.com/docs/api-reference/chat/create, what of it means something here."""
SAMPLING = """
    top_k min_p top_n_sigma typical_p xtc_probability xtc_threshold dynatemp_range
    dynatemp_exponent repeat_last_n repeat_penalty dry_multiplier dry_base dry_allowed_length
    dry_penalty_last_n dry_sequence_breakers mirostat mirostat_tau mirostat_eta min_keep n_probs
    post_sampling_probs samplers ignore_eos n_predict t_max_predict_ms
"""
SHAPE = """
    grammar json_schema chat_template_kwargs reasoning_format thinking_budget_tokens
    reasoning_budget_tokens add_generation_prompt continue_final_message timings_per_token
    return_progress
"""
"""llama-server's own: tools/server/README.md."""
ALLOWED = frozenset((OPENAI + SAMPLING + SHAPE).split())
CHANCES = ("logprobs", "top_logprobs", "n_probs")
REFUSED = ("id_slot", "slot_id", "cache_prompt", "n_cache_reuse", "lora")


@dataclass(frozen=True)
class Request:
    """A request that llama-server may see; ``person`` is whose it is ("": unknown); ``pictures`` is
    how many there are in it.
    """

    body: fields.Object
    person: str
    marks: tuple[bytes, ...]
    pictures: int

    @property
    def model(self) -> str:
        return fields.text(self.body, "model", longest=300)

    @property
    def wants_chances(self) -> bool:
        """Whether the probabilities of the answer's tokens are asked for."""
        return any(self.body.get(name) not in (None, False) for name in CHANCES)

    @property
    def streams(self) -> bool:
        return self.body.get("stream") is True

    def content(self, turn: Turn) -> bytes:
        """The request's body for the slot it was given."""
        return json.dumps(
            {**self.body, "id_slot": turn.slot, "cache_prompt": turn.again}, ensure_ascii=False
        ).encode()


def parse(body: fields.Object) -> Request:
    """The request in ``body``; :class:`BadInput` names a field that can't be used."""
    if body.get("n", 1) not in (None, 1):
        raise BadInput(
            "n must be 1: one answer at a time", hint="ask several times", code="out_of_range"
        )
    goni = body.get("goni", {})
    if not isinstance(goni, dict):
        raise BadInput("goni must be an object", code="bad_type")
    fields.only(goni, ("person",))
    person = fields.text(goni, "person", longest=100, default="")
    messages = body.get("messages")
    parts = messages if isinstance(messages, list) else [body.get("prompt")]
    shown, number = reduced(body)
    return Request(shown, person, marks_of(parts), number)


def reduced(body: fields.Object) -> tuple[fields.Object, int]:
    """``body`` without what llama-server shall not see, and how many pictures are in it;
    :class:`BadInput` for what would reach over to other people's requests, or out of the node.
    """
    for name in REFUSED:
        if name in body:
            raise BadInput(f"{name} can't be chosen", code="unknown_field")
    shown = {name: value for name, value in body.items() if name in ALLOWED}
    prompt, messages = shown.get("prompt"), shown.get("messages")
    if any(isinstance(part, dict) for part in (prompt if isinstance(prompt, list) else [prompt])):
        raise BadInput("prompt must be text or tokens", code="bad_type")
    if not isinstance(messages, list):
        return shown, 0
    shown["messages"], number = pictures.checked(messages)
    return shown, number
