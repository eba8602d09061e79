"""A backend that says what it was told."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Callable

from tertulia.errors import Upstream
from tertulia.types import ChatRequest, Chunk, ChunkChoice, Delta


class Parrot:
    """A backend that answers in two pieces what it was asked last."""

    def __init__(self, pieces: Callable[[ChatRequest], list[str]] | None = None) -> None:
        self.asked: list[ChatRequest] = []
        self.closed = False
        self.pieces = pieces or (lambda request: ["You said: ", str(request.messages[-1].content)])

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        self.asked.append(request)
        for piece in self.pieces(request):
            if piece == "FAIL":
                raise Upstream("it broke")
            if piece == "CTRL-C":
                os.kill(os.getpid(), signal.SIGINT)
                await asyncio.sleep(10)
            choice = ChunkChoice(0, Delta(content=piece))
            yield Chunk(id="x", created=0, model="m", choices=[choice])
        yield Chunk(id="x", created=0, model="m", choices=[])

    async def aclose(self) -> None:
        self.closed = True
