"""A picture in a prompt: where its tokens stand, and the rows that go there in place of their own embedding."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tertulia.engine.tiles import Pixels

Rows = NDArray[np.float32]


@dataclass(slots=True, eq=False)
class View:
    """``digest`` tells the picture from all others, ``places`` are its tokens' places in the prompt, ascending. As long
    as there are no ``rows`` [places, hidden] there are ``tiles``, to make them of."""

    digest: bytes
    places: NDArray[np.int64]
    tiles: Pixels | None = None
    rows: Rows | None = None

    def between(self, begin: int, end: int) -> range:
        """Which of its rows stand at places from ``begin`` on and before ``end``."""
        first, last = np.searchsorted(self.places, (begin, end))
        return range(int(first), int(last))
