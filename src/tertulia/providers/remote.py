"""A party that speaks OpenAI's dialect over a connection, local or far away, as a Backend."""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Coroutine, Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from msgspec import UNSET, structs

from tertulia import __version__
from tertulia.catalog import told
from tertulia.errors import HIDDEN, BadRequest, TertuliaError, Timeout, Unsupported, Upstream
from tertulia.net import MEBI, Net, Reply
from tertulia.providers import quirks
from tertulia.providers.clean import Cleaner
from tertulia.providers.stream import BUSY, Opened, Stream, opened, sign
from tertulia.providers.table import Row
from tertulia.types import HOP, Caller, ChatRequest, Chunk, ChunkMeta, ModelCard, Pricing, ProviderCard, StreamOptions
from tertulia.wires import openai

Made = TypeVar("Made")
CHAT = "/v1/chat/completions"
FOR_EVER = 1e9
"""Seconds that stand for no bound."""
_WITH_USAGE = StreamOptions(include_usage=True)
_SECRET = re.compile("key|token|auth|secret|cookie", re.I)
_BILLED = ("huggingface", "hf-inference")
_PASSED = ("request-id", "inference-provider")
_LONGEST = 2000  # characters of a message that are told
_BRIEF = 200  # characters of a code, a field's name or a warning that are told
_WARNINGS = 10
_SCHEMES = ("basic", "bearer", "digest", "token", "key", "apikey", "api-key")
_WORD = re.compile(r"[^\s,;\"]+")
_TAIL = 0.05  # seconds for the end of the connection's answer behind the end of ours


class Remote:
    """A Backend at ``address`` (see :mod:`tertulia.net`).

    ``first_timeout`` and ``idle_timeout`` bound, in seconds, the wait for the first chunk and between chunks; pings
    don't count as chunks. ``cards`` is what :meth:`models` says until :meth:`refresh` has asked.

    With a ``row`` it is a provider: asked in its own way (see :mod:`tertulia.providers.quirks`) with its ``key``, or,
    with ``forward_bearer``, with the caller's own; its answers are cleaned (see :mod:`tertulia.providers.clean`), and
    one that is wanted whole is asked for whole and may take ``whole_timeout`` seconds. Without one it is a process of
    ours, whose bytes pass as they are.
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
        whole_timeout: float = 300,
        cards: Iterable[ModelCard] = (),
        row: Row | None = None,
        key: str = "",
        forward_bearer: bool = False,
    ) -> None:
        self.address = address
        self.name = name
        self._net = net
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        self._first_timeout = first_timeout
        self._idle_timeout = idle_timeout
        self._whole_timeout = whole_timeout
        self._cards = list(cards)
        self._row = row
        secret = [value for name, value in row.headers.items() if _SECRET.search(name)] if row else []
        self._secret = _words(key, *secret)
        self._forward_bearer = forward_bearer
        if row is not None:
            quirks.check(row)
            self._headers |= {"Accept": "application/json, text/event-stream", "User-Agent": f"tertulia/{__version__}"}
            self._headers |= row.headers | ({"Authorization": f"Bearer {key}"} if key else {})

    def chat(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Answer, as every Backend does. Of a provider's errors the status is kept, and its name is told."""
        return self._near(request) if self._row is None else self._far(request, self._row)

    async def count(self, request: ChatRequest) -> int:
        if self._row is not None:
            raise Unsupported(f"{self.name} doesn't count tokens", param="model")
        reply = await self._post(f"{CHAT}/input_tokens", openai.write_request(request), request.caller.request_id)
        return openai.read_count(await reply.read())

    def models(self) -> list[ModelCard]:
        return self._cards

    def supports(self, request: ChatRequest) -> list[str]:
        """Nothing is known from here: the other side refuses for itself."""
        return []

    async def refresh(self) -> list[ModelCard]:
        """Ask what models there are, and keep the answer for :meth:`models`. Raises what went wrong."""
        if self._row is None:
            self._cards = openai.read_models(await self._get("/v1/models"))
            return self._cards
        try:
            self._cards = [self._card(model) for model in told.read_models(self.name, await self._list(self._row))]
        except TertuliaError as error:
            raise self._named(error, Caller()) from None
        return self._cards

    async def healthy(self) -> bool:
        """Whether the other side says that it is ready; of a provider, whether it answers without a fault of its own.
        Raises Upstream if it can't be reached."""
        path = "/health" if self._row is None else self._row.health or self._row.list_route
        if "{model}" in path:
            path = "/"
        reply = await self._net.send("GET", self.address, path, headers=self._headers, silence=5)
        try:
            await reply.read()
        finally:
            reply.close()
        return reply.status == 200 if self._row is None else reply.status < 500

    async def metrics(self) -> str:
        """The engine's figures, in Prometheus' text format."""
        lines = (await self._get("/metrics")).decode("utf-8", "replace").splitlines(keepends=True)
        ours = ("tertulia_engine_", "# HELP tertulia_engine_", "# TYPE tertulia_engine_")
        return "".join(line for line in lines if line.startswith(ours))

    # ---------------------------------------------------------------- a process of ours

    async def _near(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        body = openai.write_request(structs.replace(request, stream=True, stream_options=_WITH_USAGE))
        reply = await self._post(CHAT, body, request.caller.request_id)
        try:
            if not reply.headers.get("Content-Type", "").startswith("text/event-stream"):
                raise Upstream(f"{self.name} answered a stream's request with something else")
            stream = Stream(self.name, reply, self._first_timeout, self._idle_timeout)
            meta = ChunkMeta(
                provider=reply.headers.get("x-inference-provider", self.name),
                warnings=list(reply.headers.getall("x-tertulia-warnings", ())),
            )
            usage: Chunk | None = None
            while events := await stream.events():
                for data in events:
                    if data is BUSY:
                        yield sign()
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
            raise Upstream(f"{self.name} ended its stream without saying that it was done")
        finally:
            reply.close()

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

    # ---------------------------------------------------------------- a provider

    async def _far(self, request: ChatRequest, row: Row) -> AsyncGenerator[Chunk, None]:
        cleaner = Cleaner(self.name, request.asked, messages=request.messages, n=request.n, now=int(time.time()))
        opened: Opened | None = None
        end: float | None = None
        try:
            if request.stream:
                opened = await self._open(request, row, self._first_timeout)
            else:
                yield sign(self._whole_timeout or FOR_EVER)
                end = asyncio.get_running_loop().time() + self._whole_timeout if self._whole_timeout else None
                opened = await self._by(end, self._open(request, row, self._whole_timeout))
                end = None if opened.whole else end  # then there is nothing more to wait for
            meta = self._meta(opened.reply, request.caller)
            answer = opened.answer(self.name, cleaner, self._idle_timeout, gathered=not request.stream)
            while chunks := await (answer.chunks() if end is None else self._by(end, answer.chunks())):
                for chunk in chunks:
                    if meta is not UNSET and not chunk.sign_of_life:
                        chunk.meta, meta = meta, UNSET
                    yield chunk
            await opened.reply.rest(_TAIL)
        except TertuliaError as error:
            raise self._named(error, request.caller) from None
        finally:
            if opened is not None:
                opened.reply.close()

    async def _open(self, request: ChatRequest, row: Row, patience: float) -> Opened:
        """Ask, and read as much of the answer as tells what it is: all of it, if it is a whole one."""
        body = openai.write_fields(quirks.prepare(request, row, stream=bool(request.stream)))
        path = _path(row.route, request.model or "")
        reply = await self._net.send(
            "POST", self.address, path, body, self._sent(request.caller, row), silence=patience
        )
        try:
            if reply.status != 200:
                raise openai.read_error(
                    reply.status, await self._short(reply, request.caller), reply.headers, self.name
                )
            return await opened(self.name, reply, patience)
        except BaseException:
            reply.close()
            raise

    async def _by(self, end: float | None, work: Coroutine[Any, Any, Made]) -> Made:
        """What ``work`` comes to. Raises Timeout where a whole answer is not here at ``end``, by the loop's clock."""
        try:
            async with asyncio.timeout_at(end):
                return await work
        except TimeoutError:
            raise Timeout(f"{self.name} had no answer after {self._whole_timeout:g} s") from None

    async def _short(self, reply: Reply, caller: Caller) -> bytes:
        """The body of a refusal, as far as it comes and without what is secret: what matters is the status."""
        body = b""
        try:
            reply.bound(min(self._idle_timeout or 5, 5))
            while len(body) < MEBI and (piece := await reply.piece()):
                body += piece
        except Upstream:
            pass
        for secret in self._secrets(caller):
            body = body.replace(secret.encode(), HIDDEN.encode())
        return body

    def _secrets(self, caller: Caller) -> tuple[str, ...]:
        return (*self._secret, *_words(caller.bearer))

    def _sent(self, caller: Caller, row: Row) -> dict[str, str]:
        """The headers of a request: the provider's, and of the caller's what is for it."""
        own: dict[str, str] = {}
        if row.custom and caller.request_id:
            own["x-request-id"] = caller.request_id
        if row.custom and caller.hops:
            own[HOP] = caller.hops
        if row.name in _BILLED:
            own |= caller.headers
        if self._forward_bearer and caller.bearer:
            own["Authorization"] = f"Bearer {caller.bearer}"
        return self._headers | own if own else self._headers

    def _meta(self, reply: Reply, caller: Caller) -> ChunkMeta:
        """Who answers, and what its headers say that may help the caller."""
        said = {
            f"x-upstream-{name}": value
            for name in _PASSED
            if (value := reply.headers.get(f"x-{name}"))
            and value.isascii()
            and value.isprintable()
            and len(value) <= 200
        }
        told = reply.headers.getall("x-tertulia-warnings", [])[:_WARNINGS]
        if said or told:
            secrets = self._secrets(caller)
            said = {name: value for name, value in said.items() if not any(one in value for one in secrets)}
            told = [self._remark(line, secrets) for line in told]
        return ChunkMeta(provider=self.name, remarks=told, headers=said)

    def _remark(self, line: str, secrets: Iterable[str]) -> str:
        for secret in secrets:
            line = line.replace(secret, HIDDEN)
        return f"{self.name}: {line}"[:_BRIEF]

    def _named(self, error: TertuliaError, caller: Caller) -> TertuliaError:
        """``error`` with the provider's name in it, and without what is secret."""
        error.hide(self._secrets(caller))
        named = error.message if error.message.startswith(self.name) else f"{self.name}: {error.message}"
        error.reword(named if len(named) <= _LONGEST else f"{named[:_LONGEST]} ...")
        error.param, error.told = _brief(error.param), _brief(error.told)  # not before: half a secret isn't found
        return error

    async def _list(self, row: Row) -> bytes:
        if "{model}" in row.route:
            raise Upstream("it has no list of models")
        headers = {**self._headers, "Accept-Encoding": "gzip, deflate"}
        reply = await self._net.send("GET", self.address, row.list_route, headers=headers, silence=self._idle_timeout)
        try:
            if reply.status != 200:
                raise openai.read_error(reply.status, await self._short(reply, Caller()), reply.headers, self.name)
            return await reply.read()
        finally:
            reply.close()

    def _card(self, model: told.Told) -> ModelCard:
        price = Pricing(*model.price) if model.price else None
        part = ProviderCard(provider=self.name, context_length=model.context or None, pricing=price)
        return ModelCard(id=model.id, created=0, owned_by=self.name, context_length=model.context, providers=[part])


def _words(*values: str) -> tuple[str, ...]:
    """What must not be told of secret ``values``, the longest first: each as it is, and the words in it."""
    words = [word for value in values for word in _WORD.findall(value) if word.lower() not in _SCHEMES]
    found = {*values, *words, *(word.partition("=")[2] for word in words)}
    return tuple(sorted((word for word in found if len(word) > 3), key=len, reverse=True))


def _brief(text: str | None) -> str | None:
    return text and "".join(sign if sign.isprintable() else "?" for sign in text[:_BRIEF])


def _path(route: str, model: str) -> str:
    """Where chats with ``model`` go. Raises BadRequest for one that would lead elsewhere."""
    if "{model}" not in route:
        return route
    if any(step in ("", ".", "..") for step in model.split("/")):
        raise BadRequest("model: this is no model's id", param="model")
    return route.replace("{model}", quote(model))
