"""JSON Schemas as their drafts mean them, in the words that llguidance enforces.

llguidance compiles most of 2020-12, refuses some of it, and takes some for something else: names by their position,
formats too widely, numbers as floats. This reads a schema of any draft from 4 on and says the same, or something a
little narrower, in what is left. What can't be said is named.
"""

import math
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import unquote, urldefrag, urljoin

from tertulia.engine.bounds import FAR, is_number
from tertulia.engine.denial import TYPES, Made, listed
from tertulia.engine.wording import write
from tertulia.errors import BadRequest

DEPTH = 32
"""Levels of a schema that are written into one another; deeper ones become definitions."""
CHAIN = 200
"""References that may lead to one another before anything is said."""

_DRAFTS = {"draft-03": 3, "draft-04": 4, "draft-05": 4, "draft-06": 6, "draft-07": 7, "2019-09": 8, "2020-12": 9}
_NEWEST = 9
_SINCE = {
    **dict.fromkeys(("const", "contains", "propertyNames"), 6),
    **dict.fromkeys(("if", "then", "else"), 7),
    **dict.fromkeys(("dependentRequired", "dependentSchemas", "unevaluatedProperties", "unevaluatedItems"), 8),
    **dict.fromkeys(("minContains", "maxContains", "$recursiveRef"), 8),
    **dict.fromkeys(("$dynamicRef", "prefixItems"), 9),
}
_UNTIL = {"dependencies": 7, "additionalItems": 8, "$recursiveRef": 8}
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_MAPS = ("properties", "patternProperties", "dependentSchemas", "dependentRequired", "dependencies")
_COUNTS = tuple(f"{end}{what}" for end in ("min", "max") for what in ("Length", "Items", "Properties", "Contains"))
_LIMITS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_TEXTS = ("$ref", "pattern", "format", "$dynamicRef", "$recursiveRef")
_PARTS = (
    *("items", "additionalItems", "unevaluatedItems", "contains", "not", "if", "then", "else"),
    *("additionalProperties", "unevaluatedProperties", "propertyNames"),
)
_OTHERS = ("type", "enum", "const", "required", "uniqueItems")
_KNOWN = {*_LISTS, *_MAPS, *_COUNTS, *_LIMITS, *_TEXTS, *_PARTS, *_OTHERS}
_DATA = ("enum", "const", "default", "examples")
_NAMES = ("properties", "patternProperties", "dependentSchemas", "dependencies", "$defs", "definitions")


@dataclass(slots=True)
class Plain:
    """``schema`` in llguidance's words. ``places`` has where each part of it comes from, by the part's id, and
    whether it was made for the keyword there; ``lost`` what of it is not enforced: keyword, path and why; ``notes``
    what else the caller should know."""

    schema: dict[str, Any]
    places: dict[int, tuple[str, bool]]
    lost: list[tuple[str, str, str]]
    notes: list[str]


def read(schema: Any, path: str) -> Plain:
    """``schema``, which stands at ``path`` of a request. Raises BadRequest where it is none."""
    return Reader(schema, path).read()


@dataclass(slots=True)
class Reader:
    """One schema being read: its draft, what is where in it, and what became of it."""

    root: Any
    path: str
    draft: int = _NEWEST
    made: dict[int, tuple[Any, str, bool]] = field(default_factory=dict[int, tuple[Any, str, bool]])
    lost: dict[str, tuple[str, str, str]] = field(default_factory=dict[str, tuple[str, str, str]])
    notes: dict[str, str] = field(default_factory=dict[str, str])
    _where: dict[int, tuple[str, str]] = field(default_factory=dict[int, tuple[str, str]])
    _anchors: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    _words: dict[int, tuple[Any, Made]] = field(default_factory=dict[int, tuple[Any, Made]])
    _names: dict[int, str] = field(default_factory=dict[int, str])
    _queue: list[tuple[str, Any, str]] = field(default_factory=list[tuple[str, Any, str]])

    def read(self) -> Plain:
        """The whole schema."""
        root: Any = self.root
        if isinstance(root, dict):
            dialect = str(cast(dict[str, Any], root).get("$schema", ""))
            self.draft = next((draft for name, draft in _DRAFTS.items() if name in dialect), _NEWEST)
        if self.draft < 4:
            raise BadRequest(f"{self.path}.$schema: drafts from 4 on are understood", param=f"{self.path}.$schema")
        self._index()
        said: Any = self.node(root, self.path, 0)
        whole: dict[str, Any] = {"allOf": [said]} if isinstance(said, bool) else said
        defs: dict[str, Any] = {}
        while self._queue:
            name, schema, path = self._queue.pop()
            defs[name] = self.node(schema, path, 0)
        if id(cast(object, root)) in self._names:  # it refers to itself: once is enough
            whole = self.keep({"$ref": self.refer(root, self.path)}, self.path)
        self._measure(whole, defs)
        if defs:
            whole["$defs"] = defs
        places = {key: (place, made) for key, (_, place, made) in self.made.items()}
        return Plain(whole, places, list(self.lost.values()), list(self.notes.values()))

    # ------------------------------------------------------------ where things are

    def _index(self) -> None:
        """Where each part stands and what base its references have, and what has a name of its own."""
        root: Any = self.root
        self._anchors[""] = [root]
        todo: list[tuple[Any, str, str, bool]] = [(root, self.path, "", False)]
        while todo:
            node, path, base, names = todo.pop()
            if isinstance(node, list):
                todo += [(part, f"{path}[{i}]", base, False) for i, part in enumerate(cast(list[Any], node))]
            if not isinstance(node, dict):
                continue
            schema = cast(dict[str, Any], node)
            if not names and not (self.draft <= 7 and "$ref" in schema):
                base = self._name(schema, base)
            self._where[id(schema)] = path, base
            for word, part in schema.items():
                if names or word not in _DATA:
                    todo.append((part, f"{path}.{word}", base, not names and word in _NAMES))

    def _name(self, schema: dict[str, Any], base: str) -> str:
        said = schema.get("id" if self.draft == 4 else "$id")
        if isinstance(said, str):
            url, anchor = urldefrag(_join(base, said))
            if anchor:
                self._anchors.setdefault(f"{url}#{anchor}", []).append(schema)
            else:
                base = url
                self._anchors.setdefault(base, []).append(schema)
        for word in ("$anchor", "$dynamicAnchor"):
            if isinstance(schema.get(word), str):
                self._anchors.setdefault(f"{base}#{schema[word]}", []).append(schema)
        return base

    def find(self, words: Made) -> Any:
        """The schema that the reference of ``words`` stands for; None where that leads nowhere."""
        url, fragment = urldefrag(_join(words.base, words["$ref"]))
        if fragment and not fragment.startswith("/"):
            found = self._anchors.get(f"{url}#{unquote(fragment)}", [])
            return found[0] if len(found) == 1 else None
        found = self._anchors.get(url, [])
        node: Any = found[0] if len(found) == 1 else None
        for part in fragment.split("/")[1:]:
            if isinstance(node, list) and part.isdigit() and int(part) < len(cast(list[Any], node)):
                node = cast(list[Any], node)[int(part)]
                continue
            inner = cast(dict[str, Any], node) if isinstance(node, dict) else {}
            name = part.replace("~1", "/").replace("~0", "~")
            node = inner.get(name, inner.get(unquote(name)))
        return cast(Any, node) if isinstance(node, dict | bool) else None

    def words(self, schema: dict[str, Any]) -> Made:
        """The keywords of ``schema`` that count in its draft, checked."""
        if isinstance(schema, Made):
            return schema
        if id(schema) in self._words:
            return self._words[id(schema)][1]
        path, base = self._where.get(id(schema), (self.path, ""))
        said: dict[str, Any] = schema
        if self.draft <= 7 and isinstance(schema.get("$ref"), str):
            said = {"$ref": schema["$ref"]}
        words = Made({word: value for word, value in said.items() if self._counts(word, value)})
        words.base = base
        for word, value in words.items():
            if wrong := _wrong(word, value):
                raise BadRequest(f"{path}.{word} is {wrong}", param=f"{path}.{word}")
        for word in ("$dynamicRef", "$recursiveRef"):
            if word in words:  # in one document, what it leads to is known beforehand
                words.setdefault("$ref", words.pop(word))
        self._words[id(schema)] = schema, words
        return words

    def _counts(self, word: str, value: Any) -> bool:
        """Whether ``word`` is a keyword. A draft's own spelling is understood in others too where it means nothing
        else there."""
        if word not in _KNOWN or self.draft < _SINCE.get(word, 0):
            return False
        return self.draft <= _UNTIL.get(word, _NEWEST) or (self.draft == _NEWEST and "$schema" not in self.root)

    # ------------------------------------------------------------ what they say

    def lose(self, keyword: str, path: str, why: str) -> None:
        """``keyword`` at ``path`` is not enforced."""
        self.lost.setdefault(path, (keyword, path, why))

    def keep(self, node: Any, path: str, made: bool = False) -> Any:
        """Note that ``node`` comes from ``path``; or was made for the keyword that stands there."""
        self.made[id(node)] = node, path, made
        return node

    def node(self, schema: Any, path: str, depth: int) -> Any:
        """``schema``, which stands at ``path`` and ``depth`` levels below its definition, in llguidance's words."""
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, dict):
            raise BadRequest(f"{path} is a JSON Schema: an object or a boolean", param=path)
        source = cast(dict[str, Any], schema)
        if depth > DEPTH:
            return self.keep({"$ref": self.refer(source, path)}, path)
        made = isinstance(schema, Made)
        path = path if made else self._where.get(id(source), (path, ""))[0]
        return self.keep(write(self, self.words(source), path, depth, made), path, made)

    def refer(self, schema: Any, path: str) -> str:
        """A reference to ``schema``, which becomes a definition."""
        key = id(schema)
        if key not in self._names:
            self._names[key] = str(len(self._names))
            self.made[key] = schema, path, False
            self._queue.append((self._names[key], schema, self._where.get(key, (path, ""))[0]))
        return f"#/$defs/{self._names[key]}"

    def _measure(self, whole: Any, defs: dict[str, Any]) -> None:
        """llguidance follows references by recursion, and dies of long chains."""
        ahead = {name: _references(node) for name, node in defs.items()}
        seen: set[str] = set()
        todo = [(name, 1) for name in reversed(_references(whole))]
        while todo:
            name, depth = todo.pop()
            if depth > CHAIN:
                raise BadRequest(f"{self.path}: references nest deeper than {CHAIN}", param=self.path)
            if name not in seen:
                seen.add(name)
                todo += [(other, depth + 1) for other in reversed(ahead.get(name, []))]


def _join(base: str, reference: str) -> str:
    if reference.startswith("#"):
        return base + reference
    try:
        return urljoin(base, reference)
    except ValueError:
        return reference


def _references(node: Any) -> list[str]:
    found: list[str] = []
    todo = [node]
    while todo:
        part = todo.pop()
        if isinstance(part, list):
            todo += cast(list[Any], part)
        elif isinstance(part, dict):
            fields = cast(dict[str, Any], part)
            todo += [value for word, value in fields.items() if word not in ("enum", "$ref")]
            if isinstance(fields.get("$ref"), str):
                found.append(fields["$ref"].rpartition("/")[2])
    return found


def _wrong(word: str, value: Any) -> str:
    """What the value of a keyword should be, if it is not that."""
    number = float(value) if is_number(value) and abs(value) <= FAR else math.nan
    names = isinstance(value, list) and all(isinstance(name, str) for name in cast(list[Any], value))
    for words, right, should in (
        (_LISTS, isinstance(value, list) and bool(cast(list[Any], value)), "a list of schemas"),
        (_MAPS, isinstance(value, dict), "an object"),
        (_COUNTS, number >= 0 and number.is_integer(), "a whole number from 0 on"),
        (("multipleOf",), 0 < number < math.inf, "a number greater than 0"),
        (_LIMITS, math.isfinite(number) or (word.startswith("exclusive") and isinstance(value, bool)), "a number"),
        (_TEXTS, isinstance(value, str), "a text"),
        (("required",), names, "a list of names"),
        (("enum",), isinstance(value, list) and bool(cast(list[Any], value)), "a list of values"),
        (("uniqueItems",), isinstance(value, bool), "true or false"),
        (("type",), _types(value), f"one of {', '.join(TYPES)}, or a list of them"),
    ):
        if word in words and not right:
            return should
    return ""


def _types(value: Any) -> bool:
    return bool(value) and all(isinstance(name, str) and name in TYPES for name in listed(value))
