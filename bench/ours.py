"""The worker that holds Tertulia's engine in-process. ``python -m bench.ours FOLDER THREADS``"""

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import uvloop

from bench import worker
from tertulia import config
from tertulia.engine import grammar
from tertulia.engine.engine import Engine
from tertulia.engine.grammar import Walk
from tertulia.errors import BadRequest
from tertulia.types import ChatRequest, Image, ImageUrl, Message, Text

QUIET = 1.5
"""Seconds for which running answers are watched before and after something disturbs them."""


FORCED: list[int] = []
"""How many tokens each grammar's state was found to force, since the last question."""

SPENT = {"masks": 0.0, "waited": 0.0, "taken": 0.0}
"""Seconds for masks, of those what a pass had to wait for, and for taking tokens."""


class Watched(Walk):
    """A walk that notes what it forces, and what it takes."""

    def take(self, token: int) -> bool:
        started = time.perf_counter()
        complete = super().take(token)
        SPENT["taken"] += time.perf_counter() - started
        return complete

    def forced(self) -> list[int]:
        started = time.perf_counter()
        tokens = super().forced()
        SPENT["taken"] += time.perf_counter() - started
        FORCED.append(len(tokens))
        return tokens


async def stream(
    engine: Engine, text: str, most: int, times: list[float], schema: Any = None, picture: str = "", sees: bool = False
) -> dict[str, Any]:
    """One greedy answer of ``most`` tokens, or one that fits ``schema``: its text, its tokens, and in ``times`` when
    each piece came. ``picture`` is the URL of one that the question is about. A trained model that ``sees`` answers in
    few words, and past its end it would only repeat that, which is no text: it may not end."""
    content = [Image(ImageUrl(picture)), Text(text)] if picture else text
    request = ChatRequest(
        messages=[Message(role="user", content=content)],
        temperature=0,
        max_tokens=most,
        ignore_eos=schema is None,
        min_tokens=most if sees or picture else 0,
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


async def chats(
    engine: Engine, texts: list[str], most: int | list[int], schema: Any = None, pictures: list[str] | None = None
) -> dict[str, Any]:
    """Answer ``texts`` at once, each with ``most`` tokens or with its own number of them, about a picture each where
    there are ``pictures``."""
    bounds = most if isinstance(most, list) else [most] * len(texts)
    shown = pictures or [""] * len(texts)
    before, started = worker.cpu(), time.perf_counter()
    FORCED.clear()
    answers = await asyncio.gather(
        *(stream(engine, text, bound, [], schema, one) for text, bound, one in zip(texts, bounds, shown, strict=True))
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


AT_ONCE = 8


async def forms(engine: Engine, asked: list[tuple[str, Any]], most: int, seed: int) -> dict[str, Any]:
    """An answer of each schema at temperature 1, some at once: the text and how it ended."""
    _watch(engine)
    before, seats = engine._counters["completion_tokens"], asyncio.Semaphore(AT_ONCE)
    took: dict[str, list[float]] = {"tried": [], "compiled": []}
    grammars = engine._asker._grammars
    grammars._try = _timed(grammars._try, took["tried"])  # type: ignore[method-assign]
    grammars._compile = _timed(grammars._compile, took["compiled"])  # type: ignore[method-assign]

    async def answer(name: str, schema: Any) -> dict[str, Any]:
        request = ChatRequest(
            messages=[Message(role="user", content=f"Write an example of {name} in JSON, as short as possible.")],
            temperature=1.0,
            seed=seed,
            max_tokens=most,
            response_format={"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}},
        )
        pieces: list[str] = []
        end = None
        async with seats:
            try:
                async with aclosing(engine.chat(request)) as chunks:
                    async for chunk in chunks:
                        for choice in chunk.choices:
                            pieces.append(str(choice.delta.content or ""))
                            end = choice.finish_reason or end
            except BadRequest as error:
                return {"end": "limit" if pieces else "refused", "param": error.param or "", "message": str(error)}
        return {"end": end, "text": "".join(pieces)}

    answers = await asyncio.gather(*(answer(name, schema) for name, schema in asked))
    tokens = engine._counters["completion_tokens"] - before
    return {"answers": answers, "tokens": tokens, "took": took, "spent": SPENT}


def _timed(do: Callable[[Any], Any], took: list[float]) -> Callable[[Any], Any]:
    def timed(given: Any) -> Any:
        started = time.perf_counter()
        try:
            return do(given)
        finally:
            took.append(time.perf_counter() - started)

    return timed


def _watch(engine: Engine) -> None:
    """Note what masks cost beside the passes, and what of that a pass waits for."""
    forward, allowed, ended = engine._model.forward, engine._allowed, [0.0]

    def run(batch: Any) -> Any:
        logits = forward(batch)
        ended[0] = time.perf_counter()
        return logits

    def mask(work: Any) -> Any:
        ended[0], started = 0.0, time.perf_counter()
        masks = allowed(work)
        now = time.perf_counter()
        SPENT["masks"] += now - started
        SPENT["waited"] += now - ended[0] if ended[0] else 0.0
        return masks

    engine._model.forward, engine._allowed = run, mask  # type: ignore[method-assign]


async def beside(
    engine: Engine, texts: list[str], asked: list[tuple[str, str]], most: int, quiet: float = QUIET
) -> dict[str, Any]:
    """Answer ``texts`` and, when all are under way, read what is ``asked`` at once, each a text and a picture's URL or
    nothing: when each token came, and when the reading was."""
    times: list[list[float]] = [[] for _ in texts]
    sees = any(picture for _, picture in asked)
    running = [
        asyncio.create_task(stream(engine, text, most, came, sees=sees))
        for text, came in zip(texts, times, strict=True)
    ]
    while not all(times):  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    await asyncio.sleep(quiet)
    begun = time.perf_counter()
    readers = await asyncio.gather(*(stream(engine, text, 1, [], picture=picture) for text, picture in asked))
    ended = time.perf_counter()
    await asyncio.sleep(quiet)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    return {"begun": begun, "ended": ended, "read": sum(one["prompt"] for one in readers), "times": times}


def main() -> None:
    grammar.Walk = Watched  # type: ignore[misc]
    folder, threads = Path(sys.argv[1]), int(sys.argv[2])
    loop = uvloop.new_event_loop()
    settings = config.Engine(threads=threads)
    engine = loop.run_until_complete(Engine.load(folder, name="bench", digest="0" * 16, settings=settings))
    doings = {"chats": chats, "beside": beside, "forms": forms}

    def answer(question: dict[str, Any]) -> dict[str, Any]:
        return loop.run_until_complete(doings[question.pop("do")](engine, **question))

    worker.serve(answer)
    loop.run_until_complete(engine.aclose())


if __name__ == "__main__":
    main()
