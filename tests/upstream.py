"""A provider whose answers are scripted, on a real socket: for tests of everything that has to live with providers.

    async with Upstream(script(text("a"), 0.2, text("b"), CUT)) as up:
        ... ask up.address ...
        assert up.requests[0].json["model"] == "m"

A script's steps are bytes to send (``text``, ``finish``, ``usage``, ``event``, ``DONE`` make events of them), numbers
(seconds of pause), and ``CUT``, ``RESET``, ``STALL``. Scripts are used in turn, one a request, and the last again and
again. ``paths`` are scripts for addresses of their own, such as ``/v1/models``.
"""

import asyncio
import contextlib
import json
import socket
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Any, Self

DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"
MODEL = "up/model"


class Do(Enum):
    CUT = "close the connection, although the answer is not whole"
    RESET = "the same, with a reset"
    STALL = "say nothing more, until the other side hangs up"


CUT, RESET, STALL = Do.CUT, Do.RESET, Do.STALL
Step = bytes | float | Do


@dataclass(frozen=True)
class Script:
    """An answer. ``wait`` is in seconds, before its head; a ``status`` of 0 sends no head. ``framing`` is ``chunked``,
    ``close`` (the end of the connection is the end of the answer) or ``length`` (all steps are bytes). ``coding`` is
    ``gzip``, ``deflate`` or ``raw`` (deflate without zlib's head)."""

    steps: tuple[Step, ...]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    kind: str = "text/event-stream"
    framing: str = "chunked"
    coding: str = ""
    wait: float = 0


def script(*steps: Step, **options: Any) -> Script:
    """A streamed answer of these steps."""
    return Script(steps, **options)


def answer(body: Any, **options: Any) -> Script:
    """An answer of one piece: bytes as they are, all else as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Script((data,), **{"kind": "application/json", "framing": "length"} | options)


def refusal(status: int, message: str = "no", headers: Mapping[str, str] | None = None, **fields: Any) -> Script:
    """An error in OpenAI's shape."""
    return answer({"error": {"message": message, **fields}}, status=status, headers=headers or {})


# ---------------------------------------------------------------- events


def event(data: Any) -> bytes:
    """An event: of bytes as they are, of all else as JSON."""
    return b"data: " + (data if isinstance(data, bytes) else json.dumps(data).encode()) + b"\n\n"


def chunk(*choices: Any, **fields: Any) -> bytes:
    """An event of OpenAI's exact shape; ``fields`` stand beside the choices."""
    head = {"id": "chatcmpl-up", "object": "chat.completion.chunk", "created": 1700000000, "model": MODEL}
    return event({**head, "system_fingerprint": "fp-up", "choices": list(choices), **fields})


def delta(given: Any = None, finish: str | None = None, index: int = 0, **fields: Any) -> bytes:
    """An event of one choice with this delta; ``fields`` stand in the chunk."""
    return chunk({"index": index, "delta": {} if given is None else given, "finish_reason": finish}, **fields)


def text(content: str, *, first: bool = False, index: int = 0, **fields: Any) -> bytes:
    """A piece of text; ``first`` gives it the role."""
    return delta(({"role": "assistant"} if first else {}) | {"content": content}, index=index, **fields)


def finish(reason: str = "stop", index: int = 0, **fields: Any) -> bytes:
    """The end of a choice, as OpenAI sends it: an empty delta."""
    return delta({}, reason, index, **fields)


def tokens(prompt: int = 3, said: int = 2) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said}


def usage(prompt: int = 3, said: int = 2) -> bytes:
    """The last chunk, with the usage and no choice."""
    return chunk(usage=tokens(prompt, said))


def stream(*words: str, **options: Any) -> Script:
    """A streamed answer in which nothing is wrong."""
    pieces = [text(word, first=place == 0) for place, word in enumerate(words)]
    return script(*pieces, finish(), usage(said=len(words)), DONE, **options)


def completion(content: str | None = "hello", *, reason: str = "stop", message: Any = None, **fields: Any) -> Any:
    """A whole answer in OpenAI's shape, for :func:`answer`."""
    said = {"role": "assistant", "content": content} | (message or {})
    choice = {"index": 0, "message": said, "finish_reason": reason, "logprobs": None}
    head = {"id": "chatcmpl-up", "object": "chat.completion", "created": 1700000000, "model": MODEL}
    return {**head, "system_fingerprint": "fp-up", "choices": [choice], "usage": tokens(), **fields}


def whole(content: str | None = "hello", **options: Any) -> Script:
    """A whole answer in which nothing is wrong."""
    return answer(completion(content), **options)


# ---------------------------------------------------------------- the server


@dataclass
class Request:
    """What was received. ``ended`` is whether its script was sent to its end, ``gone`` whether the other side hung up
    before that."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    ended: bool = False
    gone: bool = False

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Upstream:
    """Serves while the context is open. ``scripts`` can be changed meanwhile."""

    def __init__(self, *scripts: Script, paths: Mapping[str, Script] | None = None) -> None:
        self.scripts = list(scripts)
        self.paths = dict(paths or {})
        self.requests: list[Request] = []
        self.connections = 0
        self.address = ""
        self._used = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None):
        await self.die()

    async def die(self) -> None:
        """Stop listening and break every connection, as a process that is killed."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._exchange(reader, writer):
                    pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request. Whether there may be another on this connection."""
        request = await _read(reader)
        self.requests.append(request)
        turn = self.paths.get(request.path)
        if turn is None:
            turn = self.scripts[min(self._used, len(self.scripts) - 1)]
            self._used += 1
        try:
            return await _play(turn, request, reader, writer)
        except ConnectionError:
            request.gone = True
            raise


async def _read(reader: asyncio.StreamReader) -> Request:
    head, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
    method, path, _ = head.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Request(method, path, headers, await reader.readexactly(int(headers.get("content-length", 0))))


async def _play(turn: Script, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    pack = _packer(turn.coding)
    await _pause(turn.wait, request, reader)
    if turn.status:
        writer.write(_head(turn, pack))
    for step in turn.steps:
        if isinstance(step, bytes):
            data = pack.compress(step) + pack.flush(zlib.Z_SYNC_FLUSH) if pack else step
            if data and turn.framing == "chunked" and turn.status:
                data = b"%x\r\n%b\r\n" % (len(data), data)
            writer.write(data)
            await writer.drain()
        elif isinstance(step, Do):
            await _break(step, request, reader, writer)
            return False
        else:
            await _pause(step, request, reader)
    rest = pack.flush() if pack else b""
    if turn.framing == "chunked" and turn.status:
        rest = (b"%x\r\n%b\r\n" % (len(rest), rest) if rest else b"") + b"0\r\n\r\n"
    writer.write(rest)
    await writer.drain()
    request.ended = True
    return bool(turn.status) and (turn.framing == "chunked" or (turn.framing == "length" and not pack))


def _head(turn: Script, pack: Any) -> bytes:
    lines = [f"HTTP/1.1 {turn.status} Said", f"Content-Type: {turn.kind}"]
    if turn.framing == "chunked":
        lines.append("Transfer-Encoding: chunked")
    elif turn.framing == "close" or pack:
        lines.append("Connection: close")
    else:
        lines.append(f"Content-Length: {sum(len(step) for step in turn.steps if isinstance(step, bytes))}")
    if pack:
        lines.append(f"Content-Encoding: {'gzip' if turn.coding == 'gzip' else 'deflate'}")
    lines += [f"{name}: {value}" for name, value in turn.headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _packer(coding: str) -> Any:
    bits = {"gzip": 31, "deflate": 15, "raw": -15}
    return zlib.compressobj(wbits=bits[coding]) if coding else None


async def _pause(seconds: float, request: Request, reader: asyncio.StreamReader) -> None:
    """Wait. Raises ConnectionError when the other side hangs up meanwhile."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while (left := until - loop.time()) > 0:
        if reader.at_eof():
            raise ConnectionResetError
        await asyncio.sleep(min(left, 0.01))


async def _break(step: Do, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if step is STALL:
        await _pause(float("inf"), request, reader)
    if step is RESET:
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.close()


def nobody() -> str:
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return f"http://127.0.0.1:{unused.getsockname()[1]}"
