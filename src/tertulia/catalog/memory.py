"""Whether a model fits into memory, roughly, before it is loaded."""

import os
import re
import shutil
from pathlib import Path

from tertulia.catalog import facts, tensors
from tertulia.catalog.manifest import Installed
from tertulia.catalog.progress import size
from tertulia.errors import StoreError

_RUNTIME = 300 << 20
_KEPT = {4: 0.65, 8: 1.16, 32: 4.0}
"""Bytes of a weight at so many bits, with the scale and the zero point of its group."""
_PACKED = {4: 0.66, 8: 1.38, 32: 4.0}
"""Bytes that the CPU plugin takes beside, when it has multiplied by it: its own order of the codes, and the scales and
zero points, which it spreads."""
_BITS = {"Q4_0": 4, "F16": 32, "BF16": 32, "F32": 32}
"""Bits at which GGUF's encodings are loaded; all others are at eight."""
_SPARED = 1 << 30
"""Bytes of a disk that are left to others."""
_EYES_LOADED = 11
"""Bytes of a weight of what sees: it is loaded in float32, and takes 2.6 times that when it has been used."""
_EYES_CODED = 3.3
"""The same where it is loaded at eight bits."""


def estimate(installed: Installed, kv: int, weights: str = "int8", seen: int = 0) -> int:
    """The bytes of memory that ``installed`` comes to, when it has answered, with a KV pool of ``kv`` bytes and, if it
    sees, ``seen`` bytes of what it saw.

    ``weights`` is how safetensors are loaded; GGUF files are loaded as they are, at 4 bits (Q4_0), 8 or 32.
    """
    held = _held(installed)
    text = sum(count * (_KEPT[bits] + _PACKED[bits]) for bits, count in _loaded(held.multiplied, installed, weights))
    text += sum(count * _KEPT[bits] for bits, count in _loaded(held.looked_up, installed, weights))
    room = seen if installed.architecture in facts.SEEING else 0
    each = _EYES_CODED if weights == "int8" and installed.architecture in facts.CODED else _EYES_LOADED
    return int(text or installed.bytes) + int(held.seeing * each) + room + kv + _RUNTIME


def _held(installed: Installed) -> tensors.Held:
    return installed.held if installed.held.multiplied else tensors.read(installed.weights)


def _loaded(held: dict[str, int], installed: Installed, weights: str) -> list[tuple[int, int]]:
    """The bits at which weights are loaded, and how many of them."""
    if installed.format != "gguf":
        return [(8 if weights == "int8" else 32, count) for count in held.values()]
    return [(_BITS.get(kind, 8), count) for kind, count in held.items()]


def aside(installed: Installed, weights: str = "int8") -> int:
    """The bytes that an estimate is lower by where weights are put into files in the model's folder; 0 where they find
    no room there, or the files would be in memory themselves."""
    held = _held(installed)
    each = _loaded(held.multiplied, installed, weights) + _loaded(held.looked_up, installed, weights)
    count = int(sum(count * _KEPT[bits] for bits, count in each if bits != 4))
    try:
        roomy = os.access(installed.folder, os.W_OK) and shutil.disk_usage(installed.folder).free > count + _SPARED
        return count if roomy and _on_disk(installed.folder) else 0
    except OSError:
        return 0


def _on_disk(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> bool:
    """Whether ``folder`` is known to be in a file system that isn't in memory itself."""
    place = folder.resolve()
    lines = [line.split() for line in mounts.read_text(encoding="utf-8").splitlines()]
    over = [(line[4], line[line.index("-") + 1]) for line in reversed(lines) if place.is_relative_to(line[4])]
    _, kind = max(over, key=lambda pair: len(pair[0]), default=("", "tmpfs"))
    return kind not in ("tmpfs", "ramfs")


def available() -> int | None:
    """The bytes of memory that can be had now, by the machine and by the container; None where nobody says."""
    known = [count for count in (_machine(), _container()) if count is not None]
    return min(known, default=None)


def shortage(installed: Installed, kv: int = 0, weights: str = "int8", seen: int = 0) -> str:
    """What is wrong, with the numbers, if ``installed`` and pools of ``kv`` and ``seen`` bytes don't fit, not even with
    weights put aside; else nothing."""
    needed, there = estimate(installed, kv, weights, seen), available()
    if there is None or needed <= there:
        return ""
    needed -= aside(installed, weights)
    if needed <= there:
        return ""
    pool = f" ({size(kv)} of it for the KV pool)" if kv else ""
    return f"{installed.id} needs about {size(needed)} of memory{pool} and {size(there)} are available"


def check_memory(installed: Installed, kv: int, weights: str = "int8", seen: int = 0) -> bool:
    """Whether weights have to be put aside for ``installed`` and pools of ``kv`` and ``seen`` bytes to fit into memory
    now. Raises StoreError, with the numbers, if that isn't enough."""
    if short := shortage(installed, kv, weights, seen):
        raise StoreError(f"{short}; stop something else, take a smaller pool (--kv 256M), or a smaller model")
    there = available()
    return there is not None and estimate(installed, kv, weights, seen) > there


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
