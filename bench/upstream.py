"""A provider that costs next to nothing: OpenAI's exact shape, from bytes made beforehand. ``python -m bench.upstream``

It prints its port. A streamed request gets 50 chunks, each written by itself, ``--gap`` seconds apart.
"""

import argparse
import asyncio
import re
from typing import cast

import uvloop

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_HEAD = (
    b'{"id":"chatcmpl-1","object":"chat.completion%b","created":1700000000,"model":"%b","system_fingerprint":"fp_1",'
)
_USAGE = b'"usage":{"prompt_tokens":12,"completion_tokens":50,"total_tokens":62}'
WORDS = 50


def whole(model: bytes) -> bytes:
    """A whole answer of some 1,000 bytes."""
    text = b"The quick brown fox jumps over the lazy dog. " * 16
    message = b'{"role":"assistant","content":"%b","refusal":null}' % text
    choices = b'"choices":[{"index":0,"message":%b,"logprobs":null,"finish_reason":"stop"}],' % message
    return _HEAD % (b"", model) + choices + _USAGE + b"}"


def chunks(model: bytes) -> list[bytes]:
    """The events of a streamed answer: role, 48 words, the end, the usage."""
    head = _HEAD % (b".chunk", model)

    def event(delta: bytes, finish: bytes = b"null") -> bytes:
        choice = b'{"index":0,"delta":%b,"logprobs":null,"finish_reason":%b}' % (delta, finish)
        return b'data: %b"choices":[%b]}\n\n' % (head, choice)

    words = [event(b'{"content":" word%d"}' % number) for number in range(WORDS - 3)]
    first = event(b'{"role":"assistant","content":"","refusal":null}')
    last = b'data: %b"choices":[],%b}\n\ndata: [DONE]\n\n' % (head, _USAGE)
    return [first, *words, event(b'{"content":""}', b'"stop"'), last]


class Upstream(asyncio.Protocol):
    """One connection, kept open."""

    def __init__(self, model: bytes, gap: float) -> None:
        body = whole(model)
        self._whole = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        self._whole += body
        self._chunks = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks(model)]
        self._gap = gap
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while (end := self._rest.find(b"\r\n\r\n")) >= 0:
            found = _LENGTH.search(self._rest, 0, end)
            size = end + 4 + (int(found[1]) if found else 0)
            if len(self._rest) < size:
                return
            request, self._rest = self._rest[:size], self._rest[size:]
            if b'"stream":true' in request or b'"stream": true' in request:
                self._transport.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                )
                self._send(0)
            else:
                self._transport.write(self._whole)

    def _send(self, number: int) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(self._chunks[number])
        if number + 1 == len(self._chunks):
            self._transport.write(b"0\r\n\r\n")
        else:
            asyncio.get_running_loop().call_later(self._gap, self._send, number + 1)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="bench/model")
    parser.add_argument("--gap", type=float, default=0.0005)
    options = parser.parse_args()
    server = await asyncio.get_running_loop().create_server(
        lambda: Upstream(options.model.encode(), options.gap), "127.0.0.1", 0
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    async with asyncio.timeout(3600):
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
