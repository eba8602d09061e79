"""What a JSON Schema rules out: its negation, and whether two of them ever agree.

llguidance knows neither ``not`` nor ``if`` nor a ``oneOf`` whose branches overlap. All three come to ``anyOf`` if what
a schema rules out can be said. Where it can be said in part only, less is allowed than might be, and nothing that may
not.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Protocol, cast

from tertulia.engine.pattern import but

TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
DEPTH = 5
"""References and branches that are followed into one another."""


class Made(dict[str, Any]):
    """A schema that no caller wrote, in the words of 2020-12. ``base`` is where its reference is looked up."""

    base = ""


class View(Protocol):
    """What a schema is read by."""

    def words(self, schema: dict[str, Any]) -> Made:
        """The keywords of ``schema`` that count in its draft."""
        ...

    def find(self, words: Made) -> Any:
        """The schema that their ``$ref`` stands for; None where that leads nowhere."""
        ...


def kind(value: Any) -> str:
    """The JSON Schema type of ``value``, the narrowest."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return "integer"
    names = {float: "number", str: "string", list: "array", dict: "object"}
    return names.get(cast(type, type(value)), "null")


def values(schema: Any, view: View, depth: int = DEPTH) -> list[Any] | None:
    """All that ``schema`` could allow, if it says so outright."""
    if not isinstance(schema, dict) or not depth:
        return None
    said = view.words(cast(dict[str, Any], schema))
    if "const" in said:
        return [said["const"]]
    if "enum" in said:
        return said["enum"]
    parts = [*said.get("allOf", []), *([view.find(said)] if "$ref" in said else [])]
    return next((known for part in parts if (known := values(part, view, depth - 1)) is not None), None)


def types(schema: Any, view: View, depth: int = DEPTH) -> set[str]:
    """The types that ``schema`` leaves; ``number`` stands for those that are no integers."""
    left: set[str] = set(TYPES)
    if schema is False:
        return set()
    if not isinstance(schema, dict) or not depth:
        return left
    said = view.words(cast(dict[str, Any], schema))
    if "type" in said:
        named = listed(said["type"])
        left = {*named} | ({"integer"} if "number" in named else set())
    if (known := values(said, view)) is not None:
        left &= {kind(value) for value in known}
    if "$ref" in said:
        left &= types(view.find(said), view, depth - 1)
    for part in said.get("allOf", []):
        left &= types(part, view, depth - 1)
    for word in ("anyOf", "oneOf"):
        if word in said:
            left &= set[str]().union(*(types(part, view, depth - 1) for part in said[word]))
    return left


def listed(said: Any) -> list[Any]:
    """``said``, alone or in a list, as a list."""
    return cast(list[Any], said) if isinstance(said, list) else [said]


def apart(one: Any, other: Any, view: View, depth: int = DEPTH) -> bool:
    """Whether it is certain that nothing fits both schemas."""
    both = types(one, view) & types(other, view)
    if not both:
        return True
    if not depth or not isinstance(one, dict) or not isinstance(other, dict):
        return False
    first, second = values(one, view), values(other, view)
    if first is not None and second is not None:
        return not any(a == b and kind(a) == kind(b) for a in first for b in second)
    pair = (view.words(cast(dict[str, Any], one)), view.words(cast(dict[str, Any], other)))
    for part, rest in (pair, pair[::-1]):
        if any(apart(inner, rest, view, depth - 1) for inner in part.get("allOf", [])):
            return True
        for word in ("anyOf", "oneOf"):
            if word in part and all(apart(branch, rest, view, depth - 1) for branch in part[word]):
                return True
        if "$ref" in part and apart(view.find(part), rest, view, depth - 1):
            return True
    if both != {"object"}:
        return False
    mine, theirs = Shape(one, view), Shape(other, view)
    names = mine.required | theirs.required
    return any(apart(mine.schema(name), theirs.schema(name), view, depth - 1) for name in names)


class Shape:
    """What a schema says of an object's properties, with what it refers to."""

    def __init__(self, schema: Any, view: View) -> None:
        self.required: set[str] = set()
        self._named: dict[str, list[Any]] = {}
        self._closed: list[set[str]] = []
        self._take(schema, view, DEPTH)

    def _take(self, schema: Any, view: View, depth: int) -> None:
        if not isinstance(schema, dict) or not depth:
            return
        said = view.words(cast(dict[str, Any], schema))
        self.required.update(said.get("required", []))
        for name, part in said.get("properties", {}).items():
            self._named.setdefault(name, []).append(part)
        if said.get("additionalProperties") is False and not said.get("patternProperties"):
            self._closed.append(set(said.get("properties", {})))
        if "$ref" in said:
            self._take(view.find(said), view, depth - 1)
        for part in said.get("allOf", []):
            self._take(part, view, depth - 1)

    def schema(self, name: str) -> Any:
        """What the property has to fit."""
        if any(name not in known for known in self._closed):
            return False
        said = self._named.get(name, [])
        return said[0] if len(said) == 1 else Made(allOf=said) if said else True


def deny(schema: Any, view: View, depth: int = DEPTH) -> list[Any]:
    """Schemas of which each allows only what ``schema`` rules out; empty where nothing of that can be said."""
    if schema is None or schema is True or not depth:
        return []
    if schema is False:
        return [True]
    ways: list[Any] = []
    words = view.words(cast(dict[str, Any], schema))
    for word, say in _WORDS.items():
        if word in words:
            ways += say(words[word], view, depth - 1)
    return ways + (deny(view.find(words), view, depth - 1) if "$ref" in words else [])


def whole(schema: Any, view: View) -> bool:
    """Whether :func:`deny` says all that ``schema`` rules out."""
    return isinstance(schema, dict) and set(view.words(cast(dict[str, Any], schema))) <= _WHOLE


def _type(said: Any, view: View, depth: int) -> list[Any]:
    named = set(listed(said))
    left = [name for name in TYPES if name not in named and not (name in ("integer", "number") and named & _NUMBERS)]
    return [Made(type=left)] if left else []


def _enum(said: list[Any], view: View, depth: int) -> list[Any]:
    held = {kind(value) for value in said}
    numeric = bool(held & _NUMBERS)
    whole = [name for name in TYPES if name not in held and not (name in _NUMBERS and numeric)]
    ways: list[Any] = [Made(type=whole)] if whole else []
    texts = [value for value in said if isinstance(value, str)]
    if texts and sum(map(len, texts)) < 4000 and max(map(len, texts)) < 200:
        ways.append(Made(type="string", spelt=but(texts)))
    if "boolean" in held and len(left := [flag for flag in (True, False) if not any(v is flag for v in said)]):
        ways.append(Made(enum=left))
    if numeric:
        numbers = sorted({value for value in said if kind(value) in _NUMBERS})
        ways += [Made(type="number", exclusiveMaximum=numbers[0]), Made(type="number", exclusiveMinimum=numbers[-1])]
        between = pairwise(numbers)
        ways += [Made(type="number", exclusiveMinimum=low, exclusiveMaximum=high) for low, high in between]
    return ways


def _required(said: list[str], view: View, depth: int) -> list[Any]:
    return [Made(type="object", properties={name: False}) for name in said]


def _properties(said: dict[str, Any], view: View, depth: int) -> list[Any]:
    denied = {name: deny(part, view, depth) for name, part in said.items()}
    return [
        Made(type="object", required=[name], properties={name: Made(anyOf=ways)})
        for name, ways in denied.items()
        if ways
    ]


def _none(said: list[Any], view: View, depth: int) -> list[Any]:
    """None of several: of oneOf less than could be said, of anyOf all."""
    denied = [deny(part, view, depth) for part in said]
    return [Made(allOf=[Made(anyOf=ways) for ways in denied])] if all(denied) else []


def _bound(type: str, word: str, step: int) -> Callable[[Any, View, int], list[Any]]:
    def beyond(said: Any, view: View, depth: int) -> list[Any]:
        return [Made({"type": type, word: said + step})] if not isinstance(said, bool) and said + step >= 0 else []

    return beyond


def _beyond(word: str) -> Callable[[Any, View, int], list[Any]]:
    return lambda said, view, depth: [] if isinstance(said, bool) else [Made({"type": "number", word: said})]


_NUMBERS = {"integer", "number"}
_WORDS: dict[str, Callable[[Any, View, int], list[Any]]] = {
    "type": _type,
    "const": lambda said, view, depth: _enum([said], view, depth),
    "enum": _enum,
    "required": _required,
    "not": lambda said, view, depth: [said],
    "minimum": _beyond("exclusiveMaximum"),
    "maximum": _beyond("exclusiveMinimum"),
    "exclusiveMinimum": _beyond("maximum"),
    "exclusiveMaximum": _beyond("minimum"),
    "minLength": _bound("string", "maxLength", -1),
    "maxLength": _bound("string", "minLength", 1),
    "minItems": _bound("array", "maxItems", -1),
    "maxItems": _bound("array", "minItems", 1),
    "minProperties": lambda said, view, depth: [Made(enum=[{}])] if said == 1 else [],
    "anyOf": _none,
    "oneOf": _none,
    "allOf": lambda said, view, depth: [way for part in said for way in deny(part, view, depth)],
    "properties": _properties,
}
"""How each keyword is denied; what most callers would mean by it first."""
_WHOLE = {"type", "required", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"}
