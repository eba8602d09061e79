"""/openapi.json tells what is: every type's every field with its meaning, every address, header and error."""

import json
import re
from typing import Any

import msgspec
import pytest

from echo import Echo
from talk import Ask
from tertulia import errors, types
from tertulia.config import Server
from tertulia.engine.ask import EFFORTS, MAX_TOKENS
from tertulia.engine.constraint import LONGEST, read_constraint
from tertulia.router.order import LOCAL, POLICIES
from tertulia.server import auth, chat, openapi, shapes, watch
from tertulia.server.app import App
from tertulia.wires.openai import EFFORTS as KNOWN
from tertulia.wires.openai import read_request
from tertulia.wires.tools import MOST_TOOLS

WORDS = openapi._words()  # pyright: ignore[reportPrivateUsage]
DOCUMENT: dict[str, Any] = json.loads(openapi.document(Server()))
SCHEMAS: dict[str, dict[str, Any]] = DOCUMENT["components"]["schemas"]
OURS: dict[str, Any] = DOCUMENT["x-tertulia"]


def test_every_field_is_explained_and_nothing_that_is_not_there():
    for name, schema in SCHEMAS.items():
        assert schema["description"], name
        for field, told in schema["properties"].items():
            assert told["description"], f"{name}.{field} has no meaning in openapi.toml"
    meant = {name: set(words) - {"is"} for name, words in WORDS.items() if isinstance(words, dict) and "is" in words}
    there = {name: set(schema["properties"]) for name, schema in SCHEMAS.items()}
    unsent = [place.split(".") for place in WORDS["unsent"]]
    assert meant == {name: fields - {f for n, f in unsent if n == name} for name, fields in there.items()}


def test_all_that_is_read_from_a_body_or_written_is_there_and_nothing_private():
    _, plain = msgspec.json.schema_components(
        (types.ChatRequest, types.Completion, types.Chunk, types.ModelCard, types.Entry)
    )
    private = {"Caller", "ChunkMeta", "Attempt"}
    assert set(plain) - private == set(plain) & set(SCHEMAS)
    for name in set(plain) - private:
        hidden = {"ChatRequest": {"extra", "warnings", "caller", "asked"}, "Chunk": {"raw", "meta", "comment"}}
        assert set(plain[name]["properties"]) - hidden.get(name, set()) <= set(SCHEMAS[name]["properties"])
        assert not hidden.get(name, set()) & set(SCHEMAS[name]["properties"])
    pointers = re.findall(r'"\$ref": ?"#/components/schemas/(\w+)"', json.dumps(DOCUMENT))
    assert pointers and set(pointers) <= set(SCHEMAS)


def test_ranges_are_those_of_the_types():
    fields = SCHEMAS["ChatRequest"]["properties"]
    assert {"type": "number", "minimum": 0, "maximum": 2} in fields["temperature"]["anyOf"]
    assert {"type": "integer", "minimum": 1, "maximum": 16} in fields["n"]["anyOf"]
    assert fields["messages"]["minItems"] == 1


def test_defaults_and_limits_in_words_are_those_of_the_code():
    fields = SCHEMAS["ChatRequest"]["properties"]
    assert fields["max_tokens"]["x-default"].startswith(f"{MAX_TOKENS} ")
    assert f"at most {MOST_TOOLS}" in fields["tools"]["description"]
    assert f"at most {LONGEST >> 10} KiB" in SCHEMAS["RegexFormat"]["properties"]["value"]["description"]
    assert fields["reasoning_effort"]["anyOf"][0]["enum"] == list(KNOWN)
    for effort, tokens in EFFORTS.items():
        assert re.search(rf"`{effort}` {tokens}\b", fields["reasoning_effort"]["description"])
    assert watch.PING == 1 and "after each second without an event" in " ".join(OURS["stream"]["says"])
    assert set(OURS["policies"]) == {*POLICIES, LOCAL}
    assert OURS["limits"] == {name: getattr(Server(), name) for name in OURS["limits"]}
    assert json.loads(openapi.document(Server(body_limit=7)))["x-tertulia"]["limits"]["body_limit"] == 7


FORMATS: list[Any] = [
    {"type": "text"},
    {"type": "json_object"},
    {"type": "json_object", "schema": {"type": "object"}},
    {"type": "json_schema", "json_schema": {"name": "n", "description": "d", "schema": {}, "strict": False}},
    {"type": "json", "value": {"type": "object"}},
    {"type": "regex", "value": "[ab]"},
]
STRUCTURED: list[Any] = [{"json": {}}, {"regex": "a"}, {"choice": ["a"]}, {"grammar": 'start: "a"'}]
CHOICES: list[Any] = [
    {"function": {"name": "f"}},
    {"type": "function", "function": {"name": "f"}},
    {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
    },
]


def test_shapes_are_what_is_understood():
    told = {kind.__struct_config__.tag for kind in shapes.FORMATS}
    assert told == {example["type"] for example in FORMATS}
    for example in FORMATS:
        kind = next(kind for kind in shapes.FORMATS if kind.__struct_config__.tag == example["type"])
        msgspec.convert(example, kind)
        assert set(example) <= {"type", *kind.__struct_fields__}
        constraint = read_constraint(read_request(_body(response_format=example)))
        assert (constraint is None) == (example["type"] == "text")
    for example in STRUCTURED:
        msgspec.convert(example, shapes.StructuredOutputs)
        assert read_constraint(read_request(_body(structured_outputs=example)))
    tools = [{"type": "function", "function": {"name": "f"}}]
    for example in CHOICES:
        msgspec.convert(example, shapes.AllowedTools if "allowed_tools" in example else shapes.NamedTool)
        assert read_request(_body(tools=tools, tool_choice=example)).tool_choice in ("auto", CHOICES[1])


def _body(**fields: Any) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": "Hello"}], **fields}).encode()


def test_every_error_that_a_caller_can_see_is_told_with_what_to_do():
    hidden = {"TertuliaError", "SetupError", "ConfigError", "StoreError"}
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type) and name not in hidden}
    assert set(WORDS["errors"]) == kinds & {k.__name__ for k in _under(errors.TertuliaError)}
    assert [(one["status"], one["code"]) for one in OURS["errors"] if one["status"] == 429] == [(429, "queue_full")]
    assert all(one["is"] and one["do"] for one in OURS["errors"])


def _under(kind: type) -> list[type]:
    return [kind, *(below for one in kind.__subclasses__() for below in _under(one))]


def test_every_header_that_the_server_knows_is_told():
    asked = {one["name"] for one in OURS["headers"] if one["on"] == "request"}
    answered = {one["name"] for one in OURS["headers"] if one["on"] == "answer"}
    known = set(auth._ALLOWED.split(", "))  # pyright: ignore[reportPrivateUsage]
    assert asked == known | {name.lower() for name in chat.PASSED} | {types.HOP}
    assert answered == set(auth._EXPOSED.split(", "))  # pyright: ignore[reportPrivateUsage]


def test_the_stream_shown_is_one():
    events = [
        line.removeprefix("data: ") for line in OURS["stream"]["example"].splitlines() if line.startswith("data: ")
    ]
    assert events[-1] == "[DONE]" and OURS["stream"]["example"].startswith(": ping\n\n")
    chunks = [json.loads(event) for event in events[:-1]]
    assert "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"]) == "Lisbon"
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["total_tokens"] == 15
    for chunk in chunks:
        assert set(SCHEMAS["Chunk"]["required"]) <= set(chunk) <= set(SCHEMAS["Chunk"]["properties"])


@pytest.mark.parametrize("path", sorted(path for path in DOCUMENT["paths"] if "{provider}" not in path))
async def test_every_address_told_of_is_there(ask: Ask, path: str):
    for method in DOCUMENT["paths"][path].keys() - {"parameters"}:
        said = await ask(b"{}" if method == "post" else None, path=path.replace("{id}", "echo"), method=method.upper())
        assert said.status != 405 and b"there is nothing at" not in said.body, said.body


def test_every_address_there_is_is_told_of():
    app = App(Echo(), Server(), guard=None)
    assert app._routes.keys() <= DOCUMENT["paths"].keys()  # pyright: ignore[reportPrivateUsage]


async def test_answers_have_every_field_that_is_said_to_be_always_there(ask: Ask):
    answer = (await ask({"messages": [{"role": "user", "content": "Hello"}]})).json
    assert set(SCHEMAS["Completion"]["required"]) <= set(answer) <= set(SCHEMAS["Completion"]["properties"])
    choice = answer["choices"][0]
    assert set(SCHEMAS["Choice"]["required"]) <= set(choice) <= set(SCHEMAS["Choice"]["properties"])
    assert set(SCHEMAS["Answer"]["required"]) <= set(choice["message"]) <= set(SCHEMAS["Answer"]["properties"])
    card = (await ask(path="/v1/models")).json["data"][0]
    assert set(SCHEMAS["ModelCard"]["required"]) <= set(card) <= set(SCHEMAS["ModelCard"]["properties"])
