"""Whether a value is a JSON Schema, with the path of what keeps it from being one. Pure.

Not the whole metaschema: the keywords that say which values fit, on every way down to a schema inside a schema. A
keyword that nobody knows is passed over, as JSON Schema wants it. (msgspec could hold types against it, but tells of a
mistake in a property without the property's name.)
"""

from collections.abc import Callable, Iterable
from typing import Any, cast
from urllib.parse import unquote

from tertulia.errors import BadRequest
from tertulia.wires.refusal import show

DEEPEST = 100
"""Levels of objects and lists that a schema may have. A walk down it is then bounded too."""

TYPES = ("object", "string", "number", "integer", "boolean", "array", "null")

_NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_LISTED = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_SINGLE = frozenset(
    {
        "additionalProperties", "not", "items", "contains", "propertyNames", "if", "then", "else",
        "additionalItems", "unevaluatedItems", "unevaluatedProperties",
    }
)  # fmt: skip


def check_schema(schema: Any, path: str) -> None:
    """Raise BadRequest if ``schema``, which stands at ``path`` of a request, is no JSON Schema. References within it
    must lead somewhere; others are left to whoever could follow them."""
    if not _shallow(schema):
        raise BadRequest(f"{path} is nested too deeply: {DEEPEST} levels are the most", param=path)
    _walk(schema, path, schema)


def _shallow(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [inner for item in level for inner in _inside(item)]
        if not level:
            return True
    return False


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return cast(dict[str, Any], value).values()
    return cast(list[Any], value) if isinstance(value, list) else ()


def _walk(schema: Any, path: str, root: Any) -> None:
    if isinstance(schema, bool):
        return
    for name, value in _mapping(schema, path, "a JSON Schema: an object").items():
        if name in _NAMED:
            inner = _mapping(value, f"{path}.{name}", "an object of schemas by name")
            for label, part in inner.items():
                # What is long is cut: else a name of megabytes would be copied for every schema below it.
                _walk(part, f"{path}.{name}.{label if len(label) <= 64 else f'{label[:61]}...'}", root)
        elif name in _LISTED or (name == "items" and isinstance(value, list)):
            if not isinstance(value, list) or not value:
                raise _wrong(f"{path}.{name}", "a list of schemas, with one at least", cast(Any, value))
            for index, part in enumerate(cast(list[Any], value)):
                _walk(part, f"{path}.{name}[{index}]", root)
        elif name in _SINGLE:
            _walk(value, f"{path}.{name}", root)
        elif name == "$ref":
            _follow(value, f"{path}.$ref", root)
        elif (rule := _RULES.get(name)) and not rule[0](value):
            raise _wrong(f"{path}.{name}", rule[1], value)


def _mapping(value: Any, path: str, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(path, what, value)
    return cast(dict[str, Any], value)


def _wrong(path: str, what: str, value: Any) -> BadRequest:
    return BadRequest(f"{path} must be {what}, not {show(value)}", param=path)


# ---------------------------------------------------------------- references


def _follow(value: Any, path: str, root: Any) -> None:
    if not isinstance(value, str):
        raise _wrong(path, "a string: #/$defs/NAME", value)
    if (value == "#" or value.startswith("#/")) and not isinstance(_target(value[1:], root), dict | bool):
        raise BadRequest(f"{path} leads nowhere: there is no schema at {show(value)}", param=path)


def _target(pointer: str, root: Any) -> Any:
    """What a JSON pointer points at; None if that is nothing."""
    for step in unquote(pointer).split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(root, dict):
            root = cast(dict[str, Any], root).get(name)
        elif isinstance(root, list) and name.isascii() and name.isdigit() and len(name) < 10:
            items = cast(list[Any], root)
            root = items[int(name)] if int(name) < len(items) else None
        else:
            return None
    return root


# ---------------------------------------------------------------- the other keywords


def _type(value: Any) -> bool:
    kinds = cast(list[Any], value) if isinstance(value, list) else [value]
    return bool(kinds) and all(isinstance(kind, str) and kind in TYPES for kind in kinds)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in cast(list[Any], value))


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _count(value: Any) -> bool:
    return _number(value) and value >= 0 and value == value // 1


_BOUND = (_number, "a number")
_LENGTH = (_count, "a whole number from 0 on")
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "type": (_type, f"one of {', '.join(TYPES)}, or a list of them"),
    "required": (_texts, "a list of property names"),
    "enum": (lambda value: isinstance(value, list) and bool(cast(list[Any], value)), "a list of values, one at least"),
    "pattern": (_text, "a string"),
    "format": (_text, "a string"),
    "uniqueItems": (_flag, "true or false"),
    "multipleOf": (lambda value: _number(value) and value > 0, "a number above 0"),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _BOUND),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _LENGTH),
    **dict.fromkeys(("minProperties", "maxProperties", "minContains", "maxContains"), _LENGTH),
}
