"""A party over a connection: its answers arrive as they were sent, and its failures are never silent."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from echo import MODEL, Echo
from talk import until
from tertulia import errors
from tertulia.config import Config
from tertulia.errors import TertuliaError, Timeout, Upstream
from tertulia.fold import fold
from tertulia.net import Net
from tertulia.providers.remote import Remote
from tertulia.server.app import running
from tertulia.types import Caller, ChatRequest, Chunk, ChunkMeta, Message, StreamOptions

Far = Callable[..., Awaitable[Remote]]
CHUNK = b'data: {"id":"c","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
LAST = (
    b'data: {"id":"c","created":1,"model":"m","choices":[],'
    b'"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}\n\n'
)
DONE = b"data: [DONE]\n\n"


def said(content: str, **fields: Any) -> ChatRequest:
    return ChatRequest(messages=[Message(role="user", content=content)], **fields)


async def all_of(answer: AsyncGenerator[Chunk, None]) -> list[Chunk]:
    return [chunk async for chunk in answer]


@pytest.fixture
async def net() -> AsyncGenerator[Net, None]:
    async with Net() as net:
        yield net


@pytest.fixture
def backend() -> Echo:
    return Echo()


@pytest.fixture
async def remote(net: Net, backend: Echo, tmp_path: Path) -> AsyncGenerator[Remote, None]:
    config = Config()
    config.server.grace = 0.1
    async with running(backend, config, socket=tmp_path / "s") as address:
        yield Remote(net, address, name="far", first_timeout=0.5, idle_timeout=0.3)


@pytest.fixture
async def far(net: Net) -> AsyncGenerator[Far, None]:
    """A party that answers with given bytes; a number among them is a pause."""
    servers: list[asyncio.Server] = []

    async def open(
        *pieces: bytes | float, status: int = 200, kind: str = "text/event-stream", head: str = ""
    ) -> Remote:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):  # we hang up, or the test ends
                await answer(reader, writer)
            writer.close()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n{head}Connection: close\r\n\r\n".encode())
            for piece in pieces:
                if isinstance(piece, bytes):
                    writer.write(piece)
                    await writer.drain()
                else:
                    await asyncio.sleep(piece)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        servers.append(server)
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return Remote(net, address, name="far", first_timeout=0.5, idle_timeout=0.3)

    yield open
    for server in servers:
        server.close()


async def test_an_answer_arrives_as_it_was_given(remote: Remote, backend: Echo):
    request = said("one two three", n=2, logprobs=True, top_logprobs=1, model=MODEL)
    there = await all_of(backend.chat(request))
    here = await all_of(remote.chat(request))
    assert fold(here) == fold(there)
    assert len(here) == len(there)
    assert here[0].meta == ChunkMeta(provider="echo")
    assert not any(chunk.meta for chunk in here[1:])
    assert here[-1].usage and not here[-1].choices


async def test_a_stream_with_its_usage_is_asked_for_whatever_the_client_asked(remote: Remote, backend: Echo):
    request = said("one", stream=False, stream_options=StreamOptions(include_usage=False), extra={"x": 1})
    request.caller = Caller("me", "req-77")
    await all_of(remote.chat(request))
    got = backend.requests[0]
    assert got.stream and got.stream_options and got.stream_options.include_usage
    assert (got.extra, got.caller.request_id) == ({"x": 1}, "req-77")
    assert (request.stream, request.stream_options) == (False, StreamOptions(include_usage=False))


async def test_warnings_from_there_are_told_here(remote: Remote):
    first = (await all_of(remote.chat(said("!warn one", extra={"flavour": "mint"}))))[0]
    assert first.meta and first.meta.warnings == ["flavour is not a known field", "something was ignored"]


async def test_closing_the_answer_stops_the_work(remote: Remote, backend: Echo):
    answer = remote.chat(said("one !stall"))
    await anext(answer)
    await answer.aclose()
    await until(lambda: backend.closed == 1, 0.5)


async def test_cancelling_before_the_first_chunk_stops_the_work(remote: Remote, backend: Echo):
    task = asyncio.create_task(all_of(remote.chat(said("!stall"))))
    await until(lambda: backend.open == 1)
    task.cancel()
    await until(lambda: backend.closed == 1, 0.5)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_one_connection_serves_chat_after_chat(remote: Remote, tmp_path: Path):
    for _ in range(5):
        assert len(await all_of(remote.chat(said("one")))) == 3
    sessions: dict[str, Any] = remote._net._sessions  # type: ignore[attr-defined]
    connections = [held for session in sessions.values() for held in session.connector._conns.values()]
    assert [len(held) for held in connections] == [1]


async def test_tokens_models_health_and_figures_are_asked_for(remote: Remote, backend: Echo):
    assert await remote.count(said("one two three")) == 3
    assert remote.models() == []
    assert await remote.refresh() == backend.cards == remote.models()
    assert await remote.healthy()
    backend.ready = False
    assert not await remote.healthy()
    assert remote.supports(said("x")) == []
    assert await remote.metrics() == await backend.metrics()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("!busy", errors.Busy),
        ("!long", errors.ContextOverflow),
        ("!fault", errors.EngineFault),
        ("!upstream", Upstream),
    ],
)
@pytest.mark.parametrize("first", ["", "one "])
async def test_an_error_there_is_the_same_error_here(
    remote: Remote, content: str, kind: type[TertuliaError], first: str
):
    with pytest.raises(kind) as caught:
        await all_of(remote.chat(said(first + content)))
    assert type(caught.value) is kind
    if kind is errors.Busy and not first:
        assert caught.value.retry_after == 7
    if kind is errors.ContextOverflow:
        assert caught.value.param == "messages"


async def test_a_refused_field_is_refused_here_too(remote: Remote, backend: Echo):
    backend.refuses = ("seed",)
    with pytest.raises(errors.Unsupported) as caught:
        await all_of(remote.chat(said("one", seed=1)))
    assert caught.value.param == "seed"


@pytest.mark.parametrize(
    ("pieces", "kind", "message"),
    [
        ((CHUNK,), Upstream, "ended its stream without saying that it was done"),
        ((CHUNK, CHUNK[:20]), Upstream, "ended its stream"),
        ((), Upstream, "ended its stream"),
        ((CHUNK, b"data: garbage\n\n", DONE), Upstream, "not JSON"),
        ((CHUNK, b"data: [1]\n\n", DONE), Upstream, "not a chunk"),
        ((CHUNK, b"data: " + b"x" * (17 << 20)), Upstream, "longer than"),
        ((CHUNK, 1.0), Timeout, "silent for too long"),
        ((CHUNK, *[b": ping\n\n", 0.1] * 10), Timeout, "sent no text for 0.3 s"),
        (tuple([b": ping\n\n", 0.1] * 10), Timeout, "sent no text for 0.5 s"),
        ((1.0,), Timeout, "silent for too long"),
        ((CHUNK, b'data: {"error":{"message":"out of luck"}}\n\n', DONE), Upstream, "out of luck"),
    ],
    ids=[
        "cut", "cut inside", "empty", "garbage", "no chunk", "endless", "stall", "only pings", "pings from the start",
        "silence", "error",
    ],
)  # fmt: skip
async def test_a_stream_that_fails_is_an_error_and_never_a_short_answer(
    far: Far, pieces: tuple[bytes | float, ...], kind: type[Upstream], message: str
):
    remote = await far(*pieces)
    with pytest.raises(kind, match=message) as caught:
        await all_of(remote.chat(said("x")))
    assert type(caught.value) is kind


async def test_what_comes_before_the_failure_is_given(far: Far):
    answer = (await far(CHUNK, CHUNK)).chat(said("x"))
    assert [(await anext(answer)).choices[0].delta.content for _ in range(2)] == ["a", "a"]
    with pytest.raises(Upstream):
        await anext(answer)


async def test_an_answer_that_is_no_stream_is_refused(far: Far):
    with pytest.raises(Upstream, match="something else"):
        await all_of((await far(b"{}", kind="application/json")).chat(said("x")))


async def test_a_429_keeps_its_retry_after(far: Far):
    remote = await far(b'{"error":{"message":"later"}}', status=429, kind="application/json", head="Retry-After: 9\r\n")
    with pytest.raises(errors.Busy, match="later") as caught:
        await all_of(remote.chat(said("x")))
    assert caught.value.retry_after == 9


async def test_a_503_is_not_passed_on_as_one(far: Far):
    with pytest.raises(Upstream) as caught:
        await all_of((await far(b"", status=503)).chat(said("x")))
    assert caught.value.status == 502


async def test_usage_that_came_with_the_last_text_comes_after_it(far: Far):
    glued = json.loads(LAST[6:]) | {"choices": [{"index": 0, "delta": {"content": "b"}, "finish_reason": "stop"}]}
    remote = await far(CHUNK, b"data: " + json.dumps(glued).encode() + b"\n\n", DONE)
    *_, text, last = await all_of(remote.chat(said("x")))
    assert not text.usage and text.choices[0].delta.content == "b"
    assert last.usage and last.usage.total_tokens == 2 and last.choices == []


async def test_pieces_of_an_event_are_put_together(far: Far):
    whole = CHUNK + LAST + DONE
    remote = await far(*[piece for i in range(0, len(whole), 50) for piece in (whole[i : i + 50], 0.01)])
    assert len(await all_of(remote.chat(said("x")))) == 2
