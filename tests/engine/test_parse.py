"""Outputs of many families, taken apart: whole, cut at every character, and token by token."""

import itertools
import json
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import schemas
import tiny
from tertulia.engine.formats import FORMATS, GENERIC, Format, find_format
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


# ---------------------------------------------------------------- whatever a model may write

_MARKERS = sorted(
    {word for one in (*FORMATS, GENERIC) for word in re.findall(r"</?[^\s<>$]+>|\[/?[A-Z_]+\]", one.words)}
)
_BITS = [
    *('{"name": "', '"name"', '{"', '"arguments": ', '"parameters": ', '", "', "{", "}", "[", "]", "(", ")", ",", ":"),
    *("get_weather", "ping", "search", "pong", "city", '"city"', "=", "'", '"', "\\", "\\n", "\\u00e9", "\\x4", "1"),
    *("true", "None", "tru", "3.5e", "-", " ", "\n", "\r\n", "\t", "a", "é", "🙂", "<", "</", "<|", "|>", "```"),
    *("```json\n", ";"),
]
_written = st.lists(st.sampled_from([*_MARKERS, *_BITS, *_BITS]), max_size=14).map("".join)


@settings(max_examples=400, deadline=None)
@given(
    format=st.sampled_from([*FORMATS, GENERIC]),
    text=_written,
    cuts=st.lists(st.integers(0, 200), max_size=6),
    opened=st.booleans(),
    cut=st.booleans(),
)
def test_nothing_depends_on_how_the_text_comes(
    format: Format, text: str, cuts: list[int], opened: bool, cut: bool
) -> None:
    patterns = Patterns(format, TOOLS)
    opened = opened and format.thinking is not None
    whole = put_together(Parser(patterns, opened), [text], cut)
    places = sorted({0, len(text), *(place for place in cuts if place < len(text))})
    parts = [text[a:b] for a, b in itertools.pairwise(places)]
    assert put_together(Parser(patterns, opened), parts, cut) == whole
    assert put_together(Parser(patterns, opened), list(text), cut) == whole


@settings(max_examples=200, deadline=None)
@given(format=st.sampled_from([*FORMATS, GENERIC]), text=_written)
def test_without_tools_and_thinking_all_is_text(format: Format, text: str) -> None:
    plain = Format("plain", format.forms)
    assert put_together(Parser(Patterns(plain, [])), list(text), False).content == text


@settings(max_examples=400, deadline=None)
@given(format=st.sampled_from([*FORMATS, GENERIC]), text=_written)
def test_whole_calls_have_arguments_that_are_json(format: Format, text: str) -> None:
    parser = Parser(Patterns(format, TOOLS))
    said = put_together(parser, [text], False)
    valid = 0
    for call in said.calls:
        try:
            valid += isinstance(json.loads(call["arguments"]), dict)
        except ValueError:
            continue
    assert valid >= parser.calls


def test_a_model_that_nests_without_end_is_read_to_its_end() -> None:
    text = "[get_weather(city=" + "[" * 5000
    said = put_together(Parser(Patterns(find_format("", "llama-4"), TOOLS)), list(text), False)
    assert said.calls[0]["name"] == "get_weather"
    assert said.finish == "stop"
