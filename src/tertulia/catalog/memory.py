"""Whether a model fits into memory, roughly, before it is loaded."""

import os
import re
from pathlib import Path

from tertulia.catalog.manifest import Installed
from tertulia.catalog.progress import size
from tertulia.errors import StoreError

_RUNTIME = 300 << 20
_LOADED = 8.75
"""Bits of a weight at 8 bits, with the scale and the zero point of each group."""
_KEPT = {"int8": _LOADED, "bf16": 16.0, "f16": 16.0, "f32": 32.0}
_BITS = {
    "Q4_0": 4.5, "Q4_1": 5.0, "Q5_0": 5.5, "Q5_1": 6.0, "Q8_0": 8.5, "Q4_K": 4.8, "Q5_K": 5.7, "Q6_K": 6.6,
    "F16": 16.0, "BF16": 16.0, "F32": 32.0,
}  # fmt: skip


def estimate(installed: Installed, kv: int, weights: str = "int8") -> int:
    """The bytes of memory that ``installed`` comes to with a KV pool of ``kv`` bytes.

    ``weights`` is how safetensors are loaded; GGUF files are loaded as they are, at 4 bits (Q4_0) or 8.
    """
    kept = _KEPT.get(weights, _LOADED) if installed.format == "safetensors" else _LOADED
    stored = next((bits for name, bits in _BITS.items() if installed.quantization.startswith(name)), _LOADED)
    grown = 1.0 if installed.quantization == "Q4_0" else kept / stored
    return int(installed.bytes * grown) + kv + _RUNTIME


def available() -> int | None:
    """The bytes of memory that can be had now, by the machine and by the container; None where nobody says."""
    known = [count for count in (_machine(), _container()) if count is not None]
    return min(known, default=None)


def shortage(installed: Installed, kv: int = 0, weights: str = "int8") -> str:
    """What is wrong, with the numbers, if ``installed`` and a KV pool of ``kv`` bytes don't fit; else nothing."""
    needed, there = estimate(installed, kv, weights), available()
    if there is None or needed <= there:
        return ""
    pool = f" ({size(kv)} of it for the KV pool)" if kv else ""
    return f"{installed.id} needs about {size(needed)} of memory{pool} and {size(there)} are available"


def check_memory(installed: Installed, kv: int, weights: str = "int8") -> None:
    """Raise StoreError, with the numbers, unless ``installed`` and a KV pool of ``kv`` bytes fit into memory now."""
    if short := shortage(installed, kv, weights):
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
