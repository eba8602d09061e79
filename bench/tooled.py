"""The worker that holds the engine in-process, offers it tools, and has its grammars switched off, begun elsewhere and
watched. ``python -m bench.tooled FOLDER THREADS``"""

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from statistics import fmean, median
from typing import Any

import msgspec
import uvloop

from bench import worker
from bench.calls import QUESTIONS, TOOLS, offered
from bench.form import SCHEMA
from tertulia import config
from tertulia.engine import engine as engine_module
from tertulia.engine.engine import Engine
from tertulia.engine.grammar import Grammar, Walk
from tertulia.fold import fold
from tertulia.types import ChatRequest, Message, Tool

AT_ONCE = 8
ALL = msgspec.convert(offered(TOOLS), list[Tool])


async def _answer(engine: Engine, request: ChatRequest) -> dict[str, Any]:
    async with aclosing(engine.chat(request)) as chunks:
        whole = fold([chunk async for chunk in chunks])
    message = whole.choices[0].message
    calls = [(call.function.name, call.function.arguments) for call in message.tool_calls or []]
    tokens = whole.usage.completion_tokens if whole.usage else 0
    return {
        "calls": calls,
        "content": message.content or "",
        "finish": whole.choices[0].finish_reason,
        "tokens": tokens,
    }


class Bench:
    """The engine, and the ways in which what a request asks for is changed behind its back."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._asker: Any = engine._asker
        self._grammar: Any = self._asker._grammar
        self._prompt: Any = self._asker._prompt
        self._watch = Watch(engine)

    # ------------------------------------------------------------ auto, with its grammar and without

    async def auto(self, held: bool, most: int = 64) -> dict[str, Any]:
        """Everyday answers with all tools on offer."""
        self._asker._grammar = self._grammar if held else self._none
        gate = asyncio.Semaphore(AT_ONCE)

        async def ask(text: str) -> dict[str, Any]:
            message = Message(role="user", content=text)
            async with gate:
                request = ChatRequest(messages=[message], tools=ALL, temperature=0, max_tokens=most)
                return await _answer(self._engine, request)

        before = worker.cpu()
        answers = await asyncio.gather(*(ask(text) for text in QUESTIONS))
        spent = worker.cpu() - before
        self._asker._grammar = self._grammar
        return {"answers": answers, "cpu": spent, "tokens": sum(answer["tokens"] for answer in answers)}

    async def _none(self, *_: Any) -> Any:
        return None, []

    # ------------------------------------------------------------ what masks cost

    async def cost(self, kind: str, most: int = 48) -> dict[str, Any]:
        """What masks add to the way from one pass to the next, at eight chats."""
        places = [place for place, tool in enumerate(TOOLS) if tool["name"] in LONG]
        self._asker._prompt = self._bare
        requests: list[ChatRequest] = []
        for index in range(AT_ONCE):
            text = f"Tell me of one book, please: number {index} on your list."
            request = ChatRequest(messages=[Message(role="user", content=text)], max_tokens=most, seed=index)
            request.temperature = 0 if kind.endswith("0") else 1
            if kind.startswith("form"):
                request.response_format = {"type": "json_schema", "json_schema": {"name": "book", "schema": SCHEMA}}
            else:
                request.tools = ALL
                request.ignore_eos = kind.startswith("text")
            requests.append(request)
        names = iter(TOOLS[places[index % len(places)]]["name"] for index in range(AT_ONCE))

        async def begun(*given: Any) -> Any:
            kept, warnings = await self._grammar(*given)
            matcher = kept._matcher.deep_copy()
            for token in self._engine._tokens.encode(self._opening(next(names))):
                assert matcher.consume_token(token)
            return Grammar(matcher, kept._vocabulary), warnings

        self._asker._grammar = begun if kind.startswith("call") else self._grammar
        with self._watch:
            await asyncio.gather(*(_answer(self._engine, request) for request in requests))
        self._asker._grammar, self._asker._prompt = self._grammar, self._prompt
        return self._watch.told(AT_ONCE)

    async def _bare(self, request: ChatRequest, note: str) -> Any:
        """The prompt without the tools: what is measured is the grammar, and short passes hide the least."""
        return await self._prompt(msgspec.structs.replace(request, tools=None), note)

    def _opening(self, name: str) -> str:
        form = self._asker._format.forms[0]
        before = "" if form.begin else "Well.\n"
        return before + (form.open + form.call).partition("$arguments")[0].replace("$name", name).rstrip()


LONG = (
    "send_email",
    "write_note",
    "order_pizza",
    "file_ticket",
    "find_flights",
    "start_pipeline",
    "translate",
    "remind",
)
"""Tools whose arguments are long."""


class Watch:
    """A context in which the engine's passes are timed: in CPU time of the loop's thread what masks add between two
    passes, and how long the filling of masks outlasts the pass that should hide it."""

    def __init__(self, engine: Engine) -> None:
        self._engine: Any = engine
        self._passes: list[dict[str, float]] = []
        self._now: dict[str, float] = {}
        self._ended = 0.0

    def __enter__(self) -> None:
        self._passes.clear()
        self._now = dict.fromkeys(("filling", "unhidden", "sampling", "walking", "forcing", "rows", "pass"), 0.0)
        self._real = (engine_module.sample, Walk.take, Walk.forced)
        self._methods = (self._engine._model.forward, self._engine._allowed, self._engine._tell)
        model, forward, allowed, tell = self._engine._model, *self._methods
        model.forward = self._timed_forward(forward)
        self._engine._allowed = self._timed_allowed(allowed)
        self._engine._tell = self._timed_tell(tell)
        engine_module.sample = self._timed_sample(engine_module.sample)  # type: ignore[assignment]
        Walk.take = self._spent("walking", Walk.take)  # type: ignore[method-assign]
        Walk.forced = self._spent("forcing", Walk.forced)  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        engine_module.sample, Walk.take, Walk.forced = self._real  # type: ignore[method-assign]
        self._engine._model.forward, self._engine._allowed, self._engine._tell = self._methods

    def told(self, rows: int) -> dict[str, Any]:
        """Medians and means over the passes in which all ``rows`` were sampled, in microseconds a row."""
        full = [one for one in self._passes if one["rows"] == rows]
        parts = ("filling", "sampling", "walking", "forcing", "unhidden")
        added = [sum(one[part] for part in parts[1:]) / rows * 1e6 for one in full]
        means = {part: fmean(one[part] for one in full) / rows * 1e6 for part in parts}
        whole = {"passes": len(full), "pass": median(one["pass"] for one in full) * 1e3}
        return means | whole | {"added": fmean(added), "median": median(added)}

    def _spent(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*given: Any) -> Any:
            before = time.thread_time()
            result = call(*given)
            self._now[part] += time.thread_time() - before
            return result

        return timed

    def _timed_forward(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        def timed(batch: Any) -> Any:
            before = time.perf_counter()
            result = forward(batch)
            self._ended = time.perf_counter()
            self._now["pass"] = self._ended - before
            return result

        return timed

    def _timed_allowed(self, allowed: Callable[..., Any]) -> Callable[..., Any]:
        filled = self._spent("filling", allowed)

        def timed(work: Any) -> Any:
            self._ended = float("inf")
            result = filled(work)
            over = time.perf_counter()
            self._now["unhidden"] = 0.0 if self._ended == float("inf") else over - self._ended
            return result

        return timed

    def _timed_tell(self, tell: Callable[..., Any]) -> Callable[..., Any]:
        def timed(work: Any, *given: Any) -> None:
            self._now["rows"] = len(work.sampled)
            tell(work, *given)
            self._passes.append(self._now)
            self._now = dict.fromkeys(self._now, 0.0)

        return timed

    def _timed_sample(self, sample: Callable[..., Any]) -> Callable[..., Any]:
        def timed(logits: Any, params: Any, histories: Any, allowed: Any = None) -> Any:
            twin = logits.copy()
            if len(self._passes) % 2:  # whoever comes second finds things warm
                before = time.thread_time()
                sample(twin, params, histories)
                free = time.thread_time() - before
                before = time.thread_time()
                result = sample(logits, params, histories, allowed)
                held = time.thread_time() - before
            else:
                before = time.thread_time()
                result = sample(logits, params, histories, allowed)
                held = time.thread_time() - before
                before = time.thread_time()
                sample(twin, params, histories)
                free = time.thread_time() - before
            self._now["sampling"] += held - free
            return result

        return timed


def main() -> None:
    folder, threads = Path(sys.argv[1]), int(sys.argv[2])
    loop = uvloop.new_event_loop()
    settings = config.Engine(threads=threads, queue_timeout=600)  # fifty tools take a slow CPU long to read
    engine = loop.run_until_complete(Engine.load(folder, name="bench", digest="0" * 16, settings=settings))
    bench = Bench(engine)
    doings = {"auto": bench.auto, "cost": bench.cost}

    def answer(question: dict[str, Any]) -> dict[str, Any]:
        return loop.run_until_complete(doings[question.pop("do")](**question))

    worker.serve(answer)
    loop.run_until_complete(engine.aclose())


if __name__ == "__main__":
    main()
