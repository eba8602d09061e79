"""A picture in a prompt: where its tokens stand, and the rows that go there in place of their own embedding."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tertulia.engine.tiles import Pixels

Rows = NDArray[np.float32]


@dataclass(slots=True, eq=False)
class View:
    """``digest`` tells the picture from all others, ``places`` are its tokens' places in the prompt, ascending. As long
    as there are no ``rows`` [places, hidden] there are ``tiles``, to make them of. Where a model doesn't count a
    picture's tokens as text, ``spots`` [3, places] say where each is: in time, down and across."""

    digest: bytes
    places: NDArray[np.int64]
    tiles: Pixels | None = None
    rows: Rows | None = None
    spots: NDArray[np.int64] | None = None

    def between(self, begin: int, end: int) -> range:
        """Which of its rows stand at places from ``begin`` on and before ``end``."""
        first, last = np.searchsorted(self.places, (begin, end))
        return range(int(first), int(last))


def positions(length: int, views: Sequence[View]) -> NDArray[np.int64] | None:
    """Where each of a prompt's ``length`` tokens is [3, length]; None where they are just counted. Text is at the same
    place in all three; what follows a picture is beyond the farthest of it."""
    if all(view.spots is None for view in views):
        return None
    found = np.empty((3, length), np.int64)
    place = reached = 0
    for view in views:
        if view.spots is None:
            continue
        begin, end = int(view.places[0]), int(view.places[-1]) + 1
        found[:, place:begin] = np.arange(reached, reached + begin - place)
        reached += begin - place
        found[:, begin:end] = reached + view.spots
        reached += int(view.spots.max()) + 1
        place = end
    found[:, place:] = np.arange(reached, reached + length - place)
    return found
