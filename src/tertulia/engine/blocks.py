"""The pool of KV blocks: who holds which, and which hold a prefix worth finding again.

A block is free (nothing of worth in it), held (by one sequence or several), or idle (held by none, its prefix still
known). Idle blocks are taken last, the longest unused first. Free ones are handed out last-in first-out, so that the
process touches, and the machine gives it, only as much memory as was needed at once.
"""

import hashlib
from collections.abc import Sequence as Items

import numpy as np

from tertulia.engine.batch import BLOCK
from tertulia.engine.view import View


class Blocks:
    """``count`` blocks, named 0 to count - 1."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = list(range(count - 1, -1, -1))
        self._holders = [0] * count
        self._idle: dict[int, None] = {}
        self._named: dict[bytes, int] = {}
        self._names: dict[int, bytes] = {}

    @property
    def available(self) -> int:
        return len(self._free) + len(self._idle)

    def take(self) -> int:
        """A block for one holder, its content lost. Only to be called while some are available."""
        if self._free:
            block = self._free.pop()
        else:
            block = next(iter(self._idle))
            del self._idle[block], self._named[self._names.pop(block)]
        self._holders[block] = 1
        return block

    def hold(self, block: int) -> None:
        """One holder more for a block that is held or idle."""
        self._idle.pop(block, None)
        self._holders[block] += 1

    def drop(self, block: int) -> None:
        """One holder less."""
        self._holders[block] -= 1
        if self._holders[block]:
            return
        if block in self._names:
            self._idle[block] = None
        else:
            self._free.append(block)

    def name(self, block: int, prefix: bytes) -> None:
        """Make a held, filled block known by the digest of its prefix, unless another block is."""
        if prefix not in self._named:
            self._named[prefix] = block
            self._names[block] = prefix

    def find(self, prefixes: Items[bytes]) -> list[int]:
        """The blocks that hold the longest known run of ``prefixes``, from the first on; not held yet."""
        found: list[int] = []
        for prefix in prefixes:
            block = self._named.get(prefix)
            if block is None:
                break
            found.append(block)
        return found


def digests(tokens: Items[int], views: Items[View] = ()) -> list[bytes]:
    """For each full block of ``tokens`` the digest of all up to its end, each made from the last, pictures included. A
    cryptographic one: nobody finds two prompts that share a block by mistake."""
    whole = len(tokens) // BLOCK * BLOCK
    rows = np.asarray(tokens[:whole], np.int64).reshape(-1, BLOCK)
    chain: list[bytes] = []
    digest = b""
    for place, row in enumerate(rows):
        begin = place * BLOCK
        seen = [_mark(view, begin) for view in views if view.between(begin, begin + BLOCK)]
        digest = hashlib.blake2b(b"".join([digest, row.tobytes(), *seen]), digest_size=16).digest()
        chain.append(digest)
    return chain


def _mark(view: View, begin: int) -> bytes:
    """What of a picture stands in the block that begins there: which, from which of its rows on, and where."""
    inside = view.between(begin, begin + BLOCK)
    rows = slice(inside.start, inside.stop)
    spots = b"" if view.spots is None else view.spots[:, rows].tobytes()
    return view.digest + inside.start.to_bytes(8) + (view.places[rows] - begin).tobytes() + spots
