"""Messages with tools, calls and results, and what becomes of them on the wire."""

import json
from typing import Any

import pytest
from hypothesis import strategies as st

from tertulia.errors import BadRequest
from tertulia.types import ChatRequest
from tertulia.wires import openai

HELLO = {"role": "user", "content": "Hello"}
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from(["", "f", "g", "object", "string", "{}", "{", "#/a"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["type", "properties", "items", "anyOf", "$ref", "name", "function", "tools"]),
            inner,
            max_size=2,
        )
    ),
    max_leaves=5,
)
"""Whatever JSON may hold, in the words of tools."""


def tool(name: Any = "f", **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name} | fields}


def call(given: Any = None, arguments: Any = "{}", name: str = "f") -> dict[str, Any]:
    return {"id": given, "type": "function", "function": {"name": name, "arguments": arguments}}


def asks(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls)}


def result(given: Any = None) -> dict[str, Any]:
    return {"role": "tool", "content": "4", "tool_call_id": given}


def read(*messages: dict[str, Any], **fields: Any) -> ChatRequest:
    return openai.read_request(json.dumps({"messages": [HELLO, *messages]} | fields).encode())


def refused(*messages: dict[str, Any], **fields: Any) -> tuple[str | None, str]:
    with pytest.raises(BadRequest) as caught:
        read(*messages, **fields)
    return caught.value.param, caught.value.message


def ids(request: ChatRequest) -> list[Any]:
    """The ids of calls, in a list for each message, and of results."""
    found: list[Any] = []
    for message in request.messages:
        if message.tool_calls:
            found.append([made.id for made in message.tool_calls])
        if message.role == "tool":
            found.append(message.tool_call_id)
    return found
