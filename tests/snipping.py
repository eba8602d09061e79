"""What it takes to run snippets: the prompt that holds everything, requests of every kind, a runner each language."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tertulia.snippets.ask import Settings
from tertulia.snippets.snippets import render
from tertulia.snippets.table import ROWS, Row

TESTS = Path(__file__).parent
MODULES = TESTS / "js" / "node_modules"
HOSTILE = (
    "What does :) mean? It's \"so\": '''a''' \"\"\"b\"\"\" \\ \\n \\\\ \\u0041 C:\\new\\'x' \n\n\ttab\r\nend "
    "${x} $HOME $(echo no) `echo no` </script><!-- %s %d {} {0} #{y} \U0001f600 \U0001f469\u200d\U0001f4bb \u2764\ufe0f"
    " \u2028 \u2029 \u0001 \u001b[31m \u007f \u0085 \u00a0 \u202e \ufeff \U000e0001 é ß 漢字 a'b END\nEND\n' \" \\"
)
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9"
    "awAAAABJRU5ErkJggg=="
)
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": f"The weather. {HOSTILE}",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    },
}
_SAID = [{"role": "user", "content": HOSTILE}]
_IMAGE = [{"type": "text", "text": HOSTILE}, {"type": "image_url", "image_url": {"url": PIXEL}}]
_CALL = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"a": 1}'}}
KINDS: dict[str, dict[str, Any]] = {
    "text": {"model": "echo", "messages": [{"role": "system", "content": "Be 'brief'.\n"}, *_SAID]},
    "image": {"model": "echo", "messages": [{"role": "user", "content": _IMAGE}]},
    "tools": {
        "model": "echo",
        "messages": [
            {"role": "user", "content": "?"},
            {"role": "assistant", "tool_calls": [_CALL]},
            {"role": "tool", "tool_call_id": "c", "content": HOSTILE},
        ],
        "tools": [TOOL],
        "tool_choice": "auto",
    },
    "form": {
        "model": "echo",
        "messages": _SAID,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "x", "schema": {"type": "object", "properties": {"$ref's": {"const": HOSTILE}}}},
        },
    },
    "odd": {
        "model": "echo",
        "messages": _SAID,
        "temperature": 0.5,
        "max_tokens": 100,
        "max_completion_tokens": 100,
        "top_k": 4,
        "min_p": 0.0,
        "seed": 9007199254740991,
        "stop": ["\n'''\n", 'x"'],
        "logprobs": True,
        "top_logprobs": 2,
        "logit_bias": {"50256": -100, "7": 1.5},
        "n": 2,
        "tools": [TOOL],
        "parallel_tool_calls": False,
        "tool_prompt": "`use` it",
        "reasoning_effort": "low",
        "stream_options": {"include_usage": True},
        "chat_template_kwargs": {"deep": {"er": [True, False, [], {}, [[]], ""]}, "not an identifier": 1},
        "extra_headers": {"x": "y"},
        "timeout": 1,
        "data": "not the body",
        "provider": {"order": ["a"]},
        "accessToken": 1,
        "endpointUrl": "http://elsewhere.invalid",
        "urlTransform": "x",
        "class": 1,
        "a-b": {"__proto__": {"x": 1}, "'": "\\"},
        "": 0,
    },
    "several": {"model": "echo", "messages": _SAID, "n": 3, "max_tokens": 1000},
}


@dataclass(frozen=True)
class Case:
    """A snippet that is to be run: ``user`` tells its request from the others."""

    row: Row
    kind: str
    stream: bool

    @property
    def name(self) -> str:
        return f"{self.row.language}-{self.row.client}-{self.kind}{'-stream' if self.stream else ''}"

    @property
    def request(self) -> dict[str, Any]:
        return KINDS[self.kind] | {"user": self.name} | ({"stream": True} if self.stream else {})


CASES = [Case(row, kind, stream) for row in ROWS for kind in KINDS for stream in (False, True)]


@dataclass
class Ran:
    """What a snippet printed, and how it failed."""

    out: str
    error: str


def write(cases: dict[str, tuple[Row, dict[str, Any]]], settings: Settings, folder: Path) -> None:
    """Put a file for each snippet into ``folder``, where JavaScript finds its clients."""
    (folder / "node_modules").symlink_to(MODULES)
    for name, (row, request) in cases.items():
        code = render(request, row.language, row.client, "", settings)
        (folder / f"{name}.{row.extension}").write_text(code, encoding="utf-8")


async def run(language: str, folder: Path, **variables: str) -> dict[str, Ran]:
    """What each snippet of a language in ``folder`` did. Skips the test where the machine lacks what it needs."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    env = kept | {"HF_HOME": str(folder / "hf"), "NO_PROXY": "127.0.0.1", "HF_HUB_DISABLE_TELEMETRY": "1"} | variables
    env["HF_ENDPOINT"] = "http://127.0.0.1:9"
    if language == "shell":
        return {file.stem: await _shell(file, env) for file in sorted(folder.glob("*.sh"))}
    if language == "python":
        argv = [sys.executable, str(TESTS / "snippets" / "run.py"), str(folder)]
    else:
        need_node(clients=True)
        argv = ["node", str(TESTS / "js" / "snippets.mjs"), str(folder)]
    out, error, status = await execute(argv, env)
    assert status == 0, error
    return {name: Ran(**told) for name, told in json.loads(out).items()}


def collect(strategy: st.SearchStrategy[Any], examples: int) -> list[Any]:
    """What a search tries, so that all of it can be checked by one process."""
    found: list[Any] = []

    @settings(max_examples=examples, database=None)
    @given(strategy)
    def take(value: Any) -> None:
        found.append(value)

    take()
    assert len(found) >= examples / 2
    return found


def need_node(*, clients: bool = False) -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    if clients and not MODULES.is_dir():
        pytest.skip("the JavaScript clients are not installed: npm ci in tests/js does it, and so does `make test`")


async def execute(argv: list[str], env: dict[str, str]) -> tuple[str, str, int]:
    process = await asyncio.create_subprocess_exec(*argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        async with asyncio.timeout(50):
            out, error = await process.communicate()
    except BaseException:
        process.kill()
        raise
    return out.decode(), error.decode(), process.returncode or 0


async def _shell(file: Path, env: dict[str, str]) -> Ran:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    out, error, status = await execute(["sh", str(file)], env)
    return Ran(out, error if status else "")
