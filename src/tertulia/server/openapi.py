"""GET /openapi.json: the interface, made from the types that read and write it."""

from functools import cache
from typing import Any, cast

import msgspec

from tertulia import __version__
from tertulia.types import ChatRequest, Chunk, Completion, ModelCard

_PRIVATE = {"ChatRequest": ("extra", "warnings", "caller", "asked"), "Chunk": ("raw", "meta")}
_ERRORS = {
    "400": "The request can't be answered as it is; `param` names the field at fault.",
    "401": "A token is needed.",
    "402": "The token has spent what it may.",
    "403": "The token doesn't permit this.",
    "404": "There is no such model.",
    "413": "The body is too large.",
    "429": "Too many chats wait; ask again after `Retry-After` seconds.",
    "502": "Whoever was asked failed; a provider's own status is kept.",
    "504": "Whoever was asked was silent for too long.",
}


@cache
def document() -> bytes:
    """The OpenAPI 3.1 document."""
    _, found = msgspec.json.schema_components(
        (ChatRequest, Completion, Chunk, ModelCard), ref_template="#/components/schemas/{name}"
    )
    schemas = cast(dict[str, dict[str, Any]], found)
    for name, fields in _PRIVATE.items():
        for field in fields:
            schemas[name]["properties"].pop(field)
    schemas["Error"] = _error()
    schemas["SnippetRequest"] = _snippet_request()
    ready = {"200": {"description": "Ready."}, "503": {"description": "Still loading."}}
    chat_answers = {
        "200": {
            "description": "The answer: whole, or with `stream: true` as server-sent events that end with `[DONE]`.",
            "content": {
                "application/json": {"schema": _ref("Completion")},
                "text/event-stream": {"schema": _ref("Chunk")},
            },
        }
    }
    paths: dict[str, Any] = {
        "/v1/chat/completions": {"post": _operation("Answer a chat", chat_answers, "ChatRequest", _ERRORS)},
        "/v1/chat/completions/input_tokens": {
            "post": _operation("Count a chat's prompt tokens", _ok("The count"), "ChatRequest", _ERRORS)
        },
        "/v1/models": {"get": _operation("List the models", _ok("The models"))},
        "/v1/models/{id}": {
            "parameters": [_named("id")],
            "get": _operation("Tell of a model", _ok("The model", "ModelCard"), None, {"404": _ERRORS["404"]}),
        },
        "/{provider}/v1/chat/completions": {
            "parameters": [_named("provider")],
            "post": _operation("Answer a chat, from this provider alone", chat_answers, "ChatRequest", _ERRORS),
        },
        "/api/models": {"get": _operation("The Hub's list of models, of those that are served here", _ok("A list"))},
        "/api/models/{id}": {
            "parameters": [_named("id")],
            "get": _operation("What the Hub's clients want to know of a model", _ok("The model")),
        },
        "/api/snippets": {
            "get": _operation("The languages and clients that there are snippets for", _ok("The languages")),
            "post": _operation("A request as code", _ok("The snippets"), "SnippetRequest", {"400": _ERRORS["400"]}),
        },
        "/api/tasks": {"get": _operation("The Hub's tasks, of which there is one here", _ok("The tasks"))},
        "/health": {"get": _operation("Whether chats can be answered", ready)},
        "/metrics": {"get": _operation("Figures in Prometheus' text format", {"200": {"description": "The figures."}})},
        "/openapi.json": {"get": _operation("This document", _ok("The document"))},
    }
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {"title": "Tertulia", "version": __version__, "description": "Chat completion, OpenAI-compatible."},
            "paths": paths,
            "components": {
                "schemas": schemas,
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            },
            "security": [{}, {"token": []}],
        }
    )


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _named(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _ok(description: str, schema: str | None = None) -> dict[str, Any]:
    content = {"application/json": {"schema": _ref(schema) if schema else {"type": "object"}}}
    return {"200": {"description": f"{description}.", "content": content}}


def _operation(
    summary: str, answers: dict[str, Any], body: str | None = None, failures: dict[str, str] | None = None
) -> dict[str, Any]:
    told = {"application/json": {"schema": _ref("Error")}}
    responses = answers | {status: {"description": text, "content": told} for status, text in (failures or {}).items()}
    operation: dict[str, Any] = {"summary": summary, "responses": responses}
    if body:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(body)}}}
    return operation


def _snippet_request() -> dict[str, Any]:
    word = {"type": "string"}
    settings = {"type": "object", "properties": {"base_url": word, "token": word, "bill_to": word}}
    fields = {"request": {"type": "object"}, "language": word, "client": word, "provider": word, "settings": settings}
    return {"type": "object", "required": ["request"], "properties": fields}


def _error() -> dict[str, Any]:
    maybe = {"type": ["string", "null"]}
    fields = {"message": {"type": "string"}, "type": {"type": "string"}, "param": maybe, "code": maybe}
    inner = {"type": "object", "required": list(fields), "properties": fields}
    return {"type": "object", "required": ["error"], "properties": {"error": inner}}
