"""Pictures: what an ``image_url`` names, as pixels.

A file is fetched within bounds, taken apart (lean.py), and decoded in a thread.
"""

import asyncio
import base64
import hashlib
import os
import re
import struct
import sys
import zlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from typing import TypeVar
from urllib.parse import unquote, unquote_to_bytes

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tertulia import config
from tertulia.engine.fetch import Fetcher, too_large
from tertulia.engine.lean import lean
from tertulia.errors import BadRequest, Busy
from tertulia.net import Net

FETCHES = 8
"""Files that are fetched at once, and in memory until their turn to be decoded."""
DECODES = 1
"""Pictures whose pixels are there at once: each takes up to 7 bytes a pixel while it is cut up."""
FILES = 1024
"""Files of which it is known what picture is in them."""
SMALL = 1 << 18
"""Bytes of a file that are hashed at once, in a fraction of a millisecond; more of them in a thread."""
YIELDS = 10
"""How much less the thread that decodes is worth to the system than those that answer (see `nice`)."""
PATIENCE = 30
"""Seconds that a picture waits for its turn, for either."""
LONGEST = 200
"""How many times the shorter side the longer one may be: what is longer is seen as noise by any model."""

T = TypeVar("T")
R = TypeVar("R")
Again = Callable[[bytes, int, int], T | None]

_BAND = 1 << 20
_BUSY = "more pictures are being read than this server can read at once"
_FAULTS = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, RuntimeError, MemoryError),
    *(AttributeError, Warning, struct.error, zlib.error, Image.DecompressionBombError),
)
"""What Pillow raises for a file that it can't decode."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """``pixels`` are [height, width, 3], RGB of 8 bits, the right way up, on white where it was transparent. The same
    picture has the same ``digest``, however it came."""

    pixels: NDArray[np.uint8]
    digest: bytes


class Pictures:
    """Loads pictures within the bounds of ``[images]``. Made and used on one event loop, ended by :meth:`aclose`.

    They are decoded, and cut up, by a thread of their own that gives way to those that answer: it would take a core
    from them.
    """

    def __init__(self, settings: config.Images, net: Net) -> None:
        self._settings = settings
        self._fetcher = Fetcher(settings, net)
        self._fetching = asyncio.Semaphore(FETCHES)
        self._turns = asyncio.Semaphore(DECODES)
        self._most = max(settings.queue, settings.count)
        self._loading = 0
        self.decoding = 0
        """How many wait to be decoded, or are."""
        self._files: dict[bytes, tuple[bytes, int, int]] = {}
        self._thread = ThreadPoolExecutor(1, "pictures", _give_way)
        Image.MAX_IMAGE_PIXELS = max(settings.pixels, 1 << 26)  # its own guard, which knows one bound for all

    @property
    def count(self) -> int:
        """How many a request may have."""
        return self._settings.count

    @property
    def patience(self) -> float:
        """Seconds that all pictures of a request may take together."""
        return self._settings.timeout + PATIENCE

    async def aclose(self) -> None:
        """End the thread."""
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    async def work(self, do: Callable[..., R], *given: object) -> R:
        """``do`` something to a picture, in the thread for that."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, do, *given)

    async def load(
        self,
        url: str,
        param: str,
        use: Callable[[Picture], Awaitable[T]],
        again: Again[T] | None = None,
    ) -> T:
        """What ``use`` makes of the picture that ``url`` names: http, https or data. Until it is done no other takes
        the picture's turn, so what it gives should be smaller. ``again`` may give the same by the digest, height and
        width of a picture: then a file that was decoded not long ago isn't decoded once more.

        Raises BadRequest with ``param`` for whatever can't be read, and Busy if too many are being read.
        """
        if self._loading >= self._most:
            raise Busy(_BUSY, retry_after=10)
        self._loading += 1
        try:
            url = url.strip()
            if url[:5].lower() == "data:":
                return await self._decode(url, use, again)
            await _wait(self._fetching)
            try:
                return await self._decode(await self._fetcher.fetch(url), use, again)
            finally:
                self._fetching.release()
        except BadRequest as error:
            error.param = error.param or param
            raise
        finally:
            self._loading -= 1

    async def _decode(self, source: str | bytes, use: Callable[[Picture], Awaitable[T]], again: Again[T] | None) -> T:
        file = _name(source) if len(source) <= SMALL else await asyncio.to_thread(_name, source)
        if again and file in self._files and (found := again(*self._files[file])) is not None:
            return found
        self.decoding += 1
        try:
            await _wait(self._turns)
            work = asyncio.ensure_future(self._read(source, file, use))
            work.add_done_callback(self._end)
            return await asyncio.shield(work)  # who asked may hang up: the thread goes on, and its turn until it ends
        finally:
            self.decoding -= 1

    async def _read(self, source: str | bytes, file: bytes, use: Callable[[Picture], Awaitable[T]]) -> T:
        found = await self.work(read, source, self._settings.size, self._settings.pixels)
        self._files[file] = found.digest, *found.pixels.shape[:2]
        if len(self._files) > FILES:
            del self._files[next(iter(self._files))]
        return await use(found)

    def _end(self, work: "asyncio.Future[T]") -> None:
        self._turns.release()
        if not work.cancelled():
            work.exception()


def _name(source: str | bytes) -> bytes:
    return hashlib.sha256(source.encode("utf-8", "surrogatepass") if isinstance(source, str) else source).digest()


def _give_way() -> None:
    if sys.platform == "linux":  # elsewhere the whole process would
        os.nice(YIELDS)


async def _wait(gate: asyncio.Semaphore) -> None:
    """Wait for a turn, which must be given back. Raises Busy."""
    try:
        async with asyncio.timeout(PATIENCE):
            await gate.acquire()
    except TimeoutError:
        raise Busy(_BUSY, retry_after=10) from None


def read(source: str | bytes, most: int, pixels: int) -> Picture:
    """A picture out of a data: URL or a file, of at most so many bytes and pixels. Raises BadRequest."""
    file = lean(read_data(source, most) if isinstance(source, str) else source)
    size = (file.width, file.height)
    if not 0 < size[0] * size[1] <= pixels:
        raise BadRequest(f"the picture has {size[0]} x {size[1]} pixels, which is not between 1 and {pixels}: scale it")
    if max(size) > LONGEST * min(size):
        raise BadRequest(
            f"the picture has {size[0]} x {size[1]} pixels, one side more than {LONGEST} times the other: crop it"
        )
    try:
        with Image.open(BytesIO(file.data), formats=(file.kind,)) as image:
            if image.size != size:
                raise BadRequest("the picture's header contradicts itself: save it anew")
            flat = _draw(image)
    except _FAULTS as fault:
        raise BadRequest(f"the {file.kind} picture can't be decoded, broken or cut off: save it anew") from fault
    turned = np.ascontiguousarray(_turn(flat, file.orientation))
    digest = hashlib.sha256(repr(turned.shape).encode())
    digest.update(turned.data)
    return Picture(turned, digest.digest())


def read_data(url: str, most: int) -> bytes:
    """What a data: URL holds, base64 (with or without white space and padding, of either alphabet) or percent-encoded.
    Raises BadRequest."""
    comma = url.find(",")
    if comma < 0:
        raise BadRequest("the data: URL holds no comma, behind which the picture would be: data:image/png;base64,...")
    head, body = url[5:comma], url[comma + 1 :]
    if len(body) > (4 if "%" in body else 2) * most:
        raise too_large(most)
    try:
        if head.rstrip().lower().endswith(";base64"):
            body = unquote(body) if "%" in body else body
            body = "".join(body.split()) if re.search(r"\s", body) else body
            body = body.rstrip("=").replace("-", "+").replace("_", "/")
            data = base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
        else:
            data = unquote_to_bytes(body)
    except ValueError:
        raise BadRequest("the data: URL is not base64, or is cut off: encode all bytes of the file") from None
    if len(data) > most:
        raise too_large(most)
    return data


def _draw(image: Image.Image) -> NDArray[np.uint8]:
    """A decoded picture's pixels, band by band: what is needed beside them doesn't grow with the picture."""
    image.load()
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    rows = max(1, _BAND // width)
    for top in range(0, height, rows):
        band = image.crop((0, top, width, min(top + rows, height)))
        pixels[top : top + rows] = np.asarray(_opaque(band))
    return pixels


def _opaque(band: Image.Image) -> Image.Image:
    """In RGB, on white where it is transparent."""
    if band.mode.startswith("I;16"):
        band = Image.fromarray((np.asarray(band) >> 8).astype(np.uint8))
    elif band.mode in ("I", "F"):
        raise BadRequest("the picture has 32 bits a channel, whose white is unknown: save it with 8 or 16")
    if band.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in band.info:
        ground = Image.new("RGBA", band.size, "white")
        ground.alpha_composite(band.convert("RGBA"))
        band = ground
    return band.convert("RGB")


def _turn(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """The right way up, by EXIF's orientation."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels
