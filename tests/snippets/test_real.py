"""Snippets over the default model: whoever copies one gets its answer."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from service import Service, service
from snipping import run, write
from tertulia.snippets.ask import Settings
from tertulia.snippets.table import ROWS, Row, find, languages

__all__ = ["service"]
ASK: dict[str, Any] = {
    "model": "default",
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
    "temperature": 0,
    "max_tokens": 16,
}
FORM = {
    "type": "json_schema",
    "json_schema": {
        "name": "place",
        "schema": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Paris", "Lyon"]}},
            "required": ["city"],
        },
    },
}
KINDS = {"text": ASK, "form": ASK | {"response_format": FORM}}


@pytest.mark.parametrize("language", languages())
def test_the_default_model_answers(language: str, service: Service, tmp_path: Path):
    cases: dict[str, tuple[Row, dict[str, Any]]] = {
        f"{row.client}-{kind}-{'stream' if stream else 'whole'}": (row, request | ({"stream": True} if stream else {}))
        for row in find(language)
        for kind, request in KINDS.items()
        for stream in (False, True)
    }
    write(cases, Settings(f"{service.address}/v1"), tmp_path)
    ran = asyncio.run(run(language, tmp_path))
    assert {name: one.error for name, one in ran.items() if one.error} == {}
    assert len(ran) == 4 * len([row for row in ROWS if row.language == language])
    for name, one in ran.items():
        assert "Paris" in one.out or "Lyon" in one.out, (name, one.out)
