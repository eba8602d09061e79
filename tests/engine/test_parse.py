"""Outputs of many families, taken apart: whole, cut at every character, and token by token."""

import itertools
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

import schemas
import tiny
from tertulia.engine.formats import Format, find_format
from tertulia.engine.parse import Event, Parser, Patterns
from tertulia.types import Tool

OUTPUTS = Path(__file__).parent / "outputs"
TOOLS = msgspec.json.decode((OUTPUTS / "tools.json").read_bytes(), type=list[Tool])
FORMS = {
    "hermes": "hermes",
    "qwen25_coder": "hermes",
    "qwen3_coder": "qwen3-coder",
    "llama3": "llama-3",
    "llama4": "llama-4",
    "functools": "functools",
    "generic": "generic",
    "deepseek_r1": "deepseek-r1",
    "deepseek_v3": "deepseek-v3",
    "deepseek_v32": "deepseek-v3.2",
    "mistral_list": "mistral-list",
    "mistral_args": "mistral-args",
    "gpt_oss": "gpt-oss",
    "gemma4": "gemma-4",
    "glm": "glm",
    "kimi": "kimi",
}
"""The format of each file of outputs."""


def _files() -> dict[str, dict[str, Any]]:
    return {path.stem: tomllib.loads(path.read_text("utf-8")) for path in sorted(OUTPUTS.glob("*.toml"))}


FILES = _files()
CASES = [pytest.param(name, one, id=f"{name}: {one['name']}") for name, file in FILES.items() for one in file["output"]]


@dataclass
class Said:
    """An answer put together from events."""

    content: str | None = None
    reasoning: str | None = None
    calls: list[dict[str, str]] = field(default_factory=list)
    finish: str = "stop"


def format_of(name: str) -> Format:
    """The format that a file's outputs are in, with the thinking that its template knows."""
    template = FILES[name].get("template")
    source = schemas.shared("templates", template).read_text("utf-8") if template else ""
    return find_format(source, FORMS[name])


def put_together(parser: Parser, pieces: list[str], cut: bool) -> Said:
    events: list[Event] = []
    for piece in pieces:
        events += parser.feed(piece)
    events += parser.finish(cut)
    said = Said()
    whole = "".join(pieces)
    for event in events:
        if event.kind == "text":
            assert whole[event.start : event.start + len(event.text)] == event.text
            said.content = (said.content or "") + event.text
        elif event.kind == "thought":
            said.reasoning = (said.reasoning or "") + event.text
        elif event.kind == "call":
            said.calls.append({"name": event.text, "arguments": ""})
        else:
            said.calls[-1]["arguments"] += event.text
    if not said.calls:
        said.content = said.content or ""
    said.finish = "length" if cut else "tool_calls" if parser.calls else "stop"
    return said


def stated(one: dict[str, Any]) -> Said:
    return Said(one.get("content"), one.get("reasoning"), one.get("calls", []), one["finish"])


@pytest.mark.parametrize(("name", "one"), CASES)
def test_an_output_comes_to_what_is_stated_however_it_is_cut(name: str, one: dict[str, Any]) -> None:
    patterns = Patterns(format_of(name), TOOLS)
    text, opened, cut = one["text"], one.get("opened", False), one.get("cut", False)

    def parse(*pieces: str) -> Said:
        return put_together(Parser(patterns, opened), list(pieces), cut)

    assert parse(text) == stated(one)
    for place in range(1, len(text)):
        assert parse(text[:place], text[place:]) == stated(one), f"cut at {place}: {text[:place]!r}"
    assert parse(*text) == stated(one)
    tokens = tiny.tokenizer().encode(text, add_special_tokens=False)
    bounds = sorted({0, *(begin for begin, _ in tokens.offsets), len(text)})
    assert parse(*(text[a:b] for a, b in itertools.pairwise(bounds))) == stated(one)
