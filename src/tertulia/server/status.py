"""GET /status: what is loaded, how it does, who asked of late. Nothing of what anybody said is kept or told."""

import asyncio
import os
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web
from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families as families

from tertulia import __version__
from tertulia.ledger.ledger import Ledger
from tertulia.server.exchange import Exchange
from tertulia.server.metrics import Metrics
from tertulia.types import Attempt, Backend

ROOM = 100
"""Requests that are remembered."""
WAIT = 2.0
"""Seconds that engines have to tell their figures."""
_CHATS = frozenset({"/v1/chat/completions", "/{provider}"})
_PREFIX = "tertulia_engine_"
_STATUS = re.compile(r"\d{3}")


class Recent(Struct, frozen=True):
    """A chat that is over. ``when`` is the Unix time at which it came; ``first`` and ``seconds`` are from then on.
    ``first`` is told of streams, tokens and ``cost`` (US dollars) where whoever answered told them."""

    id: str
    when: float
    model: str
    provider: str
    status: int
    outcome: str
    stream: bool
    first: float | None
    seconds: float
    prompt_tokens: int | None
    completion_tokens: int | None
    cost: float | None
    caller: str
    attempts: Sequence[Attempt]


class Status:
    """Remembers the last ROOM chats, and tells of them and of ``backend``: where that has ``status`` and ``metrics``,
    what they say."""

    def __init__(self, backend: Backend, metrics: Metrics, ledger: Ledger | None) -> None:
        self._backend = backend
        self._metrics = metrics
        self._ledger = ledger
        self._started = time.time()
        self._recent: deque[Recent] = deque(maxlen=ROOM)

    def done(self, exchange: Exchange) -> None:
        """A request is over."""
        if exchange.route in _CHATS:
            self._recent.append(_recent(exchange))

    async def tell(self, exchange: Exchange) -> web.StreamResponse:
        """Everything, as JSON."""
        exchange.headers["Cache-Control"] = "no-store"
        exchange.headers["Vary"] = "Accept"  # browsers get a page at the same address
        status: Callable[[], Any] | None = getattr(self._backend, "status", None)
        standing: dict[str, Any] = msgspec.to_builtins(status()) if status else {}
        engines = await self._engines()
        processes: dict[str, Any] = {one["id"]: one for one in standing.get("processes", ())}
        now = time.time()
        told: dict[str, Any] = {
            "version": __version__,
            "now": now,
            "started": self._started,
            "ready": getattr(self._backend, "ready", True),
            "memory": _memory(),
            "in_flight": self._metrics.in_flight - 1,
            "lost_entries": self._ledger.lost if self._ledger else 0,
            "models": [
                {"id": name, "process": processes.get(name), "engine": (engines or {}).get(name)}
                for name in dict.fromkeys([*processes, *(engines or ())])
            ],
            "engines_told": engines is not None,
            "providers": standing.get("providers", []),
            "retries": standing.get("retries"),
            "reserve": standing.get("reserve"),
            "requests": [_tell(one) for one in reversed(self._recent)],
        }
        return exchange.json(msgspec.json.encode(told))

    async def _engines(self) -> dict[str, dict[str, Any]] | None:
        """The engines' figures by model; None where they were too busy to tell."""
        ask: Callable[[], Awaitable[str]] | None = getattr(self._backend, "metrics", None)
        try:
            async with asyncio.timeout(WAIT):
                return read(await ask()) if ask else {}
        except TimeoutError:
            return None


def read(text: str) -> dict[str, dict[str, Any]]:
    """Engines' figures in Prometheus' text format, by model and name; what they are made of is ``info``."""
    found: dict[str, dict[str, Any]] = {}
    for family in families(text):
        for sample in family.samples:
            labels = dict[str, str](sample.labels)
            if not sample.name.startswith(_PREFIX) or (model := labels.pop("model", None)) is None:
                continue
            name = sample.name.removeprefix(_PREFIX).removesuffix("_total")
            found.setdefault(model, {})[name] = labels if name == "info" else sample.value
    return found


def _recent(exchange: Exchange) -> Recent:
    seconds = exchange.seconds()
    told = exchange.prompt_tokens or exchange.completion_tokens  # nobody answers from nothing
    return Recent(
        id=exchange.id,
        when=time.time() - seconds,
        model=exchange.model[:200],
        provider=exchange.headers.get("x-inference-provider", "")[:200],
        status=exchange.status,
        outcome=exchange.outcome,
        stream=exchange.stream is not None,
        first=exchange.first_token if exchange.stream is not None else None,
        seconds=seconds,
        prompt_tokens=exchange.prompt_tokens if told else None,
        completion_tokens=exchange.completion_tokens if told else None,
        cost=exchange.cost,
        caller=exchange.caller,
        attempts=exchange.attempts,
    )


def _tell(one: Recent) -> Mapping[str, Any]:
    told = msgspec.to_builtins(one)
    told["attempts"] = [_attempt(attempt) for attempt in one.attempts]
    return told


def _attempt(one: Attempt) -> dict[str, Any]:
    """An attempt. Why it failed is a provider's message, which may hold what was said to it: its status alone is told.
    Why somebody was passed over are our own words."""
    why = one.why
    if one.outcome == "failed":
        found = _STATUS.match(why)
        why = found[0] if found else ""
    return {
        "provider": one.provider,
        "model": one.model[:200],
        "outcome": one.outcome,
        "why": why,
        "seconds": one.seconds,
    }


def _memory() -> int | None:
    """The bytes of memory that this process has resident, where the system tells."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return None
