"""A value is a JSON Schema, or it is said where it stops being one."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tertulia.errors import BadRequest
from tertulia.wires.schema import DEEPEST, check_schema


def refused(schema: Any) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        check_schema(schema, "p")
    return caught.value


def nested(levels: int) -> Any:
    schema: Any = {}
    for _ in range(levels):
        schema = {"not": schema}
    return schema


TREE = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["leaf", "node", None]},
        "size": {"type": ["integer", "null"], "minimum": 0, "exclusiveMaximum": 1e9, "multipleOf": 0.5},
        "name": {"type": "string", "minLength": 1, "maxLength": 40.0, "pattern": "^a", "format": "email"},
        "children": {"type": "array", "items": {"$ref": "#"}, "maxItems": 9, "uniqueItems": True},
        "pair": {"prefixItems": [{"$ref": "#/$defs/a~1b~0c%25"}, True], "items": False},
        "old": {"type": "array", "items": [{"$ref": "#/properties/pair/prefixItems/0"}], "additionalItems": False},
        "either": {"anyOf": [{"type": "string"}, {"not": {"const": 5}}], "default": {"type": "strin"}},
        "$ref": {"type": "string", "description": "a property of this name is no reference"},
    },
    "patternProperties": {"^x-": {}},
    "required": ["kind"],
    "additionalProperties": False,
    "$defs": {"a/b~c%": {"type": "number"}},
    "x-anything": {"type": 5},
}


@pytest.mark.parametrize(
    "schema", [{}, True, TREE, {"$ref": "https://example.com/s.json"}, {"$ref": "#anchor"}, nested(DEEPEST - 1)]
)
def test_a_schema_is_one(schema: Any):
    check_schema(schema, "p")


@pytest.mark.parametrize(
    ("schema", "param", "message"),
    [
        (5, "p", "p must be a JSON Schema: an object, not 5"),
        (
            {"type": "strin"},
            "p.type",
            "p.type must be one of object, string, number, integer, boolean, array, null, or a list of them, "
            "not 'strin'",
        ),
        ({"type": []}, "p.type", None),
        ({"type": ["string", None]}, "p.type", None),
        ({"type": {}}, "p.type", None),
        ({"properties": []}, "p.properties", "p.properties must be an object of schemas by name, not a list"),
        ({"properties": {"a": {"type": "text"}}}, "p.properties.a.type", None),
        (
            {"properties": {"a": "string"}},
            "p.properties.a",
            "p.properties.a must be a JSON Schema: an object, not 'string'",
        ),
        ({"properties": {"type": {"type": 1}}}, "p.properties.type.type", None),
        ({"required": "x"}, "p.required", "p.required must be a list of property names, not 'x'"),
        ({"required": [1]}, "p.required", None),
        ({"required": True}, "p.required", None),
        ({"enum": "a"}, "p.enum", "p.enum must be a list of values, one at least, not 'a'"),
        ({"enum": []}, "p.enum", None),
        ({"items": 5}, "p.items", None),
        ({"items": {"items": {"type": "list"}}}, "p.items.items.type", None),
        ({"items": [{}, {"type": "list"}]}, "p.items[1].type", None),
        ({"anyOf": {}}, "p.anyOf", "p.anyOf must be a list of schemas, with one at least, not an object"),
        ({"oneOf": []}, "p.oneOf", None),
        ({"allOf": [{}, {"not": {"type": 5}}]}, "p.allOf[1].not.type", None),
        ({"prefixItems": [5]}, "p.prefixItems[0]", None),
        ({"additionalProperties": "no"}, "p.additionalProperties", None),
        ({"$defs": {"a": {"enum": 1}}}, "p.$defs.a.enum", None),
        ({"definitions": {"a": {"if": 1}}}, "p.definitions.a.if", None),
        ({"minimum": "0"}, "p.minimum", "p.minimum must be a number, not '0'"),
        ({"exclusiveMinimum": True}, "p.exclusiveMinimum", None),
        ({"multipleOf": 0}, "p.multipleOf", "p.multipleOf must be a number above 0, not 0"),
        ({"minLength": -1}, "p.minLength", "p.minLength must be a whole number from 0 on, not -1"),
        ({"maxItems": 1.5}, "p.maxItems", None),
        ({"pattern": 5}, "p.pattern", "p.pattern must be a string, not 5"),
        ({"uniqueItems": "yes"}, "p.uniqueItems", None),
        ({"$ref": 5}, "p.$ref", "p.$ref must be a string: #/$defs/NAME, not 5"),
        ({"$ref": "#/$defs/a"}, "p.$ref", "p.$ref leads nowhere: there is no schema at '#/$defs/a'"),
        ({"$defs": {"a": {}}, "items": {"$ref": "#/$defs/b"}}, "p.items.$ref", None),
        ({"type": "object", "not": {"$ref": "#/type"}}, "p.not.$ref", None),
        ({"anyOf": [{}], "not": {"$ref": f"#/anyOf/{'9' * 5000}"}}, "p.not.$ref", None),
        (nested(DEEPEST + 1), "p", f"p is nested too deeply: {DEEPEST} levels are the most"),
    ],
)
def test_what_is_wrong_with_a_schema_is_told_with_its_path(schema: Any, param: str, message: str | None):
    error = refused(schema)
    assert error.param == param
    assert message in (None, error.message)


def test_any_depth_is_survived_even_where_no_schema_stands():
    assert refused({"default": [nested(50_000)]}).param == "p"


def test_a_long_name_is_not_repeated():
    assert len(refused({"properties": {"a" * 9999: {"type": 5}}}).param or "") < 100


values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["string", "object", "#", "#/$defs/a", "x"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["type", "properties", "items", "anyOf", "$defs", "$ref", "required", "enum", "minimum", "a"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(values)
def test_no_more_is_refused_than_the_metaschema_refuses_and_empty_lists_and_dead_references(schema: Any):
    try:
        check_schema(schema, "p")
    except BadRequest as error:
        dead, text = "leads nowhere" in error.message, json.dumps(schema)
        listed = '"items": [' in text or '"enum": []' in text
        if not (dead or listed):
            with pytest.raises(jsonschema.SchemaError):
                jsonschema.Draft202012Validator.check_schema(schema)
