"""An answer on its way: what it is, its events as they come, none too late, and the chunks that they come to."""

import asyncio
from typing import NamedTuple

from msgspec import UNSET

from tertulia import sse
from tertulia.errors import TertuliaError, Timeout, Upstream
from tertulia.net import MEBI, Reply
from tertulia.providers import mend
from tertulia.providers.clean import Cleaner
from tertulia.types import Chunk, ChunkMeta
from tertulia.wires import faults

BUSY = b"".join((b"bu", b"sy"))
"""Stands for :data:`tertulia.sse.BUSY` among events, by identity."""
LARGEST = 64 * MEBI
"""Bytes of a whole answer, or characters of one that came as a stream. A stream that goes on as it comes may have four
times that; so many bytes may the events of one have that is to be put together."""
_BOM = b"\xef\xbb\xbf"
_FIELDS = b":deir"  # what a line of a stream begins with: a comment, data, event, id, retry
_AFTER = 5.0  # seconds for the mark of the end, when an answer has all it needs


def sign(patience: float = 0) -> Chunk:
    """A sign of life, and that nothing more may come for ``patience`` seconds."""
    meta = ChunkMeta(patience=patience) if patience else UNSET
    return Chunk(id="", created=0, model="", choices=[], meta=meta)


class Stream:
    """The events of a reply, of which ``first`` has been read. ``first_timeout`` and ``idle_timeout`` bound the wait
    for the first event and between events, in seconds; comments don't count."""

    def __init__(self, name: str, reply: Reply, first_timeout: float, idle_timeout: float, first: bytes = b"") -> None:
        reply.bound(idle_timeout)
        self._name = name
        self._reply = reply
        self._first = first
        self._feed = sse.Feed()
        self._now = asyncio.get_running_loop().time
        self._since = self._now()
        self._bound = first_timeout
        self._idle_timeout = idle_timeout

    def bound(self, seconds: float) -> None:
        """From here on events may be so far apart, at most."""
        self._idle_timeout = self._bound = seconds
        self._reply.bound(seconds)

    async def events(self) -> list[bytes]:
        """The next events, one at least; none at the end. Raises Upstream or Timeout."""
        while piece := self._first or await self._reply.piece():
            self._first = b""
            events = self._fed(piece)
            if events:
                self._since, self._bound = self._now(), self._idle_timeout
                return events
            if sse.BUSY in piece:
                self._since = self._now()
                return [BUSY]
            if self._bound and self._now() - self._since > self._bound:
                raise Timeout(f"{self._name} sent no text for {self._bound:g} s")
        return []

    def rest(self) -> list[bytes]:
        """At the end: an event whose last blank line never came."""
        return self._feed.close()

    def _fed(self, piece: bytes) -> list[bytes]:
        try:
            return self._feed.feed(piece)
        except ValueError as error:
            raise Upstream(f"{self._name}: {error}") from None


class Answer:
    """The chunks of a stream. What came before something went wrong is given before that is raised. ``gathered`` says
    that they will be put together: then there may be fewer of them."""

    def __init__(
        self, name: str, stream: Stream, cleaner: Cleaner, idle_timeout: float, gathered: bool = False
    ) -> None:
        self._name = name
        self._stream = stream
        self._gathered = gathered
        self._size = 0
        self._cleaner = cleaner
        self._idle_timeout = idle_timeout
        self._late = self._done = self._over = False
        self._error: TertuliaError | None = None

    async def chunks(self) -> list[Chunk]:
        """The next chunks, one at least; none at the end."""
        while not self._over:
            chunks = await self._next()
            if self._cleaner.finished != self._late:  # only its last words are waited for, or not only these any more
                self._late = self._cleaner.finished
                self._stream.bound(min(self._idle_timeout or _AFTER, _AFTER) if self._late else self._idle_timeout)
            if chunks:
                return chunks
        if self._error is not None:
            raise self._error
        return []

    async def _next(self) -> list[Chunk]:
        chunks: list[Chunk] = []
        try:
            try:
                events = await self._stream.events()
            except Upstream:
                if not self._cleaner.finished:
                    raise
                events = []  # all that was to be said has been said
            if not events:
                self._over, events = True, self._stream.rest()
            for data in events:
                if data is BUSY:
                    chunks.append(sign())
                elif len(data) < 16 and data.strip() == b"[DONE]":
                    self._over = self._done = True
                    break
                else:
                    chunks += self._cleaner.read(data)
                    self._size += len(data)
            self._check()
            if self._over:
                chunks += self._cleaner.end(self._done)
        except TertuliaError as error:
            self._over, self._error = True, error
        return chunks

    def _check(self) -> None:
        """Raises Upstream for an answer that is too long, as one without end is at some time."""
        said, most = self._cleaner.said, LARGEST if self._gathered else 4 * LARGEST
        if said > most or (self._gathered and self._size > 4 * most):
            raise Upstream(f"{self._name} answered more than {most / MEBI:g} MiB")


class Whole:
    """The chunks of an answer that came as one piece, in the manner of :class:`Answer`."""

    def __init__(self, body: bytes, cleaner: Cleaner, gathered: bool) -> None:
        self._chunks: list[Chunk] | None = cleaner.whole(body, gathered=gathered)

    async def chunks(self) -> list[Chunk]:
        chunks, self._chunks = self._chunks, None
        return chunks or []


class Opened(NamedTuple):
    """A reply, and what of it has been read: all of it, if it is ``whole``."""

    reply: Reply
    read: bytes
    whole: bool
    left: float

    def answer(self, name: str, cleaner: Cleaner, idle_timeout: float, *, gathered: bool = False) -> Answer | Whole:
        if self.whole:
            return Whole(self.read, cleaner, gathered)
        stream = Stream(name, self.reply, self.left, idle_timeout, self.read)
        return Answer(name, stream, cleaner, idle_timeout, gathered)


async def opened(name: str, reply: Reply, patience: float) -> Opened:
    """Read of ``reply`` what tells whether it is a stream or whole, whatever it was asked to be or says that it is.

    Raises Timeout after ``patience`` seconds (0: never), Upstream for what is neither."""
    now = asyncio.get_running_loop().time
    since, read = now(), b""
    while not (begin := read.removeprefix(_BOM).lstrip()[:1]):
        piece = await reply.piece()
        if not piece:
            break
        read = (read + piece) if read.strip() else piece  # some send blank lines while they think
        if patience and now() - since > patience:
            raise Timeout(f"{name} had no answer after {patience:g} s")
    left = max(patience - (now() - since), 0.001) if patience else 0
    if begin in (b"{", b"["):
        return Opened(reply, (await _all(name, reply, read)).removeprefix(_BOM), True, left)
    told = reply.headers.get("Content-Type", "").startswith("text/event-stream")
    if not begin or begin == b"<" or not (told or begin in _FIELDS):
        raise faults.not_chat(name, mend.kind(read))
    return Opened(reply, read, False, left)


async def _all(name: str, reply: Reply, read: bytes) -> bytes:
    pieces, size = [read], len(read)
    while piece := await reply.piece():
        pieces.append(piece)
        if (size := size + len(piece)) > LARGEST:
            raise Upstream(f"{name} answered more than {LARGEST >> 20} MiB")
    return b"".join(pieces)
