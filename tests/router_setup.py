"""A router over backends whose answers are known beforehand."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from echo import Echo
from tertulia.catalog.catalog import Listing, Row
from tertulia.config import Router as Settings
from tertulia.errors import TertuliaError
from tertulia.fold import fold
from tertulia.router.index import Index, Party
from tertulia.router.router import Router
from tertulia.types import ChatRequest, Chunk, Message, Spent


class Far(Echo):
    """An Echo far away: its answers end in ``faults``, one after another, each after ``after`` chunks."""

    def __init__(self, *faults: TertuliaError, after: int = 0) -> None:
        super().__init__()
        self.faults = list(faults)
        self.after = after

    async def _answer(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        fault = self.faults.pop(0) if self.faults else None
        count = 0
        if fault and not self.after:
            raise fault
        async with aclosing(super()._answer(request)) as chunks:
            async for chunk in chunks:
                yield chunk
                count += 1
                if fault and count == self.after:
                    raise fault


class Setup:
    """The router under test, its parts, and what it told the usage log."""

    def __init__(self) -> None:
        self.home = Echo()
        self.spent: list[Spent] = []
        self.settings = Settings()

    def router(self, *parties: Party, rows: tuple[Row, ...] = (), told: Any = None, **settings: Any) -> Router:
        for name, value in settings.items():
            setattr(self.settings, name, value)
        return Router(Index(self.home, parties, rows, told or {}), self.settings, spend=self.spent.append)


@pytest.fixture
def setup() -> Setup:
    return Setup()


def party(name: str, backend: Any = None, models: tuple[str, ...] = ("org/far",), **fields: Any) -> Party:
    """A provider that serves ``models``, under ids of its own."""
    there = {model: f"{name}-{model.rpartition('/')[2]}" for model in models}
    return Party(name=name, backend=backend or Echo(), models=there, **fields)


def row(model: str, **providers: Listing) -> Row:
    return Row(id=model, context=4096, licence="none", description=f"the {model}", providers=providers)


def asked(model: str = "org/far", content: Any = "one two three", **fields: Any) -> ChatRequest:
    return ChatRequest(model=model, messages=[Message(role="user", content=content)], **fields)


async def chunks(router: Router, request: ChatRequest) -> list[Chunk]:
    async with aclosing(router.chat(request)) as answer:
        return [chunk async for chunk in answer if chunk.comment or not chunk.sign_of_life]


def said(answer: list[Chunk]) -> str:
    return fold(answer).choices[0].message.content or ""


def route(answer: list[Chunk]) -> list[tuple[str, str]]:
    meta = next(chunk.meta for chunk in answer if chunk.meta)
    return [(attempt.provider, attempt.outcome) for attempt in meta.route]
