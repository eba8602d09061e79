"""The pictures of a request: loaded, cut into tiles, and put into its prompt."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np

from tertulia.engine.mould import PICTURE
from tertulia.engine.pictures import Again, Picture, Pictures
from tertulia.engine.tiles import Pixels
from tertulia.engine.tokens import Tokens
from tertulia.engine.view import Rows, View
from tertulia.engine.vision import Vision
from tertulia.errors import BadRequest, Busy, ContextOverflow
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
    """Puts pictures into the prompts of one model of ``context`` tokens. ``known`` gives what was seen in a picture
    before."""

    def __init__(
        self, vision: Vision, tokens: Tokens, source: Pictures, known: Callable[[bytes], Rows | None], context: int
    ) -> None:
        self._vision = vision
        self._tokens = tokens
        self._source = source
        self._known = known
        self._context = context
        self.word = tokens.word(vision.token)
        """What stands in a prompt for one row of an embedding, and in a template for a picture."""

    async def load(self, request: ChatRequest) -> dict[Place, Shown]:
        """The pictures of a request, by their places. Raises BadRequest with the part that is at fault, ContextOverflow
        as soon as it is known that they don't fit, and Busy."""
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
            first = _path(*list(urls)[most])
            raise BadRequest(f"the messages hold {len(urls)} images; {most} are read at most: send fewer", param=first)
        patience, (take, again) = self._source.patience, self._taker()
        work = [
            asyncio.ensure_future(self._source.load(url, _path(*place), take, again)) for place, url in urls.items()
        ]
        try:
            async with asyncio.timeout(patience):
                return dict(zip(urls, await asyncio.gather(*work), strict=True))
        except TimeoutError:
            told = f"images ({len(urls)}) took longer than {patience:g} s: send fewer or smaller ones"
            raise Busy(told, param="messages", retry_after=10) from None
        finally:
            for task in work:
                task.cancel()

    def _taker(self) -> tuple[Callable[[Picture], Awaitable[Shown]], Again[Shown]]:
        """What cuts up the pictures of one request, and what finds those that needn't be decoded. Both keep count of
        what they take of the context."""
        left = self._context

        def layout(height: int, width: int) -> tuple[int, int]:
            nonlocal left
            grid = self._vision.layout(height, width)
            left -= self._vision.prompt(self.word, *grid).count(self.word)
            if left < 0:
                raise ContextOverflow(
                    f"this model's context is {self._context} tokens, and the images alone take more: send fewer",
                    param="messages",
                )
            return grid

        async def take(picture: Picture) -> Shown:
            grid = layout(*picture.pixels.shape[:2])
            rows = self._known(picture.digest)
            tiles = None if rows is not None else await self._source.work(self._vision.cut, picture.pixels)
            return Shown(picture.digest, grid, tiles, rows)

        def again(digest: bytes, height: int, width: int) -> Shown | None:
            rows = self._known(digest)
            return None if rows is None else Shown(digest, layout(height, width), None, rows)

        return take, again

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
            views.append(View(one.digest, places, one.tiles, one.rows, self._vision.spots(*one.layout)))
            ids += spelt.tolist() + self._tokens.encode(following)
        return ids, views


def _path(message: int, part: int) -> str:
    return f"messages[{message}].content[{part}].image_url"
