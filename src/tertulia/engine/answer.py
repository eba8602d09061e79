"""The chunks of an answer, and how its pieces come from the passes to its generator."""

import asyncio
import time
import uuid

from msgspec import UNSET, UnsetType

from tertulia.engine.choice import Choice, Piece
from tertulia.errors import TertuliaError
from tertulia.types import (
    Chunk,
    ChunkChoice,
    ChunkMeta,
    CompletionDetails,
    Delta,
    DeltaCall,
    DeltaFunction,
    Logprobs,
    PromptDetails,
    Usage,
)


class Inbox:
    """The pieces of one request on their way from the passes to its generator; None is a sign of life."""

    def __init__(self) -> None:
        self._items: list[Piece | TertuliaError | None] = []
        self._here = asyncio.Event()

    def put(self, item: Piece | TertuliaError | None) -> None:
        self._items.append(item)
        self._here.set()

    async def take(self) -> list[Piece | None]:
        """All that has come, at least one. Raises the error that was put."""
        await self._here.wait()
        self._here.clear()
        items, self._items = self._items, []
        pieces: list[Piece | None] = []
        for item in items:
            if isinstance(item, TertuliaError):
                raise item
            pieces.append(item)
        return pieces


class Answer:
    """What all chunks of one answer have in common, and which choices have begun. ``meta`` goes with the first
    chunk."""

    def __init__(self, model: str, fingerprint: str, meta: ChunkMeta) -> None:
        self._id = f"chatcmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._model = model
        self._fingerprint = fingerprint
        self._meta: ChunkMeta | UnsetType = meta
        self._begun: set[int] = set()

    def chunk(self, piece: Piece, logprobs: bool) -> Chunk:
        """The chunk for a piece."""
        delta = _delta(piece)
        if piece.choice not in self._begun:
            self._begun.add(piece.choice)
            delta.role = "assistant"
        choice = ChunkChoice(piece.choice, delta, piece.finish)
        if logprobs:
            choice.logprobs = Logprobs(piece.logprobs)
        return self._chunk([choice], UNSET)

    def sign(self) -> Chunk:
        """A sign of life; what goes with the first chunk still waits for that."""
        return Chunk(id=self._id, created=self._created, model=self._model, choices=[])

    def last(self, usage: Usage) -> Chunk:
        return self._chunk([], usage)

    def _chunk(self, choices: list[ChunkChoice], usage: Usage | UnsetType) -> Chunk:
        meta, self._meta = self._meta, UNSET
        return Chunk(
            id=self._id,
            created=self._created,
            model=self._model,
            choices=choices,
            system_fingerprint=self._fingerprint,
            usage=usage,
            meta=meta,
        )


def _delta(piece: Piece) -> Delta:
    """What a piece adds. A call's first delta carries its name and a new id, the others its number and arguments."""
    if piece.kind == "thought":
        return Delta(reasoning=piece.text, reasoning_content=piece.text)
    if piece.kind == "arguments":
        return Delta(tool_calls=[DeltaCall(piece.call, function=DeltaFunction(arguments=piece.text))])
    if piece.kind == "call":
        function = DeltaFunction(name=piece.text, arguments="")
        return Delta(tool_calls=[DeltaCall(piece.call, f"call_{uuid.uuid4().hex[:24]}", "function", function)])
    return Delta(content=piece.text)


def usage(choices: list[Choice]) -> Usage:
    """Tokens of the prompt, which all choices share, and of all answers."""
    first = choices[0].sequence
    prompt, said = len(first.prompt), sum(choice.sequence.history.length for choice in choices)
    thoughts = sum(choice.thoughts for choice in choices)
    return Usage(prompt, said, prompt + said, PromptDetails(first.cached), CompletionDetails(thoughts))
