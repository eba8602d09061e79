"""A provider to be asked over a real connection."""

from typing import Any

from tertulia.fold import fold
from tertulia.net import Net
from tertulia.providers.remote import Remote
from tertulia.providers.table import Row
from tertulia.types import ChatRequest, Chunk, Message
from upstream import (
    DONE,
    finish,
    text,
    usage,
)

KEY = "sk-very-secret"
WORDS = [text("a", first=True), *(text(word) for word in "bcdefghij")]
END = [finish(), usage(), DONE]


def remote(net: Net, address: str, *, name: str = "prov", **options: Any) -> Remote:
    row = Row(name=name, base_url=address, **options.pop("row", {}))
    bounds = {"first_timeout": 0.5, "idle_timeout": 0.2, "whole_timeout": 1}
    return Remote(net, address, name=name, row=row, key=KEY, **bounds | options)


def asked(*, stream: bool = True, model: str = "theirs", **fields: Any) -> ChatRequest:
    return ChatRequest(
        messages=[Message(role="user", content="hi")], model=model, stream=stream, asked="ours", **fields
    )


async def ask(one: Remote, request: ChatRequest | None = None) -> list[Chunk]:
    """Its chunks, signs of life left out."""
    return [chunk async for chunk in one.chat(request or asked()) if not chunk.sign_of_life]


def said(chunks: list[Chunk]) -> str | None:
    return fold(chunks).choices[0].message.content
