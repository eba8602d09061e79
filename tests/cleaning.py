"""How tests clean what a provider sent, and look at what came out."""

import json
from typing import Any

from tertulia import sse
from tertulia.fold import fold
from tertulia.providers.clean import Cleaner
from tertulia.types import Chunk, Completion, Message
from tertulia.wires import openai

OURS = "org/ours"
ASKED = (Message(role="user", content="eight ch"),)


def cleaner(model: str = OURS) -> Cleaner:
    return Cleaner("prov", model, messages=ASKED, fresh="chatcmpl-fresh", now=1800000000)


def clean(*pieces: bytes, done: bool = True, model: str = OURS) -> list[Chunk]:
    """The chunks of a stream of these bytes."""
    feed, one = sse.Feed(), cleaner(model)
    events = [event for piece in pieces for event in feed.feed(piece)] + feed.close()
    return [chunk for event in events for chunk in one.read(event)] + one.end(done)


def sent(chunks: list[Chunk]) -> list[Any]:
    """The chunks as a client that wants the usage gets them."""
    return [json.loads(openai.write_chunk(chunk, include_usage=True)) for chunk in chunks]


def deltas(chunks: list[Chunk]) -> list[Any]:
    return [choice["delta"] for chunk in sent(chunks) for choice in chunk["choices"]]


def whole(body: Any, model: str = OURS) -> Completion:
    return fold(cleaner(model).whole(body if isinstance(body, bytes) else json.dumps(body).encode()))
