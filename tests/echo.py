"""A Backend whose answers are known beforehand, for tests of everything above it.

It says the words of the last message back, one a chunk. A message of directives (``!0.5 !die one two``) makes it wait,
fail, or die on the way. ``python -m echo --socket P`` serves it as a child process does, ``--port N`` as a server.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

from tertulia.errors import Busy, ContextOverflow, EngineFault, TertuliaError, Upstream
from tertulia.types import (
    Attempt,
    ChatRequest,
    Chunk,
    ChunkChoice,
    ChunkMeta,
    Delta,
    DeltaCall,
    DeltaFunction,
    Logprob,
    Logprobs,
    ModelCard,
    PromptDetails,
    TopLogprob,
    Usage,
)

MODEL = "test/echo"
ERRORS: dict[str, TertuliaError] = {
    "!busy": Busy("the queue is full", retry_after=7),
    "!long": ContextOverflow("9000 tokens are more than the 8192 of this model", param="messages"),
    "!upstream": Upstream("the backend was cut off"),
    "!fault": EngineFault("a fault"),
}


class Echo:
    """``closed`` counts answers that were closed before their end, ``ended`` those that came to it."""

    def __init__(self, *, cards: list[ModelCard] | None = None, refuses: tuple[str, ...] = ()) -> None:
        self.cards = cards or [
            ModelCard(id=MODEL, created=1, owned_by="tests", aliases=["echo"], context_length=8192),
            ModelCard(id="other/echo-2", created=2, owned_by="tests"),
        ]
        self.refuses = refuses
        self.route: list[Attempt] = []
        self.comment = ""
        self.ready = True
        self.requests: list[ChatRequest] = []
        self.open = self.ended = self.closed = 0

    def models(self) -> list[ModelCard]:
        return self.cards

    def supports(self, request: ChatRequest) -> list[str]:
        return [name for name in self.refuses if getattr(request, name, None) is not None]

    async def count(self, request: ChatRequest) -> int:
        return sum(len(text(message.content).split()) for message in request.messages)

    async def metrics(self) -> str:
        return "# TYPE tertulia_engine_things gauge\ntertulia_engine_things 3\n"

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        self.requests.append(request)
        self.open += 1
        done = False
        try:
            async for chunk in self._answer(request):
                yield chunk
            done = True
        finally:
            self.open -= 1
            if done:
                self.ended += 1
            else:
                self.closed += 1

    async def _answer(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        choices = request.n or 1
        words = text(request.messages[-1].content).split()
        said = 0
        meta = ChunkMeta(provider="echo", route=self.route)
        if self.comment:
            yield Chunk(id="echo", created=0, model=MODEL, choices=[], comment=self.comment)
        for word in words:
            if word.startswith("!"):
                await self._obey(word, meta)
                continue
            for index in range(choices):
                delta = Delta(content=word if said == 0 else f" {word}")
                if said == 0:
                    delta.role = "assistant"
                choice = ChunkChoice(index=index, delta=delta)
                if request.logprobs:
                    top = [TopLogprob(token=word, logprob=-0.5)] * (request.top_logprobs or 0)
                    choice.logprobs = Logprobs(content=[Logprob(token=word, logprob=-0.5, top_logprobs=top)])
                yield self._chunk(request, choice, meta)
            said += 1
        for index in range(choices):
            if request.tools:
                function = DeltaFunction(name=request.tools[0].function.name, arguments='{"a":')
                call = DeltaCall(index=0, id="call-1", type="function", function=function)
                delta = Delta(tool_calls=[call])
                if said == 0:
                    delta.role = "assistant"
                yield self._chunk(request, ChunkChoice(index=index, delta=delta))
                call = DeltaCall(index=0, function=DeltaFunction(arguments="1}"))
                yield self._chunk(request, ChunkChoice(index=index, delta=Delta(tool_calls=[call])))
            finish = "tool_calls" if request.tools else "stop"
            yield self._chunk(request, ChunkChoice(index=index, delta=Delta(content=""), finish_reason=finish))
        last = self._chunk(request)
        last.usage = Usage(
            prompt_tokens=len(words),
            completion_tokens=said * choices,
            total_tokens=len(words) + said * choices,
            prompt_tokens_details=PromptDetails(cached_tokens=0),
        )
        yield last

    def _chunk(self, request: ChatRequest, choice: ChunkChoice | None = None, meta: ChunkMeta | None = None) -> Chunk:
        chunk = Chunk(
            id="chatcmpl-1",
            created=1700000000,
            model=request.model or MODEL,
            choices=[choice] if choice else [],
            system_fingerprint="fp-1",
        )
        if meta is not None:
            chunk.meta = meta
        return chunk

    async def _obey(self, word: str, meta: ChunkMeta) -> None:
        match word:
            case "!die":
                print("about to die", file=sys.stderr, flush=True)
                os._exit(3)
            case "!kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "!stall":
                await asyncio.sleep(3600)
            case "!defect":
                raise ZeroDivisionError("a defect")
            case "!warn":
                meta.warnings.append("something was ignored")
            case _ if word in ERRORS:
                raise ERRORS[word]
            case _:
                await asyncio.sleep(float(word[1:]))


def text(content: object) -> str:
    """The text of a message's content."""
    if isinstance(content, str):
        return content
    return " ".join(getattr(part, "text", "") for part in content) if isinstance(content, list) else ""


def main() -> None:
    """Serve an Echo on a Unix socket, as ``tertulia engine`` serves an engine, or at a port; with faults in starting,
    if asked."""
    parser = argparse.ArgumentParser()
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--socket", type=Path)
    where.add_argument("--port", type=int)
    parser.add_argument("--load", type=float, default=0, help="seconds that it takes to load")
    parser.add_argument("--fail", action="store_true", help="die while loading")
    parser.add_argument("--deaf", action="store_true", help="ignore SIGTERM and the end of standard input")
    options = parser.parse_args()
    if options.fail:
        print("error: the model is not there", file=sys.stderr)
        raise SystemExit(1)
    import uvloop

    uvloop.run(_serve(options))


async def _serve(options: argparse.Namespace) -> None:
    from tertulia.config import Config
    from tertulia.server.app import running, serve

    config = Config()
    config.server.grace = 0.2
    config.server.port = options.port or 0
    backend = Echo()
    backend.ready = not options.load
    if options.load:
        asyncio.get_running_loop().call_later(options.load, lambda: setattr(backend, "ready", True))
    if options.deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        async with running(backend, config, socket=options.socket):
            await asyncio.sleep(3600)
    await serve(backend, config, socket=options.socket, orphan_stops=options.port is None)


if __name__ == "__main__":
    main()
