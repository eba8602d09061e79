"""Every snippet is run: each client, streaming and not, with every kind of request, against a server that answers."""

import asyncio
import functools
import json
import re
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from echo import Echo, text
from snipping import CASES, HOSTILE, KINDS, Case, Ran, run, write
from tertulia.config import Config
from tertulia.server.app import running
from tertulia.server.exchange import Exchange
from tertulia.snippets.ask import Settings
from tertulia.snippets.table import find, languages
from tertulia.types import ChatRequest, Chunk, ChunkChoice, ChunkMeta, Delta, DeltaCall, DeltaFunction, Usage

CUTS = 7


class Parrot(Echo):
    """Says the last message back letter for letter, a few characters a chunk; calls the first tool in two pieces."""

    async def _answer(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        said, meta = text(request.messages[-1].content).removesuffix(" "), ChunkMeta(provider="parrot")
        for index in range(request.n or 1):
            for at in range(0, len(said), CUTS):
                delta = Delta(content=said[at : at + CUTS], role=None if at else "assistant")
                yield self._chunk(request, ChunkChoice(index=index, delta=delta), meta)
            for call in self._calls(request):
                yield self._chunk(request, ChunkChoice(index=index, delta=Delta(tool_calls=[call])))
            end = "tool_calls" if request.tools else "stop"
            yield self._chunk(request, ChunkChoice(index=index, delta=Delta(content=""), finish_reason=end))
        last = self._chunk(request)
        last.usage = Usage(prompt_tokens=11, completion_tokens=22, total_tokens=33)
        yield last

    def _calls(self, request: ChatRequest) -> list[DeltaCall]:
        if not request.tools:
            return []
        begun = DeltaFunction(name=request.tools[0].function.name, arguments='{"a":')
        return [
            DeltaCall(index=0, id="call-1", type="function", function=begun),
            DeltaCall(index=0, function=DeltaFunction(arguments="1}")),
        ]


@dataclass
class Seen:
    """What the server got: bodies by the ``user`` in them, and the headers of all."""

    bodies: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    headers: list[Any] = field(default_factory=list[Any])
    ran: dict[str, Ran] = field(default_factory=dict[str, Ran])


async def observe(cases: list[Case], folder: Path, settings: Settings, **variables: str) -> Seen:
    """Run ``cases``, all of one language, against a Parrot."""
    seen, read = Seen(), Exchange.body

    async def body(self: Exchange, limit: int, silence: float) -> bytes:
        got = await read(self, limit, silence)
        given = json.loads(got)
        seen.bodies[given["user"]] = given
        seen.headers.append(self.request.headers)
        return got

    config = Config()
    config.server.port = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Exchange, "body", body)
        async with running(Parrot(), config) as url:
            here = Settings(f"{url}/v1", settings.token, settings.bill_to)
            write({case.name: (case.row, case.request) for case in cases}, here, folder)
            seen.ran = await run(cases[0].row.language, folder, **variables)
    return seen


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Seen]:
    """What came of all snippets of a language."""

    @functools.cache
    def seen(language: str) -> Seen:
        cases = [case for case in CASES if case.row.language == language]
        return asyncio.run(observe(cases, tmp_path_factory.mktemp(language), Settings()))

    return seen


def exact(value: Any) -> str:
    """``value`` so that what differs in JSON differs: true is not 1, but 1.0 is."""
    match value:
        case dict():
            return "{" + ",".join(f"{json.dumps(name)}:{exact(value[name])}" for name in sorted(value)) + "}"
        case list():
            return "[" + ",".join(exact(item) for item in value) + "]"
        case float() if value.is_integer():
            return str(int(value))
        case _:
            return json.dumps(value)


def meant(case: Case) -> dict[str, Any]:
    """The body that is to arrive: the request, and what the client can't but do to it."""
    body = dict(case.request)
    if case.row.client == "huggingface_hub":
        body = {"stream": False} | body
        form = body.get("response_format", {})
        if form.get("type") == "json_schema":
            body["response_format"] = {"type": "json_object", "value": form["json_schema"]["schema"]}
    return body


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
class TestEveryClient:
    def test_runs_and_sends_the_request_as_it_was_meant(self, case: Case, seen: Callable[[str], Seen]):
        found = seen(case.row.language)
        assert not found.ran[case.name].error
        assert exact(found.bodies[case.name]) == exact(meant(case))

    def test_prints_the_whole_answer(self, case: Case, seen: Callable[[str], Seen]):
        out = seen(case.row.language).ran[case.name].out
        if case.row.client == "curl":
            assert answer(out, case.stream) == dict.fromkeys(range(case.request.get("n", 1)), HOSTILE)
            return
        choices = case.request.get("n", 1)
        if case.stream:
            said = f"{HOSTILE}\n" if choices == 1 else "".join(f"{index}: {HOSTILE}\n" for index in range(choices))
            assert out.startswith(said)
            rest = out.removeprefix(said)
            assert len(re.findall("weather", rest)) == (choices if "tools" in case.request else 0)
            assert ("33" in rest) == ("stream_options" in case.request)
            assert bool(rest) == ("tools" in case.request or "stream_options" in case.request)
        else:
            said = repr(HOSTILE) if case.row.language == "python" else "What does :) mean?"
            assert out.count(said) == choices
            assert out.count("weather") >= (choices if "tools" in case.request else 0)
        if "tools" in case.request:
            assert out.replace("\\", "").count('{"a":1}') == choices


def answer(out: str, stream: bool) -> dict[int, str]:
    """What curl printed, by choice."""
    if not stream:
        return {choice["index"]: choice["message"]["content"] for choice in json.loads(out)["choices"]}
    frames = out.split("\n\n")
    assert frames[-2:] == ["data: [DONE]", ""]
    said: dict[int, str] = {}
    for frame in frames[:-2]:
        for choice in json.loads(frame.removeprefix("data: "))["choices"]:
            said[choice["index"]] = said.get(choice["index"], "") + (choice["delta"].get("content") or "")
    return said


def test_there_is_a_case_for_every_client_and_kind():
    assert len({case.name for case in CASES}) == 7 * 2 * len(KINDS)


@pytest.mark.parametrize("language", languages())
async def test_the_token_and_who_pays_travel_in_headers(language: str, tmp_path: Path):
    cases = [Case(row, "text", False) for row in find(language)]
    found = await observe(cases, tmp_path, Settings(token="MY_TOKEN", bill_to="acme"), MY_TOKEN="hf_$secret'\"")
    assert not [ran.error for ran in found.ran.values() if ran.error]
    assert [headers["Authorization"] for headers in found.headers] == ["Bearer hf_$secret'\""] * len(cases)
    assert [headers["X-HF-Bill-To"] for headers in found.headers] == ["acme"] * len(cases)


async def test_a_body_too_long_for_an_argument_goes_in_by_another_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    long = {"model": "echo", "messages": [{"role": "user", "content": "it's é\n" * 40_000}]}
    monkeypatch.setitem(KINDS, "long", long)
    case = Case(find("shell")[0], "long", False)
    found = await observe([case], tmp_path, Settings())
    assert not found.ran[case.name].error
    assert found.bodies[case.name] == case.request
