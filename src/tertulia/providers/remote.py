"""A party that speaks OpenAI's dialect over a connection, local or far away, as a Backend."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping

from msgspec import UNSET, structs

from tertulia import sse
from tertulia.errors import Timeout, Upstream
from tertulia.net import Net, Reply
from tertulia.types import ChatRequest, Chunk, ChunkMeta, ModelCard, StreamOptions
from tertulia.wires import openai

CHAT = "/v1/chat/completions"
_BUSY = b""
"""Stands for :data:`tertulia.sse.BUSY` among events: none of them is empty."""
_WITH_USAGE = StreamOptions(include_usage=True)


class Remote:
    """A Backend at ``address`` (see :mod:`tertulia.net`).

    ``first_timeout`` and ``idle_timeout`` bound, in seconds, the wait for the first chunk and between chunks; pings
    don't count as chunks. ``cards`` is what :meth:`models` says until :meth:`refresh` has asked.
    """

    def __init__(
        self,
        net: Net,
        address: str,
        *,
        name: str = "remote",
        headers: Mapping[str, str] | None = None,
        first_timeout: float = 60,
        idle_timeout: float = 30,
        cards: Iterable[ModelCard] = (),
    ) -> None:
        self.address = address
        self.name = name
        self._net = net
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        self._first_timeout = first_timeout
        self._idle_timeout = idle_timeout
        self._cards = list(cards)

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        body = openai.write_request(structs.replace(request, stream=True, stream_options=_WITH_USAGE))
        reply = await self._post(CHAT, body, request.caller.request_id)
        try:
            stream = _Stream(self.name, reply, self._first_timeout, self._idle_timeout)
            meta = self._meta(reply)
            usage: Chunk | None = None
            while events := await stream.events():
                for data in events:
                    if data == _BUSY:
                        yield Chunk(id="", created=0, model="", choices=[])
                        continue
                    if data == b"[DONE]":
                        if usage is not None:
                            yield usage
                        return
                    chunk = openai.read_chunk(data)
                    if chunk.usage and chunk.choices:  # some send it with the last text: ours stands alone
                        usage = structs.replace(chunk, choices=[], raw=UNSET)
                        chunk.usage, chunk.raw = UNSET, UNSET
                    chunk.meta, meta = meta, UNSET
                    yield chunk
        finally:
            reply.close()

    def _meta(self, reply: Reply) -> ChunkMeta:
        return ChunkMeta(
            provider=reply.headers.get("x-inference-provider", self.name),
            warnings=list(reply.headers.getall("x-tertulia-warnings", ())),
        )

    async def count(self, request: ChatRequest) -> int:
        reply = await self._post(f"{CHAT}/input_tokens", openai.write_request(request), request.caller.request_id)
        return openai.read_count(await reply.read())

    def models(self) -> list[ModelCard]:
        return self._cards

    def supports(self, request: ChatRequest) -> list[str]:
        """Nothing is known from here: the other side refuses for itself."""
        return []

    async def refresh(self) -> list[ModelCard]:
        """Ask what models there are, and keep the answer for :meth:`models`."""
        self._cards = openai.read_models(await self._get("/v1/models"))
        return self._cards

    async def healthy(self) -> bool:
        """Whether the other side says that it is ready. Raises Upstream if it can't be reached."""
        reply = await self._net.send("GET", self.address, "/health", headers=self._headers, silence=5)
        await reply.read()
        return reply.status == 200

    async def metrics(self) -> str:
        """The engine's figures, in Prometheus' text format."""
        lines = (await self._get("/metrics")).decode("utf-8", "replace").splitlines(keepends=True)
        ours = ("tertulia_engine_", "# HELP tertulia_engine_", "# TYPE tertulia_engine_")
        return "".join(line for line in lines if line.startswith(ours))

    async def _get(self, path: str) -> bytes:
        reply = await self._net.send("GET", self.address, path, headers=self._headers, silence=self._idle_timeout)
        body = await reply.read()
        if reply.status != 200:
            raise openai.read_error(reply.status, body, reply.headers)
        return body

    async def _post(self, path: str, body: bytes, request_id: str) -> Reply:
        headers = {**self._headers, "x-request-id": request_id} if request_id else self._headers
        reply = await self._net.send("POST", self.address, path, body, headers, silence=self._first_timeout)
        if reply.status != 200:
            raise openai.read_error(reply.status, await reply.read(), reply.headers)
        return reply


class _Stream:
    """The events of a reply, none of them too late."""

    def __init__(self, name: str, reply: Reply, first_timeout: float, idle_timeout: float) -> None:
        if not reply.headers.get("Content-Type", "").startswith("text/event-stream"):
            raise Upstream(f"{name} answered a stream's request with something else")
        reply.bound(idle_timeout)
        self._name = name
        self._reply = reply
        self._feed = sse.Feed()
        self._now = asyncio.get_running_loop().time
        self._since = self._now()
        self._bound = first_timeout
        self._idle_timeout = idle_timeout

    async def events(self) -> list[bytes]:
        """The next events, one at least. Raises Upstream: a stream that ends before it says so was cut off."""
        while piece := await self._reply.piece():
            try:
                events = self._feed.feed(piece)
            except ValueError as error:
                raise Upstream(f"{self._name}: {error}") from None
            if events:
                self._since, self._bound = self._now(), self._idle_timeout
                return events
            if sse.BUSY in piece:
                self._since = self._now()
                return [_BUSY]
            if self._bound and self._now() - self._since > self._bound:
                raise Timeout(f"{self._name} sent no text for {self._bound:g} s")
        raise Upstream(f"{self._name} ended its stream without saying that it was done")
