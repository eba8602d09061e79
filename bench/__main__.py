"""``python -m bench``: run the benchmarks, print their tables, write them as JSON."""

import argparse
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from bench import calls, fair, form, gateway, genai, http, masks, pictures, reading, schemas, start, table
from bench.worker import ROOT
from tertulia import __version__, config
from tertulia.catalog import catalog
from tertulia.catalog.store import Store

BENCHES: dict[str, Callable[[Path, int], list[table.Row]]] = {
    "genai": genai.run,
    "http": http.run,
    "gateway": gateway.run,
    "prefill": reading.prefill,
    "prefix": reading.prefix,
    "fair": fair.run,
    "form": form.run,
    "schemas": schemas.run,
    "calls": calls.run,
    "masks": masks.run,
    "pictures": pictures.run,
    "start": start.run,
}


def main() -> None:
    args = _arguments()
    folder = args.model or _default()
    rows: list[table.Row] = []
    began = time.strftime("%Y-%m-%d %H:%M:%S")
    for name in args.only or BENCHES:
        found = BENCHES[name](folder, args.rounds)
        print(table.text(found), end="\n\n", flush=True)
        rows += found
    about = {"began": began, "model": folder.name, "rounds": str(args.rounds), "machine": _machine()}
    about |= {"python": platform.python_version(), "tertulia": __version__, "openvino": version("openvino")}
    path = args.json or ROOT / "bench" / "out" / f"{folder.name}.json"
    table.write(rows, path, about)
    print(f"written to {path}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Tertulia, alone and against others.")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="interleaved rounds to take medians of (5)")
    parser.add_argument("--only", action="append", choices=BENCHES, help="this one alone (may be repeated)")
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="a model's folder (the default model's)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures (bench/out/MODEL.json)")
    return parser.parse_args()


def _default() -> Path:
    """The default model's folder in the store; it is fetched if it is not there."""
    settings = config.load().store
    store = Store(settings.path, settings.hub, settings.hub_token)
    return store.pull(catalog.default().id).folder


def _machine() -> str:
    names = [line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    return f"{names[0] if names else platform.machine()}, {len(names)} threads"


if __name__ == "__main__":
    sys.exit(main())
