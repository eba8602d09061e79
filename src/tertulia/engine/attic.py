"""Large weights in files without a name, for machines that don't hold all of a model.

The plugin puts the codes of a matrix in an order of its own at the first pass, and never reads ours again, but for the
rows of the embedding. In a file, the kernel may drop them from memory.
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

from tertulia.engine.weights import Array, Codes, Weight
from tertulia.errors import StoreError

_LEAST = 1 << 16
"""Bytes from which an array is worth a file."""


def attic(folder: Path | None) -> Callable[[Weight], Weight]:
    """What moves a weight to a file in ``folder`` and maps it; without a folder it stays as it is. Four bits stay, too:
    they are packed anew for the graph. Raises StoreError where the files find no room."""

    def move(array: Array) -> Array:
        if array.nbytes < _LEAST:
            return array
        try:
            with TemporaryFile(dir=folder, buffering=0) as file:
                rest = np.ascontiguousarray(array).data.cast("B")
                while rest:
                    rest = rest[file.write(rest) :]
                return np.memmap(file, array.dtype, "c", shape=array.shape)
        except OSError as error:
            raise StoreError(f"weights that memory has no room for can't be put into {folder}: {error}") from None

    def moved(weight: Weight) -> Weight:
        if not isinstance(weight, Codes):
            return move(weight)
        if weight.bits == 4:
            return weight
        return Codes(move(weight.codes), move(weight.zero), move(weight.scale), weight.bits)

    return moved if folder else lambda weight: weight
