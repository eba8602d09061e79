"""The worker that holds Tertulia's engine in-process. ``python -m bench.ours FOLDER THREADS``"""

import asyncio
import sys
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import uvloop

from bench import worker
from tertulia import config
from tertulia.engine import grammar
from tertulia.engine.engine import Engine
from tertulia.engine.grammar import Walk
from tertulia.types import ChatRequest, Message

QUIET = 1.5
"""Seconds for which running answers are watched before and after something disturbs them."""


FORCED: list[int] = []
"""How many tokens each grammar's state was found to force, since the last question."""


class Watched(Walk):
    """A walk that notes what it forces."""

    def forced(self) -> list[int]:
        tokens = super().forced()
        FORCED.append(len(tokens))
        return tokens


async def stream(engine: Engine, text: str, most: int, times: list[float], schema: Any = None) -> dict[str, Any]:
    """One greedy answer of ``most`` tokens, or one that fits ``schema``: its text, its tokens, and in ``times`` when
    each piece came."""
    request = ChatRequest(
        messages=[Message(role="user", content=text)],
        temperature=0,
        max_tokens=most,
        ignore_eos=schema is None,
        response_format=schema and {"type": "json_schema", "json_schema": {"name": "book", "schema": schema}},
    )
    pieces: list[str] = []
    started, usage = time.perf_counter(), None
    async with aclosing(engine.chat(request)) as chunks:
        async for chunk in chunks:
            if chunk.choices:
                pieces.append(str(chunk.choices[0].delta.content or ""))
                times.append(time.perf_counter())
            else:
                usage = chunk.usage
    assert usage
    return {
        "text": "".join(pieces),
        "tokens": usage.completion_tokens,
        "prompt": usage.prompt_tokens,
        "first": times[0] - started,
    }


async def chats(engine: Engine, texts: list[str], most: int | list[int], schema: Any = None) -> dict[str, Any]:
    """Answer ``texts`` at once, each with ``most`` tokens or with its own number of them."""
    bounds = most if isinstance(most, list) else [most] * len(texts)
    before, started = worker.cpu(), time.perf_counter()
    FORCED.clear()
    answers = await asyncio.gather(
        *(stream(engine, text, bound, [], schema) for text, bound in zip(texts, bounds, strict=True))
    )
    spent, wall = worker.cpu() - before, time.perf_counter() - started
    return {
        "cpu": spent,
        "wall": wall,
        "tokens": sum(answer["tokens"] for answer in answers),
        "lengths": [answer["tokens"] for answer in answers],
        "forced": sum(FORCED),
        "texts": [answer["text"] for answer in answers],
        "prompts": [answer["prompt"] for answer in answers],
        "first": [answer["first"] for answer in answers],
    }


async def beside(engine: Engine, texts: list[str], long: str, most: int) -> dict[str, Any]:
    """Answer ``texts`` and, when all are under way, read ``long``: when each token came, and when the reading was."""
    times: list[list[float]] = [[] for _ in texts]
    running = [asyncio.create_task(stream(engine, text, most, came)) for text, came in zip(texts, times, strict=True)]
    while not all(times):  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    await asyncio.sleep(QUIET)
    begun = time.perf_counter()
    reader = await stream(engine, long, 1, [])
    ended = time.perf_counter()
    await asyncio.sleep(QUIET)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    return {"begun": begun, "ended": ended, "read": reader["prompt"], "times": times}


def main() -> None:
    grammar.Walk = Watched  # type: ignore[misc]
    folder, threads = Path(sys.argv[1]), int(sys.argv[2])
    loop = uvloop.new_event_loop()
    settings = config.Engine(threads=threads)
    engine = loop.run_until_complete(Engine.load(folder, name="bench", digest="0" * 16, settings=settings))
    doings = {"chats": chats, "beside": beside}

    def answer(question: dict[str, Any]) -> dict[str, Any]:
        return loop.run_until_complete(doings[question.pop("do")](engine, **question))

    worker.serve(answer)
    loop.run_until_complete(engine.aclose())


if __name__ == "__main__":
    main()
