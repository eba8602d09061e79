"""What is answered holds the page's own schemas, where they are at hand."""

import json
from typing import Any

import jsonschema
import pytest

from schemas import SPEC, carried, schema
from talk import Ask, chat

pytestmark = pytest.mark.skipif(not SPEC.is_dir(), reason="the page's schemas are not at hand: ../shared/spec")

TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
ASKED = [
    {},
    {"n": 2},
    {"logprobs": True, "top_logprobs": 2},
    {"tools": TOOLS},
    {"stream_options": {"include_usage": True}},
]


@pytest.mark.parametrize("fields", ASKED, ids=lambda fields: ",".join(fields) or "plain")
async def test_a_whole_answer_holds_output_json(ask: Ask, fields: dict[str, Any]):
    said = await ask(chat("" if fields.get("tools") else "one two", **fields))
    jsonschema.validate(said.json, schema("output.json"))


@pytest.mark.parametrize("fields", ASKED, ids=lambda fields: ",".join(fields) or "plain")
async def test_each_event_of_a_stream_holds_stream_output_json(ask: Ask, fields: dict[str, Any]):
    said = await ask(chat("one two", stream=True, **fields))  # a message of both text and calls is only told in pieces
    events = carried(said.events)
    assert len(events) > 2
    for event in events:
        jsonschema.validate(event, schema("stream_output.json"))


async def test_the_schema_refuses_what_it_should(ask: Ask):
    said = (await ask(chat("one"))).json
    said["choices"][0]["message"]["content"] = None
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(said, schema("output.json"))


def test_every_field_of_input_json_is_known():
    from tertulia.types import ChatRequest

    assert set(schema("input.json")["properties"]) <= set(ChatRequest.__struct_fields__)


async def test_every_example_of_input_json_is_answered(ask: Ask):
    for name, field in schema("input.json")["properties"].items():
        example = (field.get("anyOf") or [None, field])[1].get("example")
        if name in ("messages", "model", "stop", "tools", "top_logprobs") or example is None:
            continue
        value = json.loads(example) if isinstance(example, str) and example[:1] in "0123456789tf[{" else example
        assert (await ask(chat("hi", **{name: value}))).status == 200, name
