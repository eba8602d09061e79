"""The page's schemas, where they are at hand: in a folder beside the checkout. They are other people's text, and
not ours to keep."""

import json
from pathlib import Path
from typing import Any, cast

import pytest

SPEC = Path(__file__).parents[2] / "shared" / "spec"


def schema(name: str) -> dict[str, Any]:
    return cast(dict[str, Any], nullable(json.loads((SPEC / name).read_text())))


def nullable(node: Any) -> Any:
    """JSON Schema draft 6 doesn't know ``nullable``: null is allowed where it stands."""
    if isinstance(node, list):
        return [nullable(item) for item in node]
    if not isinstance(node, dict):
        return node
    plain = {key: nullable(value) for key, value in node.items() if key != "$id"}
    return {"anyOf": [{"type": "null"}, plain]} if node.get("nullable") is True else plain


def carried(events: list[Any]) -> list[Any]:
    """Events with what stands in a first delta only carried to those that follow."""
    roles: dict[int, str] = {}
    calls: dict[tuple[int, int], dict[str, Any]] = {}
    for event in events:
        for choice in event["choices"]:
            delta = choice["delta"]
            roles[choice["index"]] = delta.setdefault("role", roles.get(choice["index"]))
            for call in delta.get("tool_calls") or ():
                first = calls.setdefault((choice["index"], call["index"]), call)
                for name in ("id", "type"):
                    call.setdefault(name, first[name])
            if delta.get("tool_calls"):
                delta.pop("content", None)
    return events


def shared(*names: str) -> Path:
    """A file of the folder beside the checkout; the test is skipped, by name, where it is missing."""
    path = SPEC.parent.joinpath(*names)
    if not path.exists():
        pytest.skip(f"../shared/{'/'.join(names)} is not here")
    return path
