"""POST /v1/chat/completions, and the count of what it would read."""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiohttp import web

from tertulia import sse
from tertulia.config import Server
from tertulia.errors import Busy, Unsupported, Upstream
from tertulia.fold import Fold
from tertulia.server.exchange import Exchange
from tertulia.server.metrics import Metrics
from tertulia.server.models import Models
from tertulia.server.stream import Stream
from tertulia.server.watch import Watch
from tertulia.types import HOP, Backend, Caller, ChatRequest, Chunk
from tertulia.wires import openai

PASSED = ("X-HF-Bill-To",)
"""Headers of a request that go on to a provider."""
_HOPS = 100
_TOLD = ("x-inference-provider", "x-tertulia-route")


class Chats:
    """Answers chats from ``backend``."""

    def __init__(self, backend: Backend, models: Models, server: Server, metrics: Metrics) -> None:
        self._backend = backend
        self._models = models
        self._server = server
        self._metrics = metrics
        self._running: set[Watch] = set()
        self._own = os.urandom(6).hex()
        self._stopping = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def complete(self, exchange: Exchange) -> web.StreamResponse:
        """Answer whole or as a stream."""
        request = await self._read(exchange)
        if request.stream:
            return await self._stream(exchange, request)
        return await self._whole(exchange, request)

    async def count(self, exchange: Exchange) -> web.StreamResponse:
        """The number of tokens that the prompt comes to."""
        request = await self._read(exchange)
        return exchange.json(openai.write_count(await self._backend.count(request)))

    async def drain(self, grace: float) -> None:
        """Take no more chats; give those that run ``grace`` seconds to end, then end them with an error."""
        self._stopping = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._idle.wait()
        for watch in self._running:
            watch.stop(Upstream("the server is stopping: the answer was cut off here"))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                await self._idle.wait()

    async def _read(self, exchange: Exchange) -> ChatRequest:
        if self._stopping:
            raise Busy("the server is stopping", retry_after=2)
        request = openai.read_request(await exchange.body(self._server.body_limit, self._server.header_timeout))
        exchange.model = request.model = self._model(exchange, request)
        if refused := self._backend.supports(request):
            names = ", ".join(refused)
            raise Unsupported(f"{names}: not supported by {request.model or 'this model'} here", param=refused[0])
        exchange.warn(request.warnings)
        request.caller = Caller(
            exchange.caller,
            exchange.id,
            token=exchange.token,
            provider=exchange.provider,
            headers={name: value for name in PASSED if (value := exchange.request.headers.get(name))},
            bearer=exchange.bearer,
            hops=self._hop(exchange.request.headers.get(HOP, "")),
        )
        return request

    def _hop(self, hops: str) -> str:
        """The servers that a request has come through, this one last. Raises Upstream where it has been here before."""
        names = [name for name in hops.split(",") if name.isascii() and name.isalnum()][-_HOPS:] if hops else []
        if self._own in names:
            raise Upstream("this request has come back to the server that sent it: a provider leads back here")
        return ",".join([*names, self._own])

    def _model(self, exchange: Exchange, request: ChatRequest) -> str:
        """The id of the model that is asked for. Where the address names a provider, or the model, that is kept as it
        is."""
        if exchange.asked:
            return exchange.asked
        return request.model or "" if exchange.provider else self._models.resolve(request.model) or ""

    async def _whole(self, exchange: Exchange, request: ChatRequest) -> web.StreamResponse:
        whole, watch, body = Fold(), Watch(self._server, exchange.request), b""
        self._begin(watch)
        try:
            with watch:
                async with aclosing(self._backend.chat(request)) as answer:
                    async for chunk in answer:
                        if chunk.sign_of_life:
                            watch.alive(chunk.meta.patience if chunk.meta else 0)
                            continue
                        watch.beat()
                        if watch.beats == 1:
                            _tell(exchange, chunk)
                        if chunk.usage:
                            exchange.prompt_tokens = chunk.usage.prompt_tokens
                            exchange.completion_tokens = chunk.usage.completion_tokens
                            exchange.cost = chunk.usage.cost
                            body = chunk.meta.whole if chunk.meta else b""
                        whole.add(chunk)
        finally:
            self._end(watch, exchange)
        return exchange.json(body or openai.write_completion(whole.completion()))

    async def _stream(self, exchange: Exchange, request: ChatRequest) -> web.StreamResponse:
        include_usage = bool(request.stream_options and request.stream_options.include_usage)
        stream = exchange.stream = Stream(exchange.request, exchange.headers)
        watch = Watch(self._server, exchange.request, stream.ping)
        self._begin(watch)
        try:
            with watch:
                async with aclosing(self._backend.chat(request)) as answer:
                    await _relay(answer, stream, watch, exchange, include_usage)
                await stream.end()
        finally:
            self._end(watch, exchange)
        return stream

    def _begin(self, watch: Watch) -> None:
        """An answer is being made: a stop waits for it."""
        self._running.add(watch)
        self._idle.clear()

    def _end(self, watch: Watch, exchange: Exchange) -> None:
        """It is over, whole or not."""
        self._running.discard(watch)
        if not self._running:
            self._idle.set()
        self._metrics.watched(watch, exchange)


async def _relay(
    answer: AsyncGenerator[Chunk, None], stream: Stream, watch: Watch, exchange: Exchange, include_usage: bool
) -> None:
    """Write ``answer`` to its end."""
    async for chunk in answer:
        if chunk.sign_of_life:
            watch.alive(chunk.meta.patience if chunk.meta else 0)
            if chunk.meta:  # for whoever holds the clock, and not for the client
                continue
            stream.ping(b": %b\n\n" % chunk.comment.encode() if chunk.comment else sse.BUSY)
            continue
        watch.beat()
        if watch.beats == 1:
            _tell(exchange, chunk)
        if chunk.usage:
            exchange.prompt_tokens = chunk.usage.prompt_tokens
            exchange.completion_tokens = chunk.usage.completion_tokens
            exchange.cost = chunk.usage.cost
        if data := openai.write_chunk(chunk, include_usage):
            stream.event(data)
            if exchange.request.protocol.writing_paused:
                await stream.room()
    if not watch.beats:
        raise Upstream("the backend ended its answer before it began")


def _tell(exchange: Exchange, chunk: Chunk) -> None:
    """The first chunk is here: what it says about the answer goes into the head."""
    exchange.first_token = exchange.seconds()
    if meta := chunk.meta:
        exchange.headers["x-inference-provider"] = meta.provider
        exchange.headers.extend(meta.headers)
        exchange.tell(meta.route)
        exchange.warn(meta.warnings)
        exchange.warn(meta.remarks, ours=False)
        if exchange.stream is not None and exchange.stream.begun:  # a ping has taken the head with it
            lines = (f": {name}: {exchange.headers[name]}\n\n" for name in _TOLD if name in exchange.headers)
            exchange.stream.ping("".join(lines).encode())
