"""Over HTTP, streaming, against the engine in-process: what gateway, sockets and JSON cost."""

from pathlib import Path
from statistics import median
from typing import Any

from bench import prompts
from bench.service import Service
from bench.table import Row
from bench.worker import Worker

CHATS = (1, 4, 8, 16, 32)
TOKENS = 48
LEAST = 192
"""Tokens that a measurement must come to: /proc counts in hundredths of a second."""


def run(folder: Path, rounds: int) -> list[Row]:
    """Tokens per CPU-second (gateway and engine together, client excluded) at 1 to 32 chats, in interleaved rounds."""
    rates: dict[tuple[str, int], list[float]] = {}
    with Worker("ours", str(folder), "1") as ours, Service(folder) as service:
        for turn in range(-1, rounds):
            for count in CHATS:
                sides = [("in-process", ours.chats), ("http", service.chats)]
                for name, ask in sides[:: 1 if turn % 2 else -1]:
                    rate = _rate(ask, count)
                    if turn >= 0:  # the first round warms up
                        rates.setdefault((name, count), []).append(rate)
        memory = service.memory()
    alone = rates["http", 1]
    rows = [_row(count, rates["in-process", count], rates["http", count], alone) for count in CHATS]
    return [*rows, Row("http", "memory after it", {"gateway MB": memory["gateway"], "engine MB": memory["engine"]})]


def _rate(ask: Any, count: int) -> float:
    """Tokens per CPU-second of ``count`` chats at once, asked again until there is enough to measure."""
    tokens, cpu = 0, 0.0
    while tokens < LEAST:
        answer = ask(prompts.short(count), TOKENS)
        tokens, cpu = tokens + answer["tokens"], cpu + answer["cpu"]
    return tokens / cpu


def _row(count: int, inside: list[float], http: list[float], alone: list[float]) -> Row:
    figures = {
        "in-process tok/CPU-s": median(inside),
        "http tok/CPU-s": median(http),
        "ratio": median(a / b for a, b in zip(http, inside, strict=True)),
        "http, times one chat": median(a / b for a, b in zip(http, alone, strict=True)),
    }
    return Row("http", f"{count} chats", figures)
