"""Chats, whole and streamed: what a client gets, and when."""

import asyncio
import time
from typing import Any

import pytest

from echo import MODEL, Echo
from talk import Ask, chat, post, until
from tertulia.config import Config


async def test_a_whole_answer_is_the_fold_of_the_stream(ask: Ask):
    whole = await ask(chat("one two three", n=2))
    assert whole.status == 200
    assert whole.headers["Content-Type"].startswith("application/json")
    assert [choice["message"]["content"] for choice in whole.json["choices"]] == ["one two three"] * 2
    assert whole.json["usage"]["prompt_tokens_details"] == {"cached_tokens": 0}
    stream = await ask(chat("one two three", n=2, stream=True))
    assert [stream.said(0), stream.said(1)] == ["one two three"] * 2


async def test_a_stream_spells_each_event_and_its_end_exactly(ask: Ask):
    said = await ask(chat("one two", stream=True))
    assert said.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert said.body.endswith(b"\n\ndata: [DONE]\n\n")
    deltas = [event["choices"][0]["delta"] for event in said.events]
    assert [delta.get("role") for delta in deltas] == ["assistant", None, None]
    assert all(isinstance(delta["content"], str) for delta in deltas)
    assert [event["choices"][0]["finish_reason"] for event in said.events] == [None, None, "stop"]


async def test_usage_comes_last_and_only_when_asked_for(ask: Ask):
    unasked = await ask(chat("one", stream=True))
    assert all("usage" not in event and event["choices"] for event in unasked.events)
    asked = await ask(chat("one", stream=True, stream_options={"include_usage": True}))
    *chunks, last = asked.events
    assert all(event["usage"] is None for event in chunks)
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 2)


async def test_the_head_and_the_first_event_come_in_one_piece(connect: Any):
    for _ in range(5):
        reader, writer = await connect(post(chat("one !0.05 two", stream=True)))
        assert b"data: {" in (await reader.read(65536)).partition(b"\r\n\r\n")[2]
        writer.close()


async def test_events_that_are_there_at_once_come_at_once(connect: Any):
    reader, _ = await connect(post(chat("one two three four five six", stream=True)))
    answer = await reader.readuntil(b"0\r\n\r\n")
    assert answer.partition(b"\r\n\r\n")[2].count(b"\r\ndata: ") <= 2  # chunks of the transfer encoding


async def test_each_event_comes_as_soon_as_it_is_said(connect: Any):
    reader, _ = await connect(post(chat("one !0.2 two !0.2 three", stream=True)))
    times = []
    for word in (b"one", b" two", b" three"):
        await reader.readuntil(b'"content":"' + word)
        times.append(time.monotonic())
    assert times[1] - times[0] > 0.1 and times[2] - times[1] > 0.1


async def test_after_a_second_of_silence_the_head_goes_out_with_pings(connect: Any):
    asked = time.monotonic()
    reader, _ = await connect(post(chat("!2.3 one", stream=True)))
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"200 OK" in head and 0.9 < time.monotonic() - asked < 1.6
    rest = await reader.readuntil(b"[DONE]")
    assert rest.count(b": ping\n\n") == 2
    assert rest.index(b": ping") < rest.index(b"one")


async def test_before_the_head_an_error_is_a_status_and_after_it_an_event(ask: Ask):
    early = await ask(chat("!upstream one", stream=True))
    assert (early.status, early.error["code"]) == (502, "upstream_error")
    late = await ask(chat("one !upstream", stream=True))
    assert late.status == 200
    assert late.events[-1]["error"] == {
        "message": "the backend was cut off",
        "type": "upstream_error",
        "param": None,
        "code": "upstream_error",
    }
    pinged = await ask(chat("!1.1 !busy", stream=True))
    assert (pinged.status, pinged.events) == (200, [pinged.events[0]])
    assert pinged.events[0]["error"]["code"] == "queue_full"


async def test_a_whole_answer_fails_with_a_status_however_late(ask: Ask):
    said = await ask(chat("one two !upstream"))
    assert (said.status, said.error["code"]) == (502, "upstream_error")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_defect_of_ours_is_500_and_names_the_request(ask: Ask, stream: bool, caplog: pytest.LogCaptureFixture):
    said = await ask(chat("!defect", stream=stream), x_request_id="mine")
    assert (said.status, said.error["code"]) == (500, "internal_error")
    assert "mine" in said.error["message"]
    assert "ZeroDivisionError" in caplog.text and "ZeroDivisionError" not in said.error["message"]


async def test_a_defect_after_the_head_is_an_event(ask: Ask):
    assert (await ask(chat("one !defect", stream=True))).events[-1]["error"]["code"] == "internal_error"


async def test_busy_is_429_and_says_when_to_come_back(ask: Ask):
    said = await ask(chat("!busy"))
    assert (said.status, said.headers["Retry-After"]) == (429, "7")


async def test_an_answer_tells_who_gave_it_and_what_was_ignored(ask: Ask):
    for stream in (False, True):
        said = await ask(chat("!warn one", flavour="mint", stream=stream), x_request_id="my-request")
        assert said.status == 200
        assert said.headers["x-inference-provider"] == "echo"
        assert said.headers["x-request-id"] == "my-request"
        assert said.headers.getall("x-tertulia-warnings") == ["flavour is not a known field", "something was ignored"]


async def test_a_request_id_that_is_no_id_is_replaced(ask: Ask):
    for odd in ("a b", "x" * 200, "é", ""):
        assert (await ask(chat("one"), x_request_id=odd)).headers["x-request-id"].startswith("req-")


async def test_strict_makes_errors_of_warnings(ask: Ask, backend: Echo):
    unknown = await ask(chat("one", flavour="mint"), x_tertulia_strict="1")
    assert unknown.status == 400 and "flavour" in unknown.error["message"]
    assert backend.requests == []
    for stream in (False, True):
        late = await ask(chat("!warn one", stream=stream), x_tertulia_strict="1")
        assert late.status == 400 and "something was ignored" in late.error["message"]
    await until(lambda: backend.closed == 2)


async def test_a_field_that_the_backend_cannot_honour_is_named(ask: Ask, backend: Echo):
    backend.refuses = ("tools", "response_format")
    said = await ask(chat("one", tools=[{"type": "function", "function": {"name": "f"}}]))
    assert (said.status, said.error["code"], said.error["param"]) == (400, "unsupported_parameter", "tools")
    assert (await ask(chat("one"))).status == 200


async def test_tool_calls_are_whole_in_a_whole_answer(ask: Ask):
    said = await ask(chat("", tools=[{"type": "function", "function": {"name": "f"}}]))
    message = said.json["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"] == [
        {"id": "call-1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    ]


async def test_the_prompt_is_counted_without_an_answer(ask: Ask, backend: Echo):
    said = await ask(chat("one two three"), "/v1/chat/completions/input_tokens")
    assert said.json == {"object": "chat.completion.input_tokens", "input_tokens": 3}
    assert backend.requests == []


async def test_the_request_reaches_the_backend_whole(ask: Ask, backend: Echo):
    await ask(chat("one", temperature=0.5, flavour="mint", model="echo"), x_request_id="r1")
    request = backend.requests[0]
    assert (request.temperature, request.extra, request.model) == (0.5, {"flavour": "mint"}, MODEL)
    assert (request.caller.name, request.caller.request_id) == ("local", "r1")


# ---------------------------------------------------------------- time


@pytest.fixture
def short(config: Config) -> Config:
    config.server.first_token_timeout = 0.3
    config.server.idle_timeout = 0.2
    return config


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("stream", [False, True])
async def test_a_backend_that_does_not_begin_is_a_504(stream: bool, ask: Ask, backend: Echo):
    said = await ask(chat("!stall one", stream=stream))
    assert (said.status, said.error["code"]) == (504, "timeout")
    assert "did not begin within 0.3 s" in said.error["message"]
    assert (backend.open, backend.closed) == (0, 1)


@pytest.mark.usefixtures("short")
async def test_a_backend_that_pauses_too_long_is_told_in_the_stream(ask: Ask, backend: Echo):
    said = await ask(chat("one !stall two", stream=True))
    assert said.events[-1]["error"]["message"] == "the answer paused for 0.2 s (idle_timeout in [server])"
    assert (await ask(chat("one !stall two"))).status == 504
    assert (backend.open, backend.closed) == (0, 2)


@pytest.mark.usefixtures("short")
async def test_a_slow_answer_that_never_pauses_too_long_is_left_alone(ask: Ask):
    assert (await ask(chat("!0.1 a !0.1 b !0.1 c !0.1 d !0.1 e", stream=True))).said() == "a b c d e"


async def test_the_whole_answer_can_be_bounded_too(ask: Ask, config: Config):
    config.server.total_timeout = 0.3
    said = await ask(chat("a !0.1 b !0.1 c !0.1 d !0.1 e !0.1 f", stream=True))
    assert "was not done after 0.3 s" in said.events[-1]["error"]["message"]
    assert said.events[0]["choices"][0]["delta"]["content"] == "a"


# ---------------------------------------------------------------- clients that go


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("content", ["!stall", "one !stall", "one !0.3 two !stall"])
async def test_a_client_that_hangs_up_stops_the_work(stream: bool, content: str, connect: Any, backend: Echo):
    _, writer = await connect(post(chat(content, stream=stream)))
    await until(lambda: backend.open == 1)
    await asyncio.sleep(0.05)
    writer.close()
    await until(lambda: backend.closed == 1, 0.5)
    assert backend.open == 0


async def test_a_client_that_resets_its_connection_stops_the_work(connect: Any, backend: Echo):
    _, writer = await connect(post(chat("one !stall", stream=True)))
    await until(lambda: backend.open == 1)
    writer.transport.abort()
    await until(lambda: backend.closed == 1, 0.5)


async def test_a_client_that_closes_its_half_of_the_connection_has_hung_up(connect: Any, backend: Echo):
    reader, writer = await connect(post(chat("one !stall", stream=True)))
    await until(lambda: backend.open == 1)
    writer.write_eof()
    await until(lambda: backend.closed == 1, 0.5)
    await reader.read()


async def test_a_client_that_does_not_read_stops_nobody_else(connect: Any, ask: Ask, backend: Echo, config: Config):
    config.server.idle_timeout = 0.5
    long = " ".join(["word" * 1000] * 4000)
    _, writer = await connect(post(chat(long, stream=True)))
    writer.transport.pause_reading()
    await until(lambda: backend.open == 1)
    assert (await ask(chat("one"))).status == 200
    await until(lambda: backend.closed == 1, 5)  # it did not read for as long as a backend may be silent
    assert backend.open == 0
