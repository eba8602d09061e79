"""Weights from a path on this machine: a GGUF file, or a folder as the Hub would hold it."""

import os
from pathlib import Path

from tertulia.catalog.choose import choose
from tertulia.catalog.files import STRETCH, File, check_room, clear, weigh
from tertulia.catalog.progress import Progress
from tertulia.errors import StoreError


def from_path(path: Path, folder: Path, progress: Progress) -> list[File]:
    """Put the model at ``path`` into ``folder``: hard links where the disk is the same, else copies."""
    clear(folder)
    if path.is_dir():
        choice = choose([item.name for item in path.iterdir() if item.is_file()], "", str(path))
        if choice.note:
            progress.say(choice.note)
        sources = [path / name for name in choice.paths]
    elif path.suffix == ".gguf":
        sources = [path]
    else:
        raise StoreError(f"{path} is neither a GGUF file nor a folder with one or with safetensors")
    for source in sources:
        _link(source.resolve(), folder / source.name, progress)
    return [weigh(folder / source.name, progress) for source in sources]


def _link(source: Path, target: Path, progress: Progress) -> None:
    try:
        os.link(source, target)
    except OSError:
        length = source.stat().st_size
        check_room(target.parent, length, source.name)
        with source.open("rb") as old, target.open("wb") as new, progress.bar(f"copying {source.name}", length) as bar:
            while stretch := old.read(STRETCH):
                new.write(stretch)
                bar.update(len(stretch))
