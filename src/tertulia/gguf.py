"""The GGUF container: metadata and where the tensors lie (ggml's gguf specification, versions 2 and 3).

The ``gguf`` package reads the same; it takes seconds for a vocabulary of 150,000 words where this takes tenths, so it
is the oracle of the tests instead.
"""

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tertulia.errors import StoreError

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9

# ggml type number: name, elements in a block, bytes of a block
TYPES = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    30: ("BF16", 1, 2),
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor in the file: its shape in row-major order and its bytes, still encoded."""

    name: str
    type: str
    shape: tuple[int, ...]
    data: memoryview


@dataclass(frozen=True, slots=True)
class File:
    metadata: dict[str, Any]
    tensors: dict[str, Tensor]


def read(path: Path) -> File:
    """Map the file at ``path``. The tensors are views of the mapping: nothing is copied.

    Raises StoreError when it is no GGUF file, is cut short, or holds a quantisation that is not known here.
    """
    with path.open("rb") as file:
        try:
            view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            return _read(path, view)
        except (struct.error, ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise StoreError(f"{path.name} is not a whole GGUF file ({error}); pull it again") from None


def _read(path: Path, view: memoryview) -> File:
    magic, version, tensor_count, field_count = struct.unpack_from("<4sIQQ", view)
    if magic != b"GGUF" or version not in (2, 3):
        raise StoreError(f"{path.name} is not a GGUF file of version 2 or 3")
    cursor = _Cursor(view, 24)
    metadata = {cursor.string(): cursor.value(cursor.scalar("I")) for _ in range(field_count)}
    places: list[tuple[str, tuple[int, ...], int, int]] = []
    for _ in range(tensor_count):
        name = cursor.string()
        shape = tuple(cursor.scalar("Q") for _ in range(cursor.scalar("I")))[::-1]
        places.append((name, shape, cursor.scalar("I"), cursor.scalar("Q")))
    alignment = int(metadata.get("general.alignment", 32))
    if alignment < 1:
        raise ValueError(f"an alignment of {alignment}")
    start = -(-cursor.at // alignment) * alignment
    tensors: dict[str, Tensor] = {}
    for name, shape, kind, offset in places:
        if kind not in TYPES:
            raise StoreError(
                f"{path.name}: tensor {name} has a quantisation that Tertulia can't read (ggml type {kind})"
            )
        type_name, block, size = TYPES[kind]
        count = math.prod(shape)
        if any(extent % block for extent in (count, *shape[-1:])):
            raise ValueError(f"the rows of tensor {name} are not whole blocks")
        end = start + offset + count // block * size
        if end > len(view):
            raise ValueError(f"tensor {name} ends beyond the file")
        tensors[name] = Tensor(name, type_name, shape, view[start + offset : end])
    return File(metadata, tensors)


class _Cursor:
    def __init__(self, view: memoryview, at: int) -> None:
        self.view = view
        self.at = at

    def scalar(self, code: str) -> Any:
        (value,) = struct.unpack_from("<" + code, self.view, self.at)
        self.at += struct.calcsize(code)
        return value

    def string(self) -> str:
        length = self.scalar("Q")
        end = self.at + length
        if end > len(self.view):
            raise ValueError("a string ends beyond the file")
        text = str(self.view[self.at : end], "utf-8")
        self.at = end
        return text

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            return self.scalar(_SCALARS[kind])
        item, length = self.scalar("I"), self.scalar("Q")
        if item in (_STRING, _ARRAY):
            return [self.value(item) for _ in range(length)]
        code = f"{length}{_SCALARS[item]}"
        values = list(struct.unpack_from("<" + code, self.view, self.at))
        self.at += struct.calcsize("<" + code)
        return values
