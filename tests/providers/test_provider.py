"""A provider over a real connection: whatever it does, the answer is whole and clean, or an error says why it isn't."""

import json
import logging
import time
from pathlib import Path

import pytest

from providing import END, KEY, WORDS, ask, asked, remote, said
from tertulia import errors
from tertulia.config import Config
from tertulia.errors import BadRequest, TertuliaError, Timeout, Unsupported, Upstream
from tertulia.fold import fold
from tertulia.net import Net
from tertulia.server.app import running
from tertulia.types import Caller, Chunk
from upstream import (
    CUT,
    DONE,
    PING,
    RESET,
    STALL,
    Script,
    answer,
    completion,
    delta,
    event,
    finish,
    nobody,
    refusal,
    script,
    text,
    tokens,
    usage,
    whole,
)
from upstream import Upstream as Provider
from upstream import stream as flow

# ---------------------------------------------------------------- what it is sent


@pytest.mark.parametrize("stream", [True, False])
async def test_it_is_asked_as_it_wants_to_be_asked(net: Net, stream: bool):
    row = {"route": "/x/models/{model}/chat", "headers": {"X-Own": "1"}}
    async with Provider(flow("a") if stream else whole("a")) as up:
        chunks = await ask(remote(net, up.address, row=row), asked(stream=stream, model="org/some model?x"))
    (sent,) = up.requests
    assert (sent.method, sent.path) == ("POST", "/x/models/org/some%20model%3Fx/chat")
    assert (sent.headers["authorization"], sent.headers["x-own"]) == (f"Bearer {KEY}", "1")
    assert sent.headers["user-agent"].startswith("tertulia/") and "accept-encoding" not in sent.headers
    assert (sent.json["model"], sent.json["stream"]) == ("org/some model?x", stream)
    assert said(chunks) == "a" and {chunk.model for chunk in chunks} == {"ours"}


@pytest.mark.parametrize("model", ["../../admin", "a/../b", "", "a//b"])
async def test_a_model_that_would_lead_elsewhere_is_refused(net: Net, model: str):
    async with Provider(flow("a")) as up:
        with pytest.raises(BadRequest):
            await ask(remote(net, up.address, row={"route": "/models/{model}/chat"}), asked(model=model))
    assert up.requests == []


@pytest.mark.parametrize(
    ("name", "forward", "billed", "token"),
    [("huggingface", False, True, KEY), ("hf-inference", True, True, "hf_own"), ("prov", False, False, KEY)],
)
async def test_of_the_callers_headers_only_those_for_it_are_sent(
    net: Net, name: str, forward: bool, billed: bool, token: str
):
    request = asked()
    request.caller = Caller("me", "req-1", headers={"X-HF-Bill-To": "org"}, bearer="hf_own")
    async with Provider(flow("a")) as up:
        await ask(remote(net, up.address, name=name, forward_bearer=forward), request)
    headers = up.requests[0].headers
    assert ("x-hf-bill-to" in headers, headers["authorization"]) == (billed, f"Bearer {token}")
    assert "x-request-id" not in headers


async def test_a_form_that_it_cant_say_is_refused_before_it_is_asked(net: Net):
    async with Provider(flow("a")) as up:
        with pytest.raises(Unsupported, match="prov: structured_outputs"):
            await ask(remote(net, up.address), asked(structured_outputs={"grammar": "x"}))
    assert up.requests == []


# ---------------------------------------------------------------- what it answers: gateways.md 5.4

CALL = delta({"tool_calls": [{"id": "", "function": {"name": "f", "arguments": {"a": 1}}}]})
LINES = [line.replace(b"data: ", b"data:").replace(b"\n", b"\r\n") for line in (*WORDS, *END)]
WHOLE = {
    "usage in a chunk of its own": script(*WORDS, *END),
    "usage in the finish chunk": script(*WORDS, finish(usage=tokens()), DONE),
    "no usage": script(*WORDS, finish(), DONE),
    "no mark of the end": script(*WORDS, finish(), usage()),
    "no mark of the end, and cut": script(*WORDS, finish(), usage(), CUT),
    "no mark of the end, and silent": script(*WORDS, finish(), usage(), STALL),
    "an end without its blank line": script(*WORDS, finish(), usage(), DONE[:-2], framing="close"),
    "comments": script(PING, *[piece for word in WORDS for piece in (word, PING)], *END),
    "garbage in between": script(WORDS[0], event(b"{garbage"), event(b"<html>"), *WORDS[1:], *END),
    "no space, CRLF": script(*LINES),
    "two bytes at a time": script(*[b"".join((*WORDS, *END))[at : at + 2] for at in range(0, 3000, 2)]),
    "gzip": script(*WORDS, *END, coding="gzip"),
    "deflate": script(*WORDS, *END, coding="deflate"),
    "closed at the end": script(*WORDS, *END, framing="close"),
    "called something else": script(*WORDS, *END, kind="text/plain"),
    "slow, but not too slow": script(0.1, *WORDS, 0.1, *END, wait=0.1),
    "a whole answer instead of a stream": whole("abcdefghij"),
    "a whole answer called a stream": answer(completion("abcdefghij"), kind="text/event-stream"),
    "blank lines before a whole answer": script(b"\n\n", 0.1, b"\n", json.dumps(completion("abcdefghij")).encode()),
}  # fmt: skip


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("name", WHOLE)
async def test_what_is_odd_is_put_right(net: Net, name: str, stream: bool, caplog: pytest.LogCaptureFixture):
    async with Provider(WHOLE[name]) as up:
        with caplog.at_level(logging.WARNING):
            chunks = await ask(remote(net, up.address), asked(stream=stream))
    assert said(chunks) == "abcdefghij"
    assert chunks[0].meta and chunks[0].meta.provider == "prov"
    assert not any(chunk.meta for chunk in chunks[1:])
    last = chunks[-1]
    assert last.usage and not last.choices and last.usage.estimated == (name == "no usage")
    assert ("2 events could not be read" in caplog.text) == (name == "garbage in between")


async def test_thoughts_and_calls_come_through(net: Net):
    async with Provider(script(delta({"reasoning_content": "hm"}), CALL, finish("stop"), DONE)) as up:
        choice = fold(await ask(remote(net, up.address))).choices[0]
    assert (choice.message.reasoning, choice.message.reasoning_content, choice.finish_reason) == (
        "hm",
        "hm",
        "tool_calls",
    )
    (call,) = choice.message.tool_calls or ()
    assert call.id and (call.function.name, call.function.arguments) == ("f", '{"a":1}')


BROKEN = {
    "cut": ((CUT,), Upstream, 502, "cut the connection"),
    "reset": ((RESET,), Upstream, 502, "cut the connection"),
    "ended": ((), Upstream, 502, "(ended its stream before its answer was whole|answered nothing)"),
    "stall": ((STALL,), Timeout, 504, "silent for too long"),
    "only pings": ((PING, 0.1) * 12, Timeout, 504, "sent no text"),
    "error": ((event({"error": {"message": "out of luck"}}), DONE), Upstream, 502, "out of luck"),
    "busy": ((event({"error": {"message": "out of luck", "code": 429}}), DONE), errors.Busy, 429, "out of luck"),
    "endless": ((b"data: " + b"x" * (17 << 20),), Upstream, 502, "longer than"),
}


@pytest.mark.parametrize("before", [0, 3])
@pytest.mark.parametrize("name", BROKEN)
async def test_what_breaks_is_an_error_after_what_came_before(net: Net, name: str, before: int):
    steps, kind, status, message = BROKEN[name]
    chunks: list[Chunk] = []
    began = time.monotonic()
    async with Provider(script(*WORDS[:before], *steps)) as up:
        with pytest.raises(kind, match=rf"^prov.*{message}") as caught:
            async for chunk in remote(net, up.address).chat(asked()):
                chunks.append(chunk)  # noqa: PERF401 - those before the error count
    assert (type(caught.value), caught.value.status, caught.value.retryable) == (kind, status, True)
    assert len(chunks) == before
    assert time.monotonic() - began < 2


REFUSED: dict[str, tuple[Script, type[TertuliaError], int, str, bool]] = {
    "429": (refusal(429, "later", {"Retry-After": "7"}), errors.Busy, 429, "later", True),
    "500": (refusal(500, "oops"), Upstream, 500, "oops", True),
    "503": (answer(b"", status=503), Upstream, 502, "503", True),
    "409": (refusal(409, "again"), Upstream, 409, "again", True),
    "401": (refusal(401, "who?"), errors.Unauthorized, 401, "who", True),
    "402": (refusal(402, "pay"), Upstream, 402, "pay", True),
    "404": (refusal(404, "gone"), errors.NotFound, 404, "gone", True),
    "400": (refusal(400, "wrong"), BadRequest, 400, "wrong", False),
    "422": (answer({"detail": [{"loc": ["n"], "msg": "wrong"}]}, status=422), BadRequest, 422, "n: wrong", False),
    "413": (refusal(413, "big"), errors.TooLarge, 413, "big", False),
    "302": (answer(b"", status=302, headers={"Location": "http://127.0.0.1/"}), Upstream, 502, "302", True),
    "HTML": (answer(b"<html>Hello</html>", kind="text/html"), Upstream, 502, "answered HTML", True),
    "HTML called a stream": (script(b"<html>Hello</html>"), Upstream, 502, "answered HTML", True),
    "JSON of another shape": (answer({"ok": True}), Upstream, 502, "JSON of another shape", True),
    "an error with a good status": (answer({"error": "no luck"}), Upstream, 502, "no luck", True),
    "nothing": (answer(b""), Upstream, 502, "answered nothing", True),
    "words": (answer(b"Service is up", kind="text/plain"), Upstream, 502, "13 bytes that are not JSON", True),
    "half a body": (script(b'{"id":', CUT), Upstream, 502, "cut the connection", True),
    "a refusal that is cut": (script(b'{"err', CUT, status=429), errors.Busy, 429, "429", True),
    "no head": (script(CUT, status=0), Upstream, 502, "cut the connection", True),
    "another packing": (whole("a", headers={"Content-Encoding": "br"}), Upstream, 502, "br was not asked for", True),
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_no_answer_is_an_error_that_keeps_what_helps(net: Net, name: str, stream: bool):
    turn, kind, status, message, again = REFUSED[name]
    async with Provider(turn) as up:
        with pytest.raises(TertuliaError, match=rf"^prov.*{message}") as caught:
            await ask(remote(net, up.address), asked(stream=stream))
    error = caught.value
    assert (type(error), error.status, error.retryable) == (kind, status, again)
    assert error.retry_after == (7 if name == "429" else None)


async def test_nobody_there_is_an_error_that_names_the_provider(net: Net):
    with pytest.raises(Upstream, match=r"^prov: .*can't be reached") as caught:
        await ask(remote(net, nobody()))
    assert caught.value.retryable


async def test_a_provider_that_dies_breaks_its_streams(net: Net):
    async with Provider(script(WORDS[0], STALL)) as up:
        chunks = remote(net, up.address, idle_timeout=5).chat(asked())
        await anext(chunks)
        await up.die()
        with pytest.raises(Upstream, match="cut the connection"):
            await anext(chunks)


ECHOES = {
    "refusal": refusal(401, f"bad key {KEY}", code=KEY),
    "text": answer(f"bad key {KEY}".encode(), status=401, kind="text/plain"),
    "long": refusal(401, "x" * 1995 + KEY),
    "event": script(event({"error": {"message": f"bad {KEY}"}})),
    "whole": answer({"error": {"message": f"bad {KEY}"}}),
}


@pytest.mark.parametrize("name", ECHOES)
async def test_the_key_is_in_no_error_and_no_log(net: Net, name: str, caplog: pytest.LogCaptureFixture):
    async with Provider(ECHOES[name]) as up:
        with caplog.at_level(logging.DEBUG), pytest.raises(TertuliaError) as caught:
            await ask(remote(net, up.address))
    told = (
        f"{caught.value} {caught.value.message} {caught.value.told} {caught.value.param} {caught.value!r} {caplog.text}"
    )
    assert KEY[:8] not in told


async def test_what_its_headers_say_that_helps_is_told(net: Net):
    headers = {
        "x-request-id": "up-1",
        "x-inference-provider": "behind",
        "set-cookie": "a=b",
        "x-tertulia-warnings": "w",
    }
    async with Provider(flow("a", headers=headers), flow("a", headers={"x-request-id": KEY})) as up:
        first, second = [(await ask(remote(net, up.address)))[0].meta for _ in range(2)]
    assert first and first.headers == {"x-upstream-request-id": "up-1", "x-upstream-inference-provider": "behind"}
    assert first.remarks == ["prov: w"]
    assert second and second.headers == {}


async def test_its_warnings_are_told_as_its_own_few_and_short_and_without_secrets(net: Net):
    request = asked()
    request.caller = Caller("me", "req-1", bearer="hf_callers_own")
    lines = [f"bad {KEY} of hf_callers_own", "x" * 190 + KEY, *map(str, range(20))]
    turn = script(
        text("a"), finish(), DONE, headers={"x-y": "\r\n".join(["1", *map("x-tertulia-warnings: {}".format, lines)])}
    )
    async with Provider(turn) as up:
        meta = (await ask(remote(net, up.address), request))[0].meta
    assert meta and meta.warnings == [] and len(meta.remarks) == 10
    assert meta.remarks[0] == "prov: bad [key] of [key]" and meta.remarks[2] == "prov: 0"
    assert len(meta.remarks[1]) == 200 and KEY[:4] not in meta.remarks[1]


async def test_its_warnings_are_no_errors_for_who_is_strict(net: Net, tmp_path: Path):
    body = b'{"model": "m", "stream": true, "messages": [{"role": "user", "content": "hi"}]}'
    headers = {"Content-Type": "application/json", "x-tertulia-strict": "1"}
    async with (
        Provider(flow("a", headers={"x-tertulia-warnings": "w"})) as up,
        running(remote(net, up.address), Config(), socket=tmp_path / "s") as address,
    ):
        reply = await net.send("POST", address, "/v1/chat/completions", body, headers)
        await reply.read()
    assert (reply.status, reply.headers["x-tertulia-warnings"]) == (200, "prov: w")


@pytest.mark.parametrize("said", ["sk-theirs-1", "sk-theirs-1 is wrong", "(Bearer sk-theirs-1)", "Bearer: sk-theirs-2"])
async def test_every_word_of_a_secret_header_is_hidden(net: Net, said: str):
    row = {"headers": {"Authorization": "Bearer sk-theirs-1", "Cookie": "session=sk-theirs-2; x=y"}}
    turns = [refusal(401, said, code=said), script(event({"error": {"message": said, "param": said}}))]
    async with Provider(*turns) as up:
        one = remote(net, up.address, row=row)
        for _ in turns:
            with pytest.raises(TertuliaError) as caught:
                await ask(one)
            error = caught.value
            assert "theirs" not in f"{error} {error.message} {error.told} {error.param}"
            assert "[key]" in error.message and ("Bearer: " in error.message) == ("Bearer: " in said)


async def test_what_the_headers_of_an_answer_say_of_the_callers_own_key_is_not_told(net: Net):
    request = asked()
    request.caller = Caller("me", "req-1", bearer="hf_callers_own")
    async with Provider(flow("a", headers={"x-request-id": "hf_callers_own"})) as up:
        meta = (await ask(remote(net, up.address), request))[0].meta
    assert meta and meta.headers == {}


@pytest.mark.parametrize("status", [400, 0])
async def test_a_code_and_a_fields_name_are_short_and_without_half_a_key(net: Net, status: int):
    told = {"message": "m", "code": "c\n" + "x" * 190 + KEY, "param": "\x1b" * 1000}
    turn = answer({"error": told}, status=status) if status else script(event({"error": told}))
    async with Provider(turn) as up:
        with pytest.raises(TertuliaError) as caught:
            await ask(remote(net, up.address))
    error = caught.value
    assert error.told == "c?" + "x" * 190 + "[key]" and error.param == "?" * 200
