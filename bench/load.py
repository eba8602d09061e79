"""A client that costs little and checks what it gets. ``python -m bench.load``, asked in turn (:mod:`bench.worker`)."""

import asyncio
import json
import time
from typing import Any, cast

import uvloop

from bench import worker

PATIENCE = 60.0
_END = b"data: [DONE]\n\n"


def request(port: int, path: str, model: str, token: str, stream: bool) -> bytes:
    """The bytes of one request: 20 messages, 10 kB."""
    turns = [
        {"role": "user" if turn % 2 == 0 else "assistant", "content": f"turn {turn}: " + "words and words " * 30}
        for turn in range(19)
    ]
    options = {"include_usage": True} if stream else None
    body = json.dumps({"model": model, "messages": turns, "stream": stream, "stream_options": options}).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class _Client(asyncio.Protocol):
    """One connection that asks again and again, as long as ``left`` has any."""

    def __init__(self, sent: bytes, stream: bool, left: list[int], done: asyncio.Future[None]) -> None:
        self._sent, self._stream, self._left, self._done = sent, stream, left, done
        self.first: list[float] = []
        self.whole: list[float] = []
        self.bad = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._next()

    def _next(self) -> None:
        if not self._left[0]:
            self._transport.close()
            if not self._done.done():
                self._done.set_result(None)
            return
        self._left[0] -= 1
        self._got: list[bytes] = []
        self._began = time.perf_counter()
        self._transport.write(self._sent)

    def data_received(self, data: bytes) -> None:
        if not self._got:
            self.first.append(time.perf_counter() - self._began)
        self._got.append(data)
        if self._stream:
            if data.endswith(b"0\r\n\r\n"):
                self._end(b"".join(self._got))
            return
        text = b"".join(self._got)
        head, _, body = text.partition(b"\r\n\r\n")
        size = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if (size and len(body) >= int(size)) or (not size and body.endswith(b"0\r\n\r\n")):
            self._end(text)

    def _end(self, text: bytes) -> None:
        self.whole.append(time.perf_counter() - self._began)
        if self._stream:
            text = _joined(text)
        good = text.startswith(b"HTTP/1.1 200") and b'"completion_tokens":50' in text.replace(b": ", b":")
        if self._stream:
            good = good and _END in text and text.count(b"data: {") >= 49 and b" word46" in text
        self.bad += not good
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(exc or ConnectionError("the connection was closed"))


def _joined(text: bytes) -> bytes:
    """An answer in chunks (of HTTP) without what stands between them."""
    head, _, rest = text.partition(b"\r\n\r\n")
    pieces = [head]
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        pieces.append(rest[:length])
        rest = rest[length + 2 :]
    return b"".join(pieces)


async def load(port: int, path: str, model: str, token: str, stream: bool, count: int, at_once: int) -> dict[str, Any]:
    """``count`` requests over ``at_once`` connections; every answer is checked."""
    loop, left = asyncio.get_running_loop(), [count]
    sent = request(port, path, model, token, stream)
    started = time.perf_counter()
    clients: list[_Client] = []
    waits: list[asyncio.Future[None]] = []
    for _ in range(at_once):
        done = loop.create_future()
        _, client = await loop.create_connection(lambda done=done: _Client(sent, stream, left, done), "127.0.0.1", port)
        clients.append(client)
        waits.append(done)
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*waits)
    wall = time.perf_counter() - started
    first = sorted(value for client in clients for value in client.first)
    whole = sorted(value for client in clients for value in client.whole)
    return {
        "wall": wall,
        "bad": sum(client.bad for client in clients),
        "first": first[len(first) // 2],
        "whole": whole[len(whole) // 2],
        "p99": whole[int(len(whole) * 0.99)],
    }


if __name__ == "__main__":
    worker.serve(lambda question: uvloop.run(load(**question)))
