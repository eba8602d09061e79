"""How long things take to begin, and what the gateway weighs."""

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from bench.service import Service
from bench.table import Row

COMMANDS = {
    "import tertulia": ["-c", "import tertulia"],
    "tertulia --help": ["-m", "tertulia.cli", "--help"],
}


def run(folder: Path, rounds: int) -> list[Row]:
    """Start to ready, the gateway's memory, and milliseconds of small commands beside a bare interpreter's."""
    seconds: list[float] = []
    memory: list[float] = []
    for _ in range(max(rounds * 3 // 5, 1)):
        with Service(folder, 0) as service:
            seconds.append(service.seconds)
            memory.append(service.memory()["gateway"])
    rows = [Row("start", "tertulia serve", {"ready after s": median(seconds), "gateway MB": median(memory)})]
    took: dict[str, list[float]] = {"bare python": []}
    for _ in range(2 * rounds + 1):
        took["bare python"].append(_time(["-c", "pass"]))
        for name, arguments in COMMANDS.items():
            took.setdefault(name, []).append(_time(arguments))
    bare = took["bare python"]
    for name, times in took.items():
        more = median(a - b for a, b in zip(times, bare, strict=True))
        rows.append(Row("start", name, {"ms": median(times), "ms over bare python": more}))
    return rows


def _time(arguments: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return 1e3 * (time.perf_counter() - started)
