"""The clock over one answer: how long its backend may be silent, and when the client gets a ping."""

import asyncio
from bisect import bisect_left
from collections.abc import Callable
from types import TracebackType
from typing import Self

from aiohttp import web

from tertulia.config import Server
from tertulia.errors import TertuliaError, Timeout

PING = 1.0
"""Seconds of silence after which a stream's client is sent a ping, and between pings."""
GAPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds, in seconds, of the classes in which gaps between chunks are counted."""


class Watch:
    """A context in which the current task reads an answer, calling :meth:`beat` at each chunk.

    When a bound is met the task is interrupted, and the context raises that Timeout. There is one timer, armed again
    only when it rings: a chunk costs two stores and a count.
    """

    def __init__(self, server: Server, request: web.BaseRequest, ping: Callable[[], None] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._server = server
        self._request = request
        self._ping = ping
        self._error: TertuliaError | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.start = self.last = self._pinged = self._loop.time()
        self.beats = 0
        self._patience = 0.0
        self.gaps = [0] * (len(GAPS) + 1)
        self.gaps_sum = 0.0

    def beat(self) -> None:
        """A chunk has come."""
        now = self._loop.time()
        if self.beats:
            gap = now - self.last
            self.gaps[bisect_left(GAPS, gap)] += 1
            self.gaps_sum += gap
        self.last = now
        self.beats += 1

    def alive(self, patience: float = 0) -> None:
        """No chunk has come, but a sign that one will. From here on up to ``patience`` seconds of silence are no fault:
        somebody below has a clock of its own."""
        self.last = self._loop.time()
        self._patience = patience or self._patience

    def stop(self, error: TertuliaError) -> None:
        """Interrupt the task; the context raises ``error``."""
        if self._error is None:
            self._error = error
            self._task.cancel()

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._ring()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        # a hang-up that came at the same moment stays a hang-up
        if self._error and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise self._error from None

    def _ring(self) -> None:
        """Look at the clock: interrupt, ping, or only wind it up again."""
        now, server = self._loop.time(), self._server
        due: list[float] = []
        if server.total_timeout:
            due.append(self.start + server.total_timeout)
            if now >= due[-1]:
                return self.stop(
                    Timeout(f"the answer was not done after {server.total_timeout:g} s (total_timeout in [server])")
                )
        bound = server.idle_timeout if self.beats else server.first_token_timeout
        if bound:
            bound = max(bound, self._patience)
            due.append(self.last + bound)
            if now >= due[-1]:
                return self._silent(bound)
        if self._ping is not None:
            if now >= max(self.last, self._pinged) + PING:
                self._pinged = now
                self._ping()
            due.append(max(self.last, self._pinged) + PING)
        if due:
            self._timer = self._loop.call_at(min(due), self._ring)
        return None

    def _silent(self, bound: float) -> None:
        if self._request.protocol.writing_paused:
            # it is the client that has not read for so long: there is nobody to tell
            if self._request.transport is not None:
                self._request.transport.abort()
            return None
        if self.beats:
            return self.stop(Timeout(f"the answer paused for {bound:g} s (idle_timeout in [server])"))
        what = f"the answer did not begin within {bound:g} s (first_token_timeout in [server])"
        return self.stop(Timeout(f"{what}: a shorter prompt is read sooner"))
