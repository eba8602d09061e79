"""What a request lets the model call, and the grammar that holds it to that.

Under ``auto`` the grammar lets all text pass until a call begins; from there on it must be a call of a tool on offer,
with arguments that follow its schema. ``required`` and a named tool begin with the call. A format that writes arguments
otherwise than in JSON is forced to write the generic envelope, and under ``auto`` left to itself.
"""

import json
from dataclasses import dataclass
from typing import Any, Literal, cast

from tertulia.engine.constraint import Constraint, json_constraint
from tertulia.engine.formats import GENERIC, PLACES, Form, Format, Json
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
    """What ``request`` offers; None when nothing may be called. Raises BadRequest for a choice that there is not."""
    tools, choice = request.tools or [], request.tool_choice or "auto"
    if not tools or choice == "none":
        return None
    one = request.parallel_tool_calls is False
    if choice in ("auto", "required"):
        return Offer(tools, must=choice == "required", one=one)
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
        schema = tool.function.parameters or {"type": "object", "properties": {}}
        options = {"item_separator": ", ", "key_separator": ": "}
        found.append(json_constraint(closed(schema), param, strict=tool.function.strict is True, options=options))
    if sum(len(one.grammar) for one in found) > LARGEST:
        raise BadRequest(f"the schemas of all tools have more than {LARGEST >> 20} MiB", param="tools")
    return found


def closed(schema: Any) -> Any:
    """``schema`` with objects that name their properties closed to others, where it doesn't say: what no function has a
    parameter for is not to be made up."""
    if not isinstance(schema, dict):
        return schema
    fields = cast(dict[str, Any], schema)
    closing = {"additionalProperties": False} if isinstance(fields.get("properties"), dict) else {}
    inner = {name: closed(value) for name, value in fields.items() if name == "items"}
    if closing:
        inner["properties"] = {name: closed(value) for name, value in fields["properties"].items()}
    if any(name in fields for name in ("allOf", "anyOf", "oneOf", "$ref", "patternProperties", "unevaluatedProperties")):
        closing = {}
    return closing | fields | inner


# ---------------------------------------------------------------- the grammar

Start = Literal["text", "thought"]


@dataclass(frozen=True, slots=True)
class Spelled:
    """How text is written in a grammar: special tokens by their ids, all else to the letter. ``ends`` are the tokens that
    end an answer: they are not part of it."""

    special: dict[str, int]
    ends: frozenset[int]

    def __call__(self, text: str) -> str:
        """``text`` as a sequence of the grammar's terms."""
        terms: list[str] = []
        while text:
            found = min((place, -len(word), word) for word in self.special if (place := text.find(word)) >= 0) if any(
                word in text for word in self.special
            ) else (len(text), 0, "")
            if found[0]:
                terms.append(json.dumps(text[: found[0]], ensure_ascii=False))
            if found[2] and self.special[found[2]] not in self.ends:
                terms.append(f"<[{self.special[found[2]]}]>")
            text = text[found[0] + len(found[2]) :]
        return " ".join(terms) or '""'
