"""One schema, keyword by keyword, in the words that llguidance enforces as they are meant."""

from itertools import combinations
from typing import TYPE_CHECKING, Any, cast

from tertulia.engine import pattern
from tertulia.engine.bounds import EXACT, exact, integral, real
from tertulia.engine.denial import TYPES, Made, apart, deny, kind, listed, types, values, whole

if TYPE_CHECKING:
    from tertulia.engine.schema import Reader

WAYS = 12
"""Alternatives that something may come to that llguidance has no word for."""
SUBSETS = 7
"""Values that a list of unique ones is written out for."""


def write(reader: "Reader", words: Made, path: str, depth: int, made: bool) -> dict[str, Any]:
    """``words`` of the schema at ``path`` for llguidance, or of one that was ``made`` for the keyword at ``path``; what
    can't be said is lost to ``reader``."""
    return _Writer(reader, words, path, depth, made).write()


class _Writer:
    def __init__(self, reader: "Reader", words: Made, path: str, depth: int, made: bool) -> None:
        self._reader = reader
        self._words = words
        self._path = path
        self._depth = depth
        self._made = made
        self._out: dict[str, Any] = {}
        self._more: list[Any] = []

    def write(self) -> dict[str, Any]:
        if "type" in self._words:
            self._out["type"] = self._words["type"]
        self._constants()
        self._numbers()
        self._texts()
        self._lists()
        self._objects()
        self._branches()
        if self._more:
            self._out["allOf"] = self._more
        return self._out

    def _lose(self, keyword: str, why: str) -> None:
        place = self._place(keyword)
        self._reader.lose(last(place) if self._made else keyword, place, why)

    def _sub(self, schema: Any, keyword: str) -> Any:
        return self._reader.node(schema, self._place(keyword), self._depth + 1)

    def _place(self, keyword: str) -> str:
        return self._path if self._made else f"{self._path}.{keyword}"

    def _denied(self, schema: Any, beside: Made) -> list[Any]:
        """Some ways not to be ``schema``, of those that are open to ``beside``."""
        return [way for way in deny(schema, self._reader) if not apart(beside, way, self._reader)][:WAYS]

    def _but(self, keyword: str) -> Made:
        """All that is said but for ``keyword``."""
        beside = Made({word: part for word, part in self._words.items() if word != keyword})
        beside.base = self._words.base
        return beside

    def _also(self, keyword: str, schema: Any) -> None:
        """Say ``schema`` too, which stands for ``keyword``."""
        self._more.append(self._sub(schema, keyword))

    def _any(self, keyword: str, ways: list[Any], why: str) -> None:
        """Say one of ``ways``, which stand for ``keyword``, if there are any and not too many."""
        if 0 < len(ways) <= 2 * WAYS:
            self._also(keyword, Made(anyOf=ways))
        else:
            self._lose(keyword, why if not ways else "it comes to too many cases")

    # ------------------------------------------------------------ values

    def _constants(self) -> None:
        for word in ("enum", "const"):
            if word not in self._words:
                continue
            said = self._words[word] if word == "enum" else [self._words[word]]
            kept = [value for value in cast(list[Any], said) if exact(value)]
            named = set(listed(self._words.get("type", TYPES)))
            named |= {"integer"} if "number" in named else set()
            fitting = [value for value in kept if kind(value) in named]
            if not kept:
                self._lose(word, "a number or a character that can't be written exactly")
            elif word in self._out:
                self._more.append({"enum": kept})
            else:
                self._out["enum"] = fitting or kept
                if fitting:
                    self._out.pop("type", None)

    def _numbers(self) -> None:
        words = self._words
        low: float | None = words.get("minimum")
        high: float | None = words.get("maximum")
        under, over = words.get("exclusiveMinimum"), words.get("exclusiveMaximum")
        integers = set(listed(words.get("type", TYPES))) & {"integer", "number"} == {"integer"}
        if under is True:
            under = low
        if over is True:
            over = high
        if words.get("format") in pattern.RANGES:
            bounds = pattern.RANGES[words["format"]]
            low = bounds[0] if low is None else max(low, bounds[0])
            high = bounds[1] if high is None else min(high, bounds[1])
        least, most = integral(low, high, under, over) if integers else real(low, high, under, over)
        if least is not None:
            self._bound("minimum", least, least <= EXACT)
        if most is not None:
            self._bound("maximum", most, most >= -EXACT)
        step = words.get("multipleOf")
        if step is None:
            return
        if (step * 1024) % 1 or step > 1e9:
            self._lose("multipleOf", "validators that compute with floats disagree on it")
        else:
            self._out["multipleOf"] = step

    def _bound(self, word: str, bound: float, near: bool) -> None:
        if near:
            self._out[word] = bound
        else:
            self._lose(word if word in self._words else f"exclusiveM{word[1:]}", "it is beyond 64 bits")

    def _texts(self) -> None:
        self._out |= {word: int(self._words[word]) for word in ("minLength", "maxLength") if word in self._words}
        spelt: list[str] = [self._words["spelt"]] if "spelt" in self._words else []
        if "pattern" in self._words:
            try:
                spelt.append(pattern.rewrite(self._words["pattern"]))
            except ValueError as wrong:
                self._lose("pattern", f"{wrong} is not supported")
        name = self._words.get("format")
        if name in pattern.FORMATS:
            spelt.append(f"^(?:{pattern.FORMATS[name]})$")
        elif name in pattern.THEIRS:
            self._out["format"] = name
        elif name is not None and name not in pattern.FREE and name not in pattern.RANGES:
            told = f"{name[:40]!r} is no format of JSON Schema's or OpenAPI's, and taken as a remark"
            self._reader.notes.setdefault(name, f"{self._place('format')}: {told}")
        if spelt:
            self._out["pattern"] = spelt[0]
            self._more += [{"pattern": other} for other in spelt[1:]]

    # ------------------------------------------------------------ arrays

    def _lists(self) -> None:
        words = self._words
        self._out |= {word: int(words[word]) for word in ("minItems", "maxItems") if word in words}
        first, rest = words.get("prefixItems"), words.get("items")
        if isinstance(rest, list):
            first, rest = cast(list[Any], rest), words.get("additionalItems")
        word = "items" if isinstance(words.get("items"), list) else "prefixItems"
        if first:
            self._out["prefixItems"] = [self._sub(part, f"{word}[{i}]") for i, part in enumerate(first)]
        if rest is None and "unevaluatedItems" in words:
            if self._applies():
                self._lose("unevaluatedItems", "there are branches beside it")
            rest = True if self._applies() else words["unevaluatedItems"]
        if rest is not None:
            self._out["items"] = self._sub(rest, "additionalItems" if word == "items" and first else "items")
        if "contains" in words:
            self._contains()
        if words.get("uniqueItems") and int(words.get("maxItems", 2)) > 1 and "array" in types(words, self._reader):
            self._unique(first, rest)

    def _contains(self) -> None:
        """The first item is one of those; that is less than what may be, and enough."""
        least = self._words.get("minContains", 1)
        if "maxContains" in self._words:
            self._lose("maxContains", "items can't be counted")
        if least > 1:
            self._lose("minContains", "items can't be counted")
        if least:
            self._also("contains", Made(minItems=1, prefixItems=[self._words["contains"]]))

    def _unique(self, first: Any, rest: Any) -> None:
        known = values(rest, self._reader) if not first else None
        if known is None or len(known) > SUBSETS or any(kind(value) in ("object", "array") for value in known):
            self._lose("uniqueItems", "only short enumerations can be kept unique")
            return
        known = [value for i, value in enumerate(known) if value not in known[:i] and exact(value)]
        least, most = int(self._words.get("minItems", 0)), int(self._words.get("maxItems", len(known)))
        lists = [list(few) for size in range(least, min(most, len(known)) + 1) for few in combinations(known, size)]
        others = [name for name in TYPES if name != "array"]
        self._more.append({"anyOf": [{"enum": lists}, {"type": others}]} if lists else {"type": others})
        for word in ("items", "minItems", "maxItems"):
            self._out.pop(word, None)

    # ------------------------------------------------------------ objects

    def _objects(self) -> None:
        words = self._words
        named: dict[str, Any] = words.get("properties", {})
        if "properties" in words:
            self._out["properties"] = {name: self._sub(part, f"properties.{name}") for name, part in named.items()}
        if "patternProperties" in words:
            self._out["patternProperties"] = self._patterned(words["patternProperties"])
        if "additionalProperties" in words:
            self._out["additionalProperties"] = self._sub(words["additionalProperties"], "additionalProperties")
        elif "unevaluatedProperties" in words:
            self._unevaluated(words["unevaluatedProperties"])
        if "required" in words:
            self._out["required"] = list(dict.fromkeys(words["required"]))
        if "propertyNames" in words:
            self._spelling(words["propertyNames"])
        self._counts(named)
        for word in ("dependentRequired", "dependentSchemas", "dependencies"):
            for name, part in words.get(word, {}).items():
                needed = Made(required=part) if isinstance(part, list) else part
                self._also(f"{word}.{name}", Made(anyOf=[Made(properties={name: False}), needed]))

    def _patterned(self, said: dict[str, Any]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for text, part in said.items():
            try:
                out[pattern.rewrite(text)] = self._sub(part, f"patternProperties.{text}")
            except ValueError as wrong:
                self._lose("patternProperties", f"{wrong} in {text[:60]!r} is not supported")
        return out

    def _counts(self, named: dict[str, Any]) -> None:
        """llguidance counts properties only where none is optional, and takes one that comes twice for two."""
        least, most = self._words.get("minProperties", 0), self._words.get("maxProperties")
        required = set(self._out.get("required", []))
        optional = [name for name in named if name not in required]
        closed = self._out.get("additionalProperties") is False and not self._out.get("patternProperties")
        if least > len(required):
            if least == 1 and (closed or not optional):
                self._out["minProperties"] = 1
            elif closed and least == len(named):
                self._out["required"] = list(named)
            elif least == 1:
                self._any("minProperties", [Made(required=[name]) for name in optional[:WAYS]], "")
            else:
                self._lose("minProperties", "properties can be counted to 1 only")
        if most is None or (closed and most >= len(named)):
            return
        if optional and not (closed and most == 1 and not required):
            self._lose("maxProperties", "properties can be counted only where none is optional")
        else:
            self._out["maxProperties"] = int(most)

    def _spelling(self, said: Any) -> None:
        """Names that fit a pattern are the pattern's properties, and there are no others."""
        for _ in range(8):
            words = self._reader.words(cast(dict[str, Any], said)) if isinstance(said, dict) else Made()
            said = cast(Any, self._reader.find(words) if set(words) == {"$ref"} else said)
        known = values(said, self._reader)
        spelt: dict[str, Any] | bool = self._sub(said, "propertyNames")
        if spelt is True or not set(spelt or {"not": 0}) - {"type"}:
            return
        if "patternProperties" in self._words or "$ref" in self._words:
            self._lose("propertyNames", "there are patternProperties beside it")
            return
        rest = self._out.get("additionalProperties", True)
        if known is not None:
            names = [name for name in known if isinstance(name, str)]
            kept = self._out.get("properties", {})
            self._out["properties"] = {name: kept.get(name, rest) for name in [*kept, *names] if name in names}
        elif isinstance(spelt, dict) and set(spelt) <= {"type", "pattern"} and "pattern" in spelt:
            if self._out.get("properties"):
                self._lose("propertyNames", "there are properties beside it")
                return
            self._out["patternProperties"] = {spelt["pattern"]: rest}
        elif isinstance(spelt, dict) and set(spelt) <= {"type", "minLength", "maxLength"}:
            if self._out.get("properties"):
                self._lose("propertyNames", "there are properties beside it")
                return
            lengths = f"{spelt.get('minLength', 0)},{spelt.get('maxLength', '')}"
            self._out["patternProperties"] = {f"^(?s:.{{{lengths}}})$": rest}
        else:
            self._lose("propertyNames", "only a pattern, a length or an enumeration is supported")
            return
        self._out["additionalProperties"] = False

    def _applies(self) -> bool:
        return any(word in self._words for word in ("$ref", "allOf", "anyOf", "oneOf", "if", "not", "dependentSchemas"))

    def _unevaluated(self, said: Any) -> None:
        """Properties that nothing beside it speaks of. With branches, each is closed by itself."""
        if not self._applies():
            self._out["additionalProperties"] = self._sub(said, "unevaluatedProperties")
            return
        if said is True:
            return
        ways = next((self._words[word] for word in ("anyOf", "oneOf") if word in self._words), [True])
        sure = self._spoken(self._but("unevaluatedProperties"))
        closed: list[Any] = []
        for way in cast(list[Any], ways):
            known = self._spoken(way)
            if sure is None or known is None:
                closed.append(way)
                continue
            more = Made(properties=dict.fromkeys([*sure[0], *known[0]], True), additionalProperties=said)
            more["patternProperties"] = dict.fromkeys([*sure[1], *known[1]], True)
            closed.append(Made(allOf=[way, more]))
        self._any("unevaluatedProperties", closed, "")

    def _spoken(self, schema: Any, depth: int = 8) -> tuple[list[str], list[str]] | None:
        """The names and patterns of the properties that ``schema`` speaks of in any case; None: of all."""
        names: list[str] = []
        patterns: list[str] = []
        if not isinstance(schema, dict) or not depth:
            return names, patterns
        words = self._reader.words(cast(dict[str, Any], schema))
        if "additionalProperties" in words or "unevaluatedProperties" in words:
            return None
        names += words.get("properties", {})
        patterns += words.get("patternProperties", {})
        inner = [*words.get("allOf", []), *([self._reader.find(words)] if "$ref" in words else [])]
        for part in inner:
            more = self._spoken(part, depth - 1)
            if more is None:
                return None
            names += more[0]
            patterns += more[1]
        return names, patterns

    # ------------------------------------------------------------ branches

    def _branches(self) -> None:
        words, reader = self._words, self._reader
        if "$ref" in words:
            found = reader.find(words)
            if found is None:
                self._lose("$ref", "it leads to nothing in this schema")
            elif not isinstance(found, dict):
                self._more.append(found)
            else:
                self._out["$ref"] = reader.refer(found, self._place("$ref"))
        self._more += [self._sub(part, f"allOf[{i}]") for i, part in enumerate(words.get("allOf", []))]
        if "anyOf" in words:
            self._out["anyOf"] = [self._sub(part, f"anyOf[{i}]") for i, part in enumerate(words["anyOf"])]
        if "oneOf" in words:
            self._one()
        if "not" in words:
            self._any("not", self._denied(words["not"], self._but("not")), "what it rules out can't be said")
        if "if" in words and ("then" in words or "else" in words):
            self._condition()

    def _condition(self) -> None:
        words = self._words
        denied = self._denied(words["if"], self._but("if"))
        if not denied:
            self._lose("if", "what it rules out can't be said")
            return
        met = Made(allOf=[words["if"], words.get("then", True)])
        missed = [Made(allOf=[way, words.get("else", True)]) for way in denied]
        self._any("if", [met, *missed], "")

    def _one(self) -> None:
        """Each branch, and none of the others that could fit beside it."""
        said = cast(list[Any], self._words["oneOf"])
        beside = self._but("oneOf")
        ways: list[Any] = []
        for i, way in enumerate(said):
            full = Made(allOf=[beside, way])
            others = [j for j, other in enumerate(said) if i != j and not apart(full, other, self._reader)]
            denials = [self._denied(said[j], full) for j in others]
            if [] in denials:
                j = others[denials.index([])]
                if whole(said[j], self._reader):
                    continue  # all that fits the one fits the other
                self._lose("oneOf", f"its branches {i} and {j} can't be told apart")
                return
            ways.append(Made(allOf=[way, *(Made(anyOf=each) for each in denials)]) if others else way)
        self._more.append({"anyOf": [self._sub(way, f"oneOf[{i}]") for i, way in enumerate(ways)]})


def last(path: str) -> str:
    """The keyword that ``path`` ends with."""
    return path.rpartition(".")[2].partition("[")[0]
