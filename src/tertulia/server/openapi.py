"""GET /openapi.json: the interface, made from the types that read and write it, and from what ``openapi.toml`` says
that they mean."""

import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, cast

import msgspec
from msgspec import UNSET, Struct, structs

from tertulia import __version__, errors, sse, types
from tertulia.config import Server
from tertulia.server import shapes
from tertulia.types import ChatRequest, Chunk, ChunkChoice, Completion, Delta, Entry, ModelCard, Usage
from tertulia.wires import openai

Plain = dict[str, Any]

_PRIVATE = {"ChatRequest": ("extra", "warnings", "caller", "asked"), "Chunk": ("raw", "meta", "comment")}
_ANSWERS = ("Completion", "Chunk", "ModelCard", "Entry")
_ALWAYS = {"ModelCard": ("object",), "ProviderCard": ("status", "is_model_author")}
_KINDS = {"Chunk": "chat.completion.chunk", "Completion": "chat.completion", "ModelCard": "model"}
_FAILS = {
    "400": "The request can't be answered as it is; `param` names the field at fault.",
    "401": "A token is needed.",
    "402": "The token has spent what it may.",
    "403": "The token doesn't permit this.",
    "404": "There is no such model.",
    "413": "The body is too large.",
    "429": "Too many chats wait; ask again after `Retry-After` seconds.",
    "500": "A defect of this server's.",
    "502": "Whoever was asked failed; a provider's own status is kept.",
    "504": "Whoever was asked was silent for too long.",
}
_LIMITS = ("body_limit", "first_token_timeout", "idle_timeout", "total_timeout")


def document(server: Server) -> bytes:
    """The OpenAPI 3.1 document of a server with these settings. What OpenAPI has no words for (errors by their codes,
    policies, limits, a stream as it looks) stands under ``x-tertulia``."""
    fixed = _fixed()
    limits = {name: getattr(server, name) for name in _LIMITS}
    ours = fixed["x-tertulia"] | {"limits": limits}
    return msgspec.json.encode(fixed | {"x-tertulia": ours})


@cache
def _fixed() -> Plain:
    """All that doesn't depend on settings."""
    words = _words()
    said = [one for one in words["headers"] if one["on"] == "request" and one["name"] not in _OWN_PLACE]
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tertulia", "version": __version__, "description": "Chat completion, OpenAI-compatible."},
        "paths": _paths(words["paths"], [f"#/components/parameters/{one['name']}" for one in said]),
        "components": {
            "schemas": _schemas(words),
            "parameters": {one["name"]: _header(one) | {"name": one["name"], "in": "header"} for one in said},
            "headers": {one["name"]: _header(one) for one in words["headers"] if one["on"] == "answer"},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
        "x-tertulia": {
            "headers": words["headers"],
            "errors": _errors(words["errors"]),
            "policies": words["policies"],
            "stream": words["stream"] | {"example": _stream()},
        },
    }


_OWN_PLACE = ("authorization", "content-type")
"""Headers that OpenAPI wants told elsewhere, and not among the parameters."""


def _words() -> Plain:
    return tomllib.loads((Path(__file__).parent / "openapi.toml").read_text("utf-8"))


# ---------------------------------------------------------------- schemas


def _schemas(words: Plain) -> Plain:
    """Every type that travels, in our words."""
    _, found = msgspec.json.schema_components(
        (ChatRequest, Completion, Chunk, ModelCard, Entry, *shapes.ALL), ref_template="#/components/schemas/{name}"
    )
    schemas = cast(dict[str, Plain], found)
    for name, fields in _PRIVATE.items():
        for field in fields:
            schemas[name]["properties"].pop(field)
    asked = schemas["ChatRequest"]["properties"]
    asked["response_format"] = _either(shapes.FORMATS)
    asked["structured_outputs"] = _either((shapes.StructuredOutputs,))
    asked["tool_choice"] = _either(shapes.CHOICES, {"enum": ["auto", "none", "required"]}, {"type": "string"})
    asked["reasoning_effort"] = {"anyOf": [{"enum": list(openai.EFFORTS)}, {"type": "null"}]}
    schemas["Error"], schemas["Fault"] = _error()
    for name, kind in _KINDS.items():
        schemas[name]["properties"]["object"] = {"enum": [kind]}
    for place, text in words["unsent"].items():
        name, field = place.split(".")
        schemas[name]["properties"][field] = {"type": "null", "description": text, "x-unsent": True}
    wanted = _reached(schemas, ("ChatRequest", "Error", *_ANSWERS))
    for name in _reached(schemas, _ANSWERS):
        schemas[name]["required"] = _always(name)
    return {name: _tell(schemas[name], words[name]) for name in schemas if name in wanted}


def _either(kinds: Iterable[type[Struct]], *more: Plain) -> Plain:
    return {"anyOf": [*more, *(_ref(kind.__name__) for kind in kinds), {"type": "null"}]}


def _reached(schemas: dict[str, Plain], roots: Iterable[str]) -> set[str]:
    """The names of all schemas that ``roots`` lead to, themselves among them."""
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _pointers(schemas[name])
    return found


def _pointers(value: Any) -> list[str]:
    if isinstance(value, list):
        return [name for item in cast(list[Any], value) for name in _pointers(item)]
    if not isinstance(value, dict):
        return []
    fields = cast(Plain, value)
    own = [fields["$ref"].rpartition("/")[2]] if isinstance(fields.get("$ref"), str) else []
    return own + [name for item in fields.values() for name in _pointers(item)]


def _always(name: str) -> list[str]:
    """The fields that an answer's type always has: what a type demands of those who write it is not the same."""
    kind: type[Struct] = getattr(types, name)
    sparse = kind.__struct_config__.omit_defaults
    always = _ALWAYS.get(name, ())
    return [
        field.encode_name
        for field in structs.fields(kind)
        if field.encode_name not in _PRIVATE.get(name, ())
        and (field.encode_name in always or field.required or (field.default is not UNSET and not sparse))
    ]


def _tell(schema: Plain, words: Plain) -> Plain:
    """``schema`` with what it means, and what its fields do."""
    told = {name: value for name, value in schema.items() if name not in ("title", "description")}
    told |= {"description": words["is"], "properties": {}}
    for name, plain in schema["properties"].items():
        said = words.get(name, plain.get("description", ""))
        more: Plain = cast(Plain, said) if isinstance(said, dict) else {"is": said}
        field: Plain = plain | {"description": more["is"]}
        if "default" in more:  # null says only that it may be left out
            field = {key: value for key, value in field.items() if key != "default"} | {"x-default": more["default"]}
        if "example" in more:
            field["examples"] = [more["example"]]
        told["properties"][name] = field
    return told


def _error() -> tuple[Plain, Plain]:
    maybe = {"type": ["string", "null"]}
    fields = {"message": {"type": "string"}, "type": {"type": "string"}, "param": maybe, "code": maybe}
    inner = {"type": "object", "required": list(fields), "properties": fields}
    return {"type": "object", "required": ["error"], "properties": {"error": _ref("Fault")}}, inner


# ---------------------------------------------------------------- addresses


def _paths(rows: list[Plain], headers: list[str]) -> Plain:
    paths: Plain = {}
    for row in rows:
        at, names = row["at"], [part[1:-1] for part in row["at"].split("/") if part.startswith("{")]
        place = paths.setdefault(at, {"parameters": [_named(name) for name in names]} if names else {})
        place[row["method"]] = _operation(row, headers)
    return paths


def _operation(row: Plain, headers: list[str]) -> Plain:
    body = row.get("body")
    fails = row.get("fails", _FAILS if body == "ChatRequest" else ())
    told = {"application/json": {"schema": _ref("Error")}}
    responses = _success(row["answer"]) | {code: {"description": _FAILS[code], "content": told} for code in fails}
    operation: Plain = {"summary": row["is"], "responses": responses}
    if body:
        schema = _ref(body) if body != "object" else {"type": "object"}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if body == "ChatRequest":
        operation["parameters"] = [{"$ref": pointer} for pointer in headers]
    return operation


def _success(answer: str) -> Plain:
    """The answer of a route: by its kind, its type's name, or in words."""
    match answer:
        case "chat":
            whole, piece = {"schema": _ref("Completion")}, {"schema": _ref("Chunk")}
            content = {"application/json": whole, "text/event-stream": piece}
            names = [one["name"] for one in _words()["headers"] if one["on"] == "answer"]
            headers = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
            text = "The answer: whole, or with `stream: true` as server-sent events that end with `[DONE]`."
            return {"200": {"description": text, "headers": headers, "content": content}}
        case "health":
            return {"200": {"description": "Ready."}, "503": {"description": "Still loading."}}
        case "text":
            return {"200": {"description": "A text.", "content": {"text/plain": {"schema": {"type": "string"}}}}}
        case _:
            known = hasattr(types, answer)
            schema = _ref(answer) if known else {"type": "object"}
            text = "It." if known else f"{answer}."
            return {"200": {"description": text, "content": {"application/json": {"schema": schema}}}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _named(name: str) -> Plain:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _header(one: Plain) -> Plain:
    return {"description": one["is"], "schema": {"type": "string"}, "example": one["example"]}


# ---------------------------------------------------------------- errors and streams


def _errors(words: dict[str, list[str]]) -> list[Plain]:
    """The errors that a caller can see, by status: what each means, and what to do about it."""
    told: list[Plain] = []
    for name, (what, advice) in words.items():
        kind: type[errors.TertuliaError] = getattr(errors, name)
        told.append(
            {
                "status": kind.status,
                "type": kind.type,
                "code": kind.code,
                "retryable": kind.retryable,
                "is": what,
                "do": advice,
            }
        )
    return sorted(told, key=lambda one: one["status"])


def _stream() -> str:
    """A short stream as it looks on the wire, written by what writes them all."""
    about: Plain = {"id": "chatcmpl-1", "created": 1764000000, "model": "org/model", "system_fingerprint": "fp_1"}
    pieces = [Delta(role="assistant", content="Lis"), Delta(content="bon"), Delta()]
    ends = [None, None, "stop"]
    chunks = [
        Chunk(**about, choices=[ChunkChoice(index=0, delta=delta, finish_reason=end)])
        for delta, end in zip(pieces, ends, strict=True)
    ]
    spent = Usage(prompt_tokens=12, completion_tokens=3, total_tokens=15)
    chunks.append(Chunk(**about, choices=[], usage=spent))
    events = [sse.encode(openai.write_chunk(chunk, include_usage=True)) for chunk in chunks]
    return b"".join([sse.PING, *events, sse.DONE]).decode()
