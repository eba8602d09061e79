"""The questions a split is asked, and the hashes of the held-out ones: `python -m sight.heldout` (in tools/)
checks heldout.sha256, with --write it writes it, which is done once, before training.

Two hashes: of every scene with its question and answer (nothing but Python is needed), and of the pixels (the fonts
of fonts.txt and the versions of requirements.txt are needed).
"""

import argparse
import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from . import data, questions

COUNT = 500
"""Questions a class."""
FILE = Path(__file__).parent / "heldout.sha256"


def cases(split: str, kind: str, count: int = COUNT) -> Iterator[tuple[data.Scene, questions.Asked]]:
    """The first `count` questions of a class that a split's scenes allow, each of a scene of its own."""
    index = found = 0
    while found < count:
        scene = data.scene(split, index, kind)
        asked = questions.about(random.Random(f"{data.SEED}/ask/{split}/{kind}/{index}"), scene, kind)
        index += 1
        if asked:
            found += 1
            yield scene, asked


def facts(count: int = COUNT) -> str:
    """The hash of the held-out scenes, questions and answers."""
    hashed = hashlib.sha256()
    for kind in data.CLASSES:
        for scene, asked in cases("heldout", kind, count):
            hashed.update(json.dumps([asdict(scene), asdict(asked)], sort_keys=True).encode())
    return hashed.hexdigest()


def pixels(count: int = COUNT) -> str:
    """The hash of the held-out pictures."""
    from . import draw  # Pillow and fonts only here

    hashed = hashlib.sha256()
    for kind in data.CLASSES:
        for scene, _ in cases("heldout", kind, count):
            hashed.update(draw.draw(scene)[0].tobytes())
    return hashed.hexdigest()


def written() -> dict[str, str]:
    """heldout.sha256: name -> hash."""
    return {name: hashed for hashed, name in (line.split() for line in FILE.read_text().splitlines())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    found = {"facts": facts(), "pixels": pixels()}
    if parser.parse_args().write:
        FILE.write_text("".join(f"{hashed}  {name}\n" for name, hashed in found.items()))
    elif found != written():
        raise SystemExit(f"heldout.sha256 says {written()}, this machine makes {found}")
    print(found)


if __name__ == "__main__":
    main()
