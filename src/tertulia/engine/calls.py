"""What a request lets the model call, and the grammar that holds it to that.

Under ``auto`` the grammar lets all text pass until a call begins; from there on it must be a call of a tool on offer,
with arguments that follow its schema. ``required`` and a named tool begin with the call. A format that writes arguments
otherwise than in JSON is forced to write the generic envelope, and under ``auto`` left to itself.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from tertulia.engine.constraint import Constraint, json_constraint
from tertulia.engine.formats import PLACES, Form, Format, Json
from tertulia.errors import BadRequest
from tertulia.types import ChatRequest, Tool

LARGEST = 1 << 20
"""Bytes that the schemas of all tools together may have."""


@dataclass(frozen=True, slots=True)
class Offer:
    """The ``tools`` that may be called: at will, or at least one of them (``must``); not more than ``one``."""

    tools: list[Tool]
    must: bool = False
    one: bool = False


def read_offer(request: ChatRequest) -> Offer | None:
    """What ``request`` offers; None when nothing may be called. A call that is required is one, unless several are
    asked for: small models don't stop by themselves. Raises BadRequest for a choice that there is not."""
    tools, choice = request.tools or [], request.tool_choice or "auto"
    if not tools or choice == "none":
        return None
    if choice == "auto":
        return Offer(tools, one=request.parallel_tool_calls is False)
    if choice == "required":
        return Offer(tools, must=True, one=not request.parallel_tool_calls)
    name = choice if isinstance(choice, str) else cast(dict[str, Any], choice.get("function") or choice).get("name")
    named = [tool for tool in tools if tool.function.name == name]
    if not named:
        known = ", ".join(tool.function.name for tool in tools)
        raise BadRequest(f"there is no tool {str(name)[:64]!r} to choose; there are {known}", param="tool_choice")
    return Offer(named, must=True, one=True)


def schemas(request: ChatRequest, offer: Offer) -> list[Constraint]:
    """The parameters of each tool as a constraint. ``strict: true`` refuses what can't be enforced."""
    places = {id(tool): place for place, tool in enumerate(request.tools or [])}
    found: list[Constraint] = []
    for tool in offer.tools:
        param = f"tools[{places[id(tool)]}].function.parameters"
        schema: Any = tool.function.parameters or {"type": "object", "properties": {}}
        options = {"item_separator": ", ", "key_separator": ": "}
        found.append(json_constraint(closed(schema), param, strict=tool.function.strict is True, options=options))
    if sum(len(one.grammar) for one in found) > LARGEST:
        raise BadRequest(f"the schemas of all tools have more than {LARGEST >> 20} MiB", param="tools")
    return found


_OTHERWISE = ("additionalProperties", "allOf", "anyOf", "oneOf", "$ref", "patternProperties", "unevaluatedProperties")
"""By what a schema says otherwise."""
_DEFINITIONS = ("$defs", "definitions")
_DATA = ("const", "enum", "default", "examples")
_LONGEST = {"email": 254, "hostname": 253, "time": 64, "date-time": 64, "duration": 64}
"""Characters that a string of a format may have, where its schema sets no bound: RFC 5321, RFC 1035, and fractions of a
second and digits that nobody reads. Small models go on with them for ever."""


def closed(schema: Any) -> Any:
    """``schema`` with objects that name their properties closed to others, where it doesn't say: what no function has a
    parameter for is not to be made up. A definition is closed where each reference to it is all that a value has to
    follow. Strings of some formats get a bound."""
    if not isinstance(schema, dict):
        return schema
    fields = cast(dict[str, Any], schema)
    shared = set(_shared(fields, whole=True))
    defined = {word: fields[word] for word in _DEFINITIONS if isinstance(fields.get(word), dict)}
    for word, parts in defined.items():
        defined[word] = {name: part if f"#/{word}/{name}" in shared else _closed(part) for name, part in parts.items()}
    return _closed(fields) | defined


def _closed(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    fields = cast(dict[str, Any], schema)
    inner = {word: _closed(fields[word]) for word in ("items", "additionalProperties") if word in fields}
    if fields.keys().isdisjoint(("maxLength", "minLength", "const", "enum")):
        longest = _LONGEST.get(str(fields.get("format")))
        inner |= {"maxLength": longest} if longest else {}
    for word in ("prefixItems", "anyOf"):
        if isinstance(fields.get(word), list) and (word != "anyOf" or _alone(fields, word)):
            inner[word] = [_closed(part) for part in fields[word]]
    if isinstance(fields.get("properties"), dict):
        inner["properties"] = {name: _closed(value) for name, value in fields["properties"].items()}
        if fields.keys().isdisjoint(_OTHERWISE):
            inner["additionalProperties"] = False
    return fields | inner


def _alone(fields: dict[str, Any], word: str) -> bool:
    """Whether nothing beside ``word`` says what properties a value may have."""
    return fields.keys().isdisjoint({"properties", *_OTHERWISE} - {word})


def _shared(schema: Any, whole: bool) -> Iterator[str]:
    """What is referred to where a value has to follow something else too; ``whole`` where ``schema`` is all there
    is."""
    if isinstance(schema, list):
        for part in cast(list[Any], schema):
            yield from _shared(part, whole)
    if not isinstance(schema, dict):
        return
    fields = cast(dict[str, Any], schema)
    if "$ref" in fields and not (whole and _alone(fields, "$ref")):
        yield str(fields["$ref"])
    for word, value in fields.items():
        if word in ("properties", *_DEFINITIONS) and isinstance(value, dict):
            for part in cast(dict[str, Any], value).values():
                # A definition that is another's name may be shared by that name.
                yield from _shared(part, word == "properties" or "$ref" not in part)
        elif word not in _DATA:
            listed = word in ("items", "prefixItems", "additionalProperties")
            yield from _shared(value, listed or (word == "anyOf" and whole and _alone(fields, word)))


# ---------------------------------------------------------------- the grammar


@dataclass(frozen=True, slots=True)
class Speller:
    """Writes text as a grammar's terms: ``special`` tokens by their ids, all else to the letter. ``ends`` are the
    tokens that end an answer: no grammar asks for them."""

    special: dict[str, int]
    ends: frozenset[int]

    def terms(self, text: str) -> list[str]:
        found: list[str] = []
        for bit in re.split("(" + "|".join(map(re.escape, self.special)) + ")", text) if self.special else [text]:
            if bit not in self.special:
                found += [json.dumps(bit, ensure_ascii=False)] if bit else []
            elif self.special[bit] not in self.ends:
                found.append(f"<[{self.special[bit]}]>")
        return found

    def write(self, text: str) -> str:
        return " ".join(self.terms(text))

    def plain(self, text: str) -> bool:
        """Whether there is no special token in ``text``."""
        return not any(word in text for word in self.special)


@dataclass(frozen=True, slots=True)
class Guide:
    """What holds one answer: what it may ``offer``, its tools' ``parameters``, the ``form`` it must have otherwise, and
    whether it begins inside a thinking block (``opened``)."""

    format: Format
    offer: Offer | None
    parameters: list[Constraint]
    form: Constraint | None
    opened: bool

    def constraint(self, speller: Speller) -> Constraint | None:
        """All of it as one grammar; None where anything may be said."""
        lark = _Lark(self, speller)
        start = lark.start()
        if start is None:
            return self.form
        text = "\n".join(["%llguidance {}", f"start: {start}", *lark.rules.values(), f"TEXT: /{_ANY}/"])
        if self.form is None:
            return Constraint(text, "tools")
        form: dict[str, Any] = {"lark_grammar": self.form.grammar}
        if self.form.grammar.startswith('{"grammars"'):
            form = json.loads(self.form.grammar)["grammars"][0]
        grammars = [{"name": "answer", "lark_grammar": text}, form | {"name": "form"}]
        return Constraint(json.dumps({"grammars": grammars}), self.form.param)


_ANY = r"(.|\n)*"
_BLANK = r"[ \t\n]{0,4}"
"""Some white space: without a bound, a model could go on with it for ever."""
_LINE = rf"({_ANY}\n)?[ \t]*"
"""Text up to the beginning of a line."""


class _Lark:
    """The rules of a guide's grammar, written as they are needed, by their names."""

    def __init__(self, guide: Guide, speller: Speller) -> None:
        self._guide = guide
        self._format = guide.format
        self._offer = guide.offer or Offer([])
        self._speller = speller
        self.rules: dict[str, str] = {}

    def start(self) -> str | None:
        """What an answer is; None where that is anything, or the form alone."""
        for i, one in enumerate(self._guide.parameters):
            self._rule(f"a{i}", f"%json {_schema(one)}")
        thinks = self._format.thinking is not None
        if self._offer.must or self._guide.form:
            if not (self._offer.tools or thinks):
                return None
            ways = [self._calls()] if self._offer.tools else []
            if self._guide.form and not self._offer.must:
                ways.append("@form")
            body = self._rule("body", " | ".join(ways))
            return self._thinking(body, rf"/\n{{0,2}}/ {body}")
        if not self._offer.tools or self._format.noise or len(self._own) < len(self._format.forms):
            return None
        return self._thinking(self._stretch("first"), self._stretch("second"), "TEXT")

    def _rule(self, name: str, text: str, lazy: bool = False) -> str:
        self.rules.setdefault(name, f"{name}{'[lazy]' if lazy else ''}: {text}")
        return name

    @property
    def _own(self) -> list[Form]:
        """The format's own ways that a grammar can hold."""
        return [form for form in self._format.forms if isinstance(form.spelling, Json)]

    def _thinking(self, plain: str, behind: str, endless: str = "") -> str:
        """``plain``, or ``behind`` a thinking block: one that is open, or that the model may open, and where it may be
        ``endless`` need not close."""
        thinking, speller = self._format.thinking, self._speller
        if thinking is None:
            return plain
        thought = self._rule("thought", f"TEXT {speller.write(thinking.end)}", lazy=speller.plain(thinking.end))
        rest = f"({thought} {behind}{' | ' * bool(endless)}{endless})"
        if self._guide.opened:
            return rest
        begin = thinking.begin.rstrip()
        opens = rf"/{_BLANK}{_regex(begin)}/" if speller.plain(begin) else speller.write(begin)
        return f"{plain} | {opens} {rest}"

    # ------------------------------------------------------------ calls from the first token on

    def _calls(self) -> str:
        form = self._own[0]
        return f"{self._speller.write(form.open)} {self._call(form)} {self._more(form)}"

    def _call(self, form: Form) -> str:
        """The rule for a call of any tool."""
        return self._rule(f"call{self._format.forms.index(form)}", self._each(_written(form.call)))

    def _each(self, call: str) -> str:
        """``call`` with each tool's name and arguments."""
        head, _, tail = call.partition("$arguments")
        write = self._speller.write
        named = ((i, head.replace("$name", tool.function.name)) for i, tool in enumerate(self._offer.tools))
        return " | ".join(f"{write(head)} a{i} {write(tail)}" for i, head in named)

    def _more(self, form: Form) -> str:
        """What may follow a call in the same list, and what closes that. A bare object stands alone."""
        alone = self._offer.one or not (form.begin or form.between)
        further = "" if alone else f"({self._speller.write(form.between)} {self._call(form)})*"
        return f"{further} {self._speller.write(form.close)}"

    # ------------------------------------------------------------ text, until a call begins

    def _stretch(self, label: str) -> str:
        """The rule for text with calls in it. The ``first`` stretch doesn't begin like a thinking block; behind that,
        and at the first, calls may stand that only begin an answer."""
        thinking = self._format.thinking
        text, line = "TEXT", "LINE"
        self.rules.setdefault("LINE", f"LINE: /{_LINE}/")
        if label == "first" and thinking and not self._guide.opened and self._speller.plain(thinking.begin):
            text, line = "FIRST", "FIRST_LINE"
            other = rf"~/\s*{_regex(thinking.begin.rstrip())}{_ANY}/"
            self.rules["FIRST"] = f"FIRST: /{_ANY}/ & {other}"
            self.rules["FIRST_LINE"] = f"FIRST_LINE: /{_LINE}/ & {other}"
        ways = self._marked(label, text) + self._bare(label, line) + (self._bare(label, "") if label != "later" else [])
        rest = "" if self._offer.one else self._stretch("later") if label != "later" else label
        return self._rule(label, f"({' | '.join(ways)}) {rest} | {text}")

    def _marked(self, label: str, text: str) -> list[str]:
        """Calls that begin with a marker."""
        found: dict[str, str] = {}
        for form in self._own:
            if form.begin and form.begin not in found:
                plain, name = self._speller.plain(form.begin), f"{label}{self._format.forms.index(form)}"
                opens = self._rule(name, f"{text} {self._speller.write(form.begin)}", lazy=plain)
                call = self._each(_written(form.open + form.call).removeprefix(form.begin))
                rest = self._rule(f"rest{self._format.forms.index(form)}", call)
                found[form.begin] = f"{opens} {rest} {self._more(form) if form.open else ''}"
        return list(found.values())

    def _bare(self, label: str, line: str) -> list[str]:
        """Calls without a marker, at the beginning of a ``line``, or with none named of a stretch: known by their
        names."""
        forms = [form for form in self._own if not form.begin and form.where == ("line" if line else "start")]
        if not forms:
            return []
        keys = "|".join(key for key in ("arguments", "parameters") if any(f'"{key}"' in form.call for form in forms))
        fence = f"(```[a-z]{{0,8}}{_BLANK})?" if line else ""
        found: list[str] = []
        for i, tool in enumerate(self._offer.tools):
            colon, comma = f"{_BLANK}:{_BLANK}", f"{_BLANK},{_BLANK}"
            head = rf'{fence}\{{{_BLANK}"name"{colon}"{_regex(tool.function.name)}"{comma}"({keys})"'
            name = self._rule(f"{label}_{'line' if line else 'start'}{i}", rf"{line} /{_BLANK}{head}/", lazy=True)
            tail = r'"}" ("\n```")?' if line else f'"}}" {self._more(forms[0])}'
            found.append(rf"{name} /{_BLANK}:{_BLANK}/ a{i} {tail}")
        return found


def _schema(one: Constraint) -> str:
    return json.dumps(json.loads(one.grammar)["grammars"][0]["json_schema"])


def _written(text: str) -> str:
    """``text`` with all places but the name and the arguments filled."""
    return re.sub(r"\$(\w+)", lambda place: PLACES[place[1]][1] if place[1] in PLACES else place[0], text)


def _regex(text: str) -> str:
    return re.escape(text).replace("/", r"\/")
