"""The pictures that a model has seen: rows of an embedding, computed once and kept as long as there is room.

They are looked at in pieces, between passes: ``pick`` a look, ``work`` on it in the thread of the passes, ``tell``
those who wait. Of several the one with the least left goes first, and every other time the oldest.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Generator
from dataclasses import dataclass

from tertulia.engine.eye import Eye
from tertulia.engine.view import Rows, View
from tertulia.errors import EngineFault, TertuliaError

GATHER = 0.25
"""Seconds for which an answer about a picture may wait for others to begin with it."""


@dataclass(slots=True, eq=False)
class Look:
    """A picture being looked at, for which ``waiting`` views wait; ``left`` of its pieces are to be done."""

    digest: bytes
    pieces: Generator[None, None, Rows]
    left: int
    done: "asyncio.Future[Rows]"
    waiting: int = 0
    begun: bool = False
    rows: Rows | None = None


class Gallery:
    """``room`` bounds what is kept, in bytes; ``wake`` is called when there is work. ``made`` counts the pieces done.
    All but ``work`` is for the event loop."""

    def __init__(self, eye: Eye, room: int, wake: Callable[[], None]) -> None:
        self._eye = eye
        self._room = room
        self._wake = wake
        self._held = 0
        self._kept: OrderedDict[bytes, Rows] = OrderedDict()
        self._looks: dict[bytes, Look] = {}
        self._shortest = False
        self._piece = 0.0
        self._held_since = 0.0
        self.made = 0

    def known(self, digest: bytes) -> Rows | None:
        """The rows of a picture that was seen not long ago."""
        if digest in self._kept:
            self._kept.move_to_end(digest)
        return self._kept.get(digest)

    def begun(self, views: list[View]) -> bool:
        """Whether any of these is there already, or being looked at."""
        looks = (self._looks.get(view.digest) for view in views if view.rows is None)
        return any(look is None or look.begun for look in looks)

    async def see(self, view: View) -> None:
        """Give ``view`` its rows. A picture that nobody waits for any more is dropped. Raises EngineFault."""
        view.rows = view.rows if view.rows is not None else self.known(view.digest)
        if view.rows is not None:
            return
        look = self._looks.get(view.digest) or self._add(view)
        look.waiting += 1
        try:
            view.rows = await asyncio.shield(look.done)
            view.tiles = None
        finally:
            look.waiting -= 1
            if not look.waiting and self._looks.get(look.digest) is look:
                del self._looks[look.digest]

    def _add(self, view: View) -> Look:
        if view.tiles is None:
            raise EngineFault("a picture was lost", retry_after=1)
        done: asyncio.Future[Rows] = asyncio.get_running_loop().create_future()
        look = Look(view.digest, self._eye.see(view.tiles), self._eye.pieces(view.tiles), done)
        self._looks[view.digest] = look
        self._wake()
        return look

    def hold(self, waiting: list[list[View]], coming: int) -> float:
        """Seconds for which those who wait are to be held up, as all have pictures, and those of ``coming`` others are
        soon seen: then they begin together, and share passes. The views of all who wait are given; of nobody, while
        somebody is answered."""
        if not waiting or not coming or not all(waiting):
            self._held_since = 0.0
            return 0.0
        now = time.monotonic()
        self._held_since = self._held_since or now
        soon = self._piece * sum(look.left for look in self._looks.values())
        return max(self._held_since + GATHER - now - soon, 0.0)

    def pick(self) -> Look | None:
        """Whose pieces are next."""
        looks = list(self._looks.values())
        if not looks:
            return None
        self._shortest = not self._shortest
        return min(looks, key=lambda look: look.left) if self._shortest else looks[0]

    def work(self, look: Look, seconds: float) -> None:
        """Do pieces of a look, as many as are done in so many seconds, by what pieces took, and one at least."""
        begun = time.monotonic()
        until = begun + seconds
        look.begun = True
        try:
            while True:
                next(look.pieces)
                look.left -= 1
                self.made += 1
                begun, before = time.monotonic(), begun
                self._piece += 0.2 * (begun - before - self._piece)
                if begun + self._piece > until:
                    return
        except StopIteration as end:
            look.rows = end.value

    def tell(self, look: Look) -> None:
        """After work: give the rows to those who wait for them, if it was the last piece."""
        if look.rows is None:
            return
        if self._looks.get(look.digest) is look:
            del self._looks[look.digest]
        self._keep(look.digest, look.rows)
        if not look.done.done():
            look.done.set_result(look.rows)

    def fail(self, error: TertuliaError) -> None:
        """Whoever waits gets the error."""
        looks, self._looks = self._looks, {}
        for look in looks.values():
            if look.waiting and not look.done.done():
                look.done.set_exception(error)

    def _keep(self, digest: bytes, rows: Rows) -> None:
        """Keep rows, and the longest unused no longer."""
        if digest in self._kept or rows.nbytes > self._room:
            return
        self._kept[digest] = rows
        self._held += rows.nbytes
        while self._held > self._room:
            _, old = self._kept.popitem(last=False)
            self._held -= old.nbytes
