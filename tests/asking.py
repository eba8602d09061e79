"""How tests ask an engine in-process: requests over the tiny models, and what comes of them."""

import base64
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image as Pillow

import seeing
import tiny
from tertulia.engine.engine import Engine
from tertulia.fold import fold
from tertulia.types import ChatRequest, Chunk, Completion, Image, ImageUrl, Message, Text

Start = Callable[..., Awaitable[Engine]]
LONG = "the and of is to in that it for was on are with as be this from or what when there. " * 4
FOREVER = {"ignore_eos": True, "logit_bias": {str(token): -100.0 for token in range(tiny.VOCAB - 3, 512)}}
"""A model of random weights would end at any moment; these fields keep it talking, in words."""
WORDS = {str(token): -100.0 for token in range(tiny.VOCAB - 3, seeing.ROWS)}
"""The same for the models that see."""


def request(text: str = "the", **fields: Any) -> ChatRequest:
    return ChatRequest(messages=[Message(role="user", content=text)], **({"max_tokens": 12} | FOREVER | fields))


def address(pixels: np.ndarray) -> str:
    """A picture as a data: URL."""
    file = BytesIO()
    Pillow.fromarray(pixels).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def picturing(messages: list[dict[str, Any]], **fields: Any) -> ChatRequest:
    """A request of messages whose contents are texts and pictures (of seeing.py: name, height, width)."""

    def part(told: Any) -> Text | Image:
        return Text(told) if isinstance(told, str) else Image(ImageUrl(address(seeing.picture(*told))))

    said = [Message(role=one["role"], content=[part(told) for told in one["content"]]) for one in messages]
    return ChatRequest(messages=said, **fields)


def look(*content: Any, **fields: Any) -> ChatRequest:
    """A question with pictures in it, to a model that goes on talking."""
    talking = {"max_tokens": 12, "temperature": 0.0, "ignore_eos": True, "logit_bias": WORDS}
    return picturing([{"role": "user", "content": list(content)}], **(talking | fields))


async def stream(engine: Engine, asked: ChatRequest) -> list[Chunk]:
    async with aclosing(engine.chat(asked)) as chunks:
        return [chunk async for chunk in chunks]


async def answer(engine: Engine, asked: ChatRequest) -> Completion:
    return fold(await stream(engine, asked))


async def ask(engine: Engine, text: str = "the", **fields: Any) -> Completion:
    return await answer(engine, request(text, **fields))


def said(completion: Completion, choice: int = 0) -> str:
    return completion.choices[choice].message.content or ""


def whole(engine: Engine) -> bool:
    """Whether every block is back and nothing is left of any request."""
    scheduler = engine._scheduler
    idle = engine._blocks.available == engine._blocks.count
    return idle and not (scheduler.waiting or scheduler.running or scheduler._promised or engine._choices)


async def first(chunks: AsyncGenerator[Chunk, None], count: int = 1) -> None:
    for _ in range(count):
        await anext(chunks)
