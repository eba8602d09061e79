"""The whole of it, as a user meets it: `tertulia serve`, a real model, real clients."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema
import openai
import pydantic
import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient

from schemas import SPEC, carried, schema
from service import Service, default_model, environment, service, serving
from talk import Said, chat

__all__ = ["service"]
CPU = Path("/proc/cpuinfo")
AVX512 = CPU.exists() and "avx512f" in CPU.read_text()
PARIS = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture
def client(service: Service):
    with openai.OpenAI(base_url=f"{service.address}/v1", api_key="none", max_retries=0) as made:
        yield made


async def ask(service: Service, body: Any, path: str = "/v1/chat/completions") -> Said:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            service.address + path, data=io.BytesIO(data), headers={"Content-Type": "application/json"}
        ) as reply,
    ):
        return Said(reply.status, reply.headers, await reply.read())


def test_the_line_that_it_prints_works(service: Service):
    line = next(line for line in service.lines if line.strip().startswith("curl "))
    answer = subprocess.run(line, shell=True, capture_output=True, check=True, timeout=30)
    assert "Paris" in json.loads(answer.stdout)["choices"][0]["message"]["content"]


def test_openai_whole_and_streamed(client: openai.OpenAI):
    whole = client.chat.completions.create(model="default", messages=PARIS, temperature=0)
    assert whole.choices[0].message.content == "The capital of France is Paris."
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage and whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    stream = client.chat.completions.create(model="default", messages=PARIS, temperature=0, stream=True)
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    assert [chunk.choices[0].delta.role for chunk in chunks].count("assistant") == 1
    assert {chunk.id for chunk in chunks} == {chunks[0].id}


async def test_openai_async(service: Service):
    async with openai.AsyncOpenAI(base_url=f"{service.address}/v1", api_key="none") as client:
        stream = await client.chat.completions.create(model="default", messages=PARIS, temperature=0, stream=True)
        assert "Paris" in "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


def test_huggingface_hub_whole_and_streamed(service: Service):
    client = InferenceClient(base_url=f"{service.address}/v1")
    whole = client.chat.completions.create(messages=PARIS, temperature=0, logprobs=True, top_logprobs=5)
    assert whole.choices[0].message.content == "The capital of France is Paris."
    assert len(whole.choices[0].logprobs.content[0].top_logprobs) == 5
    stream = client.chat.completions.create(messages=PARIS, temperature=0, stream=True)
    assert "Paris" in "".join(chunk.choices[0].delta.content for chunk in stream)


async def test_huggingface_hub_async(service: Service):
    async with AsyncInferenceClient(base_url=f"{service.address}/v1") as client:
        whole = await client.chat.completions.create(messages=PARIS, temperature=0)
        assert "Paris" in whole.choices[0].message.content


def test_every_sampling_field_is_honoured(client: openai.OpenAI):
    def say(**fields: Any) -> Any:
        extra = {name: fields.pop(name) for name in list(fields) if name in BEYOND}
        messages = fields.pop("messages", [{"role": "user", "content": "Count from one to ten in words."}])
        answer = client.chat.completions.create(model="default", messages=messages, extra_body=extra, **fields)
        return answer.choices[0]

    text = say(temperature=0, max_tokens=40).message.content
    stop = text.split()[3]
    assert say(temperature=0, max_tokens=40, stop=stop).message.content == text[: text.index(stop)]
    assert say(temperature=0, max_tokens=3).finish_reason == "length"
    warm = [say(temperature=1.5, seed=seed, max_tokens=20).message.content for seed in (1, 1, 2)]
    assert warm[0] == warm[1] != warm[2]
    assert (
        say(temperature=2, top_k=1, max_tokens=20).message.content == say(temperature=0, max_tokens=20).message.content
    )
    assert (
        say(temperature=2, min_p=1, max_tokens=20).message.content == say(temperature=0, max_tokens=20).message.content
    )
    first = say(temperature=0, max_tokens=1, logprobs=True, top_logprobs=2).logprobs.content[0]
    assert first.logprob == first.top_logprobs[0].logprob
    banned = say(temperature=0, max_tokens=8, logit_bias={str(token): -100 for token in range(2000)})
    assert banned.message.content != text[:8]
    said = say(temperature=0, messages=PARIS, min_tokens=20, max_tokens=30).message.content
    assert len(said) > len("The capital of France is Paris.")
    went_on = say(temperature=0, messages=[*PARIS, {"role": "assistant", "content": "The capital of France is"}])
    assert went_on.message.content == " Paris."


BEYOND = {"top_k", "min_p", "min_tokens", "ignore_eos", "repetition_penalty", "stop_token_ids"}


class Person(pydantic.BaseModel):
    name: str
    age: int
    city: str


def test_an_answer_in_a_form_through_the_clients_own_ways(client: openai.OpenAI, service: Service):
    messages: Any = [{"role": "user", "content": "Maria is 31 and lives in Porto. Say so in JSON."}]
    parsed = client.chat.completions.parse(
        model="default", messages=messages, response_format=Person, temperature=0, max_tokens=200
    )
    assert parsed.choices[0].message.parsed == Person(name="Maria", age=31, city="Porto")
    hub = InferenceClient(base_url=f"{service.address}/v1")
    form: Any = {"type": "json_schema", "json_schema": {"name": "p", "schema": Person.model_json_schema()}}
    stream = hub.chat.completions.create(
        messages=messages, response_format=form, temperature=0, stream=True, max_tokens=200
    )
    said = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert Person.model_validate_json(said) == parsed.choices[0].message.parsed


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
def test_huggingface_hub_with_tools(service: Service, choice: Any):
    hub = InferenceClient(base_url=f"{service.address}/v1")
    schema = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"]}
    tool: Any = {"type": "function", "function": {"name": "get_weather", "parameters": schema}}
    messages: Any = [{"role": "user", "content": "What is the weather in Paris?"}]
    asked: dict[str, Any] = {"tools": [tool], "tool_choice": choice, "temperature": 0, "max_tokens": 100}
    whole = hub.chat.completions.create(messages=messages, **asked).choices[0]
    (call,) = whole.message.tool_calls
    assert whole.finish_reason == "tool_calls" and call.function.name == "get_weather"
    assert set(json.loads(call.function.arguments)) == {"city"}
    deltas = [
        call
        for chunk in hub.chat.completions.create(messages=messages, stream=True, **asked)
        for call in chunk.choices[0].delta.tool_calls or ()
    ]
    assert "".join(call.function.arguments or "" for call in deltas) == call.function.arguments
    said: Any = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    again = hub.chat.completions.create(messages=[*messages, whole.message, said], tools=[tool], max_tokens=10)
    assert again.choices[0].message.content or again.choices[0].message.tool_calls


def test_choices_share_their_prompt_and_differ(client: openai.OpenAI):
    answer = client.chat.completions.create(
        model="default", messages=[{"role": "user", "content": "Tell me a story about a fox, a crow, and cheese." * 4}],
        n=4, temperature=1.2, seed=5, max_tokens=12,
    )  # fmt: skip
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert len({choice.message.content for choice in answer.choices}) == 4
    assert answer.usage and answer.usage.completion_tokens == 48


def test_a_second_turn_finds_the_first_one_cached(client: openai.OpenAI):
    long = {"role": "user", "content": "A list of words: " + " ".join(f"word{index}" for index in range(120))}
    first = client.chat.completions.create(model="default", messages=[long], temperature=0, max_tokens=5)
    again = client.chat.completions.create(model="default", messages=[long], temperature=0, max_tokens=5)
    assert first.usage and again.usage and again.usage.prompt_tokens_details
    assert again.usage.prompt_tokens_details.cached_tokens > 0.9 * first.usage.prompt_tokens - 32
    assert again.choices[0].message.content == first.choices[0].message.content


async def test_the_same_answer_alone_and_in_a_crowd(service: Service):
    body = chat("Write a line about the sea.", temperature=0.9, top_p=0.95, seed=11, max_tokens=24)
    crowd = [chat(f"Tell me about the number {index}.", max_tokens=24, seed=index) for index in range(15)]

    async def beside(others: list[dict[str, Any]]) -> str:
        first, *_ = await asyncio.gather(*(ask(service, one) for one in [body, *others]))
        return first.json["choices"][0]["message"]["content"]

    # Without AVX-512 a row alone is computed by another kernel: there --exact is needed for alone to be as in company.
    alone = await beside([] if AVX512 else crowd[:1])
    assert await beside(crowd) == alone
    assert await beside(crowd[:6]) == alone


BAD: list[tuple[Any, int, str | None]] = [
    (b"{", 400, None),
    (b'{"messages": "\xff"}', 400, None),
    (b"[" * 50_000, 400, None),
    (b'{"messages": [{"role": "user", "content": "x"}], "temperature": NaN}', 400, None),
    (b'{"messages": [{"role": "user", "content": "\\ud83d"}]}', 400, None),
    ({}, 400, "messages"),
    ({"messages": []}, 400, "messages"),
    ({"messages": [{"role": "sir", "content": "x"}]}, 400, "messages[0].role"),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": 3}]}]}, 400, "messages[0].content[0].text"),
    (chat("x", temperature=3), 400, "temperature"),
    (chat("x", top_p=0), 400, "top_p"),
    (chat("x", top_logprobs=3), 400, "top_logprobs"),
    (chat("x", logprobs=True, top_logprobs=21), 400, "top_logprobs"),
    (chat("x", stop=["a", "b", "c", "d", "e"]), 400, "stop"),
    (chat("x", max_tokens=0), 400, "max_tokens"),
    (chat("x", max_tokens=-5), 400, "max_tokens"),
    (chat("x", n=0), 400, "n"),
    (chat("x", n=17), 400, "n"),
    (chat("x", max_tokens=100_000), 400, "max_tokens"),
    (chat("word " * 20_000), 400, "messages"),
    (chat("word " * 210_000), 400, "messages"),
    (chat("x", model="SmolLM2-135M-Instrukt"), 404, "model"),
    (chat("x", logit_bias={"99999999": 1}), 400, "logit_bias[99999999]"),
    (chat("x", response_format={"type": "xml"}), 400, "response_format.type"),
    (chat("x", structured_outputs={"regex": "(a"}), 400, "structured_outputs.regex"),
    (chat("x", tools=[{"type": "retrieval"}]), 400, "tools[0].type"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x/y.png"}}]}]}, 400,
     "messages[0].content[0]"),
]  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
async def test_bad_input_is_answered_and_disturbs_nobody(service: Service, stream: bool):
    quiet = asyncio.create_task(ask(service, chat("Tell me a story.", max_tokens=60, temperature=0, stream=True)))
    for body, status, param in BAD:
        if stream and isinstance(body, dict):
            body = body | {"stream": True}
        said = await ask(service, body)
        assert said.error["param"] == param, (str(body)[:100], said.body[:300])
        assert said.error["message"] and said.headers["x-request-id"]
        if not said.body.startswith(b": ping"):  # a megabyte may take longer to read than a stream is kept waiting
            assert said.status == status and said.headers["X-Error-Message"]
    assert len((await quiet).events) > 20


@pytest.mark.skipif(not SPEC.is_dir(), reason="the page's schemas are not at hand: ../shared/spec")
@pytest.mark.parametrize("fields", [{}, {"n": 2, "temperature": 1, "logprobs": True, "top_logprobs": 5}])
async def test_real_answers_hold_the_page_s_schemas(service: Service, fields: dict[str, Any]):
    whole = await ask(service, chat("Hello", max_tokens=12, **fields))
    jsonschema.validate(whole.json, schema("output.json"))
    usage = {"stream": True, "stream_options": {"include_usage": True}}
    said = await ask(service, chat("Hello", max_tokens=12, **fields, **usage))
    for event in carried(said.events):
        jsonschema.validate(event, schema("stream_output.json"))
    assert said.events[-1]["choices"] == [] and said.events[-1]["usage"]["completion_tokens"] > 0
    assert all(event["usage"] is None for event in said.events[:-1])


async def test_what_is_too_long_is_told_in_numbers(service: Service):
    error = (await ask(service, chat("word " * 20_000))).error
    assert error["code"] == "context_length_exceeded"
    assert "8192" in error["message"] and "200" in error["message"]


async def test_an_unknown_field_is_kept_and_told(service: Service):
    said = await ask(service, chat("Hello", max_tokens=2, colour="green"))
    assert said.status == 200 and "colour" in said.headers["x-tertulia-warnings"]


async def test_what_else_it_answers(service: Service):
    assert json.loads(service.get("/v1/models")[1])["data"][0]["id"] == default_model()
    assert json.loads(service.get(f"/v1/models/{default_model()}")[1])["id"] == default_model()
    assert b"tertulia_engine_kv_used_ratio" in service.get("/metrics")[1]
    assert json.loads(service.get("/openapi.json")[1])["openapi"].startswith("3.")
    counted = await ask(service, chat("What is the capital of France?"), "/v1/chat/completions/input_tokens")
    assert counted.json["input_tokens"] == 37
    assert service.get("/v1/embeddings")[0] == 404


def test_the_terminal_talks_to_the_server_and_to_a_model_of_its_own(service: Service, tmp_path: Path):
    command = [sys.executable, "-m", "tertulia.cli", "chat", "--temperature", "0", "What is the capital of France?"]
    for options in (["--url", f"{service.address}/v1"], ["--model", default_model()]):
        said = subprocess.run(
            [*command, *options], env=environment(tmp_path), capture_output=True, text=True, timeout=60
        )
        assert "Paris" in said.stdout, said.stderr


def engine_figure(service: Service, name: str) -> float:
    lines = service.get("/metrics")[1].decode().splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"tertulia_engine_{name}{{"))


def resident(pid: int) -> float:
    """MiB that a process holds."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


@pytest.mark.timeout(240)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
async def test_a_thousand_requests_of_which_a_third_are_given_up(service: Service):
    """None lost, none mixed up, all KV blocks back, memory flat."""
    gate, alone = asyncio.Semaphore(32), dict[int, str]()
    answered = given_up = 0

    async def one(session: aiohttp.ClientSession, index: int) -> None:
        nonlocal answered, given_up
        kind = index % 8
        body = chat(
            f"Write about the number {kind} and its friends.", max_tokens=6 + kind, seed=kind, stream=index % 2 == 0
        )
        async with gate:
            try:
                async with asyncio.timeout(0.02 + index % 7 * 0.04 if index % 3 == 0 else 100):
                    async with session.post(f"{service.address}/v1/chat/completions", json=body) as reply:
                        said = Said(reply.status, reply.headers, await reply.read())
            except TimeoutError:
                assert index % 3 == 0
                given_up += 1
                return
        text = said.said() if body["stream"] else said.json["choices"][0]["message"]["content"]
        assert alone.setdefault(kind, text) == text
        answered += 1

    async def wave(count: int) -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            await asyncio.gather(*(one(session, index) for index in range(count)))

    await wave(200)
    before = resident(service.process.pid), resident(service.engine())
    answered = given_up = 0
    await wave(1000)
    assert answered + given_up == 1000 and given_up > 100
    for _ in range(100):
        if engine_figure(service, "running_sequences") == 0:
            break
        await asyncio.sleep(0.05)
    assert engine_figure(service, "kv_used_ratio") == 0
    assert engine_figure(service, "queue_length") == 0
    after = resident(service.process.pid), resident(service.engine())
    assert after[0] - before[0] < 10 and after[1] - before[1] < 40, (before, after)
    assert after[0] < 90


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the engine is found in /proc")
async def test_an_engine_that_dies_is_told_of_and_started_again(tmp_path: Path):
    with serving(tmp_path) as service:
        # the port is open while the model loads, and who asks then is answered
        assert service.get("/health")[0] == 503
        assert "Paris" in (await ask(service, chat(PARIS[0]["content"], temperature=0, stream=True))).said()
        body = chat("Tell me a very long story.", max_tokens=2000, ignore_eos=True, stream=True)
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{service.address}/v1/chat/completions", json=body) as reply,
        ):
            await reply.content.readuntil(b"\n\n")
            lines = len(service.lines)
            os.kill(service.engine(), signal.SIGKILL)
            rest = (await reply.content.read()).split(b"\n\n")
        assert rest[-2:] == [b"data: [DONE]", b""]
        error = json.loads(rest[-3].removeprefix(b"data: "))["error"]
        assert error["type"] == "upstream_error" and "SIGKILL" in error["message"]
        service.find("(SIGKILL)", after=lines)
        again = await ask(service, chat("What is the capital of France?", temperature=0))
        assert "Paris" in again.json["choices"][0]["message"]["content"]


async def test_running_answers_are_ended_before_it_stops(tmp_path: Path):
    with serving(tmp_path) as service:
        service.wait()
        asked = asyncio.create_task(ask(service, chat("Tell me a story.", max_tokens=80, ignore_eos=True, stream=True)))
        while engine_figure(service, "running_sequences") < 1:
            await asyncio.sleep(0.01)
        service.process.send_signal(signal.SIGTERM)
        events = (await asked).events
        assert events[-1]["choices"][0]["finish_reason"] == "length"
        assert await asyncio.to_thread(service.process.wait, 20) == 0


def test_what_it_refuses_to_begin_with(service: Service, tmp_path: Path):
    def start(*options: str) -> str:
        command = [sys.executable, "-m", "tertulia.cli", "serve", *options]
        ended = subprocess.run(command, env=environment(tmp_path), capture_output=True, text=True, timeout=30)
        assert ended.returncode == 1
        return ended.stderr

    assert "tokens" in start("--host", "0.0.0.0", "--port", "0")
    port = service.address.rpartition(":")[2]
    assert f"port {port}" in start("--port", port)
    assert "tertulia pull" in start("--model", "Qwen/Nothing-Like-It")
