"""What a request wants its answer to look like, out of the many ways in which clients say it.

OpenAI's ``response_format``, the spellings that Hugging Face's clients and TGI give it, and vLLM's
``structured_outputs`` come to one thing: a grammar in llguidance's terms, and what of it the model should be told.
"""

import json
from dataclasses import dataclass, field
from typing import Any, cast

from llguidance import LLMatcher

from tertulia.errors import BadRequest
from tertulia.types import ChatRequest

LONGEST = 256 << 10
"""Bytes that a schema, pattern or grammar may have."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """``grammar`` is llguidance's form of it, ``param`` where it stands in the request. Or ``schema`` is a JSON Schema
    that is yet to be made one, with llguidance's ``options`` for JSON, and ``grammar`` its text; without ``strict``
    what can't be enforced of it is passed over. ``note`` is for the model."""

    grammar: str
    param: str
    schema: Any = None
    strict: bool = True
    note: str = ""
    options: dict[str, Any] = field(default_factory=dict[str, Any])


def read_constraint(request: ChatRequest) -> Constraint | None:
    """The constraint of ``request``, if it has one. Raises BadRequest where it can't be understood."""
    asked, other = request.response_format or {}, request.structured_outputs or {}
    free = asked.get("type", "text") == "text"
    if other and not free:
        raise BadRequest("response_format and structured_outputs exclude each other", param="structured_outputs")
    if other:
        return _structured(other)
    if free:
        return None
    kind = asked["type"]
    if kind in ("json_object", "json_schema", "json"):
        return _json_format(kind, asked)
    if kind == "regex":
        return _regex(asked.get("value"), "response_format.value")
    known = "text, json_object, json_schema, json, regex"
    raise BadRequest(f"response_format.type is one of {known}, not {str(kind)[:40]!r}", param="response_format.type")


def _json_format(kind: str, asked: dict[str, Any]) -> Constraint:
    """``json_schema: {name, schema, ...}`` is OpenAI's; ``schema`` beside the type is what huggingface_hub sends to
    some providers, ``value`` what it sends to a TGI."""
    place, holder = "response_format", asked
    if isinstance(asked.get("json_schema"), dict):
        place, holder = "response_format.json_schema", asked["json_schema"]
    elif isinstance(asked.get("value"), dict) and isinstance(asked["value"].get("schema"), dict):
        place, holder = "response_format.value", asked["value"]
    elif kind == "json_schema" and "schema" not in asked and "value" not in asked:
        raise BadRequest("response_format.json_schema is required: {name, schema}", param="response_format.json_schema")
    name = "value" if holder is asked and "value" in asked else "schema"
    schema = holder.get(name)
    strict = holder.get("strict") is not False
    about = [str(holder[key]) for key in ("name", "description") if holder.get(key)] if holder is not asked else []
    note = f"Answer in JSON: {' - '.join(about)}." if about else ""
    return json_constraint({"type": "object"} if schema is None else schema, f"{place}.{name}", strict, note)


def _structured(asked: dict[str, Any]) -> Constraint:
    given = [name for name in ("json", "regex", "choice", "grammar") if asked.get(name) is not None]
    if len(given) != 1:
        raise BadRequest("structured_outputs holds one of json, regex, choice, grammar", param="structured_outputs")
    (name,) = given
    value, param = asked[name], f"structured_outputs.{name}"
    if name == "json":
        return json_constraint(value, param, strict=True)
    if name == "regex":
        return _regex(value, param)
    if name == "choice":
        choices = cast(list[Any], value) if isinstance(value, list) else []
        if not choices or not all(isinstance(choice, str) and choice for choice in choices):
            raise BadRequest(f"{param} is a list of the texts to choose from", param=param)
        lark = "start: " + " | ".join(json.dumps(choice, ensure_ascii=False) for choice in choices)
        return Constraint(LLMatcher.grammar_from_lark(_bounded(lark, param)), param)
    return Constraint(LLMatcher.grammar_from_lark(_bounded(value, param)), param)


def _regex(value: Any, param: str) -> Constraint:
    return Constraint(LLMatcher.grammar_from_regex(_bounded(value, param)), param)


def json_constraint(
    schema: Any, param: str, strict: bool, note: str = "", options: dict[str, Any] | None = None
) -> Constraint:
    """A JSON Schema, or its text, as a constraint. ``options`` are llguidance's for JSON."""
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except (ValueError, RecursionError):
            raise BadRequest(f"{param} is a JSON Schema, and this is not JSON", param=param) from None
    if not isinstance(schema, dict | bool):
        raise BadRequest(f"{param} is a JSON Schema: an object", param=param)
    try:
        text = _bounded(json.dumps(schema), param)
    except RecursionError:
        raise BadRequest(f"{param} is nested too deeply", param=param) from None
    return Constraint(f"{strict} {options} {text}", param, schema, strict, note, options or {})


def _bounded(value: Any, param: str) -> str:
    if not isinstance(value, str) or not value:
        raise BadRequest(f"{param} is a text", param=param)
    if len(value) > LONGEST:
        raise BadRequest(f"{param} is longer than {LONGEST >> 10} KiB", param=param)
    return value
