"""How many weights the files of a model hold, and as what: that is known without loading any."""

import math
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from tertulia import gguf
from tertulia.errors import StoreError

_LONGEST_HEADER = 100 << 20
_EYES = ("model.vision_model.", "model.connector.", "visual.", "model.visual.")
"""How the names of what sees begin, in Hugging Face's checkpoints."""
_TABLE = ("token_embd.weight", "embed_tokens.weight")
_HEADS = ("output.weight", "lm_head.weight")


class Held(Struct, frozen=True):
    """Numbers of weights by how the files hold them (``Q4_K``, ``BF16`` ...): ``multiplied`` of the matrices,
    ``looked_up`` of an embedding that is nothing else, and of what sees, however it is held."""

    multiplied: dict[str, int] = {}
    looked_up: dict[str, int] = {}
    seeing: int = 0


def read(files: list[Path]) -> Held:
    """What a model's files hold; nothing where they can't be read."""
    try:
        if any(file.suffix == ".gguf" for file in files):
            return of_gguf(gguf.read(files[0]))
    except (OSError, StoreError):
        return Held()
    return count((name, told.dtype, told.shape) for file in files for name, told in _header(file).items())


def of_gguf(file: gguf.File) -> Held:
    """What a GGUF file holds."""
    return count((tensor.name, tensor.type, tensor.shape) for tensor in file.tensors.values())


def count(tensors: Iterable[tuple[str, str, tuple[int, ...]]]) -> Held:
    """Sum up tensors, each a name, a kind and a shape. The vectors of what reads don't count."""
    held = [(name, kind, math.prod(shape), len(shape)) for name, kind, shape in tensors]
    headed = any(name in _HEADS for name, *_ in held)
    multiplied: dict[str, int] = {}
    looked_up: dict[str, int] = {}
    seeing = 0
    for name, kind, size, axes in held:
        if name.startswith(_EYES):
            seeing += size
        elif axes > 1:
            into = looked_up if headed and name.endswith(_TABLE) else multiplied
            into[kind] = into.get(kind, 0) + size
    return Held(multiplied, looked_up, seeing)


class _Tensor(Struct):
    """What a safetensors file says of a tensor."""

    dtype: str = ""
    shape: tuple[int, ...] = ()


def _header(file: Path) -> dict[str, _Tensor]:
    """The tensors of a safetensors file; none if it is no such file."""
    try:
        with file.open("rb") as opened:
            size = int.from_bytes(opened.read(8), "little")
            content = opened.read(size) if size < _LONGEST_HEADER else b"{}"
        return msgspec.json.decode(content, type=dict[str, _Tensor])
    except (OSError, msgspec.DecodeError):
        return {}
