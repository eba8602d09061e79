"""One request and what becomes of it: its id, its body, its answer's common headers, its line in the log."""

import asyncio
import contextlib
import os
import re
import time
from collections.abc import Iterable, Sequence

from aiohttp import web
from multidict import CIMultiDict

from tertulia.errors import BadRequest, TertuliaError, Timeout, TooLarge
from tertulia.server.stream import Stream
from tertulia.types import Attempt
from tertulia.wires import openai

_SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_JSON = "application/json"


class Exchange:
    """A request on its way through the server, and the figures that the log and the metrics want of it."""

    __slots__ = (
        "asked",
        "attempts",
        "bearer",
        "caller",
        "completion_tokens",
        "cost",
        "first_token",
        "headers",
        "id",
        "model",
        "outcome",
        "prompt_tokens",
        "provider",
        "request",
        "route",
        "started",
        "status",
        "stream",
        "token",
    )

    def __init__(self, request: web.BaseRequest) -> None:
        given = request.headers.get("x-request-id")
        self.id = given if given and _SANE.fullmatch(given) else f"req-{os.urandom(9).hex()}"
        self.request = request
        self.started = time.perf_counter()
        self.headers: CIMultiDict[str] = CIMultiDict({"x-request-id": self.id, "Server": "tertulia"})
        self.stream: Stream | None = None
        self.caller = "local"
        self.token = 0
        self.bearer = ""
        self.provider = ""  # as the address names it, and the model
        self.asked = ""
        self.route = "other"
        self.model = ""
        self.status = 200
        self.outcome = "ok"
        self.first_token: float | None = None
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.cost: float | None = None
        self.attempts: Sequence[Attempt] = ()

    @property
    def strict(self) -> bool:
        """Whether the caller wants warnings to be errors."""
        return self.request.headers.get("x-tertulia-strict") == "1"

    def seconds(self) -> float:
        """Since it began."""
        return time.perf_counter() - self.started

    def warn(self, warnings: Iterable[str], *, ours: bool = True) -> None:
        """Tell ``warnings`` in headers of the answer, each once; where they are ``ours``, refuse the request if the
        caller is strict."""
        told = dict.fromkeys(warnings)
        if told and ours and self.strict:
            raise BadRequest(f"{'; '.join(told)} (an error because of x-tertulia-strict)")
        for warning in list(told)[:20]:
            if (line := one_line(warning, 200)) not in self.headers.getall("x-tertulia-warnings", ()):
                self.headers.add("x-tertulia-warnings", line)

    def tell(self, route: Sequence[Attempt]) -> None:
        """Tell who was asked and what became of it, in a header, if the caller wants to know."""
        self.attempts = route or self.attempts
        if route and self.request.headers.get("x-tertulia-route") == "1":
            self.headers["x-tertulia-route"] = one_line(openai.write_route(route), 4000)

    def json(self, body: bytes, status: int = 200) -> web.Response:
        """An answer of JSON."""
        self.status = status
        return web.Response(body=body, status=status, headers=self.headers, content_type=_JSON)

    def error(self, error: TertuliaError) -> web.Response:
        """An answer that tells ``error``."""
        self.outcome = error.code or error.type
        self.tell(error.route)
        self.headers["X-Error-Message"] = one_line(error.message, 500)
        if error.retry_after is not None:
            self.headers["Retry-After"] = str(error.retry_after)
        if error.status == 401:
            # Behind the door it is a provider that wants a key: nothing that our pages should ask a person for.
            self.headers["WWW-Authenticate"] = "Bearer" if self.route == "other" else 'Bearer realm="provider"'
        return self.json(openai.write_error(error), error.status)

    async def fail(self, error: TertuliaError) -> web.StreamResponse:
        """Tell ``error``: as an answer, or as the last event of the stream that has begun."""
        if self.stream is None or not self.stream.begun:
            return self.error(error)
        self.outcome = error.code or error.type
        self.attempts = error.route or self.attempts
        with contextlib.suppress(ConnectionError):
            await self.stream.end(openai.write_error(error))
        return self.stream

    async def body(self, limit: int, silence: float) -> bytes:
        """The request's body. Raises TooLarge over ``limit`` bytes, Timeout when nothing comes for ``silence`` s."""
        request, content = self.request, self.request.content
        length = request.content_length
        if length is not None and length > limit:
            raise TooLarge(f"the body has {length} bytes; {limit} are allowed (body_limit in [server])")
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0  # the real head is still to come
        pieces: list[bytes] = []
        size = 0
        try:
            if content.is_eof() and content.total_bytes <= limit:  # all is here: no clock, no waiting
                return content.read_nowait()
            clock = asyncio.get_running_loop().time
            async with asyncio.timeout(silence or None) as bound:
                while piece := await content.readany():
                    pieces.append(piece)
                    if (size := size + len(piece)) > limit:
                        raise TooLarge(f"the body has more than {limit} bytes (body_limit in [server])")
                    bound.reschedule(clock() + silence if silence else None)
        except TimeoutError:
            raise Timeout(f"no more of the body came for {silence:g} s") from None
        except web.RequestPayloadError as error:
            raise BadRequest(f"the body can't be read: {one_line(str(error), 200)}") from None
        return b"".join(pieces)

    def line(self) -> str:
        """What the access log says: who, what, how long; never the contents."""
        parts = [f"{self.id} {self.request.method} {self.request.path!r} {self.status} {self.seconds() * 1000:.0f} ms"]
        if self.outcome != "ok":
            parts.append(self.outcome)
        if self.model:
            parts.append(f"model={self.model}")
        if self.first_token is not None:
            parts.append(f"first={self.first_token * 1000:.0f} ms")
        if self.prompt_tokens:
            parts.append(f"tokens={self.prompt_tokens}+{self.completion_tokens}")
        return f"{' '.join(parts)} by {self.caller}"


def one_line(text: str, limit: int) -> str:
    """``text`` as a header may carry it: ASCII, on one line, no longer than ``limit``."""
    safe = " ".join(text.split()).encode("ascii", "replace").decode()
    safe = "".join(c if c.isprintable() else "?" for c in safe)
    return safe if len(safe) <= limit else safe[: limit - 3] + "..."
