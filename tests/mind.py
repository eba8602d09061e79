"""A Backend that honours every field which a probe tries, and can be told not to.

``ignores`` are fields that it passes over, ``raises`` what it answers where a field is asked for (``plain``: where none
is). ``lose`` makes it forget its usage, ``think`` think before it answers, and ``slow`` wait that many seconds.
"""

import asyncio
import base64
import json
import zlib
from collections.abc import AsyncGenerator

from msgspec import UNSET

from tertulia.errors import TertuliaError
from tertulia.types import (
    ChatRequest,
    Chunk,
    ChunkChoice,
    Delta,
    DeltaCall,
    DeltaFunction,
    Image,
    Logprob,
    Logprobs,
    ModelCard,
    TopLogprob,
    Usage,
)

DAYS = "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday."
THOUGHT = 100
"""Tokens that it thinks for."""


class Mind:
    def __init__(
        self,
        *,
        ignores: tuple[str, ...] = (),
        raises: dict[str, TertuliaError] | None = None,
        cost: float | None = None,
        lose: bool = False,
        think: bool = False,
        slow: float = 0,
    ) -> None:
        self.ignores = ignores
        self.raises = raises or {}
        self.cost = cost
        self.lose = lose
        self.think = think
        self.slow = slow
        self.requests: list[ChatRequest] = []
        self.open = self.most_open = self.closed = 0
        self.cards = [ModelCard(id="test/mind", created=1, owned_by="tests")]

    def models(self) -> list[ModelCard]:
        return self.cards

    def supports(self, request: ChatRequest) -> list[str]:
        return []

    async def count(self, request: ChatRequest) -> int:
        return 1

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        self.requests.append(request)
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        try:
            fields = asked(request)
            for field in fields or ["plain"]:
                if field in self.raises:
                    raise self.raises[field]
            yield Chunk(id="", created=0, model="", choices=[])
            await asyncio.sleep(self.slow)
            for chunk in self._answer(request, [field for field in fields if field not in self.ignores]):
                yield chunk
        finally:
            self.open -= 1
            self.closed += 1

    def _answer(self, request: ChatRequest, fields: list[str]) -> list[Chunk]:
        room = request.max_tokens or 1000
        if self.think and room <= THOUGHT:
            cut = [chunk(Delta(reasoning="Hm."), "length", index) for index in range(request.n or 1)]
            return [*cut, self._last(request)]
        found: list[Chunk] = [chunk(Delta(role="assistant", reasoning="Hm."))] if self.think else []
        calls = "tool_choice" in fields or ("tools" in fields and "Use the tool" in str(request.messages))
        for index in range(2 if "n" in fields else 1):
            if calls:
                function = DeltaFunction(name="get_weather", arguments='{"city": "Paris"}')
                call = DeltaCall(index=0, id="call-1", type="function", function=function)
                found.append(chunk(Delta(tool_calls=[call]), "tool_calls", index))
                continue
            piece = chunk(Delta(content=self._text(request, fields)), "stop", index)
            if "logprobs" in fields:
                top = [TopLogprob("Monday", -0.1), TopLogprob("The", -2.5)]
                piece.choices[0].logprobs = Logprobs(content=[Logprob("Monday", -0.1, top_logprobs=top)])
            found.append(piece)
        return found if self.lose else [*found, self._last(request)]

    def _text(self, request: ChatRequest, fields: list[str]) -> str:
        if "image" in fields:
            return colour(request)
        if "response_format" in fields:
            schema = request.response_format["json_schema"]["schema"]  # pyright: ignore
            return json.dumps({key: one["enum"][-1] for key, one in schema["properties"].items()})
        if "json_object" in fields:
            return '{"capital": "Paris"}'
        if request.temperature != 0 and "poem" in str(request.messages):
            return f"Line {request.seed if 'seed' in fields else len(self.requests)}"
        return DAYS.partition(request.stop[0])[0] if request.stop and "stop" in fields else DAYS

    def _last(self, request: ChatRequest) -> Chunk:
        last = chunk()
        last.usage = Usage(20, 10 * (request.n or 1), 20 + 10 * (request.n or 1), cost=self.cost)
        return last


def chunk(delta: Delta | None = None, finish: str | None = None, index: int = 0) -> Chunk:
    choices = [ChunkChoice(index, delta, finish)] if delta else []
    return Chunk(id="c", created=1, model="test/mind", choices=choices, usage=UNSET)


def asked(request: ChatRequest) -> list[str]:
    """The fields that ``request`` asks for, by the names that probes have for them."""
    form = (request.response_format or {}).get("type")
    said = {
        "image": isinstance(request.messages[0].content, list),
        "tools": bool(request.tools),
        "tool_choice": request.tool_choice == "required",
        "response_format": form == "json_schema",
        "json_object": form == "json_object",
        "logprobs": bool(request.logprobs),
        "seed": request.seed is not None,
        "n": (request.n or 1) > 1,
        "stop": request.stop is not None,
        "temperature": request.temperature == 0,
    }
    return [name for name, is_said in said.items() if is_said and name != "temperature"]


def colour(request: ChatRequest) -> str:
    """What the image shows: its first pixel is looked at, or its address."""
    content = request.messages[0].content
    assert isinstance(content, list)
    image = next(part for part in content if isinstance(part, Image))
    kind, _, data = image.image_url.url.partition(",")
    if not kind.startswith("data:image/png"):
        return "A cat on a mat."
    png = base64.b64decode(data)
    at = png.index(b"IDAT")
    size = int.from_bytes(png[at - 4 : at])
    red, _, blue = zlib.decompress(png[at + 4 : at + 4 + size])[1:4]
    return "Red." if red > blue else "Blue."
