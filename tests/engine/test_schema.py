"""JSON Schemas as llguidance is told of them: what comes to the same, what is narrowed, what is refused by its name.

Answers are walks through the grammar by chance, without a model; they are held against an independent validator.
"""

import json
import random
from collections.abc import Iterator
from typing import Any

import jsonschema
import numpy as np
import pytest
from jsonschema.validators import validator_for
from llguidance import LLMatcher, LLTokenizer
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask

from tertulia.engine.trial import Verdict, examine

DRAFT4 = {"$schema": "http://json-schema.org/draft-04/schema#"}
DRAFT7 = {"$schema": "http://json-schema.org/draft-07/schema#"}
BYTES = LLTokenizer("byte")
PLAIN = [ord(char) for char in "abcxyz0123456789-:./@TZ eE+AB_"]


def tried(schema: Any, strict: bool = True) -> Verdict:
    return examine("", schema, "here", strict)


def answers(schema: Any, count: int = 40) -> Iterator[Any]:
    """What the grammar of ``schema`` allows, byte by byte, with an inclination to come to an end."""
    verdict = tried(schema)
    assert not verdict.wrong
    whole = LLMatcher(BYTES, verdict.grammar, log_level=0)
    for seed in range(count):
        if text := walk(whole.deep_copy(), random.Random(seed)):
            yield json.loads(text)


def walk(matcher: LLMatcher, chance: random.Random) -> str:
    said, bits = bytearray(), allocate_token_bitmask(1, BYTES.vocab_size)
    while len(said) < 400 and not matcher.is_stopped():
        fill_next_token_bitmask(matcher, bits)
        allowed = set(np.flatnonzero(np.unpackbits(bits[0].view(np.uint8), bitorder="little")).tolist())
        assert allowed and not matcher.is_error(), (said, matcher.get_error())
        if BYTES.eos_token in allowed and (chance.random() < 0.3 or len(said) > 200):
            return said.decode()
        ends = sorted(allowed & {*b'"]}'})
        chosen = ends if ends and chance.random() < 0.3 else sorted(allowed.intersection(PLAIN)) or sorted(allowed)
        token = chance.choice([byte for byte in chosen if byte != BYTES.eos_token])
        matcher.consume_token(token)
        said.append(token)
    return said.decode() if matcher.is_stopped() else ""


def accepts(schema: Any, text: str) -> bool:
    verdict = tried(schema)
    assert not verdict.wrong, verdict.wrong
    matcher = LLMatcher(BYTES, verdict.grammar, log_level=0)
    return matcher.try_consume_tokens([*text.encode()]) == len(text.encode()) and matcher.is_accepting()


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


X, Y = {"const": "x"}, {"const": "y"}
RICH: list[dict[str, Any]] = [
    {"oneOf": [{"type": "string"}, {"enum": ["a", "b"]}]},
    {"oneOf": [{"type": "string", "minLength": 3}, {"type": "string", "maxLength": 5}]},
    {"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 2}]},
    {"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
    {"oneOf": [obj(k=X) | {"required": ["k"]}, obj(k=Y, n={"type": "null"}) | {"required": ["k"]}]},
    {"oneOf": [{"$ref": "#/$defs/x"}, {"$ref": "#/$defs/y"}], "$defs": {"x": obj(k=X), "y": {"type": "null"}}},
    {"not": {"type": "string"}},
    {"not": {"enum": ["a", "ab", 3, True]}},
    {"not": {"anyOf": [{"type": "string"}, {"type": "number"}]}},
    {"not": {"allOf": [{"type": "integer"}, {"minimum": 3}]}},
    {"type": "string", "pattern": "^[abc]{1,2}$", "not": {"enum": ["a", "ab", "b"]}},
    obj(a={"type": "null"}, b={"type": "null"}) | {"not": {"required": ["a", "b"]}},
    obj(k={"enum": ["x", "y"]}, n={"type": "null"})
    | {"required": ["k"], "if": obj(k=X), "then": {"required": ["n"]}, "else": {"properties": {"n": False}}},
    {"if": {"type": "string"}, "then": {"maxLength": 3}, "else": {"type": "null"}},
    obj(a={"type": "null"}, b={"type": "null"}) | {"dependentRequired": {"a": ["b"]}},
    DRAFT7 | obj(a={"type": "null"}) | {"dependencies": {"a": ["b"], "c": {"required": ["d"]}}},
    {"type": "array", "contains": {"type": "integer"}, "maxItems": 3},
    {"type": "array", "items": {"enum": ["a", "b", 1]}, "uniqueItems": True, "minItems": 1},
    {"type": "array", "items": {"type": "string"}, "uniqueItems": True, "maxItems": 1},
    {"type": "object", "propertyNames": {"pattern": "^[a-c]+$"}},
    {"type": "object", "propertyNames": {"enum": ["a", "b"]}, "additionalProperties": {"type": "integer"}},
    {"type": "object", "propertyNames": {"maxLength": 3}},
    obj(b=True) | {"allOf": [obj(a={"type": "integer"})], "unevaluatedProperties": False},
    {"type": "object", "anyOf": [obj(a={"type": "null"}), obj(c=X) | {"required": ["c"]}]}
    | {"unevaluatedProperties": False},
    obj(a={"type": "integer"}, b={"type": "integer"}) | {"minProperties": 1},
    {"type": "object", "additionalProperties": {"type": "null"}, "minProperties": 1, "maxProperties": 2},
    obj(a={"type": "null"}) | {"additionalProperties": {"type": "integer"}},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "number", "minimum": -3.7, "maximum": 1e300},
    {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    {"type": "integer", "exclusiveMinimum": 1.5, "maximum": 4.2},
    {"type": "integer", "format": "int32"},
    {"type": "number", "multipleOf": 0.25, "minimum": 3},
    DRAFT4 | {"type": "number", "minimum": 1, "exclusiveMinimum": True, "maximum": 2, "exclusiveMaximum": True},
    DRAFT4 | {"type": "array", "items": [{"type": "integer"}], "additionalItems": {"type": "null"}},
    DRAFT7 | {"$ref": "#/definitions/x", "type": "string", "definitions": {"x": {"type": "integer"}}},
    {"$ref": "#/$defs/x~1%25", "$defs": {"x/%": {"type": "integer"}}},
    {
        "$id": "http://x.y/z",
        "$ref": "w",
        "$defs": {"q": {"$id": "w", "$ref": "#r", "$defs": {"r": {"$anchor": "r"} | X}}},
    },
    {"$dynamicRef": "#n", "$defs": {"n": {"$dynamicAnchor": "n"} | obj(n={"$dynamicRef": "#n"})}},
    {"enum": ["a\nb", "\u0001", 1.5, 1e18, 2**53 + 1, None, True, [1, "x"], {"a": [{}]}]},
]


@pytest.mark.parametrize("schema", RICH, ids=[json.dumps(schema)[:70] for schema in RICH])
def test_what_is_allowed_is_valid(schema: dict[str, Any]) -> None:
    validate(schema)


def validate(schema: dict[str, Any]) -> None:
    kind = validator_for(schema, default=jsonschema.Draft202012Validator)
    validator = kind(schema, format_checker=kind.FORMAT_CHECKER)
    found = list(answers(schema))
    assert len(found) >= 10
    for answer in found:
        validator.validate(answer)


PATTERNS = [r"^\W\D\S$", r"^.$", r"^[[]$", r"^{x}$", r"^a{2,3}b{2}$", r"^[\w.-]+@[\w-]+\.\w{2,}$", r"^(?:a|b)|c$"]
PATTERNS += [r"^\u00e9\x41$", r"^[a-z-9]$", r"^[+--]$", r"^[&&a]$", r"^\/\-\.$", r"^a$|^b$", r"^[^\W\d]$", r"^[^\s]+$"]


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_means_what_validators_make_of_it(pattern: str) -> None:
    validate({"type": "string", "pattern": pattern})


FORMATS = ["date", "date-time", "time", "email", "ipv4", "ipv6", "uuid", "regex", "idn-email"]


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_held(name: str) -> None:
    validate({"type": "string", "format": name})


def test_a_date_is_one_of_the_calendar() -> None:
    date = {"type": "string", "format": "date"}
    assert accepts(date, '"2024-02-29"')
    assert not accepts(date, '"2023-02-29"')
    assert not accepts(date, '"1900-02-29"')
    assert not accepts(date, '"0000-01-01"')


def test_a_name_has_one_spelling() -> None:
    schema = obj(a={"type": "null"}) | {"additionalProperties": {"type": "integer"}}
    assert accepts(schema, '{"b":5}')
    assert not accepts(schema, '{"\\u0061":5}')


def test_an_unknown_format_is_told_as_a_remark() -> None:
    verdict = tried(obj(a={"type": "string", "format": "markdown"}))
    assert verdict.grammar
    assert "here.properties.a.format" in verdict.warnings[0]
    assert "'markdown'" in verdict.warnings[0]


def test_keywords_of_other_drafts_are_remarks() -> None:
    assert accepts(DRAFT4 | {"const": 3}, "4")
    assert accepts(DRAFT7 | {"dependentRequired": {"a": ["b"]}}, '{"a":1}')


LOST: list[tuple[dict[str, Any], str]] = [
    ({"type": "array", "items": {"type": "string"}, "uniqueItems": True}, "uniqueItems"),
    (obj(a={"$ref": "https://elsewhere.org/schema"}), "properties.a.$ref"),
    ({"type": "object", "minProperties": 2}, "minProperties"),
    ({"type": "string", "pattern": "^(?!a)b"}, "pattern"),
    ({"type": "number", "multipleOf": 0.01}, "multipleOf"),
    ({"oneOf": [{"type": "string", "pattern": "a"}, {"type": "string", "pattern": "b"}]}, "oneOf"),
    ({"type": "object", "patternProperties": {"^a": {}, "^ab": {"type": "null"}}}, "patternProperties"),
    ({"type": "string", "not": {"pattern": "a"}}, "not"),
    ({"const": 2**53 + 1}, "const"),
    ({"type": "array", "contains": {"type": "null"}, "maxContains": 2}, "maxContains"),
]


@pytest.mark.parametrize(("schema", "place"), LOST, ids=[place for _, place in LOST])
def test_what_can_not_be_said_is_refused_by_name_or_left_out(schema: dict[str, Any], place: str) -> None:
    verdict = tried(schema)
    assert verdict.param == f"here.{place}"
    assert repr(place.rpartition(".")[2]) in verdict.wrong
    lenient = tried(schema, strict=False)
    assert lenient.grammar
    assert f"here.{place}" in lenient.warnings[0]


WRONG: list[tuple[Any, str]] = [
    ({"type": "strin"}, "type"),
    (obj(a={"required": True}), "properties.a.required"),
    ({"minLength": -1}, "minLength"),
    ({"anyOf": []}, "anyOf"),
    ({"properties": []}, "properties"),
    (obj(a=3), "properties.a"),
    ({"$schema": "http://json-schema.org/draft-03/schema#"}, "$schema"),
    ({"multipleOf": 0}, "multipleOf"),
    ({"maximum": 10**400}, "maximum"),
]


@pytest.mark.parametrize(("schema", "place"), WRONG, ids=[place for _, place in WRONG])
@pytest.mark.parametrize("strict", [True, False])
def test_what_is_no_schema_is_refused_with_its_place(schema: Any, place: str, strict: bool) -> None:
    assert tried(schema, strict).param == f"here.{place}"


def test_definitions_that_nothing_refers_to_do_not_matter() -> None:
    assert tried({"type": "null", "$defs": {"other": {"type": "array", "uniqueItems": True}}}).grammar


def test_a_schema_may_nest_as_deep_as_it_likes_within_reason() -> None:
    schema: dict[str, Any] = {"type": "null"}
    for _ in range(300):
        schema = {"type": "array", "items": schema, "minItems": 1, "maxItems": 1}
    assert accepts(schema, "[" * 300 + "null" + "]" * 300)
