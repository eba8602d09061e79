"""The pictures of a request: loaded, cut into tiles, and put into its prompt."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tertulia.engine.mould import PICTURE
from tertulia.engine.pictures import Pictures
from tertulia.engine.tiles import Pixels, cut
from tertulia.engine.tokens import Tokens
from tertulia.engine.view import Rows, View
from tertulia.engine.vision import Vision
from tertulia.errors import BadRequest
from tertulia.types import ChatRequest, Image


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture that was loaded: how many rows and columns of tiles it makes, and its tiles or what was seen in them
    before."""

    digest: bytes
    layout: tuple[int, int]
    tiles: Pixels | None
    rows: Rows | None


Place = tuple[int, int]
"""A picture's message, and its part in there."""


class Sight:
    """Puts pictures into the prompts of one model. ``known`` gives what was seen in a picture before."""

    def __init__(self, vision: Vision, tokens: Tokens, source: Pictures, known: Callable[[bytes], Rows | None]) -> None:
        self._vision = vision
        self._tokens = tokens
        self._source = source
        self._known = known
        self.word = tokens.word(vision.token)
        """What stands in a prompt for one row of an embedding, and in a template for a picture."""

    async def load(self, request: ChatRequest) -> dict[Place, Shown]:
        """The pictures of a request, by their places. Raises BadRequest with the part that is at fault."""
        urls: dict[Place, str] = {
            (index, place): part.image_url.url
            for index, message in enumerate(request.messages)
            if isinstance(message.content, list)
            for place, part in enumerate(message.content)
            if isinstance(part, Image)
        }
        if not urls:
            return {}
        if len(urls) > (most := self._source.count):
            raise BadRequest(f"the messages hold {len(urls)} images; {most} are read at most", param="messages")
        work = [asyncio.ensure_future(self._show(url, *place)) for place, url in urls.items()]
        try:
            return dict(zip(urls, await asyncio.gather(*work), strict=True))
        finally:
            for task in work:
                task.cancel()

    async def _show(self, url: str, index: int, place: int) -> Shown:
        found = await self._source.load(url, f"messages[{index}].content[{place}].image_url")
        height, width = found.pixels.shape[:2]
        rows = self._known(found.digest)
        tiles = None if rows is not None else await asyncio.to_thread(cut, self._vision, found.pixels)
        return Shown(found.digest, self._vision.layout(height, width), tiles, rows)

    def encode(self, text: str, shown: dict[Place, Shown]) -> tuple[list[int], list[View]]:
        """The tokens of a prompt with marks for its pictures, and where those stand. A caller's own spelling of the
        word for a picture is no picture. Releases the GIL."""
        texts = PICTURE.split(text)
        ids = self._tokens.encode(texts[0])
        views: list[View] = []
        for message, part, following in zip(texts[1::3], texts[2::3], texts[3::3], strict=True):
            one = shown[int(message), int(part)]
            spelt = np.array(self._tokens.encode(self._vision.prompt(self.word, *one.layout)), np.int64)
            places = np.nonzero(spelt == self._vision.token)[0] + len(ids)
            views.append(View(one.digest, places, one.tiles, one.rows))
            ids += spelt.tolist() + self._tokens.encode(following)
        return ids, views
