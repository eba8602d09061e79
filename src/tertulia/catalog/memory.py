"""Whether a model fits into memory, roughly, before it is loaded."""

import math
import os
import re
from pathlib import Path

import msgspec
from msgspec import Struct

from tertulia.catalog import facts
from tertulia.catalog.manifest import Installed
from tertulia.catalog.progress import size
from tertulia.errors import StoreError

_RUNTIME = 300 << 20
_LONGEST_HEADER = 100 << 20
_LOADED = 8.75
"""Bits of a weight at 8 bits, with the scale and the zero point of each group."""
_KEPT = {"int8": _LOADED, "bf16": 16.0, "f16": 16.0, "f32": 32.0}
_EYES = ("model.vision_model.", "model.connector.", "visual.", "model.visual.")
"""How the names of what sees begin, in Hugging Face's checkpoints."""
_EYES_LOADED = 11
"""Bytes of a weight of what sees: it is loaded in float32, and takes 2.6 times that when it has been used."""
_EYES_CODED = 3.3
"""The same where it is loaded at eight bits."""
_BITS = {
    "Q4_0": 4.5, "Q4_1": 5.0, "Q5_0": 5.5, "Q5_1": 6.0, "Q8_0": 8.5, "Q4_K": 4.8, "Q5_K": 5.7, "Q6_K": 6.6,
    "F16": 16.0, "BF16": 16.0, "F32": 32.0,
}  # fmt: skip


def estimate(installed: Installed, kv: int, weights: str = "int8", seen: int = 0) -> int:
    """The bytes of memory that ``installed`` comes to with a KV pool of ``kv`` bytes and, if it sees, ``seen`` bytes of
    what it saw.

    ``weights`` is how safetensors are loaded; GGUF files are loaded as they are, at 4 bits (Q4_0) or 8.
    """
    kept = _KEPT.get(weights, _LOADED) if installed.format == "safetensors" else _LOADED
    stored = next((bits for name, bits in _BITS.items() if installed.quantization.startswith(name)), _LOADED)
    grown = 1.0 if installed.quantization == "Q4_0" else kept / stored
    eyes, held = _eyes(installed)
    room = seen if installed.architecture in facts.SEEING else 0
    each = _EYES_CODED if weights == "int8" and installed.architecture in facts.CODED else _EYES_LOADED
    return int((installed.bytes - held) * grown + eyes * each) + room + kv + _RUNTIME


def _eyes(installed: Installed) -> tuple[int, int]:
    """How many weights of a model see, and their bytes in its files; 0 where none do or the files don't say."""
    count = held = 0
    if installed.architecture not in facts.SEEING:
        return 0, 0
    for name, told in [pair for file in installed.weights for pair in _header(file).items()]:
        if name.startswith(_EYES):
            begin, end = told.data_offsets
            count, held = count + math.prod(told.shape), held + end - begin
    return count, held


class _Tensor(Struct):
    """What a safetensors file says of a tensor."""

    shape: tuple[int, ...] = ()
    data_offsets: tuple[int, int] = (0, 0)


def _header(file: Path) -> dict[str, _Tensor]:
    """The tensors of a safetensors file; none if it is no such file."""
    try:
        with file.open("rb") as opened:
            size = int.from_bytes(opened.read(8), "little")
            content = opened.read(size) if size < _LONGEST_HEADER else b"{}"
        return msgspec.json.decode(content, type=dict[str, _Tensor])
    except (OSError, msgspec.DecodeError):
        return {}


def available() -> int | None:
    """The bytes of memory that can be had now, by the machine and by the container; None where nobody says."""
    known = [count for count in (_machine(), _container()) if count is not None]
    return min(known, default=None)


def shortage(installed: Installed, kv: int = 0, weights: str = "int8", seen: int = 0) -> str:
    """What is wrong, with the numbers, if ``installed`` and pools of ``kv`` and ``seen`` bytes don't fit; else
    nothing."""
    needed, there = estimate(installed, kv, weights, seen), available()
    if there is None or needed <= there:
        return ""
    pool = f" ({size(kv)} of it for the KV pool)" if kv else ""
    return f"{installed.id} needs about {size(needed)} of memory{pool} and {size(there)} are available"


def check_memory(installed: Installed, kv: int, weights: str = "int8", seen: int = 0) -> None:
    """Raise StoreError, with the numbers, unless ``installed`` and pools of ``kv`` and ``seen`` bytes fit into memory
    now."""
    if short := shortage(installed, kv, weights, seen):
        raise StoreError(f"{short}; stop something else, take a smaller pool (--kv 256M), or a smaller model")


def _machine() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _container(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What is left under the limit of a container (cgroup 2); page cache that can be dropped counts as left."""
    try:
        limit = int((root / "memory.max").read_text(encoding="ascii"))
        used = int((root / "memory.current").read_text(encoding="ascii"))
        cached = re.search(r"^inactive_file (\d+)$", (root / "memory.stat").read_text(encoding="ascii"), re.MULTILINE)
    except (OSError, ValueError):
        return None
    return limit - used + int(cached[1] if cached else 0)
