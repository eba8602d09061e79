"""Connections: how many there may be, how long one may be silent, and what a caller is told who doesn't speak HTTP."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from tertulia import errors
from tertulia.config import Server
from tertulia.server.exchange import Exchange, one_line

log = logging.getLogger("tertulia.server")

KEEP_ALIVE = 75.0
"""Seconds that a connection stays open after an answer."""
_FULL = (
    b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nRetry-After: 1\r\nConnection: close\r\n"
    b"X-Error-Message: too many connections\r\nContent-Length: %d\r\n\r\n"
)
_FULL_BODY = (
    b'{"error":{"message":"too many connections","type":"rate_limit_error","param":null,"code":"too_many_connections"}}'
)


class Door(web.Server):
    """Makes a Connection of each accepted socket."""

    def __init__(self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], server: Server) -> None:
        super().__init__(
            handler,
            handler_cancellation=True,
            keepalive_timeout=KEEP_ALIVE,
            access_log=None,
            logger=log,
            lingering_time=2.0,
        )
        self.server = server
        self.open = 0

    def __call__(self) -> "Connection":
        return Connection(self, loop=self._loop, **self._kwargs)


class Connection(RequestHandler):
    """aiohttp's protocol with three things of ours: a bound on how many there are, a bound on the wait for the first
    request (aiohttp only has the keep-alive time, far longer), and errors in the shape of all our errors."""

    __slots__ = ("_door", "_held", "_silence")

    def __init__(self, door: Door, **options: Any) -> None:
        super().__init__(door, **options)
        self._door = door
        self._held = False
        self._silence: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._door.open >= self._door.server.connections:
            self._force_close = True
            cast(asyncio.Transport, transport).write(_FULL % len(_FULL_BODY) + _FULL_BODY)
            transport.close()
            return
        self._door.open += 1
        self._held = True
        super().connection_made(transport)
        if timeout := self._door.server.header_timeout:
            self._silence = self._loop.call_later(timeout, self._drop)

    def _drop(self) -> None:
        if self._request_count == 0:
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._held:
            self._door.open -= 1
            self._held = False
        if self._silence is not None:
            self._silence.cancel()
        super().connection_lost(exc)

    def log_exception(self, *args: Any, **options: Any) -> None:
        """A body that can't be read is its sender's fault, who has been told: it needs no traceback."""
        if not isinstance(options.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **options)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What aiohttp found wrong before we saw the request."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun: it can't be replaced by an error")
        kind = errors.by_status(status)
        # aiohttp quotes the bytes at fault, which may be a token or a message: they go no further.
        what = one_line(re.split(r":?\s*b['\"]", message or str(exc or "it can't be read"))[0], 200)
        response = Exchange(request).error(kind(f"this is not an HTTP request that can be answered: {what}"))
        response.force_close()
        log.info("refused a connection's bytes: %s", what)
        return response
