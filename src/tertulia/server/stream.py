"""A streamed answer on its way to the client: its head, its events, its end."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, cast

from aiohttp import web
from aiohttp.http_writer import StreamWriter
from multidict import CIMultiDict

from tertulia import sse

_HEAD = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}
_MOST = 64  # events held back for one write: a backend that never waits gives the loop no turn


class Stream(web.StreamResponse):
    """The head waits for the first event, or for the first ping. What is written before the event loop turns goes out
    in one system call: the head with the first event, and events that came together.
    """

    _send_headers_immediately = False  # aiohttp's own, for Response; a test holds head and first event together

    def __init__(self, request: web.BaseRequest, headers: CIMultiDict[str]) -> None:
        super().__init__()
        self._request = request
        self._extra = headers
        self._loop = asyncio.get_running_loop()
        self._out: StreamWriter | None = None
        self._pending: list[bytes] = []

    @property
    def begun(self) -> bool:
        """Whether the status line can no longer be changed."""
        return self._out is not None

    def event(self, data: bytes) -> None:
        """Send an event. Call :meth:`room` before the next."""
        if not self._pending:
            if self._out is None:
                self._begin()
            self._loop.call_soon(self._flush)
        self._pending.append(b"data: %b\n\n" % (data if data.isascii() else sse.plain(data)))
        if len(self._pending) >= _MOST:
            self._flush()

    def ping(self, comment: bytes = sse.PING) -> None:
        """Tell a waiting client that we are still here."""
        if not self._request.protocol.writing_paused and not self._pending:
            if self._out is None:
                self._begin()
            self._pending.append(comment)
            self._flush()

    async def room(self) -> None:
        """Wait while the client reads more slowly than we write."""
        if self._request.protocol.writing_paused and self._out is not None:
            self._flush()
            await self._out.drain()

    async def end(self, error: bytes | None = None) -> None:
        """Send what is left, ``error`` if there is one, and the mark of the end."""
        if self._out is None:
            self._begin()
        rest, self._pending = self._pending, []
        if error is not None:
            rest.append(sse.encode(error))
        await self.write_eof(b"".join([*rest, sse.DONE]))

    def _begin(self) -> None:
        self.headers.extend(self._extra)
        self.headers.update(_HEAD)
        self._out = cast(StreamWriter, _at_once(self.prepare(self._request)))

    def _flush(self) -> None:
        if self._pending and self._out is not None:
            data, self._pending = b"".join(self._pending), []
            with contextlib.suppress(ConnectionError):  # the client is gone: its handler is told otherwise
                _at_once(cast(Coroutine[Any, Any, None], self._out.write(data, drain=False)))


def _at_once(steps: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that has nothing to wait for."""
    try:
        steps.send(None)
    except StopIteration as done:
        return done.value
    steps.close()
    raise RuntimeError("aiohttp waited where nothing was to be waited for")
