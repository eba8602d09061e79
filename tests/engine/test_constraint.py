"""The many ways in which clients say what an answer shall look like."""

from typing import Any

import pytest

from tertulia.engine.constraint import read_constraint
from tertulia.errors import BadRequest
from tertulia.types import ChatRequest, Message

SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}}


def asked(**fields: Any) -> ChatRequest:
    return ChatRequest(messages=[Message(role="user", content="x")], **fields)


def test_no_format_and_text_are_free() -> None:
    assert read_constraint(asked()) is None
    assert read_constraint(asked(response_format={"type": "text"})) is None


SPELLINGS: list[tuple[dict[str, Any], str]] = [
    ({"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}, "response_format.json_schema.schema"),
    ({"type": "json_object", "schema": SCHEMA}, "response_format.schema"),
    ({"type": "json_object", "value": SCHEMA}, "response_format.value"),
    ({"type": "json_schema", "schema": SCHEMA}, "response_format.schema"),
    ({"type": "json_schema", "value": SCHEMA}, "response_format.value"),
    ({"type": "json_schema", "value": {"name": "n", "schema": SCHEMA}}, "response_format.value.schema"),
    ({"type": "json", "value": SCHEMA}, "response_format.value"),
]


@pytest.mark.parametrize(("spelling", "param"), SPELLINGS, ids=[param for _, param in SPELLINGS])
def test_every_spelling_of_a_schema_means_the_same(spelling: dict[str, Any], param: str) -> None:
    constraint = read_constraint(asked(response_format=spelling))
    plain = read_constraint(asked(structured_outputs={"json": SCHEMA}))
    assert constraint and plain
    assert (constraint.grammar, constraint.schema, constraint.param) == (plain.grammar, SCHEMA, param)


def test_an_object_without_a_schema_is_any_object() -> None:
    constraint = read_constraint(asked(response_format={"type": "json_object"}))
    assert constraint and constraint.schema == {"type": "object"}


def test_name_and_description_are_told_to_the_model() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "person", "description": "someone", "schema": SCHEMA}}
    constraint = read_constraint(asked(response_format=form))
    assert constraint and constraint.note == "Answer in JSON: person - someone."


@pytest.mark.parametrize(("said", "strict"), [({}, True), ({"strict": None}, True), ({"strict": False}, False)])
def test_strict_is_meant_unless_it_is_denied(said: dict[str, Any], strict: bool) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA} | said}
    constraint = read_constraint(asked(response_format=form))
    assert constraint and constraint.strict is strict


BAD: list[tuple[dict[str, Any], str]] = [
    ({"response_format": {"type": "xml"}}, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ({"response_format": {"type": "json_object", "value": 3}}, "response_format.value"),
    ({"response_format": {"type": "json", "value": "{no json"}}, "response_format.value"),
    ({"response_format": {"type": "regex"}}, "response_format.value"),
    ({"structured_outputs": {"colour": "green"}}, "structured_outputs"),
    ({"structured_outputs": {"regex": "a", "choice": ["b"]}}, "structured_outputs"),
    ({"structured_outputs": {"choice": []}}, "structured_outputs.choice"),
    ({"structured_outputs": {"choice": ["a", 3]}}, "structured_outputs.choice"),
    ({"structured_outputs": {"grammar": "x" * 300_000}}, "structured_outputs.grammar"),
    ({"response_format": {"type": "json", "value": {"enum": ["x" * 300_000]}}}, "response_format.value"),
    ({"response_format": {"type": "regex", "value": "a"}, "structured_outputs": {"regex": "a"}}, "structured_outputs"),
]


@pytest.mark.parametrize(("fields", "param"), BAD, ids=[f"{param} {i}" for i, (_, param) in enumerate(BAD)])
def test_what_makes_no_sense_is_refused_with_its_place(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_constraint(asked(**fields))
    assert caught.value.param == param
